//! A store for the hub's tests: applies changes and makes the batches of them.

use bytes::Bytes;
use keel_core::command::{Delete, Keys, Op, Put, Txn};
use keel_core::types::Index;
use keel_core::{Batch, View, mvcc};
use std::sync::Arc;

/// One change of a key; no value is a deletion.
pub(crate) type Change = (String, Option<String>);

/// The key space, and how often it was applied to.
pub(crate) struct Store {
    kv: mvcc::Store,
    index: Index,
}

impl Store {
    pub(crate) fn new() -> Store {
        Store { kv: mvcc::Store::new(), index: Index(0) }
    }

    /// The state now.
    pub(crate) fn view(&self) -> View {
        View {
            kv: self.kv.view(),
            index: self.index,
            term: keel_core::Term(1),
            alarms: Arc::default(),
            cluster: Arc::default(),
        }
    }

    /// Applies transactions, one revision each.
    pub(crate) fn apply(&mut self, transactions: &[Vec<Change>]) -> Arc<Batch> {
        let before = self.kv.revision();
        for changes in transactions {
            let success = changes.iter().map(operation).collect();
            let txn = Txn { success, ..Txn::default() };
            self.kv.txn(&txn, &|_| true).expect("plain changes are never refused");
        }
        self.index = self.index.next();
        Arc::new(Batch { view: self.view(), before, events: self.kv.take_events() })
    }

    /// Forgets the history below a revision.
    pub(crate) fn compact(&mut self, revision: i64) -> Arc<Batch> {
        // One that is refused changes nothing.
        let _ = self.kv.compact(revision);
        while self.kv.compacting() {
            self.kv.compact_step(usize::MAX);
        }
        self.apply(&[])
    }
}

fn operation((key, value): &Change) -> Op {
    let key = Bytes::from(key.clone());
    match value {
        Some(value) => Op::Put(Put { key, value: Bytes::from(value.clone()), ..Put::default() }),
        None => Op::Delete(Delete { keys: Keys::One(key), prev_kv: false }),
    }
}
