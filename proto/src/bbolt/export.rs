//! The writer: a whole database file as a stream, sizes first and then pages.
//!
//! ```text
//!   0 meta │ 1 meta │ 2 freelist │ pages of each bucket, by name │ pages of the root
//! ```
//!
//! The root comes last and the metas point to it, so the buckets are run through twice: a
//! [`Survey`] counts the pages, the [`Export`] writes them. Nothing is held but the open pages.

use super::contents::{Contents, Items};
use super::load::{Load, Loaded, Sheets};
use super::page::{ELEMENT, FREELIST, HEADER, Header, META, Meta, PAGE};
use bytes::{BufMut, Bytes, BytesMut};

/// Two metas and the freelist come before the first page of a bucket.
const FIRST: u64 = 3;
/// The freelist's page. It is empty, and there: a reader need not scan the file for free pages.
const FREE: u64 = 2;

/// A bucket to write.
pub struct Bucket {
    /// Its name.
    pub name: Bytes,
    /// Its items, keys strictly rising; asked for twice, and both times the same.
    pub items: Box<dyn Fn() -> Items + Send>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Begins to write a member's state as etcd's database.
#[must_use]
pub fn survey(contents: Contents) -> Survey {
    Survey::new(contents.into_buckets())
}

/// Writes a member's state as etcd's database, with the survey done in one go.
#[must_use]
pub fn export(contents: Contents) -> Export {
    let mut survey = survey(contents);
    while !survey.step(usize::MAX) {}
    survey.finish()
}

/// The first run: how large everything is.
#[derive(Debug)]
pub struct Survey {
    run: Run,
    root: Option<u64>,
}

impl Survey {
    /// Begins with buckets in the order of their names.
    #[must_use]
    pub fn new(buckets: Vec<Bucket>) -> Survey {
        Survey { run: Run::new(buckets, Sheets::counted(FIRST)), root: None }
    }

    /// Looks at `items` more items, at most. Says whether it is done.
    pub fn step(&mut self, items: usize) -> bool {
        for _ in 0..items {
            if self.root.is_some() {
                break;
            }
            self.root = self.run.step();
        }
        self.root.is_some()
    }

    /// Goes over to writing. The survey must be done.
    #[must_use]
    pub fn finish(self) -> Export {
        let root = self.root.expect("only a survey that is done can be finished");
        let high_water = self.run.sheets.next();
        let run = Run::new(self.run.buckets, Sheets::kept(FIRST));
        let head = head(root, high_water);
        Export { run, root, high_water, done: false, head: head.freeze(), left: Bytes::new() }
    }
}

/// The second run: the file's bytes.
#[derive(Debug)]
pub struct Export {
    run: Run,
    root: u64,
    high_water: u64,
    done: bool,
    /// What of the first pages nobody took yet.
    head: Bytes,
    /// What of the newest slice nobody took yet.
    left: Bytes,
}

impl Export {
    /// The file's whole length, in bytes.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.high_water * PAGE as u64
    }

    /// The next `max` bytes of the file; fewer only at its end, and then `None`. The work of one
    /// call grows with `max` and one page, not with the file.
    pub fn next_piece(&mut self, max: usize) -> Option<Bytes> {
        assert!(max > 0, "a piece holds at least a byte");
        let mut piece = BytesMut::with_capacity(max);
        while piece.len() < max {
            let Some(mut slice) = self.next_slice() else { break };
            let room = max - piece.len();
            if slice.len() > room {
                self.left = slice.split_off(room);
            }
            piece.put_slice(&slice);
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }

    /// The next bytes, however many they are.
    fn next_slice(&mut self) -> Option<Bytes> {
        if !self.head.is_empty() {
            return Some(std::mem::take(&mut self.head));
        }
        if !self.left.is_empty() {
            return Some(std::mem::take(&mut self.left));
        }
        loop {
            if let Some(slice) = self.run.sheets.take() {
                return Some(slice);
            }
            if self.done {
                return None;
            }
            if let Some(root) = self.run.step() {
                let same = (root, self.run.sheets.next()) == (self.root, self.high_water);
                assert!(same, "the second run through the buckets gave other items");
                self.done = true;
            }
        }
    }
}

/// One run through all buckets.
struct Run {
    buckets: Vec<Bucket>,
    /// Which bucket is being run through.
    at: usize,
    /// What is left of it; `None` before it begins.
    items: Option<Items>,
    load: Load,
    /// The tree of the buckets themselves.
    names: Load,
    sheets: Sheets,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("buckets", &self.buckets).field("at", &self.at).finish()
    }
}

impl Run {
    fn new(buckets: Vec<Bucket>, sheets: Sheets) -> Run {
        let (load, names) = (Load::values(), Load::buckets());
        Run { buckets, at: 0, items: None, load, names, sheets }
    }

    /// Takes one item, or ends a bucket. Answers the root's page once everything has its pages.
    fn step(&mut self) -> Option<u64> {
        let Some(bucket) = self.buckets.get(self.at) else {
            let names = std::mem::replace(&mut self.names, Load::buckets());
            return match names.finish(false, &mut self.sheets) {
                Loaded::Page(root) => Some(root),
                Loaded::Inline(_) => unreachable!("the root is never inline"),
            };
        };
        let items = self.items.get_or_insert_with(|| (bucket.items)());
        if let Some((key, value)) = items.next() {
            self.load.push(key, value, &mut self.sheets);
            return None;
        }
        let load = std::mem::replace(&mut self.load, Load::values());
        let value = bucket_value(load.finish(true, &mut self.sheets));
        self.names.push(bucket.name.clone(), value, &mut self.sheets);
        self.items = None;
        self.at += 1;
        None
    }
}

/// A bucket as its parent holds it: root page and an unused sequence, then the page itself where
/// it is inline.
fn bucket_value(loaded: Loaded) -> Bytes {
    let (root, image) = match loaded {
        Loaded::Page(root) => (root, Bytes::new()),
        Loaded::Inline(image) => (0, image),
    };
    let mut value = BytesMut::with_capacity(ELEMENT + image.len());
    value.put_u64_le(root);
    value.put_u64_le(0);
    value.put_slice(&image);
    value.freeze()
}

/// The first three pages: both metas say the same, so that the loss of one does no harm.
fn head(root: u64, high_water: u64) -> BytesMut {
    let mut head = BytesMut::with_capacity(3 * PAGE);
    for txid in [0, 1] {
        Header { id: txid, flags: META, count: 0, overflow: 0 }.put(&mut head);
        let page_size = u32::try_from(PAGE).expect("a page is 4 KiB");
        Meta { page_size, root, freelist: FREE, high_water, txid }.put(&mut head);
        head.put_bytes(0, PAGE - head.len() % PAGE);
    }
    Header { id: FREE, flags: FREELIST, count: 0, overflow: 0 }.put(&mut head);
    head.put_bytes(0, PAGE - HEADER);
    head
}

/// Both runs may wait on one task and go on on another.
const _: () = {
    const fn may_travel<T: Send>() {}
    may_travel::<Survey>();
    may_travel::<Export>();
};
