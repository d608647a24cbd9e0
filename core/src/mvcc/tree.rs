//! The index: a copy-on-write B+tree from keys to their newest versions.
//!
//! A node that nobody else holds is changed in place; one that a view holds is copied first.
//! Inner nodes count the live keys below each child, so that a count is O(log n).

mod load;

use super::history::History;
use super::leaf::{LEAF, Leaf, Slot, shared};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Children of an inner node.
const FANOUT: usize = 16;
/// Neighbours that together hold at most this much become one leaf.
const MERGED_MAX: usize = LEAF / 2;

/// The index, shared with every view of it until either changes.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    root: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Arc<Leaf>),
    Inner(Arc<Inner>),
}

#[derive(Clone, Debug)]
struct Inner {
    len: usize,
    /// What divides child `n` from child `n + 1`: keys from the nth separator on are right.
    separators: Separators,
    /// Live keys below each child.
    live: [u64; FANOUT],
    children: [Option<Node>; FANOUT],
}

/// Up to fifteen short byte strings in one buffer: copied with two allocations.
#[derive(Clone, Debug, Default)]
struct Separators {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Separators {
    fn get(&self, nth: usize) -> &[u8] {
        let from = if nth == 0 { 0 } else { self.ends[nth - 1] as usize };
        &self.bytes[from..self.ends[nth] as usize]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn to_vec(&self) -> Vec<Vec<u8>> {
        (0..self.len()).map(|nth| self.get(nth).to_vec()).collect()
    }

    fn from_slice(all: &[Vec<u8>]) -> Separators {
        let mut made = Separators::default();
        for one in all {
            made.bytes.extend_from_slice(one);
            made.ends.push(u32::try_from(made.bytes.len()).expect("keys are short"));
        }
        made
    }
}

/// A node that became two: the right one, and where it begins.
struct Split {
    separator: Vec<u8>,
    right: Node,
}

impl Tree {
    pub(super) fn new() -> Tree {
        Tree { root: Node::Leaf(Arc::new(Leaf::empty())) }
    }

    /// Live keys.
    pub(super) fn live(&self) -> u64 {
        self.root.live()
    }

    /// Where a key's newest version lies.
    pub(super) fn get(&self, history: &History, key: &[u8]) -> Option<Slot> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => node = inner.child(inner.route(key)),
                Node::Leaf(leaf) => {
                    return leaf.search(history, key).ok().map(|nth| leaf.slot(nth));
                }
            }
        }
    }

    /// Names a key's newest version; gives the one before. The new one need not be in the
    /// history yet: a descent costs more than all else that a put does here, so there is one.
    pub(super) fn set(&mut self, history: &History, key: &[u8], slot: Slot) -> Option<Slot> {
        let (before, split) = self.root.set(history, key, slot);
        if let Some(split) = split {
            let left = core::mem::replace(&mut self.root, Node::Leaf(Arc::new(Leaf::empty())));
            self.root = Node::pair(left, split);
        }
        before
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, history: &History, key: &[u8]) {
        self.root.remove(history, key);
        while let Node::Inner(inner) = &self.root
            && inner.len == 1
        {
            self.root = inner.child(0).clone();
        }
    }

    /// Live keys before `key`.
    pub(super) fn rank(&self, history: &History, key: &[u8]) -> u64 {
        let mut before = 0;
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => {
                    let nth = inner.route(key);
                    before += inner.live[..nth].iter().sum::<u64>();
                    node = inner.child(nth);
                }
                Node::Leaf(leaf) => {
                    let nth = leaf.search(history, key).unwrap_or_else(|nth| nth);
                    return before + leaf.live_before(nth) as u64;
                }
            }
        }
    }

    /// The newest versions of all keys from `start` on, in key order, tombstones too.
    pub(super) fn iter<'a>(&'a self, history: &History, start: &[u8]) -> Iter<'a> {
        let mut above = Vec::new();
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => {
                    let nth = inner.route(start);
                    above.push((inner.as_ref(), nth + 1));
                    node = inner.child(nth);
                }
                Node::Leaf(leaf) => {
                    let nth = leaf.search(history, start).unwrap_or_else(|nth| nth);
                    return Iter { above, leaf, nth };
                }
            }
        }
    }
}

