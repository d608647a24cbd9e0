//! A snapshot of ours is a database to etcd's own tools, and comes back as the same data.

use crate::{Pair, start, with_peers};
use keel_cli::load::calls::once;
use keel_cli::load::http2::Method;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::path::Path;
use std::process::Command;

async fn hash(addr: &str) -> (u32, i64) {
    let request = pb::HashKvRequest::default().encode_to_vec();
    let answer = once(addr, &Method::new("/etcdserverpb.Maintenance/HashKV"), &request).await;
    let answer = pb::HashKvResponse::decode(answer.expect("a hash")).expect("a hash");
    (answer.hash, answer.header.unwrap_or_default().revision)
}

fn run(program: &Path, args: &[&str]) -> String {
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
