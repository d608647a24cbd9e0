//! The single writer.

use super::chunk::Chunk;
use super::compact::Compactions;
use super::events;
use super::history::{Found, History};
use super::leaf::Slot;
use super::newest::newest;
use super::record::{self, Fields};
use super::tree::Tree;
use super::view::View;
use crate::command::{Delete, DeleteReply, Event, Keys, Put, PutReply, Refusal};
use crate::types::{LeaseId, Revision};
use alloc::vec::Vec;
use bytes::Bytes;

/// What a store without a key counts: the two slots of its manifest.
const EMPTY_BYTES: u64 = 8192;

/// One moment of the key space: what a view holds.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(super) tree: Tree,
    pub(super) history: History,
    /// The newest revision that is finished.
    pub(super) revision: i64,
    /// The oldest revision that is readable; -1 before the first compaction.
    pub(super) compacted: i64,
    /// Hashes that compactions left, oldest first (semantics §6.7).
    pub(super) hashes: Vec<super::Hash>,
}

/// The key space, as its single writer has it.
#[derive(Debug)]
pub struct Store {
    pub(super) state: State,
    pub(super) compactions: Compactions,
    /// Positions from here on have not been told as events.
    told: u64,
    /// Changes of the write transaction under way.
    subs: i64,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all records, also of those that died and are still held.
    pub total: i64,
    /// Bytes of the records that live.
    pub in_use: i64,
    /// Keys that exist.
    pub keys: u64,
    /// Versions that live, tombstones too.
    pub records: u64,
}

/// What a checkpoint brought back.
#[derive(Debug, Default)]
pub struct Restored {
    /// The sealed chunks, ascending; those that died whole are missing.
    pub chunks: Vec<(u64, Bytes)>,
    /// The youngest chunk.
    pub tail: Bytes,
    /// What of both lives no more.
    pub dead: Bytes,
    /// The store's revision.
    pub revision: i64,
    /// Its compacted revision.
    pub compacted: i64,
}

/// A store in the making, record by record: an imported database.
#[derive(Debug)]
pub struct Import {
    store: Store,
    last: Revision,
    /// Full chunks before this one were taken, and the bytes of those that were not.
    taken: u64,
    untaken: usize,
}

impl Default for Import {
    fn default() -> Import {
        Import::new()
    }
}

impl Import {
    /// No record yet.
    #[must_use]
    pub fn new() -> Import {
        let store = Store::with(History::default(), 1, -1);
        Import { store, last: Revision::default(), taken: 0, untaken: 0 }
    }

