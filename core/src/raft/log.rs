//! The log in memory: what lies behind the last compaction, and how far it is committed and
//! durable.

use super::Ready;
use crate::entry::Entry;
use crate::types::{Index, Term};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Entries behind `base`.
#[derive(Debug)]
pub(super) struct Log {
    /// The position before the first entry, and its term.
    base: (Index, Term),
    entries: VecDeque<Entry>,
    pub(super) commit: Index,
    /// What is on the local disk.
    pub(super) durable: Index,
    /// Handed out to be applied.
    pub(super) handed: Index,
    /// Handed out to be written.
    written: Index,
    /// From here on the disk holds what is void.
    cut_from: Option<Index>,
}

crate::recording::code!(struct Log {
    base,
    entries,
    commit,
    durable,
    handed,
    written,
    cut_from,
});

impl Log {
    pub(super) fn new(
        base: (Index, Term),
        entries: Vec<Entry>,
        commit: Index,
        applied: Index,
    ) -> Log {
        let mut expected = base.0.next();
        for entry in &entries {
            assert!(entry.index == expected, "the log has a gap before {:?}", entry.index);
            expected = expected.next();
        }
        let last = expected.prev();
        Log {
            base,
            entries: entries.into(),
            commit: commit.clamp(base.0, last),
            durable: last,
            handed: applied.max(base.0),
            written: last,
            cut_from: None,
        }
    }

    pub(super) fn first(&self) -> Index {
        self.base.0.next()
    }

    pub(super) fn last(&self) -> Index {
        Index(self.base.0.0 + self.entries.len() as u64)
    }

    pub(super) fn last_term(&self) -> Term {
        self.entries.back().map_or(self.base.1, |entry| entry.term)
    }

    /// The term at a position; `None` where it is compacted or ahead.
    pub(super) fn term(&self, at: Index) -> Option<Term> {
        if at == self.base.0 {
            return Some(self.base.1);
        }
        self.nth(at).map(|entry| entry.term)
    }

    fn nth(&self, at: Index) -> Option<&Entry> {
        let nth = at.0.checked_sub(self.base.0.0 + 1)?;
        self.entries.get(usize::try_from(nth).ok()?)
    }

    /// Whether a log that ends there is at least as good as this one (Raft §5.4.1).
    pub(super) fn is_beaten_by(&self, last: Index, term: Term) -> bool {
        (term, last) >= (self.last_term(), self.last())
    }

    /// Adds entries of a leader at the end.
    pub(super) fn push(&mut self, entry: Entry) {
        assert!(entry.index == self.last().next(), "an entry is appended at the end");
        self.entries.push_back(entry);
    }

