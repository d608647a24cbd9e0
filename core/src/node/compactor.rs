//! Auto-compaction: which revision goes, and when (semantics §2.5).

use super::config::AutoCompaction;
use crate::types::Instant;
use alloc::collections::VecDeque;
use core::time::Duration;

/// How often the revision mode looks.
const REVISION_INTERVAL: Duration = Duration::from_secs(5 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Samples the store's revision and names the one to compact at.
#[derive(Debug)]
pub(super) struct Compactor {
    mode: AutoCompaction,
    /// Samples, oldest first; periodic mode only.
    window: VecDeque<i64>,
    /// When to look again.
    next: Instant,
    /// When the last compaction succeeded; at first, when the node started.
    succeeded: Instant,
    /// The last revision it compacted at.
    compacted: i64,
    /// Whether the first period has passed: from then on the interval rules.
    started: bool,
}

crate::recording::code!(struct Compactor { mode, window, next, succeeded, compacted, started });

impl Compactor {
    /// Begins to sample now.
    pub(super) fn new(mode: AutoCompaction, now: Instant, revision: i64) -> Compactor {
        let mut compactor = Compactor {
            mode,
            window: VecDeque::new(),
            next: now,
            succeeded: now,
            compacted: 0,
            started: false,
        };
        compactor.sample(now, revision);
        compactor
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.mode != AutoCompaction::Off).then_some(self.next)
    }

    /// Looks, if it is time: the revision to compact at, where this member leads.
    pub(super) fn tick(&mut self, now: Instant, revision: i64, leads: bool) -> Option<i64> {
        if self.deadline().is_none_or(|due| due > now) {
            return None;
        }
        // The samples before this one decide; etcd takes the next one after.
        let target = if leads { self.target(now, revision) } else { None };
        self.sample(now, revision);
        target
    }

    /// The compaction at `revision` took effect, or somebody else's did.
    pub(super) fn succeeded(&mut self, now: Instant, revision: i64) {
        self.succeeded = now;
        self.compacted = revision;
    }

    fn target(&mut self, now: Instant, revision: i64) -> Option<i64> {
        match self.mode {
            AutoCompaction::Off => None,
            AutoCompaction::Revision(kept) => {
                let target = revision.saturating_sub(kept);
                (target > 0 && target != self.compacted).then_some(target)
            }
            AutoCompaction::Periodic(period) => {
                let base = if self.started { period.min(HOUR) } else { period };
                if now.since(self.succeeded) < base {
                    return None;
                }
                self.started = true;
                let oldest = self.window.front().copied()?;
                (oldest != self.compacted).then_some(oldest)
            }
        }
    }

    fn sample(&mut self, now: Instant, revision: i64) {
        match self.mode {
            AutoCompaction::Off => {}
            AutoCompaction::Revision(_) => self.next = now.after(REVISION_INTERVAL),
            AutoCompaction::Periodic(period) => {
                let retry = period.min(HOUR) / 10;
                let kept = period.as_nanos() / retry.as_nanos().max(1) + 1;
                self.window.push_back(revision);
                while self.window.len() as u128 > kept {
                    self.window.pop_front();
                }
                self.next = now.after(retry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minutes: u32) -> Instant {
        Instant::default().after(MINUTE * minutes)
    }

    #[test]
    fn a_period_passes_before_the_first_compaction_and_history_is_a_period_long() {
        let mode = AutoCompaction::Periodic(HOUR);
        let mut compactor = Compactor::new(mode, at(0), 100);
        for n in 1..10_u32 {
            let revision = 100 + i64::from(n);
            assert_eq!(compactor.tick(at(6 * n), revision, true), None, "minute {}", 6 * n);
        }
        assert_eq!(compactor.tick(at(60), 110, true), Some(100));
        compactor.succeeded(at(60), 100);
        for n in 11..20_u32 {
            assert_eq!(compactor.tick(at(6 * n), 100 + i64::from(n), true), None);
        }
        assert_eq!(compactor.tick(at(120), 120, true), Some(109), "a sample older than a period");
    }

    #[test]
    fn a_follower_samples_and_stays_silent() {
        let mut compactor = Compactor::new(AutoCompaction::Periodic(HOUR), at(0), 1);
        for n in 1..=20_u32 {
            assert_eq!(compactor.tick(at(6 * n), 1 + i64::from(n), false), None);
        }
        assert_eq!(compactor.window.len(), 11);
    }

    #[test]
    fn the_revision_mode_keeps_the_newest() {
        let mut compactor = Compactor::new(AutoCompaction::Revision(1000), at(0), 1);
        assert_eq!(compactor.tick(at(4), 5000, true), None, "too early");
        assert_eq!(compactor.tick(at(5), 900, true), None, "nothing to forget");
        assert_eq!(compactor.tick(at(10), 1500, true), Some(500));
        compactor.succeeded(at(10), 500);
        assert_eq!(compactor.tick(at(15), 1500, true), None, "the same again");
    }
}
