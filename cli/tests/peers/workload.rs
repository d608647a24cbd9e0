//! The same random work for both: every answer equal, HashKV equal at every compared revision.

use crate::{Pair, with_peers};
use bytes::Bytes;
use keel_cli::load::http2::{Conn, Heard, Method};
use keel_proto::pb::etcdserverpb as pb;
use keel_proto::pb::etcdserverpb::request_op::Request;
use prost::Message;

/// Operations of the whole run.
const OPERATIONS: u64 = 50_000;
/// How often the hashes are compared.
const COMPARE_EVERY: u64 = 500;
const KEYS: u64 = 400;
const LEASES: u64 = 20;

/// xorshift: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn key(&mut self) -> Bytes {
        // Some keys are prefixes of others, some hold zero bytes.
        match self.below(20) {
            0 => Bytes::from_static(b"k"),
            1 => Bytes::from_static(b"k\0"),
            _ => format!("k{:03}", self.below(KEYS)).into(),
        }
    }

    fn span(&mut self) -> (Bytes, Bytes) {
        let from = self.below(KEYS);
        let to = from + self.below(8);
        (format!("k{from:03}").into(), format!("k{to:03}").into())
    }
}

/// One connection to each, and the methods by name.
struct Both {
    conns: [Conn; 2],
}

impl Both {
    async fn connect(pair: &Pair) -> Both {
        let connect = async |addr: &str| Conn::connect(addr).await.expect("a connection");
        let ours = connect(&pair.ours.addr).await;
        Both { conns: [ours, connect(&pair.theirs.addr).await] }
    }

    /// Asks both; each answers with a message or, refusing, with none.
    async fn ask<M: Message + Default>(
        &mut self,
        path: &str,
        request: &impl Message,
    ) -> [Option<M>; 2] {
        let method = Method::new(path);
        let bytes = request.encode_to_vec();
        let mut answers = [None, None];
        for (conn, answer) in self.conns.iter_mut().zip(&mut answers) {
            conn.call(&method, &bytes);
            loop {
                match conn.next().await.expect("the server answers") {
                    Heard::Message(_, message) => {
                        *answer = Some(M::decode(message).expect("an answer of the method"));
                    }
                    Heard::End(_) => break,
                }
            }
        }
        answers
    }
}

/// Leaves of a header what must be equal on both: the revision.
fn strip(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        *header = pb::ResponseHeader { revision: header.revision, ..Default::default() };
    }
}

fn strip_txn(txn: &mut pb::TxnResponse) {
    use pb::response_op::Response;
    strip(&mut txn.header);
    for response in txn.responses.iter_mut().filter_map(|op| op.response.as_mut()) {
        match response {
            Response::ResponseRange(range) => strip(&mut range.header),
            Response::ResponsePut(put) => strip(&mut put.header),
            Response::ResponseDeleteRange(delete) => strip(&mut delete.header),
            Response::ResponseTxn(inner) => strip_txn(inner),
        }
    }
}

fn put(random: &mut Random) -> pb::PutRequest {
    let size = usize::try_from(random.below(60)).expect("small");
    let lease =
        if random.chance(20) { i64::try_from(random.below(LEASES) + 1).expect("small") } else { 0 };
    let ignore_value = random.chance(5);
    let ignore_lease = random.chance(5);
    let value = vec![b'a' + u8::try_from(random.below(26)).expect("small"); size];
    pb::PutRequest {
        key: random.key(),
        value: if ignore_value { Bytes::new() } else { value.into() },
        lease: if ignore_lease { 0 } else { lease },
        prev_kv: random.chance(30),
        ignore_value,
        ignore_lease,
    }
}

fn delete(random: &mut Random) -> pb::DeleteRangeRequest {
    let (key, range_end) =
        if random.chance(30) { random.span() } else { (random.key(), Bytes::new()) };
    pb::DeleteRangeRequest { key, range_end, prev_kv: random.chance(30) }
}

fn range(random: &mut Random) -> pb::RangeRequest {
    let (key, range_end) =
        if random.chance(60) { random.span() } else { (random.key(), Bytes::new()) };
    pb::RangeRequest {
        key,
        range_end,
        limit: i64::try_from(random.below(4)).expect("small"),
        keys_only: random.chance(20),
        count_only: random.chance(10),
        ..Default::default()
    }
}

fn compare(random: &mut Random) -> pb::Compare {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let number = i64::try_from(random.below(5)).expect("small");
    let (target, union) = match random.below(5) {
        0 => (CompareTarget::Version, TargetUnion::Version(number)),
        1 => (CompareTarget::Create, TargetUnion::CreateRevision(number * 40)),
        2 => (CompareTarget::Mod, TargetUnion::ModRevision(number * 400)),
        3 => (CompareTarget::Lease, TargetUnion::Lease(number)),
        _ => (CompareTarget::Value, TargetUnion::Value(Bytes::from_static(b"mmmm"))),
    };
    let result = match random.below(4) {
        0 => CompareResult::Equal,
        1 => CompareResult::Greater,
        2 => CompareResult::Less,
        _ => CompareResult::NotEqual,
    };
    let (key, range_end) =
        if random.chance(20) { random.span() } else { (random.key(), Bytes::new()) };
    pb::Compare {
        result: result.into(),
        target: target.into(),
        key,
        range_end,
        target_union: Some(union),
    }
}

