//! The reader: a whole database file as a slice, usually a mapping of it.
//!
//! Nothing in the file is believed before it is checked, and nothing in it can make the reader
//! panic or run without end: keys rise strictly, and a tree has no more pages than the file.

use super::Damage;
use super::page::{
    BRANCH, ELEMENT, HEADER, Header, IS_BUCKET, KEY_MAX, LEAF, Meta, VALUE_MAX, u32_at, u64_at,
};

/// The smallest page that a meta fits in with room to spare; the library's own lower bound for
/// looking for the second meta.
const PAGE_MIN: usize = 1024;
/// How often that can double: 16 MiB.
const PAGE_DOUBLINGS: u32 = 14;

/// A database file.
#[derive(Clone, Copy, Debug)]
pub struct Db<'a> {
    bytes: &'a [u8],
    page: usize,
    meta: Meta,
}

/// A database's layout without its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    page: usize,
    meta: Meta,
}

impl Shape {
    /// The database again, in the bytes that it was opened in.
    pub(super) fn of(self, bytes: &[u8]) -> Db<'_> {
        Db { bytes, page: self.page, meta: self.meta }
    }
}

impl<'a> Db<'a> {
    /// Opens a file by the newer of its two metas, as etcd does.
    ///
    /// # Errors
    /// Where no meta is sound, or the file is shorter than the sound one says.
    pub fn open(bytes: &'a [u8]) -> Result<Db<'a>, Damage> {
        let (page, meta) = newest_meta(bytes)?;
        let end = meta.high_water.checked_mul(page as u64);
        if end.is_none_or(|end| end > bytes.len() as u64) {
            return Err(Damage { at: bytes.len() as u64, why: "the file ends before its pages" });
        }
        Ok(Db { bytes, page, meta })
    }

    /// The size of its pages, in bytes.
    #[must_use]
    pub fn page_size(&self) -> usize {
        self.page
    }

    /// One past the highest page in use.
    #[must_use]
    pub fn high_water(&self) -> u64 {
        self.meta.high_water
    }

    /// The tree of buckets: name to bucket.
    #[must_use]
    pub fn root(&self) -> Tree<'a> {
        Tree { db: *self, root: Root::Page(self.meta.root) }
    }

    /// The bucket of this name, if it is there.
    ///
    /// # Errors
    /// Where the root's pages are damaged.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Tree<'a>>, Damage> {
        let item = self.root().find(name)?;
        item.map(|item| self.open_bucket(&item)).transpose()
    }

    /// The bucket that an item of the root holds.
    ///
    /// # Errors
    /// Where the item is no bucket, or its header is cut short.
    pub fn open_bucket(&self, item: &Item<'a>) -> Result<Tree<'a>, Damage> {
        let fault = |why| Damage { at: item.at, why };
        if !item.bucket {
            return Err(fault("a plain value stands where a bucket is due"));
        }
        let root = u64_at(item.value, 0).ok_or(fault("a bucket's header is cut short"))?;
        if root != 0 {
            return Ok(Tree { db: *self, root: Root::Page(root) });
        }
        let image = item.value.get(ELEMENT..).ok_or(fault("a bucket's header is cut short"))?;
        Ok(Tree { db: *self, root: Root::Inline { at: item.at, image } })
    }

    /// Where a slice of the file begins in it.
    fn position(&self, slice: &[u8]) -> usize {
        slice.as_ptr().addr() - self.bytes.as_ptr().addr()
    }

    /// The same pages of a file that is kept elsewhere.
    pub(super) fn shape(&self) -> Shape {
        Shape { page: self.page, meta: self.meta }
    }

    /// Runs through every bucket: finds damage wherever a reader could come upon it.
    ///
    /// # Errors
    /// The first damage.
    pub fn check(&self) -> Result<(), Damage> {
        for bucket in self.root().items() {
            for item in self.open_bucket(&bucket?)?.items() {
                let item = item?;
                if item.bucket {
                    let why = "a bucket stands where a plain value is due";
                    return Err(Damage { at: item.at, why });
                }
            }
        }
        Ok(())
    }

    /// The page of this number, overflow included. `from` is where the page begins that names it.
    fn page_at(&self, id: u64, from: u64) -> Result<Page<'a>, Damage> {
        if !(2..self.meta.high_water).contains(&id) {
            return Err(Damage { at: from, why: "a page number beyond the pages in use" });
        }
        let at = self.offset(id);
        let fault = |why| Damage { at: at as u64, why };
        let header = Header::read(&self.bytes[at..]).ok_or(fault("a page is cut short"))?;
        if header.id != id {
            return Err(fault("a page carries another page's number"));
        }
        let end = id.saturating_add(u64::from(header.overflow)).saturating_add(1);
        if end > self.meta.high_water {
            return Err(fault("a page runs beyond the pages in use"));
        }
        Page::new(&self.bytes[at..self.offset(end)], at as u64, header)
    }

    /// Where a page begins. For pages up to the high water, which `open` saw inside the file.
    fn offset(&self, id: u64) -> usize {
        usize::try_from(id).expect("the file is in memory, so its pages can be counted") * self.page
    }
}