    /// Takes the next record in the order of revisions.
    ///
    /// # Errors
    ///
    /// Where it is out of that order, or damaged.
    pub fn push(
        &mut self,
        at: Revision,
        tombstone: bool,
        bytes: &Bytes,
    ) -> Result<(), &'static str> {
        if at <= self.last {
            return Err("records are out of the order of revisions");
        }
        self.last = at;
        let fields = record::decode(bytes).ok_or("a record is damaged")?;
        let state = &mut self.store.state;
        if bytes.is_empty() {
            // A restore that raised the revision left it (semantics §9b). Hashes count it, and no
            // key leads to it.
            state.history.append(at, false, None, &fields);
            return Ok(());
        }
        let slot = Slot { at: state.history.end(), tombstone };
        let before = state.tree.set(&state.history, fields.key, slot);
        let before = before.and_then(|slot| state.history.get(slot.at));
        let prev = before.map(|found| (found.at, found.link));
        state.history.append(at, tombstone, prev, &fields);
        self.untaken += bytes.len();
        Ok(())
    }

    /// About how many bytes of records came since chunks were taken last.
    #[must_use]
    pub fn unspilled(&self) -> usize {
        self.untaken
    }

    /// The chunks that became full since the last time: whoever has their bytes elsewhere than
    /// in the heap gives them back with [`adopt`](Self::adopt).
    pub fn take_sealed(&mut self) -> Vec<Chunk> {
        let chunks: Vec<Chunk> = self.store.state.history.chunks_from(self.taken).collect();
        self.taken = self.store.state.history.sealed();
        self.untaken = 0;
        chunks
    }

    /// Takes equal bytes for a chunk.
    pub fn adopt(&mut self, chunk: &Chunk) {
        let known = self.store.adopt(chunk);
        assert!(known, "a chunk of an import changes no more once it is full");
    }

    /// The store, which stands at `revision` at least and is compacted to `compacted`.
    #[must_use]
    pub fn finish(self, revision: i64, compacted: i64) -> Store {
        let Import { mut store, last, .. } = self;
        let state = &mut store.state;
        state.revision = revision.max(last.main).max(compacted).max(1);
        state.compacted = compacted;
        store.told = state.history.end();
        store.settle_dead();
        store
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

impl Store {
    /// An empty store: revision 1, never compacted.
    #[must_use]
    pub fn new() -> Store {
        Store::with(History::default(), 1, -1)
    }

    fn with(history: History, revision: i64, compacted: i64) -> Store {
        let told = history.end();
        let hashes = Vec::new();
        let state = State { tree: Tree::new(), history, revision, compacted, hashes };
        Store { state, compactions: Compactions::default(), told, subs: 0 }
    }

    /// The store that a checkpoint was taken of. Which versions are dead is not in it: that
    /// follows from the compacted revision.
    pub fn restore(at: Restored) -> Result<Store, &'static str> {
        let mut history = History::restore(at.chunks, at.tail)?;
        if !mutant!(DeadLiveAgain) {
            history.bury(&at.dead)?;
        }
        let mut store = Store::with(history, at.revision, at.compacted);
        store.index()?;
        store.settle_dead();
        Ok(store)
    }

    /// A store as it was recorded, which is settled already.
    pub(super) fn recorded(
        history: History,
        revision: i64,
        compacted: i64,
        hashes: Vec<super::Hash>,
    ) -> Option<Store> {
        let mut store = Store::with(history, revision, compacted);
        store.state.hashes = hashes;
        store.index().ok()?;
        Some(store)
    }

    /// Whether nothing is under way: no transaction, no event that was not told, no compaction.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.subs == 0 && self.told == self.state.history.end() && !self.compacting()
    }

    /// A store of records that stand in the order of revisions: an imported database.
    pub fn from_records(
        records: impl IntoIterator<Item = (Revision, bool, Bytes)>,
        revision: i64,
        compacted: i64,
    ) -> Result<Store, &'static str> {
        let mut import = Import::new();
        for (at, tombstone, bytes) in records {
            import.push(at, tombstone, &bytes)?;
        }
        Ok(import.finish(revision, compacted))
    }

    /// Makes the index of a restored history.
    fn index(&mut self) -> Result<(), &'static str> {
        let State { tree, history, revision, .. } = &mut self.state;
        *tree = Tree::of(&newest(history, *revision)?);
        if mutant!(RestoreLosesRevision) {
            let last = (0..history.end()).rev().find_map(|at| history.get(at));
            *revision = last.map_or(1, |found| found.link.main.max(1));
        }
        Ok(())
    }

    /// Kills what the compaction that was done before has killed.
    fn settle_dead(&mut self) {
        let State { tree, history, compacted, .. } = &mut self.state;
        for at in 0..history.position_of(compacted.saturating_add(1)) {
            super::compact::trim(tree, history, at, *compacted);
        }
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.state.revision
    }

    /// The oldest revision that is readable; -1 before the first compaction.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.state.compacted
    }

    /// This moment, for readers. O(1).
    #[must_use]
    pub fn view(&self) -> View {
        View::of(self.state.clone())
    }

    /// How much it holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.state.usage()
    }

    /// A number that differs where stores differ, cheap to take.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let usage = self.usage();
        let mut digest = usage.in_use.cast_unsigned();
        for part in [usage.keys, usage.records, self.state.history.end()] {
            digest = digest.wrapping_mul(0x0100_0000_01b3) ^ part;
        }
        digest
    }

    /// Puts one key, as a write transaction of its own.
    pub fn put(
        &mut self,
        put: &Put,
        lease_known: &dyn Fn(LeaseId) -> bool,
    ) -> Result<PutReply, Refusal> {
        self.state.check_put(put, lease_known)?;
        let reply = self.write_put(put);
        self.finish();
        Ok(reply)
    }

    /// Deletes keys, as a write transaction of its own.
    pub fn delete(&mut self, delete: &Delete) -> DeleteReply {
        let reply = self.write_delete(delete);
        self.finish();
        reply
    }

    /// Deletes these keys in one revision, those that exist; gives the revision after it.
    pub fn remove(&mut self, keys: &[Bytes]) -> i64 {
        for key in keys {
            self.write_delete(&Delete { keys: Keys::One(key.clone()), prev_kv: false });
        }
        self.finish();
        self.state.revision
    }

    /// The changes since the last time, in the order of revisions.
    pub fn take_events(&mut self) -> Vec<Event> {
        let end = self.state.history.end().saturating_sub(u64::from(mutant!(EventsTwice)));
        let from = core::mem::replace(&mut self.told, end);
        events::between(&self.state.history, from)
    }

    /// The bytes of a chunk that is sealed and holds something.
    #[must_use]
    pub fn chunk(&self, number: u64) -> Option<Chunk> {
        self.state.history.chunks_from(number).next().filter(|chunk| chunk.number == number)
    }

    /// Takes equal bytes that lie in a mapped file for a chunk; `false` if it has changed since.
    pub fn adopt(&mut self, chunk: &Chunk) -> bool {
        self.state.history.adopt(chunk)
    }

    /// The revision that the write transaction under way sees: one ahead once it changed
    /// something.
    pub(super) fn revision_inside(&self) -> i64 {
        self.state.revision + i64::from(self.subs > 0)
    }

    /// Ends a write transaction. One that changed nothing took no revision.
    pub(super) fn finish(&mut self) {
        self.state.revision = self.revision_inside();
        self.subs = 0;
    }

    /// Puts a key that was checked.
    pub(super) fn write_put(&mut self, put: &Put) -> PutReply {
        let revision = self.next();
        let State { tree, history, .. } = &mut self.state;
        let slot = Slot { at: history.end(), tombstone: false };
        let found = tree.set(history, &put.key, slot).and_then(|slot| history.get(slot.at));
        let prev = found.map(|found| (found.at, found.link));
        let before = found.filter(|found| !found.link.tombstone);
        let before = before.map(|found| history.share(&found));
        let old = before.as_ref().map(|record| record::fields(record));
        let fields = Fields {
            key: &put.key,
            create: old.map_or(revision.main, |old| old.create),
            modified: revision.main,
            version: old.map_or(1, |old| old.version + i64::from(!mutant!(VersionsStandStill))),
            value: match old {
                Some(old) if put.ignore_value => old.value,
                _ => &put.value,
            },
            lease: match old {
                Some(old) if put.ignore_lease => old.lease,
                _ => put.lease,
            },
        };
        history.append(revision, false, prev, &fields);
        PutReply { revision: revision.main, prev: before.filter(|_| put.prev_kv) }
    }

    /// Deletes what lives in the range now, in key order.
    pub(super) fn write_delete(&mut self, delete: &Delete) -> DeleteReply {
        let state = &self.state;
        let living: Vec<(u64, Bytes)> = match &delete.keys {
            // The path of most deletions needs no walk.
            Keys::One(key) => {
                let slot = state.tree.get(&state.history, key).filter(|slot| !slot.tombstone);
                slot.map(|slot| (slot.at, key.clone())).into_iter().collect()
            }
            keys => state
                .living(keys)
                .map(|found| (found.at, record::key(&state.history.share(&found))))
                .collect(),
        };
        let mut reply = DeleteReply {
            revision: 0,
            deleted: i64::try_from(living.len()).expect("keys fit memory"),
            prevs: Vec::new(),
        };
        for (at, key) in living {
            if delete.prev_kv {
                let found = self.state.history.get(at).expect("it was found above");
                reply.prevs.push(self.state.history.share(&found));
            }
            let revision = self.next();
            let State { tree, history, .. } = &mut self.state;
            let fields = Fields { key: &key, ..Fields::default() };
            let prev = history.get(at).map(|found| (at, found.link));
            tree.set(history, &key, Slot { at: history.end(), tombstone: true });
            history.append(revision, true, prev, &fields);
        }
        reply.revision = self.revision_inside();
        reply
    }

    fn next(&mut self) -> Revision {
        let revision = Revision { main: self.state.revision + 1, sub: self.subs };
        self.subs += 1;
        revision
    }
}

