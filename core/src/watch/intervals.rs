//! Ranges of keys, and which of them hold a given key.
//!
//! A treap: a search tree by first key, a heap by random priority, so that its depth is
//! logarithmic whatever order clients ask in. Every node knows which range below it reaches
//! farthest, so that a search passes over subtrees that end before the key.

use super::slab::Slab;
use bytes::Bytes;
use core::cmp::Ordering;

/// One range with what it stands for.
#[derive(Clone, Debug)]
struct Node {
    from: Bytes,
    /// The first key behind it; `None` has no end.
    to: Option<Bytes>,
    value: u32,
    priority: u64,
    left: Option<u32>,
    right: Option<u32>,
    /// The node that reaches farthest, of this one and all below it.
    reach: u32,
}

impl Node {
    fn ends_after(&self, key: &[u8]) -> bool {
        self.to.as_ref().is_none_or(|to| key < to.as_ref())
    }

    fn compare(&self, from: &[u8], to: Option<&[u8]>) -> Ordering {
        let own = self.from.as_ref().cmp(from);
        own.then_with(|| compare_ends(self.to.as_deref(), to))
    }
}

/// No end is the farthest end.
fn compare_ends(one: Option<&[u8]>, other: Option<&[u8]>) -> Ordering {
    match (one, other) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(one), Some(other)) => one.cmp(other),
    }
}

/// A set of distinct ranges, each with a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Intervals {
    nodes: Slab<Node>,
    root: Option<u32>,
    random: u64,
}

impl Intervals {
    /// None. The seed keeps clients from guessing priorities.
    pub(super) fn new(seed: u64) -> Intervals {
        Intervals { nodes: Slab::default(), root: None, random: seed }
    }

    /// The value of exactly this range.
    pub(super) fn get(&self, from: &[u8], to: Option<&[u8]>) -> Option<u32> {
        let mut at = self.root;
        while let Some(slot) = at {
            let node = self.nodes.get(slot);
            match node.compare(from, to) {
                Ordering::Equal => return Some(node.value),
                Ordering::Greater => at = node.left,
                Ordering::Less => at = node.right,
            }
        }
        None
    }

    /// Adds a range that is not there.
    pub(super) fn insert(&mut self, from: Bytes, to: Option<Bytes>, value: u32) {
        assert!(self.get(&from, to.as_deref()).is_none(), "a range is added once");
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let priority = mix(self.random);
        let (left, right) = self.split(self.root, &from, to.as_deref());
        let node = Node { from, to, value, priority, left: None, right: None, reach: 0 };
        let slot = self.nodes.insert(node);
        self.nodes.get_mut(slot).reach = slot;
        let left = self.merge(left, Some(slot));
        self.root = self.merge(left, right);
    }

    /// Takes a range out that is there.
    pub(super) fn remove(&mut self, from: &[u8], to: Option<&[u8]>) {
        self.root = self.without(self.root, from, to);
    }

    /// Names the value of every range that holds `key`, by first key.
    pub(super) fn holding(&self, key: &[u8], found: &mut impl FnMut(u32)) {
        self.search(self.root, key, found);
    }

    fn search(&self, at: Option<u32>, key: &[u8], found: &mut impl FnMut(u32)) {
        let Some(slot) = at else { return };
        let node = self.nodes.get(slot);
        if !self.nodes.get(node.reach).ends_after(key) {
            return;
        }
        self.search(node.left, key, found);
        if node.from.as_ref() > key {
            return; // So does everything to the right.
        }
        if node.ends_after(key) {
            found(node.value);
        }
        self.search(node.right, key, found);
    }

    /// Parts a tree into what comes before the range and the rest.
    fn split(
        &mut self,
        at: Option<u32>,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> (Option<u32>, Option<u32>) {
        let Some(slot) = at else { return (None, None) };
        let node = self.nodes.get(slot);
        if node.compare(from, to) == Ordering::Less {
            let (before, after) = self.split(node.right, from, to);
            self.nodes.get_mut(slot).right = before;
            self.measure(slot);
            (Some(slot), after)
        } else {
            let (before, after) = self.split(node.left, from, to);
            self.nodes.get_mut(slot).left = after;
            self.measure(slot);
            (before, Some(slot))
        }
    }

    /// Joins two trees; all of `left` comes before all of `right`.
    fn merge(&mut self, left: Option<u32>, right: Option<u32>) -> Option<u32> {
        let (Some(low), Some(high)) = (left, right) else {
            return left.or(right);
        };
        if self.nodes.get(low).priority > self.nodes.get(high).priority {
            let joined = self.merge(self.nodes.get(low).right, right);
            self.nodes.get_mut(low).right = joined;
            self.measure(low);
            Some(low)
        } else {
            let joined = self.merge(left, self.nodes.get(high).left);
            self.nodes.get_mut(high).left = joined;
            self.measure(high);
            Some(high)
        }
    }

    fn without(&mut self, at: Option<u32>, from: &[u8], to: Option<&[u8]>) -> Option<u32> {
        let slot = at.expect("a range is taken out only while it is there");
        let node = self.nodes.get(slot);
        let (left, right) = (node.left, node.right);
        match node.compare(from, to) {
            Ordering::Equal => {
                self.nodes.remove(slot);
                return self.merge(left, right);
            }
            Ordering::Greater => self.nodes.get_mut(slot).left = self.without(left, from, to),
            Ordering::Less => self.nodes.get_mut(slot).right = self.without(right, from, to),
        }
        self.measure(slot);
        Some(slot)
    }

    /// Finds anew who reaches farthest below a node whose children changed.
    fn measure(&mut self, slot: u32) {
        let node = self.nodes.get(slot);
        let mut reach = slot;
        for child in [node.left, node.right].into_iter().flatten() {
            let candidate = self.nodes.get(child).reach;
            let (best, other) = (self.nodes.get(reach), self.nodes.get(candidate));
            if compare_ends(best.to.as_deref(), other.to.as_deref()) == Ordering::Less {
                reach = candidate;
            }
        }
        self.nodes.get_mut(slot).reach = reach;
    }
}

/// Spreads a number over all bits (splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    type Range = (Bytes, Option<Bytes>);

    fn key() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(0u8..4, 0..4).prop_map(Bytes::from)
    }

    fn ranges() -> impl Strategy<Value = Vec<(Range, bool)>> {
        prop::collection::vec(((key(), prop::option::of(key())), any::<bool>()), 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500,
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// The tree finds what a look at every range finds, whatever came and went.
        #[test]
        fn finds_what_a_list_finds(steps in ranges(), asked in key(), seed: u64) {
            let mut tree = Intervals::new(seed);
            let mut list: Vec<(Range, u32)> = Vec::new();
            for (number, ((from, to), keep)) in (0..).zip(steps) {
                let known = list.iter().position(|(range, _)| *range == (from.clone(), to.clone()));
                prop_assert_eq!(tree.get(&from, to.as_deref()), known.map(|at| list[at].1));
                match known {
                    Some(at) if !keep => {
                        list.swap_remove(at);
                        tree.remove(&from, to.as_deref());
                    }
                    Some(_) => {}
                    None => {
                        list.push(((from.clone(), to.clone()), number));
                        tree.insert(from, to, number);
                    }
                }
            }
            let holds = |(from, to): &Range| {
                *from <= asked && to.as_ref().is_none_or(|to| asked < *to)
            };
            let mut expected: Vec<_> =
                list.iter().filter(|(range, _)| holds(range)).map(|(_, value)| *value).collect();
            let mut found = Vec::new();
            tree.holding(&asked, &mut |value| found.push(value));
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