impl Node {
    fn live(&self) -> u64 {
        match self {
            Node::Leaf(leaf) => leaf.live() as u64,
            Node::Inner(inner) => inner.live[..inner.len].iter().sum(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.len() == 0,
            Node::Inner(inner) => inner.len == 1 && inner.child(0).is_empty(),
        }
    }

    /// The node above two that were one.
    fn pair(left: Node, split: Split) -> Node {
        let mut inner = Inner::empty();
        inner.put(0, left);
        inner.put(1, split.right);
        inner.separators = Separators::from_slice(&[split.separator]);
        Node::Inner(Arc::new(inner))
    }

    fn set(&mut self, history: &History, key: &[u8], slot: Slot) -> (Option<Slot>, Option<Split>) {
        match self {
            Node::Leaf(leaf) => set_in_leaf(Arc::make_mut(leaf), history, key, slot),
            Node::Inner(inner) => Arc::make_mut(inner).set(history, key, slot),
        }
    }

    fn remove(&mut self, history: &History, key: &[u8]) {
        match self {
            Node::Leaf(leaf) => {
                if let Ok(nth) = leaf.search(history, key) {
                    Arc::make_mut(leaf).remove(nth);
                }
            }
            Node::Inner(inner) => Arc::make_mut(inner).remove(history, key),
        }
    }
}

fn set_in_leaf(
    leaf: &mut Leaf,
    history: &History,
    key: &[u8],
    slot: Slot,
) -> (Option<Slot>, Option<Split>) {
    match leaf.search(history, key) {
        Ok(nth) => {
            let before = leaf.slot(nth);
            leaf.replace(nth, slot);
            (Some(before), None)
        }
        Err(nth) if leaf.len() < LEAF => {
            leaf.insert(nth, key, slot);
            (None, None)
        }
        Err(nth) => (None, Some(split_leaf(leaf, history, nth, key, slot))),
    }
}

/// Makes two leaves of a full one and a key that belongs at `nth`.
fn split_leaf(leaf: &mut Leaf, history: &History, nth: usize, key: &[u8], slot: Slot) -> Split {
    // Keys that come in order leave full leaves behind them.
    let middle = if nth == LEAF { LEAF - 1 } else { LEAF / 2 };
    let mut right = leaf.split(history, middle);
    let last = history.key(leaf.slot(leaf.len() - 1).at).to_vec();
    let first = history.key(right.slot(0).at).to_vec();
    if nth <= middle && nth != LEAF {
        leaf.insert(nth, key, slot);
    } else {
        right.insert(nth - middle, key, slot);
    }
    // The new key may be the left one's last or the right one's first.
    let last = if last.as_slice() < key && nth == middle { key } else { &last };
    let separator = first[..=shared(last, &first)].to_vec();
    Split { separator, right: Node::Leaf(Arc::new(right)) }
}

impl Inner {
    fn empty() -> Inner {
        Inner {
            len: 0,
            separators: Separators::default(),
            live: [0; FANOUT],
            children: [const { None }; FANOUT],
        }
    }

    fn child(&self, nth: usize) -> &Node {
        self.children[nth].as_ref().expect("an inner node has as many children as its length")
    }

