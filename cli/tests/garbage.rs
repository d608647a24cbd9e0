//! Whatever bytes come over a client's port, each call is answered and the server goes on.
//!
//! The seed is fixed, so that a failure comes again.

use keel_cli::load::calls::once;
use keel_cli::load::http2::{Conn, Heard, Method};
use keel_cli::load::process::Server;
use keel_core::rng::Rng;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Mutations of each request.
const MUTATIONS: usize = 300;
/// Connections that speak nonsense.
const NONSENSE: usize = 400;
const SEED: u64 = 7;

#[test]
fn every_mutated_request_is_answered() {
    with_server(async |server| {
        let mut rng = Rng::new(SEED);
        for (path, sample) in samples() {
            let method = Method::new(path);
            let mut conn = Conn::connect(&server.addr).await.expect("a connection");
            for _ in 0..MUTATIONS {
                let bytes = mutated(&mut rng, &sample);
                let stream = conn.call(&method, &bytes);
                loop {
                    let heard = conn.next().await.expect("the connection lives");
                    if matches!(heard, Heard::End(ended) if ended == stream) {
                        break;
                    }
                }
            }
        }
    });
}

#[test]
fn nonsense_on_a_connection_harms_nobody_else() {
    with_server(async |server| {
        let mut rng = Rng::new(SEED);
        for _ in 0..NONSENSE {
            let mut socket = TcpStream::connect(&server.addr).await.expect("a connection");
            // The server may hang up before all of it is written.
            let _ = socket.write_all(&nonsense(&mut rng)).await;
            let _ = socket.shutdown().await;
            // Either it answers and hangs up or it resets; what it says is its own affair.
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    });
}

/// Runs a test against a server of its own, which must serve as before afterwards.
fn with_server<F: AsyncFnOnce(&Server)>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let binary = Path::new(env!("CARGO_BIN_EXE_etcd"));
        let server = Server::start("keel", binary, dir.path(), None, &[]).await;
        let server = server.expect("the server starts");
        test(&server).await;
        let all = pb::RangeRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            count_only: true,
            ..Default::default()
        };
        let method = Method::new("/etcdserverpb.KV/Range");
        let answer = once(&server.addr, &method, &all.encode_to_vec()).await;
        pb::RangeResponse::decode(answer.expect("it serves")).expect("an answer");
    });
}

/// A full request of every method that clients may call.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let range = pb::RangeRequest {
        key: "a".into(),
        range_end: "z".into(),
        limit: 5,
        sort_order: 1,
        sort_target: 2,
        ..Default::default()
    };
    let put =
        pb::PutRequest { key: "k".into(), value: "v".into(), prev_kv: true, ..Default::default() };
    let delete = pb::DeleteRangeRequest { key: "k".into(), range_end: "l".into(), prev_kv: true };
    let op = |request| pb::RequestOp { request: Some(request) };
    let compare = pb::Compare {
        result: 1,
        target: 3,
        key: "k".into(),
        range_end: "l".into(),
        target_union: Some(pb::compare::TargetUnion::Value("v".into())),
    };
    let inner = pb::TxnRequest {
        compare: vec![compare.clone()],
        success: vec![op(pb::request_op::Request::RequestDeleteRange(delete.clone()))],
        failure: vec![op(pb::request_op::Request::RequestRange(range.clone()))],
    };
    let txn = pb::TxnRequest {
        compare: vec![compare],
        success: vec![
            op(pb::request_op::Request::RequestPut(put.clone())),
            op(pb::request_op::Request::RequestTxn(inner)),
        ],
        failure: Vec::new(),
    };
    let create = pb::WatchCreateRequest {
        key: "a".into(),
        range_end: "z".into(),
        start_revision: 2,
        prev_kv: true,
        fragment: true,
        filters: vec![1],
        ..Default::default()
    };
    let watch = pb::watch_request::RequestUnion::CreateRequest(create);
    let watch = pb::WatchRequest { request_union: Some(watch) };
    vec![
        ("/etcdserverpb.KV/Range", range.encode_to_vec()),
        ("/etcdserverpb.KV/RangeStream", range.encode_to_vec()),
        ("/etcdserverpb.KV/Put", put.encode_to_vec()),
        ("/etcdserverpb.KV/DeleteRange", delete.encode_to_vec()),
        ("/etcdserverpb.KV/Txn", txn.encode_to_vec()),
        (
            "/etcdserverpb.KV/Compact",
            pb::CompactionRequest { revision: 2, physical: true }.encode_to_vec(),
        ),
        ("/etcdserverpb.Watch/Watch", watch.encode_to_vec()),
        (
            "/etcdserverpb.Lease/LeaseGrant",
            pb::LeaseGrantRequest { ttl: 60, id: 7 }.encode_to_vec(),
        ),
        (
            "/etcdserverpb.Lease/LeaseTimeToLive",
            pb::LeaseTimeToLiveRequest { id: 7, keys: true }.encode_to_vec(),
        ),
        ("/etcdserverpb.Lease/LeaseKeepAlive", pb::LeaseKeepAliveRequest { id: 7 }.encode_to_vec()),
        ("/etcdserverpb.Lease/LeaseRevoke", pb::LeaseRevokeRequest { id: 7 }.encode_to_vec()),
        ("/etcdserverpb.Lease/LeaseLeases", pb::LeaseLeasesRequest {}.encode_to_vec()),
        ("/etcdserverpb.Maintenance/HashKV", pb::HashKvRequest { revision: 3 }.encode_to_vec()),
        ("/etcdserverpb.Maintenance/Snapshot", pb::SnapshotRequest {}.encode_to_vec()),
        ("/etcdserverpb.Maintenance/Status", pb::StatusRequest {}.encode_to_vec()),
        (
            "/etcdserverpb.Cluster/MemberList",
            pb::MemberListRequest { linearizable: true }.encode_to_vec(),
        ),
        // Last, since it may forbid all further writes.
        (
            "/etcdserverpb.Maintenance/Alarm",
            pb::AlarmRequest { action: 1, member_id: 3, alarm: 1 }.encode_to_vec(),
        ),
    ]
}

/// The sample with a cut, changed bytes or more bytes; some of them are requests still.
fn mutated(rng: &mut Rng, sample: &[u8]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        let byte = rng.below(256) as u8;
        match rng.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 => bytes.extend((0..at).map(|_| rng.below(256) as u8)),
            _ => {
                if let Some(held) = bytes.get_mut(at) {
                    *held = byte;
                }
            }
        }
    }
    bytes
}

/// A connection's bytes: frames of any kind with any flags, lengths that lie, or noise.
fn nonsense(rng: &mut Rng) -> Vec<u8> {
    let mut out = match rng.below(4) {
        0 => Vec::new(),
        1 => b"GET /health HTTP/1.1\r\n".to_vec(),
        _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
    };
    for _ in 0..rng.below(20) {
        let len = rng.below(40) as usize;
        let told = if rng.below(8) == 0 { rng.below(1 << 24) as usize } else { len };
        out.extend(&(told as u32).to_be_bytes()[1..]);
        out.push(rng.below(11) as u8);
        out.push(rng.below(256) as u8);
        out.extend((rng.below(6) as u32).to_be_bytes());
        out.extend((0..len).map(|_| rng.below(256) as u8));
    }
    out
}
