//! An invariant checker that shares no code with the reader: what the library's own check looks
//! at, and that every page has exactly one owner (semantics §9a.7).

use std::collections::BTreeMap;

const PAGE: usize = 4096;

/// A bucket's items, by key.
type Bucket = Vec<(Vec<u8>, Vec<u8>)>;

/// Checks a whole file and gives its buckets back.
pub(crate) fn check(file: &[u8]) -> BTreeMap<Vec<u8>, Bucket> {
    assert_eq!(file.len() % PAGE, 0, "whole pages");
    let (root, freelist, high_water) = meta(file, 1);
    assert_eq!(meta(file, 0), (root, freelist, high_water), "both metas say the same");
    assert_eq!(high_water as usize * PAGE, file.len(), "the file ends at the high water");

    let mut owners = vec![0u32; high_water as usize];
    owners[0] = 1;
    owners[1] = 1;
    let mut walk = Walk { file, owners };
    walk.own(freelist, 0x10);
    assert_eq!(u16_at(walk.page(freelist), 10), 0, "nothing is free in a fresh file");

    let mut buckets = BTreeMap::new();
    for (flags, name, value) in walk.tree(root) {
        assert_eq!(flags, 1, "the root holds only buckets");
        let page = u64_at(&value, 0);
        assert_eq!(u64_at(&value, 8), 0, "etcd uses no sequence");
        let items = if page == 0 {
            assert!(value.len() - 16 <= PAGE / 4, "an inline bucket is small");
            let image = value[16..].to_vec();
            assert_eq!(u64_at(&image, 0), 0, "an inline page has no number");
            Walk::leaf(&image)
        } else {
            walk.tree(page)
        };
        let plain = items.into_iter().map(|(flags, key, value)| {
            assert_eq!(flags, 0, "etcd has no nested buckets");
            (key, value)
        });
        assert!(buckets.insert(name, plain.collect()).is_none(), "a bucket is there once");
    }
    assert!(walk.owners.iter().all(|n| *n == 1), "every page has one owner: {:?}", walk.owners);
    buckets
}

type Items = Vec<(u32, Vec<u8>, Vec<u8>)>;

struct Walk<'a> {
    file: &'a [u8],
    owners: Vec<u32>,
}

impl Walk<'_> {
    /// Marks a page and its overflow, and checks its header.
    fn own(&mut self, id: u64, flags: u16) {
        let page = &self.file[id as usize * PAGE..];
        assert_eq!(u64_at(page, 0), id, "a page carries its number");
        assert_eq!(u16_at(page, 8), flags, "a page is of the kind that is due");
        for owned in id..=id + u64::from(u32_at(page, 12)) {
            self.owners[owned as usize] += 1;
        }
    }

    fn page(&self, id: u64) -> &[u8] {
        let at = id as usize * PAGE;
        let pages = u32_at(&self.file[at..], 12) as usize + 1;
        &self.file[at..at + pages * PAGE]
    }

    fn tree(&mut self, id: u64) -> Items {
        let page = self.page(id).to_vec();
        if u16_at(&page, 8) == 2 {
            self.own(id, 2);
            return Walk::leaf(&page);
        }
        self.own(id, 1);
        let count = usize::from(u16_at(&page, 10));
        assert!(count >= 2, "a branch has at least two children");
        let mut items = Items::new();
        for i in 0..count {
            let at = 16 + 16 * i;
            let key_at = at + u32_at(&page, at) as usize;
            let key = &page[key_at..key_at + u32_at(&page, at + 4) as usize];
            let below = self.tree(u64_at(&page, at + 8));
            assert_eq!(below[0].1, key, "a child begins with the key of its branch");
            items.extend(below);
        }
        rise(&items);
        items
    }

    fn leaf(page: &[u8]) -> Items {
        let mut items = Items::new();
        let mut data = 16 + 16 * usize::from(u16_at(page, 10));
        for i in 0..usize::from(u16_at(page, 10)) {
            let at = 16 + 16 * i;
            let (key_len, value_len) =
                (u32_at(page, at + 8) as usize, u32_at(page, at + 12) as usize);
            assert_eq!(at + u32_at(page, at + 4) as usize, data, "data lies back to back");
            let value_at = data + key_len;
            let (key, value) = (&page[data..value_at], &page[value_at..value_at + value_len]);
            items.push((u32_at(page, at), key.to_vec(), value.to_vec()));
            data = value_at + value_len;
        }
        assert!(page[data..].iter().all(|byte| *byte == 0), "a page ends in zeros");
        rise(&items);
        items
    }
}

fn rise(items: &Items) {
    assert!(items.windows(2).all(|two| two[0].1 < two[1].1), "keys rise");
    assert!(items.iter().all(|item| !item.1.is_empty()), "a key is not empty");
}

/// Root, freelist and high water of a meta page, whose checksum must hold.
fn meta(file: &[u8], id: usize) -> (u64, u64, u64) {
    let page = &file[id * PAGE..];
    assert_eq!((u64_at(page, 0), u16_at(page, 8)), (id as u64, 4));
    let body = &page[16..72];
    assert_eq!((u32_at(body, 0), u32_at(body, 4)), (0xED0C_DAED, 2));
    assert_eq!(u32_at(body, 8) as usize, PAGE);
    assert_eq!(u64_at(body, 48), id as u64, "a transaction's meta lies in page txid % 2");
    let sum = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    assert_eq!(u64_at(page, 72), sum);
    (u64_at(body, 16), u64_at(body, 32), u64_at(body, 40))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
