//! The commands of the key space's stories.
//!
//! ```text
//! put a=1 lease=7 prev                 also: ignore-value, ignore-lease; leases 1 to 9 exist
//! del a:c prev                         keys: `a`, `a:c` (from a, before c), `a:` (from), `:` (all)
//! get a:c rev=3 limit=2 order=descend by=mod keys-only count-only min-mod=2 max-create=5
//! txn [ value(a)=1 mod(b:d)<4 ] [ put a=2 ; get a ] [ txn [ ] [ del a ] [ ] ]
//! compact 4                            accepted; `finish` does its work, `step 3` some of it
//! hash 0, events 2, usage
//! keep before / at before get a        a view, and what it answers later
//! reopen                               the store that its chunks and tail bring back
//! ```

use bytes::Bytes;
use keel_core::command::{
    Compare, Delete, Op, OpReply, Operand, Put, Range, RangeReply, Relation, SortOrder, SortTarget,
    Txn, TxnReply,
};
use keel_core::mvcc::{Compaction, Restored, Store, View, record};
use keel_core::{Event, Keys, LeaseId};
use std::collections::BTreeMap;

pub(crate) struct Story {
    store: Store,
    kept: BTreeMap<String, View>,
}

impl Story {
    pub(crate) fn new() -> Story {
        Story { store: Store::new(), kept: BTreeMap::new() }
    }
}

pub(crate) fn run(story: &mut Story, words: &[&str]) -> Vec<String> {
    let known = |lease: LeaseId| (1..=9).contains(&lease.0);
    match *words {
        ["put", pair, ref options @ ..] => match story.store.put(&put(pair, options), &known) {
            Ok(reply) => answer(reply.revision, reply.prev.iter().map(|prev| tell(prev))),
            Err(refusal) => vec![format!("{refusal:?}")],
        },
        ["del", span, ref options @ ..] => {
            let reply = story.store.delete(&delete(span, options));
            let mut told = answer(reply.revision, reply.prevs.iter().map(|prev| tell(prev)));
            told[0].push_str(&format!(" deleted {}", reply.deleted));
            told
        }
        ["get", span, ref options @ ..] => read(&story.store.view(), &range(span, options)),
        ["txn", ref rest @ ..] => {
            let mut rest = rest.iter().copied();
            let txn = txn(&mut rest);
            assert!(rest.next().is_none(), "a transaction ends with its third bracket");
            match story.store.txn(&txn, &known) {
                Ok(reply) => tell_txn(&reply),
                Err(refusal) => vec![format!("{refusal:?}")],
            }
        }
        ["compact", revision] => match story.store.compact(number(revision)) {
            Ok(()) => Vec::new(),
            Err(refusal) => vec![format!("{refusal:?}")],
        },
        ["step", max] => vec![format!("{:?}", story.store.compact_step(number(max) as usize))],
        ["finish"] => loop {
            match story.store.compact_step(1) {
                Compaction::Working => {}
                end => return vec![format!("{end:?}")],
            }
        },
        ["hash", revision] => match story.store.view().hash(number(revision)) {
            Ok(hash) => {
                vec![format!("{:08x} up to {} from {}", hash.hash, hash.revision, hash.compacted)]
            }
            Err(refusal) => vec![format!("{refusal:?}")],
        },
        ["events", from] => match story.store.view().history(number(from)) {
            Ok(events) => events.map(|event| tell_event(&event)).collect(),
            Err(refusal) => vec![format!("{refusal:?}")],
        },
        ["usage"] => {
            let usage = story.store.usage();
            vec![format!("{} keys, {} versions", usage.keys, usage.records)]
        }
        ["keep", name] => {
            story.kept.insert(name.into(), story.store.view());
            Vec::new()
        }
        ["at", name, "get", span, ref options @ ..] => {
            read(&story.kept[name], &range(span, options))
        }
        ["reopen"] => {
            story.store = reopened(&story.store);
            Vec::new()
        }
        ref other => panic!("no command of these stories: {other:?}"),
    }
}

/// The store that a checkpoint of this one brings back.
pub(crate) fn reopened(store: &Store) -> Store {
    let view = store.view();
    let restored = Restored {
        chunks: view.chunks().map(|chunk| (chunk.number, chunk.bytes)).collect(),
        tail: view.tail(),
        dead: view.dead(),
        revision: view.revision(),
        compacted: view.compacted(),
    };
    Store::restore(restored).expect("what a store writes it reads")
}

fn answer(revision: i64, records: impl Iterator<Item = String>) -> Vec<String> {
    std::iter::once(format!("@{revision}")).chain(records).collect()
}

fn read(view: &View, range: &Range) -> Vec<String> {
    match view.range(range) {
        Ok(reply) => tell_range(&reply),
        Err(refusal) => vec![format!("{refusal:?}")],
    }
}

fn tell_range(reply: &RangeReply) -> Vec<String> {
    let mut told = answer(reply.revision, reply.records.iter().map(|record| tell(record)));
    told[0].push_str(&format!(" count {}", reply.count));
    if reply.more {
        told[0].push_str(" more");
    }
    told
}

fn tell_txn(reply: &TxnReply) -> Vec<String> {
    let branch = if reply.succeeded { "then" } else { "else" };
    let mut told = vec![format!("@{} {branch}", reply.revision)];
    for reply in &reply.replies {
        let lines = match reply {
            OpReply::Range(reply) => tell_range(reply),
            OpReply::Put(reply) => answer(reply.revision, reply.prev.iter().map(|prev| tell(prev))),
            OpReply::Delete(reply) => {
                let mut told = answer(reply.revision, reply.prevs.iter().map(|prev| tell(prev)));
                told[0].push_str(&format!(" deleted {}", reply.deleted));
                told
            }
            OpReply::Txn(reply) => tell_txn(reply),
        };
        told.extend(lines.into_iter().map(|line| format!("  {line}")));
    }
    told
}

