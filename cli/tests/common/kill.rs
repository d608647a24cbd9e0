//! `kill -9` in a loop under load: every acknowledged write is there afterwards, at the revision
//! that was acknowledged, and revisions go on without a gap.

use keel_cli::load::calls::once;
use keel_cli::load::http2::{Conn, Heard, Method};
use keel_cli::load::process::Server;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;

/// How often the server is killed.
const KILLS: u32 = 50;
/// Answers that a life must give before it ends.
const ANSWERS_A_LIFE: usize = 150;
/// Puts in flight while it is killed.
const IN_FLIGHT: usize = 32;

/// Acknowledged: key and the revision of its put.
type Acknowledged = BTreeMap<String, i64>;

#[test]
fn no_acknowledged_write_is_lost_to_kill_9() {
    let Some(flags) = crate::flags() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let binary = Path::new(env!("CARGO_BIN_EXE_etcd"));
        // Frequent checkpoints, so that kills hit them, too.
        let mut extra = vec![String::from("--snapshot-count=100")];
        extra.extend(flags.iter().map(|flag| String::from(*flag)));
        let mut server = Server::start("keel", binary, dir.path(), None, &extra)
            .await
            .expect("the server starts");
        let mut acknowledged = Acknowledged::new();
        for life in 0..KILLS {
            push_until_killed(&mut server, life, &mut acknowledged).await;
            server.revive().await.unwrap_or_else(|error| {
                let said = std::fs::read_to_string(dir.path().join("stderr")).unwrap_or_default();
                panic!("life {life} does not begin: {error}\n{said}")
            });
            check(&server.addr, life, &acknowledged).await;
        }
        assert!(acknowledged.len() >= KILLS as usize * ANSWERS_A_LIFE, "the loop wrote something");
    });
}

/// Puts as fast as it can, and kills the server in the middle of it.
async fn push_until_killed(server: &mut Server, life: u32, acknowledged: &mut Acknowledged) {
    let mut conn = Conn::connect(&server.addr).await.expect("a connection");
    let method = Method::new("/etcdserverpb.KV/Put");
    let mut flying: BTreeMap<u32, String> = BTreeMap::new();
    let mut answers = 0;
    let mut number = 0;
    loop {
        while flying.len() < IN_FLIGHT {
            let key = format!("life{life:03}-{number:06}");
            number += 1;
            let put = pb::PutRequest {
                key: key.clone().into(),
                value: vec![b'v'; 200].into(),
                ..Default::default()
            };
            flying.insert(conn.call(&method, &put.encode_to_vec()), key);
        }
        match conn.next().await {
            Ok(Heard::Message(stream, message)) => {
                let answer = pb::PutResponse::decode(message).expect("a put's answer");
                let revision = answer.header.unwrap_or_default().revision;
                let key = flying.get(&stream).expect("an answer to a call").clone();
                acknowledged.insert(key, revision);
                answers += 1;
            }
            Ok(Heard::End(stream)) => {
                flying.remove(&stream);
            }
            Err(_) => return, // It is dead, and all that it had to say was heard.
        }
        if answers == ANSWERS_A_LIFE {
            server.kill().expect("the server can be killed");
        }
    }
}

/// Everything that was acknowledged is there, and nothing has two revisions or none.
async fn check(addr: &str, life: u32, acknowledged: &Acknowledged) {
    let request = pb::RangeRequest {
        key: b"life".as_slice().into(),
        range_end: b"liff".as_slice().into(),
        ..Default::default()
    };
    let method = Method::new("/etcdserverpb.KV/Range");
    let answer = once(addr, &method, &request.encode_to_vec()).await.expect("a range");
    let answer = pb::RangeResponse::decode(answer).expect("a range's answer");
    let there: BTreeMap<&[u8], i64> =
        answer.kvs.iter().map(|kv| (kv.key.as_ref(), kv.mod_revision)).collect();
    for (key, revision) in acknowledged {
        let found = there.get(key.as_bytes());
        assert_eq!(found, Some(revision), "after life {life}: {key} was acknowledged");
    }
    let mut revisions: Vec<i64> = there.values().copied().collect();
    revisions.sort_unstable();
    let expected: Vec<i64> = (2..2 + i64::try_from(revisions.len()).expect("few")).collect();
    assert_eq!(revisions, expected, "after life {life}: every put has a revision of its own");
    let now = answer.header.unwrap_or_default().revision;
    assert_eq!(now, expected.last().copied().unwrap_or(1), "after life {life}");
}
