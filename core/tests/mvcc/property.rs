//! Random work on a store and on a model that keeps every version in a plain map.

use crate::story::{reopened, tell};
use bytes::Bytes;
use keel_core::command::{Delete, Op, Put, Range, Txn};
use keel_core::mvcc::{Chunk, Compaction, Store, View};
use keel_core::{Keys, LeaseId, Refusal};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A version: its main revision, and the text of its record, or nothing for a deletion.
type Version = (i64, Option<String>);

/// What the store should hold.
#[derive(Clone, Default)]
struct Model {
    keys: BTreeMap<String, Vec<Version>>,
    revision: i64,
    compacted: i64,
}

impl Model {
    fn new() -> Model {
        Model { revision: 1, compacted: -1, ..Model::default() }
    }

    fn alive(&self, key: &str, at: i64) -> Option<&str> {
        let versions = self.keys.get(key)?;
        let newest = versions.iter().rev().find(|(revision, _)| *revision <= at)?;
        newest.1.as_deref()
    }

    fn range(&self, keys: &Keys, at: i64) -> Vec<&str> {
        let meant = self.keys.keys().filter(|key| keys.contain(key.as_bytes()));
        meant.filter_map(|key| self.alive(key, at)).collect()
    }

    fn put(&mut self, key: &str, value: &str, lease: i64) {
        let (mut created, mut version) = (self.revision, 1);
        if let Some(before) = self.alive(key, self.revision) {
            let words: Vec<&str> = before.split(' ').collect();
            created = words[2].parse().expect("the second word behind the pair");
            version = words[6].parse::<i64>().expect("the sixth") + 1;
        }
        let at = self.revision;
        let mut text = format!("{key}={value} created {created} modified {at} version {version}");
        if lease > 0 {
            text.push_str(&format!(" lease {lease}"));
        }
        self.write(key, Some(text));
    }

    fn delete(&mut self, keys: &Keys) -> usize {
        let living = |key: &&String| {
            keys.contain(key.as_bytes()) && self.alive(key, self.revision).is_some()
        };
        let gone: Vec<String> = self.keys.keys().filter(living).cloned().collect();
        for key in &gone {
            self.write(key, None);
        }
        gone.len()
    }

    /// A change of a revision replaces what the same revision put before.
    fn write(&mut self, key: &str, version: Option<String>) {
        let versions = self.keys.entry(key.to_owned()).or_default();
        versions.retain(|(revision, _)| *revision != self.revision);
        versions.push((self.revision, version));
    }
}

#[derive(Clone, Debug)]
enum Change {
    Put(u8, u8, i64),
    Delete(u8, u8),
}

#[derive(Clone, Debug)]
enum Step {
    /// One write transaction.
    Write(Vec<Change>),
    /// Forget, as far back from the newest revision.
    Compact(u8),
    /// Some steps of what was forgotten.
    Work(u8),
    /// Chunks come to lie in files.
    Adopt,
    /// A checkpoint is brought back.
    Reopen,
    /// A view is kept for the end.
    Keep,
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        3 => (0..24_u8, any::<u8>(), 0..3_i64).prop_map(|(k, v, l)| Change::Put(k, v, l)),
        1 => (0..24_u8, 0..5_u8).prop_map(|(from, many)| Change::Delete(from, many)),
    ];
    prop_oneof![
        20 => prop::collection::vec(change, 1..5).prop_map(Step::Write),
        1 => (0..60_u8).prop_map(Step::Compact),
        2 => (1..40_u8).prop_map(Step::Work),
        1 => Just(Step::Adopt),
        1 => Just(Step::Reopen),
        1 => Just(Step::Keep),
    ]
}

/// Keys that share beginnings and differ in length, so that the index has to look closely.
fn key(number: u8) -> String {
    let beginnings = ["", "/registry/", "/registry/pods/default/"];
    format!("{}k{}", beginnings[usize::from(number % 3)], number / 3)
}

fn span(from: u8, many: u8) -> Keys {
    match many {
        0 => Keys::One(key(from).into()),
        1 => Keys::From(key(from).into()),
        2 => Keys::All,
        _ => Keys::Span { from: key(from).into(), to: Bytes::from("k5") },
    }
}

