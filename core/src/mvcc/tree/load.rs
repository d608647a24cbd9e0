//! An index of keys that are known beforehand, made from its leaves up.

use super::{FANOUT, Inner, Node, Separators, Tree};
use crate::mvcc::leaf::{LEAF, Leaf, shared};
use crate::mvcc::newest::Named;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Full nodes would all split at the first keys that come after.
const LEAF_FILLED: usize = LEAF * 7 / 8;
const FANOUT_FILLED: usize = FANOUT * 7 / 8;

/// A node, and what divides it from the one to its left.
struct Part {
    separator: Vec<u8>,
    node: Node,
}

impl Tree {
    /// The index of these keys, in key order, each there once.
    pub(in crate::mvcc) fn of(keys: &[Named<'_>]) -> Tree {
        let mut parts = leaves(keys);
        while parts.len() > 1 {
            parts = above(parts);
        }
        parts.pop().map_or_else(Tree::new, |part| Tree { root: part.node })
    }
}

fn leaves(keys: &[Named<'_>]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(keys.len().div_ceil(LEAF_FILLED));
    let mut last: &[u8] = &[];
    for run in even(keys.len(), LEAF_FILLED) {
        let run = &keys[run];
        let first = run[0].key;
        let separator = if parts.is_empty() { &[] } else { &first[..=shared(last, first)] };
        parts.push(Part {
            separator: separator.to_vec(),
            node: Node::Leaf(Arc::new(Leaf::of(run))),
        });
        last = run[run.len() - 1].key;
    }
    parts
}

/// The nodes above these.
fn above(parts: Vec<Part>) -> Vec<Part> {
    let runs = even(parts.len(), FANOUT_FILLED);
    let mut parts = parts.into_iter();
    runs.map(|run| inner(parts.by_ref().take(run.len()))).collect()
}

fn inner(parts: impl Iterator<Item = Part>) -> Part {
    let mut inner = Inner::empty();
    let mut separators = Vec::with_capacity(FANOUT);
    for (nth, part) in parts.enumerate() {
        separators.push(part.separator);
        inner.put(nth, part.node);
    }
    let separator = separators.remove(0);
    inner.separators = Separators::from_slice(&separators);
    Part { separator, node: Node::Inner(Arc::new(inner)) }
}

/// Divides `len` things into as few runs of at most `max` as there can be, all about as long.
fn even(len: usize, max: usize) -> impl Iterator<Item = core::ops::Range<usize>> {
    let runs = len.div_ceil(max);
    (0..runs).map(move |nth| nth * len / runs..(nth + 1) * len / runs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mvcc::history::History;
    use crate::mvcc::leaf::Slot;
    use crate::mvcc::newest::newest;
    use crate::mvcc::record::Fields;
    use crate::types::Revision;
    use std::collections::BTreeMap;
    use std::format;
    use std::string::String;

    /// A key space, and what its index should say.
    #[derive(Default)]
    struct Both {
        history: History,
        model: BTreeMap<String, Slot>,
    }

    impl Both {
        /// A version of a key, a revision each.
        fn write(&mut self, key: String, tombstone: bool) -> Slot {
            let slot = Slot { at: self.history.end(), tombstone };
            let before = self.model.get(&key).and_then(|slot| self.history.get(slot.at));
            let prev = before.map(|found| (found.at, found.link));
            let main = 2 + i64::try_from(slot.at).expect("a small history");
            let fields = Fields { key: key.as_bytes(), ..Fields::default() };
            self.history.append(Revision { main, sub: 0 }, tombstone, prev, &fields);
            self.model.insert(key, slot);
            slot
        }

        fn compare(&self, tree: &Tree) {
            let all: Vec<Slot> = tree.iter(&self.history, b"").collect();
            assert_eq!(all, self.model.values().copied().collect::<Vec<_>>());
            let mut before = 0;
            for (key, slot) in &self.model {
                assert_eq!(tree.get(&self.history, key.as_bytes()), Some(*slot), "{key}");
                assert_eq!(tree.rank(&self.history, key.as_bytes()), before, "{key}");
                before += u64::from(!slot.tombstone);
                let between = format!("{key}!");
                assert_eq!(tree.get(&self.history, between.as_bytes()), None);
                assert_eq!(tree.rank(&self.history, between.as_bytes()), before, "{between}");
            }
            assert_eq!(tree.live(), before);
        }
    }

    /// Keys that come in no order; some twice, some deleted.
    fn both(keys: usize) -> Both {
        let mut both = Both::default();
        for nth in 0..keys {
            let key = format!("/pods/{}/name-{}", nth % 7, nth * 7_919 % keys.max(1));
            both.write(key.clone(), nth.is_multiple_of(5));
            if nth.is_multiple_of(3) {
                both.write(key, nth.is_multiple_of(2));
            }
        }
        both
    }

    #[test]
    fn an_index_of_known_keys_leads_to_the_newest_version_of_each() {
        let leaf = LEAF_FILLED;
        let inner = leaf * FANOUT_FILLED;
        for keys in [0, 1, 2, leaf, leaf + 1, inner, inner + 1, inner * FANOUT_FILLED + 1] {
            let both = both(keys);
            let tree = Tree::of(&newest(&both.history, i64::MAX).expect("a history in order"));
            both.compare(&tree);
        }
    }

    #[test]
    fn it_takes_and_loses_keys_as_any_index() {
        let mut both = both(3_000);
        let mut tree = Tree::of(&newest(&both.history, i64::MAX).expect("a history in order"));
        for nth in 0..3_000 {
            let key = format!("/pods/{}/new-{}", nth % 5, nth * 31 % 3_000);
            let slot = both.write(key.clone(), nth % 9 == 0);
            assert_eq!(tree.set(&both.history, key.as_bytes(), slot), None);
        }
        both.compare(&tree);
        let mut nth = 0;
        let gone = both.model.extract_if(.., |_, _| {
            nth += 1;
            nth % 4 > 0
        });
        let gone: Vec<_> = gone.collect();
        for (key, _) in gone {
            tree.remove(&both.history, key.as_bytes());
        }
        both.compare(&tree);
    }

    #[test]
    fn a_version_whose_follower_is_gone_gives_way_to_a_younger_one() {
        let mut both = Both::default();
        both.write(String::from("a"), false);
        let tombstone = both.write(String::from("a"), true);
        let newest_one = both.write(String::from("a"), false);
        both.history.kill(tombstone.at);
        let keys = newest(&both.history, i64::MAX).expect("a history in order");
        let slots: Vec<Slot> = keys.iter().map(|one| one.slot).collect();
        assert_eq!(slots, [newest_one]);
    }

    #[test]
    fn a_history_beyond_its_revision_is_refused() {
        let both = both(10);
        let last = 1 + i64::try_from(both.history.end()).expect("a small history");
        assert!(newest(&both.history, last).is_ok());
        assert!(newest(&both.history, last - 1).is_err());
    }
}
