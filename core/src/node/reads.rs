//! Linearizable read points (semantics §6.2).
//!
//! One round is under way at most; all who asked before it was issued are released together.
//! Who asks later waits for the next round, since a confirmation says nothing about the time
//! after it was asked for.

use crate::types::{Index, Instant, LeaseId, Ticket};
use alloc::vec::Vec;
use core::time::Duration;

/// After this long without an answer the round is asked again, under a fresh context.
const RETRY: Duration = Duration::from_millis(500);

/// Why a point is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To read.
    Point,
    /// To be sure of leading before a lease is kept alive.
    Renew(LeaseId),
}

crate::recording::code!(enum Purpose { 1 Point, 2 Renew(lease) });

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) ticket: Ticket,
    pub(super) purpose: Purpose,
}

crate::recording::code!(struct Asker { ticket, purpose });

/// The round under way and those who wait for the next.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: Vec<Asker>,
    round: Option<Round>,
}

crate::recording::code!(struct Reads { waiting, round });

#[derive(Debug)]
struct Round {
    /// Every context that asked for this round; an answer to any of them counts.
    contexts: Vec<u64>,
    askers: Vec<Asker>,
    retry: Instant,
    confirmed: Option<Index>,
}

crate::recording::code!(struct Round { contexts, askers, retry, confirmed });

impl Reads {
    /// Somebody asks; the next round is theirs.
    pub(super) fn ask(&mut self, asker: Asker) {
        match &mut self.round {
            Some(round) if mutant!(JoinsReadRound) => round.askers.push(asker),
            _ => self.waiting.push(asker),
        }
    }

    /// Begins a round if somebody waits and none is under way; `context` is what raft is asked
    /// with. Tells whether raft must be asked.
    pub(super) fn begin(&mut self, now: Instant, context: impl FnOnce() -> u64) -> Option<u64> {
        if self.round.is_some() || self.waiting.is_empty() {
            return None;
        }
        let context = context();
        let askers = core::mem::take(&mut self.waiting);
        let contexts = alloc::vec![context];
        self.round = Some(Round { contexts, askers, retry: now.after(RETRY), confirmed: None });
        Some(context)
    }

    /// Whether somebody waits for a round that can begin.
    pub(super) fn wants_round(&self) -> bool {
        self.round.is_none() && !self.waiting.is_empty()
    }

    /// Whether the round has waited long enough to be asked again.
    pub(super) fn due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|due| due <= now)
    }

    /// Asks the round under way again, never under a context that was used before.
    pub(super) fn again(&mut self, now: Instant, context: u64) -> Option<u64> {
        let round = self.round.as_mut()?;
        if round.confirmed.is_some() {
            return None;
        }
        assert!(!round.contexts.contains(&context), "a read context is used once");
        round.contexts.push(context);
        round.retry = now.after(RETRY);
        Some(context)
    }

    /// Raft confirmed a context at this index. An answer to an older round is stale.
    pub(super) fn confirm(&mut self, context: u64, index: Index) {
        if let Some(round) = &mut self.round
            && round.contexts.contains(&context)
        {
            round.confirmed.get_or_insert(index);
        }
    }

    /// Those who may read now that `applied` is applied.
    pub(super) fn release(&mut self, applied: Index) -> Vec<Asker> {
        let applied = |index| index <= applied || mutant!(ReadsBeforeApplied);
        let ready = |round: &mut Round| round.confirmed.is_some_and(applied);
        self.round.take_if(ready).map(|round| round.askers).unwrap_or_default()
    }

    /// The leader changed: the round fails, and all in it.
    pub(super) fn fail(&mut self) -> Vec<Asker> {
        self.round.take().map(|round| round.askers).unwrap_or_default()
    }

    /// When the round is to be asked again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = |round: &&Round| round.confirmed.is_none() && !mutant!(ReadsAskedOnce);
        self.round.as_ref().filter(waits).map(|round| round.retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(n: u64) -> Asker {
        Asker { ticket: Ticket(n), purpose: Purpose::Point }
    }

    #[test]
    fn who_asks_during_a_round_waits_for_the_next() {
        let mut reads = Reads::default();
        reads.ask(asker(1));
        assert_eq!(reads.begin(Instant(0), || 7), Some(7));
        reads.ask(asker(2));
        assert_eq!(reads.begin(Instant(0), || 8), None);
        reads.confirm(7, Index(3));
        assert_eq!(reads.release(Index(2)), []);
        assert_eq!(reads.release(Index(3)), [asker(1)]);
        assert_eq!(reads.begin(Instant(0), || 8), Some(8));
        reads.confirm(7, Index(9));
        assert_eq!(reads.release(Index(9)), [], "a stale answer confirms nobody");
        reads.confirm(8, Index(9));
        assert_eq!(reads.release(Index(9)), [asker(2)]);
    }

    #[test]
    fn a_silent_round_is_asked_again_and_any_of_its_answers_counts() {
        let mut reads = Reads::default();
        reads.ask(asker(1));
        reads.begin(Instant(0), || 1);
        let later = Instant(0).after(RETRY);
        assert!(!reads.due(Instant(1)));
        assert!(reads.due(later));
        assert_eq!(reads.again(later, 2), Some(2));
        assert!(!reads.due(later));
        reads.confirm(1, Index(5));
        assert_eq!(reads.release(Index(5)), [asker(1)]);
    }

    #[test]
    fn a_leader_change_fails_the_round_and_not_the_next() {
        let mut reads = Reads::default();
        reads.ask(asker(1));
        reads.begin(Instant(0), || 1);
        reads.ask(asker(2));
        assert_eq!(reads.fail(), [asker(1)]);
        assert_eq!(reads.begin(Instant(0), || 2), Some(2));
    }
}
