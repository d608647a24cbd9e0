//! Restored directories begin new clusters of one and of three members of ours.

use crate::calls::{call, insist, put_request, wait_until_equal};
use crate::{fixtures, utl, utl_fails};
use keel_cli::load::cluster::Cluster;
use keel_cli::load::process::{Launch, free_addr};
use keel_proto::pb::etcdserverpb as pb;
use std::path::Path;

/// Restores for a cluster of so many members, and starts it.
pub(crate) async fn restored(dir: &Path, members: usize, extra: &[&str], apart: bool) -> Cluster {
    let snapshot = dir.join("s.db");
    std::fs::write(&snapshot, fixtures::snapshot()).expect("a file can be written");
    let addrs: Vec<(String, String)> = (0..members)
        .map(|_| (free_addr().expect("a free port"), free_addr().expect("a free port")))
        .collect();
    let all: Vec<String> =
        addrs.iter().zip(1..).map(|((_, peer), nth)| format!("m{nth}=http://{peer}")).collect();
    let mut launches = Vec::new();
    for ((client, peer), nth) in addrs.into_iter().zip(1..) {
        let home = dir.join(format!("m{nth}"));
        let (data, logs) = (home.join("data"), home.join("logs"));
        std::fs::create_dir_all(&home).expect("a directory can be made");
        let mut words: Vec<String> =
            ["snapshot", "restore"].map(String::from).into_iter().collect();
        words.push(snapshot.display().to_string());
        words.push(format!("--data-dir={}", data.display()));
        words.push(format!("--name=m{nth}"));
        words.push(format!("--initial-cluster={}", all.join(",")));
        words.push(format!("--initial-advertise-peer-urls=http://{peer}"));
        words.extend(extra.iter().map(|flag| (*flag).to_owned()));
        let mut flags = Vec::new();
        if apart {
            flags.push(format!("--wal-dir={}", logs.display()));
            words.extend(flags.clone());
        }
        utl(dir, &words.iter().map(String::as_str).collect::<Vec<_>>());
        launches.push(Launch {
            name: format!("m{nth}"),
            binary: env!("CARGO_BIN_EXE_etcd").into(),
            dir: home,
            cpu: None,
            client,
            peer,
            cluster: String::new(),
            state: "new",
            extra: flags,
            under: Vec::new(),
        });
    }
    Cluster::launch(dir, launches).await.expect("all members start")
}

pub(crate) async fn hash(addr: &str) -> (u32, i64, i64) {
    let request = pb::HashKvRequest::default();
    let hash: pb::HashKvResponse = insist(addr, "/etcdserverpb.Maintenance/HashKV", &request).await;
    (hash.hash, hash.hash_revision, hash.compact_revision)
}

/// What the tool says of a file or directory, in the same order.
pub(crate) fn told(dir: &Path, path: &str) -> (u32, i64, i64) {
    let said = utl(dir, &["hashkv", path]);
    let numbers: Vec<i64> =
        said.trim().split(", ").map(|number| number.parse().expect("a number")).collect();
    (u32::try_from(numbers[0]).expect("a hash"), numbers[1], numbers[2])
}

pub(crate) async fn get(addr: &str, key: &str) -> Option<String> {
    let request = pb::RangeRequest { key: key.to_owned().into(), ..Default::default() };
    let answer: pb::RangeResponse = insist(addr, "/etcdserverpb.KV/Range", &request).await;
    answer.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}

pub(crate) fn run(test: impl AsyncFnOnce(&Path)) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, test(dir.path()));
}

