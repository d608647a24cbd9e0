//! Packs sorted items into the pages of one tree, bottom up and in one run.
//!
//! A page leaves as soon as it is full, so what is held is one open page for each level of the
//! tree, however many items there are. The same run serves twice: once to count pages, once to
//! write them.

use super::page::{
    BRANCH, ELEMENT, HEADER, Header, IS_BUCKET, KEY_MAX, LEAF, PAGE, VALUE_MAX, pages,
};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;

/// A bucket this small lies inside its parent's leaf, as the library itself would write it.
const INLINE_MAX: usize = PAGE / 4;

/// Values from here on leave as slices of the record instead of copies.
const SHARED_MIN: usize = PAGE;

static ZEROS: [u8; PAGE] = [0; PAGE];

/// Where finished pages go.
#[derive(Debug)]
pub(super) struct Sheets {
    /// The next page's number.
    next: u64,
    /// The finished bytes; `None` when pages are only counted.
    out: Option<VecDeque<Bytes>>,
}

impl Sheets {
    /// Counts pages from number `next` on and forgets them.
    pub(super) fn counted(next: u64) -> Sheets {
        Sheets { next, out: None }
    }

    /// Keeps the bytes of pages from number `next` on.
    pub(super) fn kept(next: u64) -> Sheets {
        Sheets { next, out: Some(VecDeque::new()) }
    }

    /// The number that the next page gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The oldest bytes that nobody took yet.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.out.as_mut()?.pop_front()
    }

    /// Gives out the number for a page of `size` bytes. `fill` writes the page, except for the
    /// zeros at its end.
    fn page(&mut self, size: usize, fill: impl FnOnce(u64, &mut VecDeque<Bytes>)) -> u64 {
        let id = self.next;
        self.next += pages(size);
        if let Some(out) = &mut self.out {
            fill(id, out);
            let rest = (PAGE - size % PAGE) % PAGE;
            if rest > 0 {
                out.push_back(Bytes::from_static(&ZEROS[..rest]));
            }
        }
        id
    }
}

/// A leaf that still takes items.
#[derive(Debug)]
struct Leaf {
    items: Vec<(Bytes, Bytes)>,
    size: usize,
}

impl Leaf {
    fn new() -> Leaf {
        Leaf { items: Vec::new(), size: HEADER }
    }

    /// Writes the page: its table, then keys and values back to back.
    fn put(&self, id: u64, flags: u32, out: &mut VecDeque<Bytes>) {
        let mut page = BytesMut::with_capacity(self.size.min(PAGE));
        header(id, LEAF, self.items.len(), self.size).put(&mut page);
        let mut data = ELEMENT * self.items.len();
        for (i, (key, value)) in self.items.iter().enumerate() {
            page.put_u32_le(flags);
            page.put_u32_le(narrow(data - ELEMENT * i));
            page.put_u32_le(narrow(key.len()));
            page.put_u32_le(narrow(value.len()));
            data += key.len() + value.len();
        }
        for (key, value) in &self.items {
            page.put_slice(key);
            if value.len() < SHARED_MIN {
                page.put_slice(value);
            } else {
                out.push_back(page.split().freeze());
                out.push_back(value.clone());
            }
        }
        if !page.is_empty() {
            out.push_back(page.freeze());
        }
    }
}

/// A branch page that still takes children.
#[derive(Debug)]
struct Branch {
    children: Vec<(Bytes, u64)>,
    size: usize,
}

impl Branch {
    fn new() -> Branch {
        Branch { children: Vec::new(), size: HEADER }
    }

    fn push(&mut self, key: Bytes, id: u64) {
        self.size += ELEMENT + key.len();
        self.children.push((key, id));
    }

    fn put(&self, id: u64, out: &mut VecDeque<Bytes>) {
        let mut page = BytesMut::with_capacity(self.size);
        header(id, BRANCH, self.children.len(), self.size).put(&mut page);
        let mut data = ELEMENT * self.children.len();
        for (i, (key, child)) in self.children.iter().enumerate() {
            page.put_u32_le(narrow(data - ELEMENT * i));
            page.put_u32_le(narrow(key.len()));
            page.put_u64_le(*child);
            data += key.len();
        }
        for (key, _) in &self.children {
            page.put_slice(key);
        }
        out.push_back(page.freeze());
    }
}

/// One tree in the making.
#[derive(Debug)]
pub(super) struct Load {
    /// Every item's flags: whether values are buckets.
    flags: u32,
    leaf: Leaf,
    /// The open branch of each level, lowest first.
    branches: Vec<Branch>,
}

