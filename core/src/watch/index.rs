//! Who wants a key: watches of the same keys stand together as one interest.

use super::intervals::Intervals;
use super::slab::Slab;
use crate::command::{Event, Keys};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

/// Watches that ask for the same keys: what is found and cut for one serves all.
#[derive(Clone, Debug)]
struct Interest {
    keys: Keys,
    watches: Vec<u32>,
    /// Positions of the events at hand that it wants.
    hits: Vec<u32>,
}

/// Where a watch stands in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    interest: u32,
    place: u32,
}

/// An interest with what it wants of the events at hand.
pub(super) struct Touched<'a> {
    /// Who stands there.
    pub(super) watches: &'a [u32],
    /// Positions of events, rising.
    pub(super) hits: &'a [u32],
}

/// Interests by key and by range.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    interests: Slab<Interest>,
    exact: BTreeMap<Bytes, u32>,
    ranges: Intervals,
    /// The interests that have hits.
    touched: Vec<u32>,
}

impl Index {
    /// Nobody. The seed balances the ranges.
    pub(super) fn new(seed: u64) -> Index {
        Index { ranges: Intervals::new(seed), ..Index::default() }
    }

    /// Adds a watch.
    pub(super) fn insert(&mut self, keys: &Keys, watch: u32) -> Spot {
        let interest = self.find(keys).unwrap_or_else(|| self.create(keys));
        let watches = &mut self.interests.get_mut(interest).watches;
        let place = u32::try_from(watches.len()).expect("memory ends before numbers do");
        watches.push(watch);
        Spot { interest, place }
    }

    /// Takes a watch out. The last one of its interest takes its place: it is named, for its
    /// spot is now this one.
    pub(super) fn remove(&mut self, spot: Spot) -> Option<u32> {
        let interest = self.interests.get_mut(spot.interest);
        interest.watches.swap_remove(spot.place as usize);
        if interest.watches.is_empty() {
            self.drop_interest(spot.interest);
            return None;
        }
        interest.watches.get(spot.place as usize).copied()
    }

    /// Whether anybody wants this key.
    pub(super) fn wants(&self, key: &[u8]) -> bool {
        let mut wanted = self.exact.contains_key(key);
        if !wanted {
            self.ranges.holding(key, &mut |_| wanted = true);
        }
        wanted
    }

    /// Finds for every event who wants it. Serve what is touched before the next events.
    pub(super) fn touch(&mut self, events: &[Event]) {
        assert!(self.touched.is_empty(), "the events before were served");
        for (event, position) in events.iter().zip(0..) {
            let (interests, touched) = (&mut self.interests, &mut self.touched);
            let mut hit = |slot: u32| {
                let interest = interests.get_mut(slot);
                if interest.hits.is_empty() {
                    touched.push(slot);
                }
                interest.hits.push(position);
            };
            if let Some(slot) = self.exact.get(&event.key) {
                hit(*slot);
            }
            self.ranges.holding(&event.key, &mut hit);
        }
    }

    /// Serves every touched interest, in the order in which events touched them.
    pub(super) fn serve(&mut self, mut each: impl FnMut(Touched<'_>)) {
        for slot in self.touched.drain(..) {
            let interest = self.interests.get_mut(slot);
            each(Touched { watches: &interest.watches, hits: &interest.hits });
            interest.hits.clear();
        }
    }

    fn find(&self, keys: &Keys) -> Option<u32> {
        match bounds(keys) {
            Bounds::One(key) => self.exact.get(key).copied(),
            Bounds::Range(from, to) => self.ranges.get(from, to.map(Bytes::as_ref)),
        }
    }

    fn create(&mut self, keys: &Keys) -> u32 {
        let interest = Interest { keys: keys.clone(), watches: Vec::new(), hits: Vec::new() };
        let slot = self.interests.insert(interest);
        match bounds(keys) {
            Bounds::One(key) => {
                self.exact.insert(key.clone(), slot);
            }
            Bounds::Range(from, to) => {
                self.ranges.insert(Bytes::copy_from_slice(from), to.cloned(), slot);
            }
        }
        slot
    }

    fn drop_interest(&mut self, slot: u32) {
        let interest = self.interests.remove(slot);
        assert!(interest.hits.is_empty(), "no watch leaves while events are served");
        match bounds(&interest.keys) {
            Bounds::One(key) => {
                self.exact.remove(key);
            }
            Bounds::Range(from, to) => self.ranges.remove(from, to.map(Bytes::as_ref)),
        }
    }
}

/// Keys as the two halves of the index see them.
enum Bounds<'a> {
    One(&'a Bytes),
    /// No second bound is no end.
    Range(&'a [u8], Option<&'a Bytes>),
}

fn bounds(keys: &Keys) -> Bounds<'_> {
    match keys {
        Keys::One(key) => Bounds::One(key),
        Keys::Span { from, to } => Bounds::Range(from, Some(to)),
        Keys::From(from) => Bounds::Range(from, None),
        Keys::All => Bounds::Range(&[], None),
    }
}
