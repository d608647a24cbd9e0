//! A store for the hub's tests: applies changes and makes the batches of them.

use bytes::Bytes;
use keel_core::command::Event;
use keel_core::types::{Index, Revision};
use keel_core::{Batch, View, mvcc};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One change of a key; no value is a deletion.
pub(crate) type Change = (String, Option<String>);

/// The key space, and how often it was applied to.
pub(crate) struct Store {
    view: mvcc::View,
    newest: BTreeMap<String, Bytes>,
    index: Index,
}

impl Store {
    pub(crate) fn new() -> Store {
        let view = mvcc::View { rev: 1, ..mvcc::View::default() };
        Store { view, newest: BTreeMap::new(), index: Index(0) }
    }

    /// The state now.
    pub(crate) fn view(&self) -> View {
        View {
            kv: self.view.clone(),
            index: self.index,
            term: keel_core::Term(1),
            alarms: Arc::default(),
            cluster: Arc::default(),
        }
    }

    /// Applies transactions, one revision each.
    pub(crate) fn apply(&mut self, transactions: &[Vec<Change>]) -> Arc<Batch> {
        let before = self.view.rev;
        let mut events = Vec::new();
        for changes in transactions {
            let main = self.view.rev + 1;
            let count = events.len();
            for (key, value) in changes {
                let prev = self.newest.remove(key);
                let tombstone = value.is_none();
                if tombstone && prev.is_none() {
                    continue;
                }
                let record = Bytes::from(format!("{key}{}", value.clone().unwrap_or_default()));
                if !tombstone {
                    self.newest.insert(key.clone(), record.clone());
                }
                let sub = (events.len() - count) as i64;
                let key = Bytes::from(key.clone());
                events.push(Event {
                    revision: Revision { main, sub },
                    tombstone,
                    record,
                    key,
                    prev,
                });
            }
            if events.len() > count {
                self.view.rev = main;
            }
        }
        Arc::make_mut(&mut self.view.events).extend(events.iter().cloned());
        self.index = self.index.next();
        Arc::new(Batch { view: self.view(), before, events })
    }

    /// Forgets the history below a revision.
    pub(crate) fn compact(&mut self, revision: i64) -> Arc<Batch> {
        self.view.comp = revision;
        self.apply(&[])
    }
}
