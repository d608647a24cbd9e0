//! The reader: one moment of the key space, shared freely.

use super::chunk::Chunk;
use super::events::Events;
use super::hash::{Hash, Hasher};
use super::range::Page;
use super::record;
use super::store::{State, Usage};
use crate::command::{Keys, Range, RangeReply, Record, Refusal, Txn, TxnReply};
use crate::types::{LeaseId, Revision};
use alloc::sync::Arc;
use bytes::Bytes;

/// Records hashed at a time where nobody wants to step.
const HASH_STEP: usize = 1 << 16;

/// One moment of the key space: copied in O(1), never changed, read on any thread.
#[derive(Clone, Debug)]
pub struct View(Arc<State>);

/// A version as etcd's database stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its revision: the database's key.
    pub revision: Revision,
    /// Whether it is a tombstone: the database's key then ends with `t`.
    pub tombstone: bool,
    /// The encoded KeyValue: the database's value.
    pub record: Record,
}

impl View {
    pub(super) fn of(state: State) -> View {
        View(Arc::new(state))
    }

    pub(crate) fn state(&self) -> &State {
        &self.0
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.0.revision
    }

    /// The oldest revision that is readable; -1 before the first compaction.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.0.compacted
    }

    /// How much it holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.usage()
    }

    /// Answers a range.
    pub fn range(&self, range: &Range) -> Result<RangeReply, Refusal> {
        self.0.range(range, self.0.revision)
    }

    /// Some keys of a range behind `after`, in key order; sorting, filters and limit are not
    /// looked at.
    pub fn page(&self, range: &Range, after: Option<&[u8]>, limit: usize) -> Result<Page, Refusal> {
        self.0.page(range, after, limit)
    }

    /// How many keys of a range exist at a revision; O(log n) at the view's own.
    pub fn count(&self, keys: &Keys, revision: i64) -> Result<i64, Refusal> {
        let revision = self.0.readable(revision, self.0.revision)?;
        Ok(self.0.count(keys, revision, self.0.revision))
    }

    /// The newest version of a key, if it exists.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Record> {
        let state = &self.0;
        let slot = state.tree.get(&state.history, key).filter(|slot| !slot.tombstone)?;
        state.history.get(slot.at).map(|found| state.history.share(&found))
    }

    /// Answers a transaction that only reads.
    pub fn txn(&self, txn: &Txn) -> Result<TxnReply, Refusal> {
        self.0.txn(txn)
    }

    /// The changes from a main revision on. What the newest compaction superseded is not among
    /// them, so nothing before it can be followed.
    pub fn history(&self, from: i64) -> Result<Events, Refusal> {
        if from < self.0.compacted {
            return Err(Refusal::Compacted);
        }
        Ok(Events::new(self.clone(), from))
    }

    /// etcd's HashKV; zero or less means the newest revision.
    pub fn hash(&self, revision: i64) -> Result<Hash, Refusal> {
        match self.hasher(revision)? {
            Ok(hash) => Ok(hash),
            Err(mut hasher) => {
                while !hasher.step(HASH_STEP) {}
                Ok(hasher.hash())
            }
        }
    }

    /// etcd's HashKV: known already where a compaction left it, else to be taken in steps.
    pub fn hasher(&self, revision: i64) -> Result<Result<Hash, Hasher>, Refusal> {
        let state = &self.0;
        if let Some(hash) = state.hashes.iter().find(|hash| hash.revision == revision) {
            return Ok(Ok(*hash));
        }
        if revision > 0 && revision < state.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > state.revision {
            return Err(Refusal::FutureRevision);
        }
        let revision = if revision == 0 { state.revision } else { revision };
        Ok(Err(Hasher::new(self.clone(), revision)))
    }

    /// Everything that etcd's database would hold, in the order of its keys.
    #[must_use]
    pub fn records(&self) -> Records {
        Records { view: self.clone(), at: 0 }
    }

    /// Keys that hang on a lease, with it.
    pub fn leased(&self) -> impl Iterator<Item = (LeaseId, Bytes)> {
        let state = &self.0;
        state.living(&Keys::All).filter_map(|found| {
            let lease = record::lease(found.record);
            let key = || record::key(&state.history.share(&found));
            (lease != LeaseId::NONE).then(|| (lease, key()))
        })
    }

    /// The sealed chunks of the history that still hold something, ascending.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk> {
        self.0.history.chunks()
    }

    /// What of the chunks and the tail lives no more. A chunk is written anew only when half of
    /// it has died, and a deleted key's tombstone may go before the versions that it deleted:
    /// without this they would live again after a restart.
    #[must_use]
    pub fn dead(&self) -> Bytes {
        self.0.history.dead()
    }

    /// The youngest chunk of the history so far.
    #[must_use]
    pub fn tail(&self) -> Bytes {
        self.0.history.tail()
    }
}

/// A walk through all versions of a view that lives on its own: it can stop anywhere and go on
/// later, on another thread.
#[derive(Clone, Debug)]
pub struct Records {
    view: View,
    at: u64,
}

impl Iterator for Records {
    type Item = Stored;

    fn next(&mut self) -> Option<Stored> {
        let history = &self.view.0.history;
        let found = history.scan(self.at).next();
        self.at = found.as_ref().map_or(history.end(), |found| found.at + 1);
        found.map(|found| Stored {
            revision: found.revision(),
            tombstone: found.link.tombstone,
            record: history.share(&found),
        })
    }
}
