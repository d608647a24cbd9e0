//! Many clients, slow clients, large answers: the server goes on serving and stays small.

use bytes::Bytes;
use keel_cli::load::calls::once;
use keel_cli::load::http2::{Conn, Heard, Method};
use keel_cli::load::process::Server;
use keel_proto::pb::etcdserverpb as pb;
use pb::watch_request::RequestUnion;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;

/// What a server may keep beyond the data that it was given.
const SLACK: u64 = 64 * 1024 * 1024;

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const RANGE_STREAM: &str = "/etcdserverpb.KV/RangeStream";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// Runs a test against a server of its own.
fn with_server<F: AsyncFnOnce(&Server)>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let binary = Path::new(env!("CARGO_BIN_EXE_etcd"));
        let server = Server::start("keel", binary, dir.path(), None, &[]).await;
        test(&server.expect("the server starts")).await;
    });
}

async fn put(addr: &str, key: &str, value: Vec<u8>) {
    let put = pb::PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.into(),
        ..Default::default()
    };
    once(addr, &Method::new(PUT), &put.encode_to_vec()).await.expect("a put");
}

fn watch(key: &str) -> Vec<u8> {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let create = pb::WatchCreateRequest { key, ..Default::default() };
    let request_union = Some(RequestUnion::CreateRequest(create));
    pb::WatchRequest { request_union }.encode_to_vec()
}

async fn message(conn: &mut Conn) -> Bytes {
    match conn.next().await.expect("the server lives") {
        Heard::Message(_, message) => message,
        Heard::End(stream) => panic!("stream {stream} ended"),
    }
}

async fn watch_answer(conn: &mut Conn) -> pb::WatchResponse {
    pb::WatchResponse::decode(message(conn).await).expect("a watch's answer")
}

fn descriptors(server: &Server) -> usize {
    let dir = format!("/proc/{}/fd", server.pid());
    std::fs::read_dir(dir).expect("the server lives").count()
}

#[test]
fn ten_thousand_watchers_hear_each_change_once_and_in_order() {
    const STREAMS: usize = 10;
    const WATCHES: usize = 1000;
    const KEYS: usize = 100;
    const ROUNDS: usize = 3;
    with_server(async |server| {
        let mut conns = Vec::new();
        for _ in 0..STREAMS {
            let mut conn = Conn::connect(&server.addr).await.expect("a connection");
            let stream = conn.open(&Method::new(WATCH));
            for nth in 0..WATCHES {
                conn.send(stream, &watch(&format!("/w/{:03}", nth % KEYS)));
            }
            let mut created = 0;
            while created < WATCHES {
                created += usize::from(watch_answer(&mut conn).await.created);
            }
            conns.push(conn);
        }
        for round in 0..ROUNDS {
            for key in 0..KEYS {
                put(&server.addr, &format!("/w/{key:03}"), vec![b'0' + round as u8]).await;
            }
        }
        for mut conn in conns {
            let mut heard: BTreeMap<i64, Vec<(Bytes, Bytes)>> = BTreeMap::new();
            let mut events = 0;
            while events < WATCHES * ROUNDS {
                let answer = watch_answer(&mut conn).await;
                events += answer.events.len();
                for event in answer.events {
                    let kv = event.kv.expect("a put has a version");
                    heard.entry(answer.watch_id).or_default().push((kv.key, kv.value));
                }
            }
            assert_eq!(heard.len(), WATCHES);
            for (id, events) in heard {
                let key = format!("/w/{:03}", id as usize % KEYS);
                let values: Vec<&[u8]> = events.iter().map(|(_, value)| value.as_ref()).collect();
                assert!(events.iter().all(|(heard, _)| *heard == key), "watch {id} of {key}");
                assert_eq!(values, [b"0", b"1", b"2"], "watch {id}");
            }
        }
    });
}

#[test]
fn ten_thousand_streams_disturb_nobody_and_leave_nothing() {
    with_server(async |server| {
        put(&server.addr, "/s", vec![1]).await;
        let descriptors_before = descriptors(server);
        open_and_drop_streams(server).await;
        wait_for_descriptors(server, descriptors_before + 1).await;
        let once = server.usage().expect("its figures").anonymous;
        for _ in 0..4 {
            open_and_drop_streams(server).await;
            wait_for_descriptors(server, descriptors_before + 1).await;
        }
        // The allocator keeps what was freed, more or less of it; two kilobytes of each of these
        // 40,000 streams would be more.
        let now = server.usage().expect("its figures").anonymous;
        assert!(now < once + SLACK, "{now} bytes where {once} were after the first time");
    });
}

async fn open_and_drop_streams(server: &Server) {
    const CONNS: usize = 100;
    const STREAMS: usize = 100;
    let mut conns = Vec::new();
    for nth in 0..CONNS {
        let mut conn = Conn::connect(&server.addr).await.expect("a connection");
        let streams: Vec<u32> = (0..STREAMS).map(|_| conn.open(&Method::new(WATCH))).collect();
        // The last of them watches, so that all of them are known to be open.
        conn.send(streams[STREAMS - 1], &watch("/s"));
        assert!(watch_answer(&mut conn).await.created);
        if nth % 10 == 0 {
            put(&server.addr, "/other", vec![2]).await;
        }
        conns.push(conn);
    }
    put(&server.addr, "/s", vec![3]).await;
    for conn in &mut conns {
        assert_eq!(watch_answer(conn).await.events.len(), 1);
    }
}