/// Finds the page size and the newer sound meta.
fn newest_meta(bytes: &[u8]) -> Result<(usize, Meta), Damage> {
    let first = Meta::read(bytes).filter(|meta| {
        let page = meta.page_size as usize;
        page.is_power_of_two() && (PAGE_MIN..=PAGE_MIN << PAGE_DOUBLINGS).contains(&page)
    });
    let second = match first {
        Some(meta) => meta_at(bytes, meta.page_size as usize),
        None => (0..=PAGE_DOUBLINGS).find_map(|i| meta_at(bytes, PAGE_MIN << i)),
    };
    let first = first.map(|meta| (meta.page_size as usize, meta));
    let newest = first.into_iter().chain(second).max_by_key(|(_, meta)| meta.txid);
    newest.ok_or(Damage { at: 0, why: "neither meta page is sound" })
}

/// The meta that begins at this offset, if it is sound and says that pages are that large.
fn meta_at(bytes: &[u8], page: usize) -> Option<(usize, Meta)> {
    let meta = Meta::read(bytes.get(page..)?)?;
    (meta.page_size as usize == page).then_some((page, meta))
}

/// One tree of the file: a bucket, or the root that holds the buckets.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    db: Db<'a>,
    root: Root<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Root<'a> {
    Page(u64),
    Inline { at: u64, image: &'a [u8] },
}

impl<'a> Tree<'a> {
    /// Its items, by key.
    #[must_use]
    pub fn items(&self) -> ItemIter<'a> {
        ItemIter { db: self.db, cursor: self.cursor() }
    }

    /// The place before its first item.
    pub(super) fn cursor(&self) -> Cursor {
        let root = match self.root {
            Root::Page(id) => Place::Page { id, from: 0 },
            Root::Inline { at, image } => {
                Place::Inline { at, start: self.db.position(image), len: image.len() }
            }
        };
        Cursor { path: vec![(root, 0)], last: None, budget: self.db.meta.high_water }
    }

    /// The item of one key, found by running through the tree: for the few keys of small buckets.
    ///
    /// # Errors
    /// Where the tree is damaged before the key.
    pub fn find(&self, key: &[u8]) -> Result<Option<Item<'a>>, Damage> {
        let wanted =
            |item: &Result<Item<'_>, _>| item.as_ref().map_or(true, |item| item.key == key);
        self.items().find(wanted).transpose()
    }
}

/// The page that lies in a bucket's own value.
fn inline_page(at: u64, image: &[u8]) -> Result<Page<'_>, Damage> {
    let header = Header::read(image).ok_or(Damage { at, why: "an inline page is cut short" })?;
    if header.flags != LEAF {
        return Err(Damage { at, why: "an inline page is no leaf" });
    }
    Page::new(image, at, header)
}

/// One item of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Whether the value is a bucket.
    pub bucket: bool,
    /// Where its page begins in the file, in bytes.
    pub at: u64,
}

/// A tree's items in the order of their keys. Ends after the first damage.
#[derive(Debug)]
pub struct ItemIter<'a> {
    db: Db<'a>,
    cursor: Cursor,
}

impl<'a> Iterator for ItemIter<'a> {
    type Item = Result<Item<'a>, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(self.db)
    }
}

/// A place in a tree, without the file: whoever keeps the file gives it to each step.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// The open pages from the root down, each with its next element.
    path: Vec<(Place, usize)>,
    /// Where the last key lies in the file.
    last: Option<(usize, usize)>,
    /// How many more pages there can be before one must have come twice.
    budget: u64,
}