impl State {
    /// The newest versions of the living keys of a range, in key order.
    pub(super) fn living<'a>(&'a self, keys: &'a Keys) -> impl Iterator<Item = Found<'a>> {
        self.tree
            .iter(&self.history, keys.start())
            .map(|slot| self.history.get(slot.at).expect("the index points at living records"))
            .take_while(move |found| !past(keys, record::key_of(found.record)))
            .filter(|found| !found.link.tombstone)
    }

    /// What must hold before a put (semantics §1.4).
    pub(super) fn check_put(
        &self,
        put: &Put,
        lease_known: &dyn Fn(LeaseId) -> bool,
    ) -> Result<(), Refusal> {
        if put.lease != LeaseId::NONE && !lease_known(put.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        if (put.ignore_value || put.ignore_lease)
            && self.tree.get(&self.history, &put.key).is_none_or(|slot| slot.tombstone)
        {
            return Err(Refusal::KeyNotFound);
        }
        Ok(())
    }

    pub(super) fn usage(&self) -> Usage {
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Usage {
            total: bytes(self.history.held_bytes + EMPTY_BYTES),
            in_use: bytes(self.history.live_bytes + EMPTY_BYTES),
            keys: self.tree.live(),
            records: self.history.live_records,
        }
    }
}

/// Whether a walk in key order from the range's start has left the range.
pub(super) fn past(keys: &Keys, key: &[u8]) -> bool {
    match keys {
        Keys::One(one) => key > one.as_ref(),
        Keys::Span { to, .. } => key >= to.as_ref(),
        Keys::From(_) | Keys::All => false,
    }
}