/// One transaction on both; a key that it changed twice is left out, as etcd refuses that.
fn write(store: &mut Store, model: &mut Model, changes: &[Change]) {
    let (mut ops, before) = (Vec::new(), model.clone());
    model.revision += 1;
    let (mut touched, mut changed) = (Vec::new(), false);
    for change in changes {
        match *change {
            Change::Put(number, value, lease) => {
                let (key, value) = (key(number), format!("{value:0>80}"));
                if touched.contains(&key) {
                    continue;
                }
                model.put(&key, &value, lease);
                changed = true;
                let lease = LeaseId(lease);
                let (bytes, value) = (key.clone().into(), value.into());
                ops.push(Op::Put(Put { key: bytes, value, lease, ..Put::default() }));
                touched.push(key);
            }
            Change::Delete(from, many) => {
                let keys = span(from, many);
                if touched.iter().any(|key| keys.contain(key.as_bytes())) {
                    continue;
                }
                changed |= model.delete(&keys) > 0;
                ops.push(Op::Delete(Delete { keys, prev_kv: false }));
            }
        }
    }
    if !changed {
        *model = before;
    }
    let txn = Txn { success: ops, ..Txn::default() };
    let reply = store.txn(&txn, &|_| true).expect("nothing in it is refused");
    assert_eq!(reply.revision, model.revision);
}

/// What a view answers is what the model held at that moment.
fn compare(view: &View, model: &Model, keys: &Keys, at: i64) {
    let range = Range { revision: at, ..Range::of(keys.clone()) };
    // Zero and less mean now.
    let at = if at <= 0 { model.revision } else { at };
    let reply = view.range(&range);
    if at < model.compacted {
        assert_eq!(reply, Err(Refusal::Compacted));
        return;
    }
    let reply = reply.expect("a readable revision");
    let told: Vec<String> = reply.records.iter().map(|record| tell(record)).collect();
    assert_eq!(told, model.range(keys, at), "{keys:?} at {at}");
    assert_eq!(reply.count, told.len() as i64);
    assert_eq!(view.count(keys, range.revision), Ok(reply.count));
}

/// The changes after the compacted revision, each key once a revision.
fn compare_events(view: &View, model: &Model) {
    let from = model.compacted.max(1) + 1;
    let mut told: BTreeMap<(i64, String), Option<String>> = BTreeMap::new();
    let mut last = (0, 0);
    for event in view.history(from).expect("it is readable") {
        let at = (event.revision.main, event.revision.sub);
        assert!(at > last, "changes come in order");
        last = at;
        let key = String::from_utf8(event.key.to_vec()).expect("our keys are text");
        told.insert((at.0, key), (!event.tombstone).then(|| tell(&event.record)));
    }
    let mut expected = BTreeMap::new();
    for (key, versions) in &model.keys {
        for (revision, text) in versions.iter().filter(|(revision, _)| *revision >= from) {
            expected.insert((*revision, key.clone()), text.clone());
        }
    }
    assert_eq!(told, expected);
}

fn adopt(store: &mut Store) {
    let chunks: Vec<Chunk> = store.view().chunks().collect();
    for chunk in chunks {
        let copy = Chunk { bytes: Bytes::copy_from_slice(&chunk.bytes), ..chunk };
        assert!(store.adopt(&copy), "it has not changed since");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: prop::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_as_a_map_of_versions(steps in prop::collection::vec(step(), 1..120)) {
        let (mut store, mut model) = (Store::new(), Model::new());
        let mut kept = Vec::new();
        for step in steps {
            match step {
                Step::Write(changes) => write(&mut store, &mut model, &changes),
                Step::Compact(back) => {
                    // A compaction at zero leaves a hash that answers for zero, "now", as in etcd.
                    let revision = (model.revision - i64::from(back)).max(1);
                    let accepted = store.compact(revision).is_ok();
                    prop_assert_eq!(accepted, revision > model.compacted);
                    model.compacted = model.compacted.max(revision);
                }
                Step::Work(max) => {
                    store.compact_step(usize::from(max));
                }
                Step::Adopt => adopt(&mut store),
                Step::Reopen => {
                    let hash = store.view().hash(0);
                    // A node finishes what it was at before a checkpoint counts as compacted.
                    while !matches!(store.compact_step(1000), Compaction::Idle) {}
                    store = reopened(&store);
                    prop_assert_eq!(store.view().hash(0), hash);
                }
                Step::Keep => kept.push((store.view(), model.clone())),
            }
            let view = store.view();
            compare(&view, &model, &Keys::All, model.revision);
            compare(&view, &model, &span(9, 3), (model.revision + model.compacted.max(0)) / 2);
            compare(&view, &model, &span(7, 0), model.compacted.max(1));
            compare(&view, &model, &span(3, 1), model.compacted - 1);
        }
        compare_events(&store.view(), &model);
        for (view, model) in kept {
            compare(&view, &model, &Keys::All, model.revision);
            compare(&view, &model, &Keys::All, model.compacted.max(1));
        }
    }
}