/// A finished tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// Its root is this page.
    Page(u64),
    /// It is so small that it lies in its parent: the image of its only page.
    Inline(Bytes),
}

impl Load {
    /// A tree of plain values.
    pub(super) fn values() -> Load {
        Load { flags: 0, leaf: Leaf::new(), branches: Vec::new() }
    }

    /// A tree of buckets.
    pub(super) fn buckets() -> Load {
        Load { flags: IS_BUCKET, ..Load::values() }
    }

    /// Takes the next item. Keys rise strictly; that is the source's duty, and ours to check.
    pub(super) fn push(&mut self, key: Bytes, value: Bytes, sheets: &mut Sheets) {
        assert!((1..=KEY_MAX).contains(&key.len()), "a key of {} bytes", key.len());
        assert!(value.len() <= VALUE_MAX, "a value of {} bytes", value.len());
        if let Some((last, _)) = self.leaf.items.last() {
            assert!(last < &key, "keys of a bucket rise: {last:?} before {key:?}");
        }
        let grown = self.leaf.size + ELEMENT + key.len() + value.len();
        if grown > PAGE && !self.leaf.items.is_empty() {
            self.close_leaf(sheets);
        }
        self.leaf.size += ELEMENT + key.len() + value.len();
        self.leaf.items.push((key, value));
    }

    /// Ends the tree. One that is small enough becomes an inline image where that is allowed.
    pub(super) fn finish(mut self, inline: bool, sheets: &mut Sheets) -> Loaded {
        if inline && self.branches.is_empty() && self.leaf.size <= INLINE_MAX {
            let mut image = VecDeque::new();
            self.leaf.put(0, self.flags, &mut image);
            let image = image.pop_front().unwrap_or_default();
            assert_eq!(image.len(), self.leaf.size, "an inline page is one piece");
            return Loaded::Inline(image);
        }
        self.close_leaf(sheets);
        let mut level = 0;
        loop {
            let top = level + 1 == self.branches.len();
            if let ([(_, only)], true) = (self.branches[level].children.as_slice(), top) {
                return Loaded::Page(*only);
            }
            let all = self.branches[level].children.len();
            self.close_branch(level, all, sheets);
            level += 1;
        }
    }

    fn close_leaf(&mut self, sheets: &mut Sheets) {
        let leaf = std::mem::replace(&mut self.leaf, Leaf::new());
        let first = leaf.items.first().map(|(key, _)| key.clone()).unwrap_or_default();
        let id = sheets.page(leaf.size, |id, out| leaf.put(id, self.flags, out));
        self.adopt(0, first, id, sheets);
    }

    /// Hangs a page under the open branch of a level.
    fn adopt(&mut self, level: usize, key: Bytes, id: u64, sheets: &mut Sheets) {
        if level == self.branches.len() {
            self.branches.push(Branch::new());
        }
        let branch = &self.branches[level];
        let held = branch.children.len();
        // The library's rebalancing cannot stand a branch with one child. The last child stays
        // behind to be the next page's first, so the open branch never falls below two.
        if branch.size + ELEMENT + key.len() > PAGE && held > 2 {
            self.close_branch(level, held - 1, sheets);
        }
        self.branches[level].push(key, id);
    }

    /// Writes the first `count` children of a level as a page; the rest stays open.
    fn close_branch(&mut self, level: usize, count: usize, sheets: &mut Sheets) {
        let mut closed = std::mem::replace(&mut self.branches[level], Branch::new());
        for (key, id) in closed.children.split_off(count) {
            closed.size -= ELEMENT + key.len();
            self.branches[level].push(key, id);
        }
        assert!(closed.children.len() >= 2, "a branch has at least two children");
        let first = closed.children[0].0.clone();
        let id = sheets.page(closed.size, |id, out| closed.put(id, out));
        self.adopt(level + 1, first, id, sheets);
    }
}

/// The header of a page of `size` bytes.
fn header(id: u64, flags: u16, count: usize, size: usize) -> Header {
    let count = u16::try_from(count).expect("a page of 4 KiB holds fewer than 256 items");
    let overflow = u32::try_from(pages(size) - 1).expect("a value is below 2 GiB");
    Header { id, flags, count, overflow }
}

/// An offset or a length inside a page, whose items are below 2 GiB.
fn narrow(size: usize) -> u32 {
    u32::try_from(size).expect("keys and values of a page stay below 4 GiB")
}
