//! A member's state, made up: the same for the same size.

use bytes::{BufMut, Bytes, BytesMut};
use keel_core::command::AlarmKind;
use keel_core::members::{Cluster, Member};
use keel_core::mvcc::Store;
use keel_core::state::LeaseRecord;
use keel_core::{Index, LeaseId, NodeId, Revision, Term};
use keel_proto::bbolt::{Auth, ConfState, Contents};
use std::sync::Arc;

/// A state with `keys` keys, each put once, and the first of them deleted at the end.
pub(crate) fn contents(keys: u32, compacted: i64) -> Contents {
    let store = Store::from_records(records(keys), 1, compacted);
    let id = NodeId(0xbe2d_219f_31d8_3897);
    let member = Member {
        name: String::from("default"),
        peer_urls: vec![String::from("http://127.0.0.1:22001")],
        client_urls: vec![String::from("http://127.0.0.1:22000")],
        learner: false,
    };
    let cluster = Cluster {
        removed: Default::default(),
        id: 0xa1a9_4db9_6fba_36af,
        members: [(id, member)].into(),
        version: String::from("3.7.0"),
        downgrade: None,
    };
    let lease = |lease, ttl, remaining| LeaseRecord { lease: LeaseId(lease), ttl, remaining };
    Contents {
        kv: store.expect("the records are sound").view(),
        index: Index(10),
        term: Term(2),
        conf_state: ConfState { voters: vec![id.0], ..ConfState::default() },
        leases: vec![lease(-5, 60, 0), lease(7, 300, 12), lease(6, 100, 0)],
        alarms: Arc::new(vec![(id, AlarmKind::Corrupt), (NodeId(3), AlarmKind::NoSpace)]),
        cluster: Arc::new(cluster),
        removed: vec![NodeId(0xabc)],
        downgrade: None,
        auth: Auth::default(),
    }
}

/// Its versions.
pub(crate) fn records(keys: u32) -> impl Iterator<Item = (Revision, bool, Bytes)> {
    (0..=keys).map(move |i| record(i, keys))
}

fn record(i: u32, keys: u32) -> (Revision, bool, Bytes) {
    let main = i64::from(i) + 2;
    let tombstone = i == keys;
    let key = format!("key/{:08}", if tombstone { 0 } else { i });
    let value = format!("value of key {i}, and what else there is to say of it: nothing at all");
    let value = (!tombstone).then_some((main, value.as_bytes()));
    (Revision { main, sub: 0 }, tombstone, key_value(key.as_bytes(), value))
}

/// The encoded `mvccpb.KeyValue` of a first put at a revision, or of a tombstone.
pub(crate) fn key_value(key: &[u8], put: Option<(i64, &[u8])>) -> Bytes {
    let mut out = BytesMut::new();
    field(&mut out, 0x0a, key);
    if let Some((main, value)) = put {
        for tag in [0x10, 0x18] {
            out.put_u8(tag);
            varint(&mut out, main as u64);
        }
        out.put_slice(&[0x20, 1]);
        field(&mut out, 0x2a, value);
    }
    out.freeze()
}

fn field(out: &mut BytesMut, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.put_u8(tag);
        varint(out, bytes.len() as u64);
        out.put_slice(bytes);
    }
}

fn varint(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}
