//! The newest version of each key of a history, in key order: what an index is loaded from.
//!
//! Keys are sorted eight bytes at a time. A key lies somewhere in a mapped file, and to read it
//! costs a cache miss; its next eight bytes, taken along as a number, decide most comparisons
//! without one. Keys that are alike so far are sorted again by the bytes behind.

use super::history::History;
use super::leaf::{Slot, head, shared};
use super::record;
use crate::types::Revision;
use alloc::vec;
use alloc::vec::Vec;

/// A key and where its newest version lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) key: &'a [u8],
    pub(super) slot: Slot,
    /// The eight bytes that it is sorted by just now.
    head: u64,
}

impl<'a> Named<'a> {
    pub(super) fn new(key: &'a [u8], slot: Slot) -> Named<'a> {
        Named { key, slot, head: 0 }
    }
}

/// The newest version of each key, in key order. Fails where the history is out of the order of
/// revisions, or goes beyond `revision`.
pub(super) fn newest(history: &History, revision: i64) -> Result<Vec<Named<'_>>, &'static str> {
    let mut named = Vec::new();
    // Backwards: what a later version has followed is not looked at.
    let mut followed = Positions::below(history.end());
    let mut later = Revision { main: revision, sub: i64::MAX };
    for at in (0..history.end()).rev() {
        let Some(found) = history.get(at) else { continue };
        if found.revision() >= later || found.revision() <= Revision::default() {
            return Err("the history is out of the order of revisions");
        }
        later = found.revision();
        if let Some(prev) = found.prev() {
            followed.insert(prev);
        }
        if !followed.contains(at) && !found.record.is_empty() {
            let slot = Slot { at, tombstone: found.link.tombstone };
            named.push(Named::new(record::key_of(found.record), slot));
        }
    }
    sort(&mut named);
    Ok(named)
}

/// Sorts by key, and keeps the youngest where a key comes up again: a version whose follower died
/// before it links to nothing that is there.
pub(super) fn sort(all: &mut Vec<Named<'_>>) {
    let mut again = false;
    let mut runs = vec![(0, all.len(), 0)];
    while let Some((from, to, alike)) = runs.pop() {
        let run = &mut all[from..to];
        let depth = alike + shared_behind(run, alike);
        for one in run.iter_mut() {
            one.head = head(&one.key[depth..]);
        }
        // Of two keys with equal heads one may end in them, and the other hold zeros there.
        let left = |one: &Named<'_>| (one.key.len() - depth).min(9);
        run.sort_unstable_by_key(|one| (one.head, left(one), one.slot.at));
        let mut start = from;
        for like in run.chunk_by(|a, b| a.head == b.head && left(a) == left(b)) {
            let end = start + like.len();
            if like.len() > 1 {
                match left(&like[0]) {
                    9 => runs.push((start, end, depth + 8)),
                    _ => again = true,
                }
            }
            start = end;
        }
    }
    if again {
        all.reverse();
        all.dedup_by(|older, younger| older.key == younger.key);
        all.reverse();
    }
}

/// How many bytes all keys of a run share, behind those that they are known to.
fn shared_behind(run: &[Named<'_>], known: usize) -> usize {
    let Some((first, others)) = run.split_first() else { return 0 };
    let first = &first.key[known..];
    others.iter().fold(first.len(), |len, other| shared(&first[..len], &other.key[known..]))
}

/// A set of positions, a bit each.
struct Positions(Vec<u64>);

impl Positions {
    fn below(end: u64) -> Positions {
        Positions(vec![0; usize::try_from(end / 64 + 1).expect("the history fits memory")])
    }

    fn insert(&mut self, at: u64) {
        let (word, bit) = place(at);
        self.0[word] |= bit;
    }

    fn contains(&self, at: u64) -> bool {
        let (word, bit) = place(at);
        self.0[word] & bit != 0
    }
}

fn place(at: u64) -> (usize, u64) {
    (usize::try_from(at / 64).expect("the history fits memory"), 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Few letters, zeros among them, and long runs of one: keys that are alike for long, that
    /// begin with one another, and that end in zeros.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(vec![0]),
            Just(vec![b'a']),
            Just(vec![b'b']),
            Just(vec![0; 9]),
            Just(vec![b'a'; 8]),
            Just(vec![b'a'; 30]),
        ];
        proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn keys_come_in_order_and_the_youngest_stays(
            keys in proptest::collection::vec(key(), 0..200),
        ) {
            let slot = |at: usize| Slot { at: at as u64, tombstone: at.is_multiple_of(3) };
            let mut sorted: Vec<_> = keys
                .iter()
                .enumerate()
                .map(|(at, key)| Named::new(key, slot(at)))
                .collect();
            sorted.reverse();
            sort(&mut sorted);
            let model: BTreeMap<&[u8], Slot> =
                keys.iter().enumerate().map(|(at, key)| (key.as_slice(), slot(at))).collect();
            let sorted: Vec<_> = sorted.iter().map(|one| (one.key, one.slot)).collect();
            prop_assert_eq!(sorted, model.into_iter().collect::<Vec<_>>());
        }
    }
}
