//! A snapshot of ours is a database to etcd's own tools, and comes back as the same data.

use crate::{Pair, start, with_peers};
use keel_cli::load::calls::once;
use keel_cli::load::http2::Method;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::path::Path;
use std::process::Command;

pub(crate) async fn hash(addr: &str) -> (u32, i64) {
    let request = pb::HashKvRequest::default().encode_to_vec();
    let answer = once(addr, &Method::new("/etcdserverpb.Maintenance/HashKV"), &request).await;
    let answer = pb::HashKvResponse::decode(answer.expect("a hash")).expect("a hash");
    (answer.hash, answer.header.unwrap_or_default().revision)
}

pub(crate) fn run(program: &Path, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().expect("the program runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{} {args:?}: {said}", program.display());
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn a_snapshot_of_ours_restores_into_a_real_etcd() {
    with_peers(async |peers| {
        let pair = Pair::start(peers).await;
        for n in 0..2000_u32 {
            let key = format!("key{:04}", n % 700);
            // Some values need pages of their own.
            let value = vec![b'v'; if n % 100 == 0 { 20_000 } else { 40 }];
            let put = pb::PutRequest { key: key.into(), value: value.into(), ..Default::default() };
            let method = Method::new("/etcdserverpb.KV/Put");
            once(&pair.ours.addr, &method, &put.encode_to_vec()).await.expect("a put");
        }
        let file = pair.dir.path().join("ours.db");
        let file = file.to_str().expect("a path");
        run(&peers.etcdctl, &["--endpoints", &pair.ours.addr, "snapshot", "save", file]);
        let status = run(&peers.etcdutl, &["snapshot", "status", file, "-w", "json"]);
        assert!(status.contains("\"revision\":2001"), "{status}");
        assert!(status.contains("\"totalKey\":"), "{status}");

        // Their server starts on what their tool made of our snapshot.
        let home = pair.dir.path().join("restored");
        std::fs::create_dir_all(&home).expect("a directory");
        let data = home.join("data");
        let data = data.to_str().expect("a path");
        run(&peers.etcdutl, &["snapshot", "restore", file, "--data-dir", data]);
        let restored = start("restored", &peers.etcd, pair.dir.path(), &[]).await;
        assert_eq!(hash(&restored.addr).await, hash(&pair.ours.addr).await);
    });
}

/// etcd's snapshot as a member of ours, with and without a raised revision: the same data as its
/// own tool and server make of it.
#[test]
fn a_snapshot_of_etcds_restores_into_ours() {
    with_peers(async |peers| {
        let pair = Pair::start(peers).await;
        for n in 0..500_u32 {
            let put = pb::PutRequest {
                key: format!("key{:03}", n % 130).into(),
                value: vec![b'v'; if n % 90 == 0 { 20_000 } else { 40 }].into(),
                ..Default::default()
            };
            let method = Method::new("/etcdserverpb.KV/Put");
            once(&pair.theirs.addr, &method, &put.encode_to_vec()).await.expect("a put");
        }
        let gone = pb::DeleteRangeRequest { key: "key007".into(), ..Default::default() };
        let method = Method::new("/etcdserverpb.KV/DeleteRange");
        once(&pair.theirs.addr, &method, &gone.encode_to_vec()).await.expect("a deletion");
        let compact = pb::CompactionRequest { revision: 300, physical: true };
        let method = Method::new("/etcdserverpb.KV/Compact");
        once(&pair.theirs.addr, &method, &compact.encode_to_vec()).await.expect("a compaction");
        let file = pair.dir.path().join("theirs.db");
        let file = file.to_str().expect("a path");
        run(&peers.etcdctl, &["--endpoints", &pair.theirs.addr, "snapshot", "save", file]);

        let utl = Path::new(env!("CARGO_BIN_EXE_etcdutl"));
        let mut hashes = vec![hash(&pair.theirs.addr).await];
        for (name, flags) in
            [("plain", &[][..]), ("raised", &["--bump-revision=1000", "--mark-compacted"])]
        {
            let mut found = Vec::new();
            // Ours reads the file first: theirs may change it.
            for (whose, tool, server) in [
                ("ours", utl, Path::new(env!("CARGO_BIN_EXE_etcd"))),
                ("theirs", &*peers.etcdutl, &*peers.etcd),
            ] {
                let home = format!("{name}-{whose}");
                let data = pair.dir.path().join(&home).join("data");
                std::fs::create_dir_all(data.parent().expect("a parent")).expect("a directory");
                let data = data.to_str().expect("a path");
                run(tool, &[&["snapshot", "restore", file, "--data-dir", data], flags].concat());
                let server = start(&home, server, pair.dir.path(), &[]).await;
                found.push(hash(&server.addr).await);
            }
            assert_eq!(found[0], found[1], "{name}");
            hashes.extend(found);
        }
        assert_eq!(hashes[0], hashes[1], "a restored member holds what was saved");
        assert_eq!(hashes[3].1, hashes[0].1 + 1000, "the revision goes on higher");
    });
}
