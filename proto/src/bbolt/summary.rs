//! What `etcdutl snapshot status` says of a database: its hash over every bucket's name and
//! items, how far it goes and how much it holds.

use super::export::{Bucket, Survey};
use super::values::{STORAGE_VERSION, read_revision};
use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc, Digest, Table};
use keel_core::mvcc::record;
use std::collections::BTreeSet;

static CASTAGNOLI: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// A database in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// CRC-32C over names, keys and values of all buckets.
    pub hash: u32,
    /// The newest main revision.
    pub revision: i64,
    /// Keys that exist.
    pub keys: usize,
    /// Bytes of all pages in use.
    pub size: u64,
    /// The schema's version; empty before 3.6.
    pub version: String,
}

/// Takes the figures item by item, so that whoever waits can be shown how far it is.
pub struct Summing {
    buckets: Vec<Bucket>,
    digest: Digest<'static, u32, Table<16>>,
    living: BTreeSet<Bytes>,
    summary: Summary,
}

impl std::fmt::Debug for Summing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Summing").field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl Summing {
    /// Of buckets in the order of their names.
    #[must_use]
    pub fn new(buckets: Vec<Bucket>) -> Summing {
        Summing {
            buckets,
            digest: CASTAGNOLI.digest(),
            living: BTreeSet::new(),
            summary: Summary::default(),
        }
    }

    /// The figures. `size` is the file's; without one it is what the buckets would take as a
    /// file. `seen` hears of each item's bytes.
    ///
    /// # Errors
    /// What is wrong with a version of a key, and at which item.
    pub fn finish(
        mut self,
        size: Option<u64>,
        mut seen: impl FnMut(usize),
    ) -> Result<Summary, String> {
        let buckets = std::mem::take(&mut self.buckets);
        for bucket in &buckets {
            self.digest.update(&bucket.name);
            for (key, value) in (bucket.items)() {
                self.digest.update(&key);
                self.digest.update(&value);
                seen(key.len() + value.len());
                match &bucket.name[..] {
                    b"key" => self.version_of_a_key(&key, &value)?,
                    b"meta" if key == STORAGE_VERSION => {
                        self.summary.version = String::from_utf8_lossy(&value).into_owned();
                    }
                    _ => {}
                }
            }
        }
        let Summing { digest, living, mut summary, .. } = self;
        summary.hash = digest.finalize();
        summary.keys = living.len();
        summary.size = size.unwrap_or_else(|| {
            let mut survey = Survey::new(buckets);
            while !survey.step(usize::MAX) {}
            survey.finish().total_len()
        });
        Ok(summary)
    }

    fn version_of_a_key(&mut self, at: &[u8], value: &Bytes) -> Result<(), String> {
        let (revision, tombstone) =
            read_revision(at).ok_or_else(|| format!("bucket key: {at:02x?} is no revision"))?;
        if record::decode(value).is_none() {
            let (main, sub) = (revision.main, revision.sub);
            return Err(format!("bucket key: the record at revision {main}/{sub} is damaged"));
        }
        self.summary.revision = revision.main;
        let key = record::key(value);
        if tombstone {
            self.living.remove(&key);
        } else {
            self.living.insert(key);
        }
        Ok(())
    }
}