fn txn(random: &mut Random, depth: u32) -> pb::TxnRequest {
    let ops = |random: &mut Random| {
        let many = random.below(4);
        (0..many)
            .map(|_| {
                let request = match random.below(10) {
                    0..=4 => Request::RequestPut(put(random)),
                    5 | 6 => Request::RequestDeleteRange(delete(random)),
                    7 | 8 => Request::RequestRange(range(random)),
                    _ if depth < 2 => Request::RequestTxn(txn(random, depth + 1)),
                    _ => Request::RequestRange(range(random)),
                };
                pb::RequestOp { request: Some(request) }
            })
            .collect::<Vec<_>>()
    };
    let compares = random.below(3);
    let compare = (0..compares).map(|_| compare(random)).collect();
    pb::TxnRequest { compare, success: ops(random), failure: ops(random) }
}

#[test]
fn the_same_work_gives_the_same_answers_and_hashes() {
    with_peers(async |peers| {
        let pair = Pair::start(peers).await;
        let mut both = Both::connect(&pair).await;
        let mut random = Random(0x6b65_656c);
        let mut revision = 1;
        let mut compacted = 0;
        for n in 0..OPERATIONS {
            step(&mut both, &mut random, n, &mut revision).await;
            if n % COMPARE_EVERY == COMPARE_EVERY - 1 {
                compare_hashes(&mut both, &mut random, compacted, revision).await;
                if random.chance(30) {
                    compacted +=
                        i64::try_from(random.below(1 + (revision - compacted).unsigned_abs()))
                            .expect("a revision");
                    let request = pb::CompactionRequest { revision: compacted, physical: true };
                    let _: [Option<pb::CompactionResponse>; 2] =
                        both.ask("/etcdserverpb.KV/Compact", &request).await;
                    compare_hashes(&mut both, &mut random, compacted, revision).await;
                }
            }
        }
        assert!(revision > 10_000, "the work must change something");
    });
}

/// One operation on both; the answers must be equal, headers' ids and terms aside.
async fn step(both: &mut Both, random: &mut Random, n: u64, revision: &mut i64) {
    match random.below(100) {
        0..=49 => {
            let request = put(random);
            let [mut ours, mut theirs]: [Option<pb::PutResponse>; 2] =
                both.ask("/etcdserverpb.KV/Put", &request).await;
            for answer in [&mut ours, &mut theirs].into_iter().flatten() {
                strip(&mut answer.header);
            }
            assert_eq!(ours, theirs, "operation {n}: {request:?}");
            note(revision, ours.and_then(|answer| answer.header));
        }
        50..=64 => {
            let request = delete(random);
            let [mut ours, mut theirs]: [Option<pb::DeleteRangeResponse>; 2] =
                both.ask("/etcdserverpb.KV/DeleteRange", &request).await;
            for answer in [&mut ours, &mut theirs].into_iter().flatten() {
                strip(&mut answer.header);
            }
            assert_eq!(ours, theirs, "operation {n}: {request:?}");
            note(revision, ours.and_then(|answer| answer.header));
        }
        65..=89 => {
            let request = txn(random, 0);
            let [mut ours, mut theirs]: [Option<pb::TxnResponse>; 2] =
                both.ask("/etcdserverpb.KV/Txn", &request).await;
            for answer in [&mut ours, &mut theirs].into_iter().flatten() {
                strip_txn(answer);
            }
            assert_eq!(ours, theirs, "operation {n}: {request:?}");
            note(revision, ours.and_then(|answer| answer.header));
        }
        90..=94 => {
            let back = i64::try_from(random.below(200)).expect("small");
            let request = pb::RangeRequest { revision: (*revision - back).max(1), ..range(random) };
            let [mut ours, mut theirs]: [Option<pb::RangeResponse>; 2] =
                both.ask("/etcdserverpb.KV/Range", &request).await;
            for answer in [&mut ours, &mut theirs].into_iter().flatten() {
                strip(&mut answer.header);
            }
            assert_eq!(ours, theirs, "operation {n}: {request:?}");
        }
        95..=97 => {
            let id = i64::try_from(random.below(LEASES) + 1).expect("small");
            let request = pb::LeaseGrantRequest { ttl: 10_000, id };
            let [ours, theirs]: [Option<pb::LeaseGrantResponse>; 2] =
                both.ask("/etcdserverpb.Lease/LeaseGrant", &request).await;
            assert_eq!(ours.map(|a| (a.id, a.ttl)), theirs.map(|a| (a.id, a.ttl)), "{n}");
        }
        _ => {
            let id = i64::try_from(random.below(LEASES) + 1).expect("small");
            let request = pb::LeaseRevokeRequest { id };
            let [mut ours, mut theirs]: [Option<pb::LeaseRevokeResponse>; 2] =
                both.ask("/etcdserverpb.Lease/LeaseRevoke", &request).await;
            for answer in [&mut ours, &mut theirs].into_iter().flatten() {
                strip(&mut answer.header);
            }
            assert_eq!(ours, theirs, "operation {n}: {request:?}");
            note(revision, ours.and_then(|answer| answer.header));
        }
    }
}

fn note(revision: &mut i64, header: Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        *revision = header.revision.max(*revision);
    }
}

/// HashKV now, at the compacted revision and at some between must be equal.
async fn compare_hashes(both: &mut Both, random: &mut Random, compacted: i64, revision: i64) {
    let width = (revision - compacted).max(1).unsigned_abs();
    let mut at = vec![0, revision];
    at.extend((0..3).map(|_| compacted + i64::try_from(random.below(width)).expect("a revision")));
    if compacted > 0 {
        at.push(compacted);
    }
    for revision in at {
        let request = pb::HashKvRequest { revision };
        let [ours, theirs]: [Option<pb::HashKvResponse>; 2] =
            both.ask("/etcdserverpb.Maintenance/HashKV", &request).await;
        let seen = |a: pb::HashKvResponse| (a.hash, a.compact_revision, a.hash_revision);
        assert_eq!(ours.map(seen), theirs.map(seen), "HashKV at {revision}, compacted {compacted}");
    }
}
