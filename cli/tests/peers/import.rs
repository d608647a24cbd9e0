//! Members change hands: etcd's data directories become ours, and ours etcd's again.

use crate::calls::{insist, put_request, wait_until_equal};
use crate::runtimes::runtimes;
use crate::snapshot::{hash, run};
use crate::{build, start, with_peers};
use keel_cli::load::cluster::Cluster;
use keel_cli::load::process::{Launch, Server};
use keel_proto::pb::etcdserverpb as pb;
use std::fs;
use std::path::Path;

/// Small enough that logs have snapshots in them and lose their first files.
const FLAGS: [&str; 2] = ["--snapshot-count=100", "--snapshot-catchup-entries=50"];

fn flags() -> Vec<String> {
    FLAGS.map(String::from).to_vec()
}

fn ours() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_etcd"))
}

async fn puts(addr: &str, count: u32) -> i64 {
    let mut revision = 0;
    for n in 0..count {
        let request = put_request(&format!("key{}", n % 97), &format!("value{n}"));
        let put: pb::PutResponse = insist(addr, "/etcdserverpb.KV/Put", &request).await;
        revision = put.header.expect("a header").revision;
    }
    revision
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("a file can be copied");
        }
    }
}

/// Writes what a stopped member of ours holds as etcd's files in its place.
fn take_home(data: &Path) {
    let home = data.with_file_name("home");
    let (data_flag, home_flag) = (data.to_str().expect("a path"), home.to_str().expect("a path"));
    let utl = Path::new(env!("CARGO_BIN_EXE_etcdutl"));
    let words = ["migrate", "--target-version=3.7", "--data-dir", data_flag];
    run(utl, &[&words[..], &["--output-dir", home_flag]].concat());
    fs::rename(data, data.with_file_name("as-keel")).expect("a rename");
    fs::rename(&home, data).expect("a rename");
}

#[test]
fn an_etcd_that_was_killed_goes_on_as_ours_and_as_etcd_again() {
    with_peers(async |peers| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut theirs = start("member", &peers.etcd, dir.path(), &flags()).await;
        let request = pb::LeaseGrantRequest { ttl: 10_000, id: 77 };
        let _: pb::LeaseGrantResponse =
            insist(&theirs.addr, "/etcdserverpb.Lease/LeaseGrant", &request).await;
        let revision = puts(&theirs.addr, 450).await;
        let request = pb::CompactionRequest { revision: revision - 200, physical: true };
        let _: pb::CompactionResponse =
            insist(&theirs.addr, "/etcdserverpb.KV/Compact", &request).await;
        let revision = puts(&theirs.addr, 30).await;
        theirs.kill().expect("it runs");
        // What etcd itself makes of what lies there.
        let data = dir.path().join("member/data");
        copy(&data, &dir.path().join("copy/data"));
        let copied = start("copy", &peers.etcd, dir.path(), &flags()).await;
        let expected = hash(&copied.addr).await;
        assert_eq!(expected.1, revision);

        // On the ring, where there is one; the members below are on the other runtime.
        let runtime = runtimes().last().map(|flag| String::from(*flag));
        let extra = flags().into_iter().chain(runtime).collect::<Vec<String>>();
        let mut taken = start("member", ours(), dir.path(), &extra).await;
        assert_eq!(hash(&taken.addr).await, expected);
        let leases = pb::LeaseTimeToLiveRequest { id: 77, keys: false };
        let lease: pb::LeaseTimeToLiveResponse =
            insist(&taken.addr, "/etcdserverpb.Lease/LeaseTimeToLive", &leases).await;
        assert_eq!(lease.granted_ttl, 10_000);
        puts(&taken.addr, 250).await;
        let expected = hash(&taken.addr).await;
        taken.kill().expect("it runs");
        take_home(&data);
        let back = start("member", &peers.etcd, dir.path(), &flags()).await;
        assert_eq!(hash(&back.addr).await, expected);
        assert_eq!(puts(&back.addr, 1).await, expected.1 + 1);
    });
}