/// A version: key and value, where it was created and modified, its version, its lease.
pub(crate) fn tell(bytes: &[u8]) -> String {
    let fields = record::decode(bytes).expect("a record");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (key, value) = (text(fields.key), text(fields.value));
    let mut told = format!(
        "{key}={value} created {} modified {} version {}",
        fields.create, fields.modified, fields.version
    );
    if fields.lease != LeaseId::NONE {
        told.push_str(&format!(" lease {}", fields.lease.0));
    }
    told
}

fn tell_event(event: &Event) -> String {
    let Event { revision, tombstone, record, key, prev, .. } = event;
    let what = match tombstone {
        true => format!("del {}", String::from_utf8_lossy(key)),
        false => format!("put {}", tell(record)),
    };
    let prev = prev.as_ref().map_or(String::new(), |prev| format!(" after {}", tell(prev)));
    format!("{}.{} {what}{prev}", revision.main, revision.sub)
}

fn number(word: &str) -> i64 {
    word.parse().expect("a number")
}

fn bytes(word: &str) -> Bytes {
    Bytes::from(word.to_owned())
}

fn keys(word: &str) -> Keys {
    match word.split_once(':') {
        None => Keys::One(bytes(word)),
        Some(("", "")) => Keys::All,
        Some((from, "")) => Keys::From(bytes(from)),
        Some((from, to)) => Keys::Span { from: bytes(from), to: bytes(to) },
    }
}

fn put(pair: &str, options: &[&str]) -> Put {
    let (key, value) = pair.split_once('=').expect("a put is key=value");
    let mut put = Put { key: bytes(key), value: bytes(value), ..Put::default() };
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("lease", id) => put.lease = LeaseId(number(id)),
            ("prev", _) => put.prev_kv = true,
            ("ignore-value", _) => put.ignore_value = true,
            ("ignore-lease", _) => put.ignore_lease = true,
            other => panic!("no option of a put: {other:?}"),
        }
    }
    put
}

fn delete(span: &str, options: &[&str]) -> Delete {
    Delete { keys: keys(span), prev_kv: options.contains(&"prev") }
}

fn range(span: &str, options: &[&str]) -> Range {
    let mut range = Range::of(keys(span));
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("rev", n) => range.revision = number(n),
            ("limit", n) => range.limit = number(n),
            ("order", "ascend") => range.order = SortOrder::Ascend,
            ("order", "descend") => range.order = SortOrder::Descend,
            ("by", "key") => range.target = SortTarget::Key,
            ("by", "version") => range.target = SortTarget::Version,
            ("by", "create") => range.target = SortTarget::Create,
            ("by", "mod") => range.target = SortTarget::Mod,
            ("by", "value") => range.target = SortTarget::Value,
            ("keys-only", _) => range.keys_only = true,
            ("count-only", _) => range.count_only = true,
            ("min-mod", n) => range.min_mod = number(n),
            ("max-mod", n) => range.max_mod = number(n),
            ("min-create", n) => range.min_create = number(n),
            ("max-create", n) => range.max_create = number(n),
            other => panic!("no option of a get: {other:?}"),
        }
    }
    range
}

/// Three brackets: conditions, what happens if all hold, what happens if not.
fn txn<'a>(words: &mut impl Iterator<Item = &'a str>) -> Txn {
    assert_eq!(words.next(), Some("["), "conditions stand in brackets");
    let compares = words.by_ref().take_while(|word| *word != "]").map(compare).collect();
    Txn { compares, success: ops(words), failure: ops(words) }
}

fn ops<'a>(words: &mut impl Iterator<Item = &'a str>) -> Vec<Op> {
    assert_eq!(words.next(), Some("["), "operations stand in brackets");
    let (mut ops, mut op) = (Vec::new(), Vec::new());
    loop {
        match words.next().expect("a bracket is closed") {
            "txn" => ops.push(Op::Txn(txn(words))),
            end @ (";" | "]") => {
                match *std::mem::take(&mut op) {
                    [] => {}
                    ["put", pair, ref options @ ..] => ops.push(Op::Put(put(pair, options))),
                    ["del", span, ref options @ ..] => ops.push(Op::Delete(delete(span, options))),
                    ["get", span, ref options @ ..] => ops.push(Op::Range(range(span, options))),
                    ref other => panic!("no operation: {other:?}"),
                }
                if end == "]" {
                    return ops;
                }
            }
            word => op.push(word),
        }
    }
}

/// `mod(a:c)<4`
fn compare(word: &str) -> Compare {
    let (target, rest) = word.split_once('(').expect("a condition is target(keys)=operand");
    let (span, rest) = rest.split_once(')').expect("its keys stand in parentheses");
    let (relation, operand) = rest.split_at(1);
    let relation = match relation {
        "=" => Relation::Equal,
        "!" => Relation::NotEqual,
        "<" => Relation::Less,
        ">" => Relation::Greater,
        other => panic!("no relation: {other}"),
    };
    let operand = match target {
        "version" => Operand::Version(number(operand)),
        "create" => Operand::Create(number(operand)),
        "mod" => Operand::Mod(number(operand)),
        "value" => Operand::Value(bytes(operand)),
        "lease" => Operand::Lease(number(operand)),
        other => panic!("no target: {other}"),
    };
    Compare { keys: keys(span), relation, operand }
}
