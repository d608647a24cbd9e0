//! A server of ours goes on where etcd's files end, and keeps them.

use crate::calls::{insist, put_request};
use crate::damage::listing;
use crate::restore::{get, hash, run, told};
use crate::{fixtures, utl};
use bytes::Bytes;
use keel_cli::load::process::{Launch, Server, free_addr};
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::fs;
use std::path::Path;

/// A server on `dir/data` that is not waited for.
fn launch(dir: &Path, extra: &[String]) -> Server {
    let (client, peer) = (free_addr().expect("a port"), free_addr().expect("a port"));
    let launch = Launch {
        name: String::from("default"),
        binary: env!("CARGO_BIN_EXE_etcd").into(),
        dir: dir.to_path_buf(),
        cpu: None,
        client,
        cluster: format!("default=http://{peer}"),
        peer,
        state: "new",
        extra: extra.to_vec(),
        under: Vec::new(),
    };
    Server::launch(launch).expect("it can be started")
}

async fn started(dir: &Path) -> Server {
    let mut server = launch(dir, &[]);
    server.ready().await.unwrap_or_else(|why| panic!("{why}"));
    server
}

/// What it says instead of starting.
async fn refused(dir: &Path) -> String {
    let why = launch(dir, &[]).ready().await.expect_err("it must not start");
    why.to_string()
}

fn plain() -> Vec<u8> {
    let mut snapshot = fixtures::snapshot();
    snapshot.truncate(snapshot.len() - 32);
    snapshot
}

/// Puts, as etcd's log holds them.
fn puts(count: u32) -> Vec<Bytes> {
    let put = |n: u32| {
        let request = pb::InternalRaftRequest {
            header: Some(pb::RequestHeader { id: u64::from(n) + 1, ..Default::default() }),
            put: Some(put_request(&format!("behind{n}"), "log")),
            ..Default::default()
        };
        request.encode_to_vec().into()
    };
    (0..count).map(put).collect()
}

#[test]
fn it_goes_on_where_etcd_stopped_and_keeps_the_originals() {
    run(async |dir| {
        fixtures::data_dir_with(&dir.join("data"), &plain(), &puts(20), 12);
        let originals = listing(&dir.join("data/member"));
        let behind = told(dir, "data");
        assert_eq!(behind.1, 46 + 20, "a lone member's log is all committed");
        let mut server = started(dir).await;
        assert_eq!(hash(&server.addr).await, behind);
        assert_eq!(get(&server.addr, "key1").await.as_deref(), Some("value1"));
        assert_eq!(get(&server.addr, "behind19").await.as_deref(), Some("log"));
        let put: pb::PutResponse =
            insist(&server.addr, "/etcdserverpb.KV/Put", &put_request("new", "one")).await;
        let header = put.header.expect("a header");
        assert_eq!((header.revision, header.cluster_id), (67, 7));
        server.restart().await.expect("it starts again");
        assert_eq!(get(&server.addr, "new").await.as_deref(), Some("one"));
        let strip = |all: Vec<(String, Vec<u8>)>, from: &str| -> Vec<(String, Vec<u8>)> {
            let from = dir.join("data").join(from).display().to_string();
            all.into_iter().map(|(name, bytes)| (name.replace(&from, ""), bytes)).collect()
        };
        let kept = listing(&dir.join("data/member.etcd-1"));
        assert_eq!(strip(kept, "member.etcd-1"), strip(originals, "member"));
        assert!(!dir.join("data/import.tmp").exists());
    });
}

#[test]
fn a_crash_in_the_midst_of_it_leaves_one_of_both_whole() {
    run(async |dir| {
        let data = dir.join("data");
        fixtures::data_dir(&data, &plain());
        let expected = told(dir, "data");
        // Before the first rename: whatever was made so far is of no use.
        fs::create_dir_all(data.join("import.tmp/member/log")).expect("a directory");
        fs::write(data.join("import.tmp/member/log/0000000000000001.log"), "half").expect("a file");
        let mut server = started(dir).await;
        assert_eq!(hash(&server.addr).await, expected);
        server.stop().expect("it stops");
        // Between the renames: it is whole and not in its place.
        fs::create_dir(data.join("import.tmp")).expect("a directory");
        fs::rename(data.join("member"), data.join("import.tmp/member")).expect("a rename");
        fs::write(data.join("import.tmp/done"), "").expect("a file");
        let mut server = started(dir).await;
        assert_eq!(hash(&server.addr).await, expected);
        server.stop().expect("it stops");
        // After them, before the rest is gone.
        fs::create_dir(data.join("import.tmp")).expect("a directory");
        fs::write(data.join("import.tmp/done"), "").expect("a file");
        let server = started(dir).await;
        assert_eq!(hash(&server.addr).await, expected);
        assert!(!data.join("import.tmp").exists());
    });
}