/// Stops a member and starts another program on its files.
async fn change(cluster: &mut Cluster, nth: usize, binary: &Path) {
    let launch = cluster.members[nth].launched().clone();
    cluster.members[nth].stop().expect("it stops");
    if binary != ours() {
        take_home(&launch.dir.join("data"));
    }
    let launch = Launch { binary: binary.to_path_buf(), ..launch };
    cluster.members[nth] = Server::launch(launch).expect("it can be started");
    cluster.members[nth].ready().await.expect("it is healthy");
}

#[test]
fn a_cluster_changes_hands_member_by_member_and_back() {
    with_peers(async |peers: &build::Peers| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let binaries = vec![peers.etcd.clone(); 3];
        let mut cluster = Cluster::start(dir.path(), &binaries, None, &flags())
            .await
            .expect("three members start");
        let mut revision = 1;
        for binary in [ours(), &peers.etcd] {
            for nth in 0..3 {
                let addrs = cluster.addrs();
                revision = puts(&addrs[(nth + 1) % 3], 130).await.max(revision);
                change(&mut cluster, nth, binary).await;
                assert!(wait_until_equal(&cluster).await >= revision);
            }
        }
        let request = pb::RangeRequest { key: "key96".into(), ..Default::default() };
        let addr = cluster.addrs()[2].clone();
        let found: pb::RangeResponse = insist(&addr, "/etcdserverpb.KV/Range", &request).await;
        assert_eq!(found.kvs.len(), 1);
    });
}

/// Starts ours again with few segments kept, so that the log loses its first entries.
async fn lose_the_beginning(server: &mut Server) {
    for _ in 0..4 {
        puts(&server.addr, 130).await;
        server.restart().await.expect("it starts again");
    }
}

/// etcd's own reader takes the log that ours still holds, from its first entry on: a server
/// without a database plays all of it, and a tool reads what is left of a longer one.
#[test]
fn an_exported_log_is_read_by_etcds_own_programs() {
    with_peers(async |peers| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let utl = Path::new(env!("CARGO_BIN_EXE_etcdutl"));
        let mut first = start("whole", ours(), dir.path(), &[]).await;
        puts(&first.addr, 40).await;
        let request = pb::CompactionRequest { revision: 20, physical: true };
        let _: pb::CompactionResponse =
            insist(&first.addr, "/etcdserverpb.KV/Compact", &request).await;
        let expected = hash(&first.addr).await;
        first.stop().expect("it stops");
        let path = |name: &str| dir.path().join(name).to_str().expect("a path").to_owned();
        fs::create_dir(dir.path().join("played")).expect("a directory");
        let (from, to) = (path("whole/data"), path("played/data"));
        let said = run(utl, &["inspect", "export", &from, "--output-dir", &to]);
        assert!(said.starts_with("entries 1 to "), "{said}");
        let played = start("played", &peers.etcd, dir.path(), &[]).await;
        assert_eq!(hash(&played.addr).await, expected);

        let extra = [flags(), vec![String::from("--max-wals=1")]].concat();
        let mut second = start("part", ours(), dir.path(), &extra).await;
        lose_the_beginning(&mut second).await;
        let expected = hash(&second.addr).await;
        second.stop().expect("it stops");
        fs::create_dir(dir.path().join("rest")).expect("a directory");
        let (from, to) = (path("part/data"), path("rest/data"));
        let said = run(utl, &["inspect", "export", &from, "--output-dir", &to]);
        assert!(!said.starts_with("entries 1 to "), "the log lost its beginning: {said}");
        // A database makes a whole member of it.
        let home = path("part/home");
        let words = ["migrate", "--target-version=3.7", "--data-dir", &from, "--output-dir", &home];
        run(utl, &words);
        let db = "member/snap/db";
        fs::copy(Path::new(&home).join(db), Path::new(&to).join(db)).expect("a copy");
        for version in ["3.6", "3.7"] {
            let words = ["migrate", "--data-dir", &to, "--target-version", version];
            run(&peers.etcdutl, &words);
        }
        let rest = start("rest", &peers.etcd, dir.path(), &[]).await;
        assert_eq!(hash(&rest.addr).await, expected);
    });
}
