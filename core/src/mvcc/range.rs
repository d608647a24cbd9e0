//! Reading keys, with every option that etcd has (semantics §1.3).

use super::history::Found;
use super::record::{self, Fields};
use super::store::{State, past};
use crate::command::{Keys, Range, RangeReply, Record, Refusal, SortOrder, SortTarget};
use alloc::vec::Vec;
use bytes::Bytes;

/// Some of a range's keys, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The versions found, in key order.
    pub records: Vec<Record>,
    /// The last key looked at, where more may follow: give it as `after`.
    pub last: Option<Bytes>,
}

impl State {
    /// The revision that a range means, or why it cannot be read. What is zero or less means
    /// now, also in a store that was compacted.
    pub(super) fn readable(&self, revision: i64, now: i64) -> Result<i64, Refusal> {
        if revision > now {
            return Err(Refusal::FutureRevision);
        }
        if revision <= 0 {
            return Ok(now);
        }
        if revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        Ok(revision)
    }

    /// Answers a range as of `now`, which a write transaction under way has ahead of the
    /// store's revision.
    pub(super) fn range(&self, range: &Range, now: i64) -> Result<RangeReply, Refusal> {
        let revision = self.readable(range.revision, now)?;
        if range.count_only {
            let count = self.count(&range.keys, revision, now);
            return Ok(RangeReply { revision: now, count, ..RangeReply::default() });
        }
        let filtered = [range.min_mod, range.max_mod, range.min_create, range.max_create]
            .iter()
            .any(|filter| *filter != 0);
        // etcd's test for "as they come": a target without an order passes it, and the answer
        // is sorted all the same, after the limit.
        let as_they_come = range.order == SortOrder::None
            || range.target == SortTarget::Key && range.order == SortOrder::Ascend;
        let limit = usize::try_from(range.limit).unwrap_or(0);
        let bounded = as_they_come && !filtered && range.limit > 0 && range.limit < i64::MAX;
        let fetched = if bounded { limit.saturating_add(1) } else { usize::MAX };
        let (mut found, count) = self.fetch(&range.keys, revision, now, fetched);
        if filtered {
            found.retain(|found| passes(range, &record::fields(found.record)));
        }
        sort(range, &mut found);
        let more = limit > 0 && found.len() > limit;
        if more {
            found.truncate(limit);
        }
        let records = found.iter().map(|found| self.answer(range, found)).collect();
        Ok(RangeReply { revision: now, records, more, count })
    }

    /// The first `max` keys of a range at a revision, and how many there are in all. At the
    /// newest revision, `now`, the index alone answers.
    fn fetch<'a>(
        &'a self,
        keys: &'a Keys,
        revision: i64,
        now: i64,
        max: usize,
    ) -> (Vec<Found<'a>>, i64) {
        if revision == now {
            let found: Vec<Found<'_>> = self.first_living(keys, max);
            let count = if found.len() < max { found.len() as u64 } else { self.count_now(keys) };
            return (found, i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut found = Vec::new();
        let mut count = 0;
        for version in self.versions(keys, &[], revision) {
            count += 1;
            if found.len() < max {
                found.push(version);
            }
        }
        (found, count)
    }

    fn first_living(&self, keys: &Keys, max: usize) -> Vec<Found<'_>> {
        if let Keys::One(key) = keys {
            let slot = self.tree.get(&self.history, key).filter(|slot| !slot.tombstone);
            return slot.and_then(|slot| self.history.get(slot.at)).into_iter().collect();
        }
        let walk = self.tree.iter(&self.history, keys.start());
        walk.map(|slot| self.history.get(slot.at).expect("the index points at living records"))
            .take_while(|found| !past(keys, record::key_of(found.record)))
            .filter(|found| !found.link.tombstone)
            .take(max)
            .collect()
    }

    /// The versions of a range that were alive at an old revision, from `start` on.
    fn versions<'a>(
        &'a self,
        keys: &'a Keys,
        start: &[u8],
        revision: i64,
    ) -> impl Iterator<Item = Found<'a>> {
        let start = start.max(keys.start());
        self.tree
            .iter(&self.history, start)
            .take_while(|slot| !past(keys, self.history.key(slot.at)))
            .filter_map(move |slot| self.history.at_revision(slot.at, revision))
            .filter(|found| !found.link.tombstone)
    }

    /// How many keys of a range were alive at a revision that is readable.
    pub(super) fn count(&self, keys: &Keys, revision: i64, now: i64) -> i64 {
        let count = if revision == now {
            self.count_now(keys)
        } else {
            self.versions(keys, &[], revision).count() as u64
        };
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn count_now(&self, keys: &Keys) -> u64 {
        let rank = |key: &[u8]| self.tree.rank(&self.history, key);
        match keys {
            Keys::One(key) => {
                let slot = self.tree.get(&self.history, key);
                u64::from(slot.is_some_and(|slot| !slot.tombstone))
            }
            Keys::Span { from, to } => rank(to).saturating_sub(rank(from)),
            Keys::From(from) => self.tree.live() - rank(from),
            Keys::All => self.tree.live(),
        }
    }

    /// Some keys of a range behind `after`, in key order: for answers too large for one piece.
    pub(super) fn page(
        &self,
        range: &Range,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, Refusal> {
        let revision = self.readable(range.revision, self.revision)?;
        let mut page = Page::default();
        for found in self.versions(&range.keys, after.unwrap_or(&[]), revision) {
            let key = record::key_of(found.record);
            if after.is_some_and(|after| key <= after) {
                continue;
            }
            if page.records.len() == limit {
                let last = page.records.last().map(record::key);
                page.last = last;
                break;
            }
            page.records.push(self.answer(range, &found));
        }
        Ok(page)
    }

    fn answer(&self, range: &Range, found: &Found<'_>) -> Record {
        if range.keys_only {
            return record::without_value(found.record, range.target == SortTarget::Value);
        }
        self.history.share(found)
    }
}

fn passes(range: &Range, fields: &Fields<'_>) -> bool {
    let at_least = |filter: i64, value: i64| filter == 0 || value >= filter;
    let at_most = |filter: i64, value: i64| filter == 0 || value <= filter;
    at_most(range.max_mod, fields.modified)
        && at_least(range.min_mod, fields.modified)
        && at_most(range.max_create, fields.create)
        && at_least(range.min_create, fields.create)
}

fn sort(range: &Range, found: &mut [Found<'_>]) {
    match range.target {
        SortTarget::Key => {}
        SortTarget::Version => found.sort_by_key(|found| record::fields(found.record).version),
        SortTarget::Create => found.sort_by_key(|found| record::fields(found.record).create),
        SortTarget::Mod => found.sort_by_key(|found| record::fields(found.record).modified),
        SortTarget::Value => found.sort_by_key(|found| record::fields(found.record).value),
    }
    if range.order == SortOrder::Descend {
        found.reverse();
    }
}
