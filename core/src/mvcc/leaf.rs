//! A leaf of the index: for each key eight bytes of it and where its newest version lies.
//!
//! Copying a leaf is one memcpy and touches no reference count but its prefix's: that is what
//! makes a view after every batch cheap. The key itself stands in the history; it is read to
//! break ties between equal heads and to confirm a match.

use super::history::History;
use super::newest::Named;
use alloc::sync::Arc;
use core::cmp::Ordering;

/// Keys of a leaf.
pub(super) const LEAF: usize = 64;
/// The bit of a position that says the newest version is a tombstone.
const DEAD: u64 = 1 << 63;

/// Up to 64 keys.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// What all keys begin with.
    prefix: Arc<[u8]>,
    len: usize,
    /// Keys whose newest version is no tombstone.
    live: usize,
    /// The eight bytes behind the prefix, zeros where the key ends.
    heads: [u64; LEAF],
    /// Where the newest version lies, and whether it is a tombstone.
    slots: [u64; LEAF],
}

/// Where a key's newest version lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) at: u64,
    pub(super) tombstone: bool,
}

impl Slot {
    fn raw(self) -> u64 {
        self.at | if self.tombstone { DEAD } else { 0 }
    }

    fn of(raw: u64) -> Slot {
        Slot { at: raw & !DEAD, tombstone: raw & DEAD != 0 }
    }
}

impl Leaf {
    pub(super) fn empty() -> Leaf {
        Leaf { prefix: Arc::from([]), len: 0, live: 0, heads: [0; LEAF], slots: [0; LEAF] }
    }

    /// A leaf of these keys, in key order.
    pub(super) fn of(keys: &[Named<'_>]) -> Leaf {
        assert!(keys.len() <= LEAF, "a leaf takes so many keys");
        let mut leaf = Leaf::empty();
        if let [first, .., last] | [first @ last] = keys {
            leaf.prefix = Arc::from(&first.key[..shared(first.key, last.key)]);
        }
        leaf.len = keys.len();
        for (nth, one) in keys.iter().enumerate() {
            leaf.heads[nth] = head(&one.key[leaf.prefix.len()..]);
            leaf.slots[nth] = one.slot.raw();
            leaf.live += usize::from(!one.slot.tombstone);
        }
        leaf
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn slot(&self, nth: usize) -> Slot {
        assert!(nth < self.len, "a slot beyond the leaf's end");
        Slot::of(self.slots[nth])
    }

    /// Live keys among the first `nth`.
    pub(super) fn live_before(&self, nth: usize) -> usize {
        self.slots[..nth].iter().filter(|raw| **raw & DEAD == 0).count()
    }

    /// Where a key is, or where it belongs.
    pub(super) fn search(&self, history: &History, key: &[u8]) -> Result<usize, usize> {
        let shared = key.len().min(self.prefix.len());
        match key[..shared].cmp(&self.prefix[..shared]) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len),
            Ordering::Equal if key.len() < self.prefix.len() => return Err(0),
            Ordering::Equal => {}
        }
        let wanted = head(&key[self.prefix.len()..]);
        let heads = &self.heads[..self.len];
        let from = heads.partition_point(|head| *head < wanted);
        let to = from + heads[from..].partition_point(|head| *head == wanted);
        // Equal heads: only the keys themselves can tell.
        let (mut low, mut high) = (from, to);
        while low < high {
            let middle = usize::midpoint(low, high);
            match history.key(self.slot(middle).at).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Puts a new slot in the place of an old one.
    pub(super) fn replace(&mut self, nth: usize, slot: Slot) {
        self.live -= usize::from(!self.slot(nth).tombstone);
        self.live += usize::from(!slot.tombstone);
        self.slots[nth] = slot.raw();
    }

    /// Puts a key where it belongs. The leaf must not be full.
    pub(super) fn insert(&mut self, nth: usize, key: &[u8], slot: Slot) {
        assert!(self.len < LEAF, "a full leaf is split before it takes a key");
        if self.len == 0 {
            self.prefix = Arc::from(key);
        } else {
            self.shorten_prefix(key);
        }
        self.heads.copy_within(nth..self.len, nth + 1);
        self.slots.copy_within(nth..self.len, nth + 1);
        self.heads[nth] = head(&key[self.prefix.len()..]);
        self.slots[nth] = slot.raw();
        self.len += 1;
        self.live += usize::from(!slot.tombstone);
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, nth: usize) {
        self.live -= usize::from(!self.slot(nth).tombstone);
        self.heads.copy_within(nth + 1..self.len, nth);
        self.slots.copy_within(nth + 1..self.len, nth);
        self.len -= 1;
    }

    /// Moves the keys from `nth` on into a leaf of their own. Both get the longest prefix that
    /// their keys share.
    pub(super) fn split(&mut self, history: &History, nth: usize) -> Leaf {
        let mut right = Leaf::empty();
        right.take_over(history, &self.slots[nth..self.len]);
        let left: [u64; LEAF] = self.slots;
        let len = nth;
        self.take_over(history, &left[..len]);
        right
    }

    /// Takes the keys of the leaf to the right in.
    pub(super) fn merge(&mut self, history: &History, right: &Leaf) {
        let mut slots = [0; LEAF];
        slots[..self.len].copy_from_slice(&self.slots[..self.len]);
        slots[self.len..self.len + right.len].copy_from_slice(&right.slots[..right.len]);
        let len = self.len + right.len;
        self.take_over(history, &slots[..len]);
    }

    /// Becomes the leaf of just these slots, in key order.
    fn take_over(&mut self, history: &History, slots: &[u64]) {
        let key = |raw: &u64| history.key(Slot::of(*raw).at);
        let prefix: &[u8] = match slots {
            [] => &[],
            [one] => key(one),
            [first, .., last] => {
                let (first, last) = (key(first), key(last));
                &first[..shared(first, last)]
            }
        };
        self.prefix = Arc::from(prefix);
        self.len = slots.len();
        self.live = slots.iter().filter(|raw| **raw & DEAD == 0).count();
        for (nth, raw) in slots.iter().enumerate() {
            self.heads[nth] = head(&key(raw)[self.prefix.len()..]);
            self.slots[nth] = *raw;
        }
    }

    /// Shortens the prefix to what `key` shares. No key is read: the bytes that leave the
    /// prefix move into the heads.
    fn shorten_prefix(&mut self, key: &[u8]) {
        let kept = shared(key, &self.prefix);
        if kept == self.prefix.len() {
            return;
        }
        let moved = &self.prefix[kept..];
        let bits = u32::try_from(moved.len().min(8) * 8).expect("at most 64");
        for nth in 0..self.len {
            let behind = self.heads[nth].checked_shr(bits).unwrap_or(0);
            self.heads[nth] = head(moved) | behind;
        }
        self.prefix = Arc::from(&self.prefix[..kept]);
    }
}

/// The first eight bytes as a number that sorts as they do.
pub(super) fn head(bytes: &[u8]) -> u64 {
    let mut head = [0; 8];
    let len = bytes.len().min(8);
    head[..len].copy_from_slice(&bytes[..len]);
    u64::from_be_bytes(head)
}

/// How many bytes two keys begin with alike.
pub(super) fn shared(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}
