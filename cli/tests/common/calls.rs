//! Calls to members that may be down, and what members must agree on.

use keel_cli::load::calls::once;
use keel_cli::load::cluster::Cluster;
use keel_cli::load::http2::Method;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::io;
use std::time::{Duration, Instant};

/// How long anything may take that is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// How long one attempt at a call may take: a call that was forwarded to a leader that died is
/// never answered.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(2);

/// One call, whose answer may not come.
pub(crate) async fn call<A: Message + Default>(
    addr: &str,
    path: &str,
    request: &impl Message,
) -> io::Result<A> {
    let method = Method::new(path);
    let request = request.encode_to_vec();
    let answer = tokio::time::timeout(ATTEMPT, once(addr, &method, &request)).await;
    let answer = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    A::decode(answer).map_err(io::Error::other)
}

/// The same, again and again until it is answered.
pub(crate) async fn insist<A: Message + Default>(
    addr: &str,
    path: &str,
    request: &impl Message,
) -> A {
    let begun = Instant::now();
    loop {
        match call(addr, path, request).await {
            Ok(answer) => return answer,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{path} at {addr}: {error}"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(crate) fn put_request(key: &str, value: &str) -> pb::PutRequest {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    pb::PutRequest { key, value, ..Default::default() }
}

/// Members hold the same history up to the first one's revision of now, while clients write on.
pub(crate) async fn equal_meanwhile(cluster: &Cluster) {
    let addrs = cluster.addrs();
    let request = pb::StatusRequest {};
    let now: pb::StatusResponse =
        insist(&addrs[0], "/etcdserverpb.Maintenance/Status", &request).await;
    let revision = now.header.expect("a header").revision;
    let mut hashes = Vec::new();
    for addr in &addrs {
        // Who has not come so far refuses, and is asked again.
        let request = pb::HashKvRequest { revision };
        let hash: pb::HashKvResponse =
            insist(addr, "/etcdserverpb.Maintenance/HashKV", &request).await;
        hashes.push((hash.hash, hash.compact_revision));
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "at {revision}: {hashes:?}");
}

/// Waits until all members stand at the same revision with the same history.
pub(crate) async fn wait_until_equal(cluster: &Cluster) -> i64 {
    let begun = Instant::now();
    loop {
        let mut hashes = Vec::new();
        for addr in cluster.addrs() {
            let request = pb::HashKvRequest { revision: 0 };
            let hash: pb::HashKvResponse =
                insist(&addr, "/etcdserverpb.Maintenance/HashKV", &request).await;
            hashes.push((hash.hash_revision, hash.hash, hash.compact_revision));
        }
        if hashes.iter().all(|hash| *hash == hashes[0]) {
            return hashes[0].0;
        }
        assert!(begun.elapsed() < PATIENCE, "members differ: {hashes:?}");
        tokio::time::sleep(LOOK).await;
    }
}