    /// Which child a key belongs to.
    fn route(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.separators.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.separators.get(middle) <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn set(&mut self, history: &History, key: &[u8], slot: Slot) -> (Option<Slot>, Option<Split>) {
        let nth = self.route(key);
        let child = self.children[nth].as_mut().expect("a route leads to a child");
        let (before, split) = child.set(history, key, slot);
        self.live[nth] = child.live();
        (before, split.and_then(|split| self.take_split(nth, split)))
    }

    /// Takes in the right half of a child that became two.
    fn take_split(&mut self, nth: usize, split: Split) -> Option<Split> {
        let mut separators = self.separators.to_vec();
        separators.insert(nth, split.separator);
        if self.len < FANOUT {
            self.children[nth + 1..=self.len].rotate_right(1);
            self.live[nth + 1..=self.len].rotate_right(1);
            self.put(nth + 1, split.right);
            self.separators = Separators::from_slice(&separators);
            return None;
        }
        Some(self.split(nth + 1, split.right, separators))
    }

    fn put(&mut self, nth: usize, node: Node) {
        self.live[nth] = node.live();
        self.children[nth] = Some(node);
        self.len += 1;
    }

    /// Becomes two, taking one more child in at `nth`. Children that come in order leave full
    /// nodes behind them.
    fn split(&mut self, nth: usize, node: Node, separators: Vec<Vec<u8>>) -> Split {
        let mut children: Vec<Node> = self.children.iter_mut().filter_map(Option::take).collect();
        children.insert(nth, node);
        let middle = if nth == FANOUT { FANOUT } else { FANOUT / 2 };
        let mut right = Inner::empty();
        right.separators = Separators::from_slice(&separators[middle..]);
        for (at, child) in children.split_off(middle).into_iter().enumerate() {
            right.put(at, child);
        }
        self.len = 0;
        for (at, child) in children.into_iter().enumerate() {
            self.put(at, child);
        }
        self.separators = Separators::from_slice(&separators[..middle - 1]);
        let separator = separators[middle - 1].clone();
        Split { separator, right: Node::Inner(Arc::new(right)) }
    }

    fn remove(&mut self, history: &History, key: &[u8]) {
        let nth = self.route(key);
        let child = self.children[nth].as_mut().expect("a route leads to a child");
        child.remove(history, key);
        self.live[nth] = child.live();
        if child.is_empty() && self.len > 1 {
            self.drop_child(nth, nth.saturating_sub(1));
        } else if nth + 1 < self.len {
            self.merge(history, nth);
        }
    }

    /// Drops a child, and the separator that divided it from its neighbour.
    fn drop_child(&mut self, nth: usize, separator: usize) {
        self.children[nth] = None;
        self.children[nth..self.len].rotate_left(1);
        self.live[nth] = 0;
        self.live[nth..self.len].rotate_left(1);
        self.len -= 1;
        let mut separators = self.separators.to_vec();
        separators.remove(separator);
        self.separators = Separators::from_slice(&separators);
    }

    /// Makes one leaf of two neighbours that are nearly empty.
    fn merge(&mut self, history: &History, nth: usize) {
        let (Some(Node::Leaf(left)), Some(Node::Leaf(right))) =
            (&self.children[nth], &self.children[nth + 1])
        else {
            return;
        };
        if left.len() + right.len() > MERGED_MAX {
            return;
        }
        let mut merged = (**left).clone();
        merged.merge(history, right);
        self.live[nth] = merged.live() as u64;
        self.children[nth] = Some(Node::Leaf(Arc::new(merged)));
        self.drop_child(nth + 1, nth);
    }
}

/// Walks the index in key order.
pub(super) struct Iter<'a> {
    above: Vec<(&'a Inner, usize)>,
    leaf: &'a Leaf,
    nth: usize,
}

impl Iterator for Iter<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        while self.nth == self.leaf.len() {
            let (inner, nth) = self.above.pop()?;
            if nth == inner.len {
                continue;
            }
            self.above.push((inner, nth + 1));
            let mut node = inner.child(nth);
            self.leaf = loop {
                match node {
                    Node::Leaf(leaf) => break leaf,
                    Node::Inner(inner) => {
                        self.above.push((inner, 1));
                        node = inner.child(0);
                    }
                }
            };
            self.nth = 0;
        }
        self.nth += 1;
        Some(self.leaf.slot(self.nth - 1))
    }
}