#[test]
fn one_member_goes_on_from_a_snapshot() {
    run(async |dir| {
        let mut cluster = restored(dir, 1, &[], false).await;
        let addr = cluster.addrs()[0].clone();
        let before = told(dir, "s.db");
        assert_eq!(hash(&addr).await, before);
        assert_eq!(get(&addr, "key1").await.as_deref(), Some("value1"));
        assert_eq!(get(&addr, "key3").await, None);
        let leases: pb::LeaseLeasesResponse =
            insist(&addr, "/etcdserverpb.Lease/LeaseLeases", &pb::LeaseLeasesRequest::default())
                .await;
        assert_eq!(leases.leases.len(), 1, "leases are kept");
        let list: pb::MemberListResponse =
            insist(&addr, "/etcdserverpb.Cluster/MemberList", &pb::MemberListRequest::default())
                .await;
        let peer = format!("http://{}", cluster.members[0].launched().peer);
        let id = keel_proto::ids::member(std::slice::from_ref(&peer), "etcd-cluster");
        assert_eq!(list.members.len(), 1, "who was there before is forgotten");
        assert_eq!((list.members[0].id, &list.members[0].peer_ur_ls), (id.0, &vec![peer]));
        let put: pb::PutResponse =
            insist(&addr, "/etcdserverpb.KV/Put", &put_request("new", "one")).await;
        assert_eq!(put.header.expect("a header").revision, before.1 + 1);
        cluster.members[0].kill().expect("it runs");
        cluster.members[0].revive().await.expect("it starts again");
        assert_eq!(get(&addr, "new").await.as_deref(), Some("one"));
        let running = utl_fails(dir, &["hashkv", "m1/data", "--timeout=10ms"]);
        assert!(running.contains("stop the member first"), "{running}");
        cluster.members[0].stop().expect("it stops");
        assert_eq!(told(dir, "m1/data").1, before.1 + 1, "a stopped member's directory is read");
    });
}

#[test]
fn three_members_begin_a_cluster_with_equal_states() {
    run(async |dir| {
        let mut cluster = restored(dir, 3, &["--initial-cluster-token=again"], false).await;
        let before = told(dir, "s.db");
        assert_eq!(wait_until_equal(&cluster).await, before.1);
        for addr in cluster.addrs() {
            assert_eq!(hash(&addr).await, before);
        }
        let addrs = cluster.addrs();
        let _: pb::PutResponse =
            insist(&addrs[0], "/etcdserverpb.KV/Put", &put_request("new", "one")).await;
        for addr in &addrs {
            assert_eq!(get(addr, "new").await.as_deref(), Some("one"));
        }
        for member in &mut cluster.members {
            member.stop().expect("it stops");
        }
        for member in &mut cluster.members {
            member.relaunch().expect("it starts again");
        }
        for member in &mut cluster.members {
            member.ready().await.expect("it is healthy");
        }
        assert_eq!(wait_until_equal(&cluster).await, before.1 + 1);
    });
}

#[test]
fn a_raised_revision_is_never_seen_again() {
    run(async |dir| {
        let flags = ["--bump-revision=1000000", "--mark-compacted"];
        let mut cluster = restored(dir, 1, &flags, true).await;
        let addr = cluster.addrs()[0].clone();
        let raised = told(dir, "s.db").1 + 1_000_000;
        let (_, revision, compacted) = hash(&addr).await;
        assert_eq!((revision, compacted), (raised, raised));
        assert_eq!(get(&addr, "key1").await.as_deref(), Some("value1"));
        let all = pb::RangeRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            count_only: true,
            ..Default::default()
        };
        let all: pb::RangeResponse = insist(&addr, "/etcdserverpb.KV/Range", &all).await;
        assert_eq!(all.count, 40, "the mark of the raised revision is no key");
        let old =
            pb::RangeRequest { key: "key1".into(), revision: raised - 1, ..Default::default() };
        let old: Result<pb::RangeResponse, _> = call(&addr, "/etcdserverpb.KV/Range", &old).await;
        assert!(old.is_err(), "all before the raised revision is compacted");
        assert!(dir.join("m1/logs/0000000000000001.log").exists(), "the log lies apart");
        cluster.members[0].stop().expect("it stops");
        let said = utl(dir, &["hashkv", "m1/data", "--wal-dir=m1/logs"]);
        assert!(said.ends_with(&format!(", {raised}, {raised}\n")), "{said}");
        let said = utl(dir, &["inspect", "log", "m1/logs"]);
        assert!(said.contains("publish"), "{said}");
    });
}