#[test]
fn what_is_damaged_is_named_and_left_alone() {
    run(async |dir| {
        let data = dir.join("data");
        fixtures::data_dir_with(&data, &plain(), &puts(20), 20);
        let (db, wal) = (
            data.join("member/snap/db"),
            data.join("member/wal/0000000000000000-0000000000000000.wal"),
        );
        let (sound_db, sound_wal) =
            (fs::read(&db).expect("it is there"), fs::read(&wal).expect("it is there"));
        let mut bytes = sound_wal.clone();
        bytes[900] ^= 1;
        fs::write(&wal, bytes).expect("a file can be written");
        let seen = listing(&data);
        let said = refused(dir).await;
        assert!(said.contains(".wal is damaged at offset 8"), "{said}");
        assert_eq!(listing(&data), seen, "nothing was changed");

        fs::remove_file(&wal).expect("it is there");
        let said = refused(dir).await;
        assert!(said.contains("holds no log of etcd's"), "{said}");
        fs::write(&wal, &sound_wal).expect("a file can be written");

        let root = usize::from(sound_db[4096 + 16 + 16]) | usize::from(sound_db[16 + 16]);
        let mut bytes = sound_db.clone();
        bytes[root * 4096 + 8] = 0xff;
        fs::write(&db, bytes).expect("a file can be written");
        let said = refused(dir).await;
        assert!(said.contains("bad database at offset"), "{said}");
        fs::write(&db, &sound_db).expect("a file can be written");

        fs::create_dir_all(data.join("member/log")).expect("a directory");
        fs::write(data.join("member/log/0000000000000001.log"), "ours").expect("a file");
        let said = refused(dir).await;
        assert!(said.contains("000001.log is keel's"), "{said}");
    });
}

#[test]
fn a_log_that_lies_apart_is_imported_and_stays() {
    run(async |dir| {
        let (data, logs) = (dir.join("data"), dir.join("logs"));
        fixtures::data_dir_with(&data, &plain(), &puts(3), 3);
        fs::rename(data.join("member/wal"), &logs).expect("a rename");
        let flag = [format!("--wal-dir={}", logs.display())];
        // Another member's log is not to be lost by a mistake in a flag.
        let segment = logs.join("0000000000000001.log");
        fs::write(&segment, "somebody's").expect("a file");
        launch(dir, &flag).ready().await.expect_err("it must not start");
        assert!(segment.exists());
        // One that an import left half written is.
        fs::create_dir(data.join("import.tmp")).expect("a directory");
        let mut server = launch(dir, &flag);
        server.ready().await.expect("it starts");
        assert_eq!(hash(&server.addr).await.1, 49);
        server.restart().await.expect("it starts again");
        assert_eq!(hash(&server.addr).await.1, 49);
        assert!(logs.join("0000000000000000-0000000000000000.wal").exists(), "etcd's log is kept");
        assert!(logs.join("0000000000000001.log").exists(), "and ours lies beside it");
    });
}

/// There and back: what etcd wrote, as ours, as etcd's again.
#[test]
fn the_way_home_ends_where_it_began() {
    run(async |dir| {
        fixtures::data_dir_with(&dir.join("data"), &plain(), &puts(20), 20);
        let mut server = started(dir).await;
        insist::<pb::PutResponse>(&server.addr, "/etcdserverpb.KV/Put", &put_request("new", "one"))
            .await;
        let expected = hash(&server.addr).await;
        server.kill().expect("it runs");
        let migrate = ["migrate", "--data-dir=data", "--target-version=3.7", "--output-dir=home"];
        utl(dir, &migrate);
        assert_eq!(told(dir, "home"), expected);
        let status = utl(dir, &["snapshot", "status", "home", "-w", "json"]);
        assert!(status.contains("\"version\":\"3.7.0\""), "{status}");
        utl(dir, &["migrate", "--data-dir=home", "--target-version=3.6"]);
        fs::rename(dir.join("data"), dir.join("before")).expect("a rename");
        fs::rename(dir.join("home"), dir.join("data")).expect("a rename");
        let server = started(dir).await;
        assert_eq!(hash(&server.addr).await, expected);
    });
}