    /// Takes a leader's entries behind a position where the logs agree. What conflicts goes,
    /// from the first conflict on.
    pub(super) fn splice(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            match self.term(entry.index) {
                Some(term) if term == entry.term || mutant!(KeepsConflicts) => {}
                Some(_) => {
                    self.cut(entry.index);
                    self.push(entry);
                }
                None if entry.index <= self.base.0 => {}
                None => self.push(entry),
            }
        }
    }

    fn cut(&mut self, from: Index) {
        assert!(from > self.commit, "what is committed is never cut: {from:?}");
        let kept = usize::try_from(from.0 - self.base.0.0 - 1).expect("it lies in memory");
        self.entries.truncate(kept);
        self.durable = self.durable.min(from.prev());
        if from <= self.written {
            self.written = from.prev();
            self.cut_from = Some(self.cut_from.map_or(from, |cut| cut.min(from)));
        }
    }

    /// The last position at or before `index` whose term is at most `term`: where two logs may
    /// agree at the latest.
    pub(super) fn agree_before(&self, index: Index, term: Term) -> (Index, Term) {
        let mut at = index.min(self.last());
        while let Some(here) = self.term(at) {
            if here <= term || at == self.base.0 {
                return (at, here);
            }
            at = at.prev();
        }
        (at, Term::default())
    }

    pub(super) fn commit_to(&mut self, index: Index) -> bool {
        assert!(index <= self.last(), "commit {index:?} lies ahead of the log");
        let moved = index > self.commit;
        self.commit = self.commit.max(index);
        moved
    }

    /// Entries from a position on, at least one, up to a weight.
    pub(super) fn slice(&self, from: Index, bytes_max: usize) -> Vec<Entry> {
        let Some(nth) = from.0.checked_sub(self.base.0.0 + 1) else { return Vec::new() };
        let nth = usize::try_from(nth).expect("it lies in memory");
        let mut weight = 0;
        self.entries
            .range(nth.min(self.entries.len())..)
            .enumerate()
            .take_while(|(at, entry)| {
                weight += entry.payload.bytes().len();
                *at == 0 || weight <= bytes_max
            })
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    /// What may be applied and was not handed out yet: committed, and on the local disk.
    pub(super) fn next_committed(&mut self, max: usize) -> Vec<Entry> {
        let commit = if mutant!(AppliesUncommitted) { self.durable } else { self.commit };
        let until = commit.min(self.durable);
        if until <= self.handed {
            return Vec::new();
        }
        let from = usize::try_from(self.handed.0 - self.base.0.0).expect("it lies in memory");
        let many = usize::try_from(until.0 - self.handed.0).expect("it lies in memory").min(max);
        let entries: Vec<Entry> = self.entries.range(from..from + many).cloned().collect();
        self.handed = Index(self.handed.0 + many as u64);
        entries
    }

    pub(super) fn has_committed(&self) -> bool {
        self.commit.min(self.durable) > self.handed
    }

    /// What the disk lacks: where to cut, and the entries behind that.
    pub(super) fn take_unwritten(&mut self) -> (Option<Index>, Vec<Entry>) {
        let from = usize::try_from(self.written.0 - self.base.0.0).expect("it lies in memory");
        let entries = self.entries.range(from..).cloned().collect();
        self.written = self.last();
        (self.cut_from.take(), entries)
    }

    pub(super) fn has_unwritten(&self) -> bool {
        self.written < self.last() || self.cut_from.is_some()
    }

    /// The first of at most so many entries up to a position that together weigh at most this.
    pub(super) fn kept_from(&self, index: Index, entries: u64, bytes: usize) -> Index {
        let (mut from, mut weight) = (index.next(), 0);
        while from.0 > index.0.saturating_sub(entries) + 1 {
            let Some(entry) = self.nth(from.prev()) else { break };
            weight += entry.payload.bytes().len();
            if weight > bytes {
                break;
            }
            from = from.prev();
        }
        from
    }

    /// Forgets entries up to a position that is applied.
    pub(super) fn compact(&mut self, index: Index) {
        let index = index.min(self.handed).min(self.durable);
        let Some(term) = self.term(index).filter(|_| index > self.base.0) else { return };
        let gone = usize::try_from(index.0 - self.base.0.0).expect("it lies in memory");
        self.entries.drain(..gone);
        self.base = (index, term);
    }

    /// Begins anew behind a state that came from elsewhere.
    pub(super) fn restore(&mut self, index: Index, term: Term) {
        *self = Log::new((index, term), Vec::new(), index, index);
    }

    /// Entries that were not applied yet and change the configuration.
    pub(super) fn has_unapplied_change(&self, applied: Index) -> bool {
        let from = usize::try_from(applied.0.saturating_sub(self.base.0.0)).unwrap_or(0);
        let until = usize::try_from(self.commit.0.saturating_sub(self.base.0.0)).unwrap_or(0);
        let is_change =
            |entry: &Entry| matches!(entry.payload, crate::entry::Payload::Change { .. });
        from < until && self.entries.range(from..until).any(is_change)
    }
}

/// What came out and waits to be taken.
pub(super) type Readies = VecDeque<Ready>;