/// The server learns of each connection's end by itself; a call tells that it came so far.
async fn wait_for_descriptors(server: &Server, wanted: usize) {
    let mut open = usize::MAX;
    for _ in 0..1000 {
        put(&server.addr, "/other", vec![4]).await;
        open = descriptors(server);
        if open <= wanted {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{open} descriptors are open where {wanted} were");
}

#[test]
fn a_client_that_does_not_read_costs_a_window_and_misses_nothing() {
    const EVENTS: usize = 50_000;
    const VALUE: usize = 1024;
    with_server(async |server| {
        let mut lazy = Conn::connect(&server.addr).await.expect("a connection");
        let mut eager = Conn::connect(&server.addr).await.expect("a connection");
        for conn in [&mut lazy, &mut eager] {
            let stream = conn.open(&Method::new(WATCH));
            conn.send(stream, &watch("/lazy"));
            assert!(watch_answer(conn).await.created);
        }
        let before = server.usage().expect("its figures").anonymous;
        let value: Bytes = vec![b'v'; VALUE].into();
        let request = pb::PutRequest { key: "/lazy".into(), value, ..Default::default() };
        let request = request.encode_to_vec();
        let mut writer = Conn::connect(&server.addr).await.expect("a connection");
        let method = Method::new(PUT);
        let (mut flying, mut sent) = (0, 0);
        while sent < EVENTS || flying > 0 {
            while sent < EVENTS && flying < 64 {
                writer.call(&method, &request);
                (sent, flying) = (sent + 1, flying + 1);
            }
            if matches!(writer.next().await.expect("the server lives"), Heard::End(_)) {
                flying -= 1;
            }
        }
        let grown = server.usage().expect("its figures").anonymous.saturating_sub(before);
        // The data: each record in raft's memory and in the history, until a checkpoint has both.
        let data = 2 * (EVENTS * (VALUE + 100)) as u64;
        assert!(grown < data + SLACK, "it grew by {grown} bytes, of which the data is {data}");
        for conn in [&mut eager, &mut lazy] {
            let mut revision = 1;
            while revision < 1 + EVENTS as i64 {
                for event in watch_answer(conn).await.events {
                    revision += 1;
                    let kv = event.kv.expect("a put has a version");
                    assert_eq!(kv.mod_revision, revision, "nothing is missing, nothing twice");
                }
            }
        }
    });
}

#[test]
fn a_large_range_comes_in_pages_and_as_a_stream_in_bounded_memory() {
    const KEYS: usize = 1_000_000;
    const TXN_OPS: usize = 100;
    with_server(async |server| {
        let key = |n: usize| format!("/large/{n:08}");
        let mut conn = Conn::connect(&server.addr).await.expect("a connection");
        for batch in 0..KEYS / TXN_OPS {
            let put = |n: usize| pb::RequestOp {
                request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
                    key: key(batch * TXN_OPS + n).into(),
                    value: vec![b'v'; 64].into(),
                    ..Default::default()
                })),
            };
            let success = (0..TXN_OPS).map(put).collect();
            let txn = pb::TxnRequest { success, ..Default::default() };
            conn.call(&Method::new(TXN), &txn.encode_to_vec());
            message(&mut conn).await;
            assert!(matches!(conn.next().await, Ok(Heard::End(_))));
        }
        let before = server.usage().expect("its figures").anonymous;

        let (mut from, mut seen, mut more) = (key(0), 0, true);
        while more {
            let request = pb::RangeRequest {
                key: from.clone().into(),
                range_end: "/large0".into(),
                limit: 10_000,
                ..Default::default()
            };
            let answer = once(&server.addr, &Method::new(RANGE), &request.encode_to_vec()).await;
            let answer = pb::RangeResponse::decode(answer.expect("a page")).expect("a page");
            for kv in &answer.kvs {
                assert_eq!(kv.key, key(seen));
                seen += 1;
            }
            (from, more) = (key(seen), answer.more);
        }
        assert_eq!(seen, KEYS, "by pages");

        let all = pb::RangeRequest {
            key: key(0).into(),
            range_end: "/large0".into(),
            ..Default::default()
        };
        conn.call(&Method::new(RANGE_STREAM), &all.encode_to_vec());
        let (mut seen, mut worst, mut count) = (0, 0, 0);
        while let Heard::Message(_, piece) = conn.next().await.expect("the server lives") {
            let piece = pb::RangeStreamResponse::decode(piece).expect("a piece");
            let piece = piece.range_response.expect("every piece has an answer");
            for kv in &piece.kvs {
                assert_eq!(kv.key, key(seen));
                seen += 1;
            }
            count = piece.count;
            worst = worst.max(server.usage().expect("its figures").anonymous);
        }
        assert_eq!((seen, count), (KEYS, KEYS as i64), "by stream");
        assert!(worst < before + SLACK, "it grew from {before} to {worst} bytes");
    });
}
