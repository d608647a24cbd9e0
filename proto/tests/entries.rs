//! Whatever a log or a peer holds for an entry, it is parsed or refused, and what is parsed keeps
//! its bytes.
//!
//! The seed is fixed, so that a failure comes again; raise `cases` to run it for long.

use bytes::Bytes;
use keel_core::entry::{EntryKind, RawEntry};
use keel_core::{Index, Payload, Term};
use keel_proto::convert::decode_entry;
use keel_proto::pb::etcdserverpb as pb;
use proptest::prelude::*;
use prost::Message;

/// Requests of every kind that the log may hold, with all that nests in them.
fn samples() -> Vec<Vec<u8>> {
    let put = pb::PutRequest { key: "k".into(), value: "v".into(), lease: 7, ..Default::default() };
    let op = |request| pb::RequestOp { request: Some(request) };
    let range = pb::RangeRequest { key: "a".into(), range_end: "b".into(), ..Default::default() };
    let delete = pb::DeleteRangeRequest { key: "k".into(), prev_kv: true, ..Default::default() };
    let compare = pb::Compare {
        key: "k".into(),
        target_union: Some(pb::compare::TargetUnion::Value("v".into())),
        ..Default::default()
    };
    let inner = pb::TxnRequest {
        compare: vec![compare],
        success: vec![
            op(pb::request_op::Request::RequestPut(put.clone())),
            op(pb::request_op::Request::RequestRange(range.clone())),
        ],
        failure: vec![op(pb::request_op::Request::RequestDeleteRange(delete.clone()))],
    };
    let txn = pb::TxnRequest {
        success: vec![op(pb::request_op::Request::RequestTxn(inner))],
        ..Default::default()
    };
    let request = || pb::InternalRaftRequest { id: 9, ..Default::default() };
    let all = [
        pb::InternalRaftRequest { put: Some(put), ..request() },
        pb::InternalRaftRequest { range: Some(range), ..request() },
        pb::InternalRaftRequest { delete_range: Some(delete), ..request() },
        pb::InternalRaftRequest { txn: Some(txn), ..request() },
        pb::InternalRaftRequest {
            compaction: Some(pb::CompactionRequest { revision: 5, physical: true }),
            ..request()
        },
        pb::InternalRaftRequest {
            lease_grant: Some(pb::LeaseGrantRequest { ttl: 60, id: 7 }),
            ..request()
        },
        pb::InternalRaftRequest {
            lease_revoke: Some(pb::LeaseRevokeRequest { id: 7 }),
            ..request()
        },
        pb::InternalRaftRequest { alarm: Some(pb::AlarmRequest::default()), ..request() },
    ];
    all.iter().map(Message::encode_to_vec).collect()
}

/// Bytes of no sense, and valid ones with a cut, a changed byte, or another one's end.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let samples = samples();
    let count = samples.len();
    let mutated = (0..count, 0..count, any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let mutated = mutated.prop_map(move |(one, other, at, byte, how)| {
        let mut bytes = samples[one].clone();
        let at = at.index(bytes.len());
        match how {
            0 => bytes.truncate(at),
            1 => bytes[at] = byte,
            2 => bytes.insert(at, byte),
            _ => {
                bytes.truncate(at);
                bytes.extend_from_slice(&samples[other]);
            }
        }
        bytes
    });
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..64), 4 => mutated]
}

fn kinds() -> impl Strategy<Value = EntryKind> {
    prop_oneof![
        4 => Just(EntryKind::Normal),
        1 => Just(EntryKind::Change),
        1 => Just(EntryKind::ChangeV2),
    ]
}

#[test]
fn every_sample_is_an_entry() {
    for bytes in samples() {
        let bytes = Bytes::from(bytes);
        let raw = RawEntry { term: Term(2), index: Index(3), kind: EntryKind::Normal, bytes };
        let entry = decode_entry(raw).expect("a request that the log may hold");
        assert!(matches!(entry.payload, Payload::Command(_)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, rng_seed: prop::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_an_entry(kind in kinds(), bytes in bytes()) {
        let bytes = Bytes::from(bytes);
        let raw = RawEntry { term: Term(2), index: Index(3), kind, bytes: bytes.clone() };
        if let Ok(entry) = decode_entry(raw) {
            prop_assert_eq!((entry.term, entry.index), (Term(2), Index(3)));
            prop_assert_eq!(entry.payload.bytes(), &bytes);
        }
    }
}
