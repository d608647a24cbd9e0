//! HashKV, byte for byte etcd's (semantics §6.7).

use super::history::Found;
use super::view::View;
use alloc::vec;
use alloc::vec::Vec;
use crc::{CRC_32_ISCSI, Crc, Digest, Table};

static CASTAGNOLI: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// A hash of the key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// CRC-32C over what etcd feeds.
    pub hash: u32,
    /// Up to which revision.
    pub revision: i64,
    /// The compacted revision that it is from; -1 before the first compaction.
    pub compacted: i64,
}

/// Takes a hash in bounded steps, so that nobody waits for a large one.
///
/// Of what lies at or before the compacted revision only the newest version of each key
/// counts, and only if no later version up to the hashed revision superseded it. Which those
/// are is found in a first walk over the links.
pub struct Hasher {
    view: View,
    revision: i64,
    compacted: i64,
    /// A bit a position: superseded at or before `revision`.
    superseded: Vec<u64>,
    at: u64,
    marking: bool,
    digest: Digest<'static, u32, Table<16>>,
}

impl core::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Hasher { revision, compacted, at, marking, .. } = self;
        write!(f, "Hasher({revision}, {compacted}, at {at}, marking {marking})")
    }
}

impl Hasher {
    /// Of everything up to a revision that is readable.
    pub(super) fn new(view: View, revision: i64) -> Hasher {
        let compacted = view.compacted();
        Hasher::compaction(view, compacted, revision)
    }

    /// Of everything up to a revision, as if `compacted` were the compacted one.
    pub(super) fn compaction(view: View, compacted: i64, revision: i64) -> Hasher {
        let mut digest = CASTAGNOLI.digest();
        digest.update(b"key");
        let words = usize::try_from(view.state().history.end() / 64 + 1).expect("it fits memory");
        // Revisions begin above zero: before the first compaction there is nothing to look for.
        let marking = compacted > 0;
        let superseded = vec![0; if marking { words } else { 0 }];
        Hasher { view, revision, compacted, superseded, at: 0, marking, digest }
    }

    /// Goes on over at most `max` records; `true` when it is done.
    pub fn step(&mut self, max: usize) -> bool {
        let history = &self.view.state().history;
        for _ in 0..max {
            let found = history.get(self.at).filter(|found| found.link.main <= self.revision);
            let ended = self.at >= history.end();
            match (self.marking, ended) {
                (true, true) => {
                    self.marking = false;
                    self.at = 0;
                    continue;
                }
                (false, true) => return true,
                (true, false) => {
                    if let Some(prev) = found.as_ref().and_then(Found::prev) {
                        let word = usize::try_from(prev / 64).expect("it fits memory");
                        self.superseded[word] |= 1 << (prev % 64);
                    }
                }
                (false, false) => {
                    if let Some(found) = found
                        && counts(&found, self.compacted, &self.superseded)
                    {
                        feed(&mut self.digest, &found);
                    }
                }
            }
            self.at += 1;
        }
        false
    }

    /// The hash so far; of the whole once `step` said that it is done.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let hash = self.digest.clone().finalize();
        Hash { hash, revision: self.revision, compacted: self.compacted }
    }
}

fn counts(found: &Found<'_>, compacted: i64, superseded: &[u64]) -> bool {
    if found.link.main > compacted {
        return true;
    }
    let word = usize::try_from(found.at / 64).expect("it fits memory");
    !found.link.tombstone && superseded[word] & 1 << (found.at % 64) == 0
}

/// The key that etcd's database has for this version, and its value.
fn feed(digest: &mut Digest<'static, u32, Table<16>>, found: &Found<'_>) {
    let mut key = [0; 18];
    key[..8].copy_from_slice(&found.link.main.to_be_bytes());
    key[8] = b'_';
    key[9..17].copy_from_slice(&found.link.sub.to_be_bytes());
    key[17] = b't';
    digest.update(if found.link.tombstone { &key } else { &key[..17] });
    digest.update(found.record);
}