/// Where a page is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Page { id: u64, from: u64 },
    Inline { at: u64, start: usize, len: usize },
}

impl Cursor {
    fn advance<'a>(&mut self, db: Db<'a>) -> Result<Option<Item<'a>>, Damage> {
        while let Some((place, next)) = self.path.last_mut() {
            let page = place.open(db)?;
            if *next == page.count {
                self.path.pop();
                continue;
            }
            let at = *next;
            *next += 1;
            match page.element(at)? {
                Element::Value(item) => return self.in_order(db, item).map(Some),
                Element::Child(id) => self.descend(id, page.at)?,
            }
        }
        Ok(None)
    }

    fn descend(&mut self, id: u64, from: u64) -> Result<(), Damage> {
        self.budget = self
            .budget
            .checked_sub(1)
            .ok_or(Damage { at: from, why: "a page hangs in the tree twice" })?;
        self.path.push((Place::Page { id, from }, 0));
        Ok(())
    }

    fn in_order<'a>(&mut self, db: Db<'a>, item: Item<'a>) -> Result<Item<'a>, Damage> {
        if item.key.is_empty() || item.key.len() > KEY_MAX {
            return Err(Damage { at: item.at, why: "a key is empty or too long" });
        }
        if item.value.len() > VALUE_MAX {
            return Err(Damage { at: item.at, why: "a value is too long" });
        }
        let last = self.last.map(|(start, len)| &db.bytes[start..start + len]);
        if last.is_some_and(|last| last >= item.key) {
            return Err(Damage { at: item.at, why: "keys do not rise" });
        }
        self.last = Some((db.position(item.key), item.key.len()));
        Ok(item)
    }

    /// The next item.
    pub(super) fn next<'a>(&mut self, db: Db<'a>) -> Option<Result<Item<'a>, Damage>> {
        let item = self.advance(db);
        if item.is_err() {
            self.path.clear();
        }
        item.transpose()
    }
}

impl Place {
    fn open(self, db: Db<'_>) -> Result<Page<'_>, Damage> {
        match self {
            Place::Page { id, from } => db.page_at(id, from),
            Place::Inline { at, start, len } => inline_page(at, &db.bytes[start..start + len]),
        }
    }
}

/// A branch or a leaf whose table lies inside its bytes.
#[derive(Clone, Copy, Debug)]
struct Page<'a> {
    bytes: &'a [u8],
    /// Where it begins in the file.
    at: u64,
    leaf: bool,
    count: usize,
}

enum Element<'a> {
    Value(Item<'a>),
    Child(u64),
}

impl<'a> Page<'a> {
    fn new(bytes: &'a [u8], at: u64, header: Header) -> Result<Page<'a>, Damage> {
        let leaf = match header.flags {
            LEAF => true,
            BRANCH => false,
            _ => return Err(Damage { at, why: "neither a branch nor a leaf" }),
        };
        let count = usize::from(header.count);
        if HEADER + count * ELEMENT > bytes.len() {
            return Err(Damage { at, why: "a page's table runs beyond it" });
        }
        if count == 0 && !leaf {
            return Err(Damage { at, why: "a branch without children" });
        }
        Ok(Page { bytes, at, leaf, count })
    }

    fn element(&self, i: usize) -> Result<Element<'a>, Damage> {
        let fault = Damage { at: self.at, why: "an element points outside its page" };
        self.try_element(i).ok_or(fault)
    }

    /// Reads an element, whose offsets count from the element itself.
    fn try_element(&self, i: usize) -> Option<Element<'a>> {
        let element = self.bytes.get(HEADER + i * ELEMENT..)?;
        if !self.leaf {
            // The key only serves a search; a run in order needs none.
            return Some(Element::Child(u64_at(element, 8)?));
        }
        let pos = u32_at(element, 4)? as usize;
        let (key_len, value_len) = (u32_at(element, 8)? as usize, u32_at(element, 12)? as usize);
        let data = element.get(pos..)?;
        let value_end = key_len.checked_add(value_len)?;
        Some(Element::Value(Item {
            key: data.get(..key_len)?,
            value: data.get(key_len..value_end)?,
            bucket: u32_at(element, 0)? & IS_BUCKET != 0,
            at: self.at,
        }))
    }
}
