//! etcd's hash of a whole database (semantics §6.7): CRC-32C over each bucket's name and items,
//! but for those that say how far a member is and not what its state is.

use super::contents::{Contents, Items};
use super::export::Bucket;
use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc, Digest, Table};

static CASTAGNOLI: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// What differs between members that hold the same.
const IGNORED: [&[u8]; 3] = [b"consistent_index", b"term", b"storageVersion"];

/// Takes the hash in bounded steps.
pub struct WholeHash {
    buckets: std::vec::IntoIter<Bucket>,
    /// What is left of the bucket that is being read, and whether it is `meta`.
    items: Option<(Items, bool)>,
    digest: Digest<'static, u32, Table<16>>,
}

impl std::fmt::Debug for WholeHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WholeHash").field("buckets", &self.buckets).finish_non_exhaustive()
    }
}

impl WholeHash {
    /// Of a member's state.
    #[must_use]
    pub fn new(contents: Contents) -> WholeHash {
        let buckets = contents.into_buckets().into_iter();
        WholeHash { buckets, items: None, digest: CASTAGNOLI.digest() }
    }

    /// Takes in `items` more items, at most. Says whether it is done.
    pub fn step(&mut self, items: usize) -> bool {
        for _ in 0..items {
            if !self.item() {
                return true;
            }
        }
        false
    }

    /// The hash of what was taken in.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.digest.finalize()
    }

    fn item(&mut self) -> bool {
        if let Some((items, meta)) = &mut self.items {
            match items.next() {
                Some((key, value)) => {
                    let ignored = |key: &Bytes| IGNORED.contains(&key.as_ref());
                    if !(*meta && ignored(&key)) {
                        self.digest.update(&key);
                        self.digest.update(&value);
                    }
                }
                None => self.items = None,
            }
            return true;
        }
        let Some(bucket) = self.buckets.next() else { return false };
        self.digest.update(&bucket.name);
        self.items = Some(((bucket.items)(), bucket.name == "meta"));
        true
    }
}
