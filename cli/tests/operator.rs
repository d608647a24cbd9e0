//! What an operator meets on a bad day: the server refuses in one line, loses nothing that it
//! acknowledged, and comes back once the trouble is gone.

mod common;
#[path = "common/small.rs"]
mod small;

use common::server::Server;
use keel_cli::load::calls::once;
use keel_cli::load::http2::{Conn, Heard, Method};
use keel_cli::load::process::Server as Process;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use small::Small;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

const RANGE: &str = "/etcdserverpb.KV/Range";

/// Starts a server that is expected to refuse.
fn refused(dir: &Path, client: &str, peer: &str, extra: &[&str]) -> String {
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    let output = Command::new(env!("CARGO_BIN_EXE_etcd"))
        .arg("--data-dir")
        .arg(dir)
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(extra)
        .output()
        .expect("the server can be started");
    assert!(!output.status.success(), "it must not leave with success");
    last_line(&output)
}

fn last_line(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_directory_in_use_and_a_taken_port_are_refused_in_a_line() {
    let server = Server::start(&common::server::ours());
    let other = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let free = "127.0.0.1:0";
    let line = refused(&server.data_dir(), free, free, &[]);
    assert!(line.contains("another process") && line.contains("data"), "{line}");
    let taken = other.local_addr().expect("it is bound").to_string();
    let fresh = tempfile::tempdir().expect("a temporary directory");
    let line = refused(&fresh.path().join("data"), &taken, free, &[]);
    assert!(line.contains(&taken) && line.contains("in use"), "{line}");
}

#[test]
fn a_full_disk_ends_the_server_and_costs_no_acknowledged_write() {
    let Some(small) = Small::mount("data", "200m") else {
        eprintln!("SKIPPED: this user may not mount a small file system");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let binary = Path::new(env!("CARGO_BIN_EXE_etcd"));
        let mut server = Process::start("keel", binary, small.path(), None, &[])
            .await
            .expect("the server starts");
        let acknowledged = put_until_it_dies(&server.addr).await;
        assert!(acknowledged > 0, "the disk had room for some");
        server.stop().expect("its end can be waited for");
        let said = std::fs::read_to_string(small.path().join("stderr")).expect("its words");
        let line = said.lines().last().unwrap_or_default();
        assert!(line.contains("No space left") && line.contains("free space"), "{said}");
        small.grow("1g");
        server.revive().await.expect("it starts again where there is room");
        let all = pb::RangeRequest {
            key: "full/".into(),
            range_end: "full0".into(),
            count_only: true,
            ..Default::default()
        };
        let answer = once(&server.addr, &Method::new(RANGE), &all.encode_to_vec()).await;
        let answer = pb::RangeResponse::decode(answer.expect("it serves")).expect("an answer");
        let count = answer.count;
        assert!(
            count == acknowledged || count == acknowledged + 1,
            "{count} keys where {acknowledged} were acknowledged"
        );
    });
}

/// As in etcd, whose `--max-snapshots` says how many snapshots there are to go on from; zero keeps
/// all.
#[test]
fn a_member_goes_on_from_as_many_snapshots_as_it_was_told_to_keep() {
    on_a_runtime(async || {
        for (kept, rescued) in [("1", false), ("2", true), ("0", true)] {
            let flags = [&format!("--max-snapshots={kept}"), "--snapshot-count=5"];
            let mut server = Server::start_with(&common::server::ours(), &flags);
            let addr = String::from(server.endpoint());
            // Each end writes a snapshot.
            for round in 0..4 {
                if round > 0 {
                    server.restart();
                }
                put(&addr, &format!("key-{round}")).await;
                assert!(server.stop(), "{}", server.log());
            }
            flip_last_byte(&server.data_dir().join("member/state"));
            if rescued {
                server.restart();
                assert_eq!(count(&addr).await, 4);
                let said = server.log();
                assert!(said.contains("the newest snapshot is damaged"), "{said}");
            } else {
                let free = "127.0.0.1:0";
                let line = refused(&server.data_dir(), free, free, &flags);
                assert!(line.contains("damaged at offset"), "{line}");
            }
        }
    });
}

/// Changes the last byte that was written to the newest state file: it is the newest snapshot's.
fn flip_last_byte(dir: &Path) {
    let files = std::fs::read_dir(dir).expect("a directory of state files");
    let paths = files.map(|file| file.expect("it can be listed").path());
    let newest = paths.filter(|path| path.extension().is_some_and(|end| end == "state")).max();
    let newest = newest.expect("a snapshot was written");
    let mut bytes = std::fs::read(&newest).expect("it can be read");
    let last = bytes.iter().rposition(|&byte| byte != 0).expect("something was written");
    bytes[last] ^= 1;
    std::fs::write(&newest, bytes).expect("it can be written");
}

fn on_a_runtime(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, test());
}

/// Ends a server gracefully, so that its state is in a checkpoint.
async fn end(server: &mut Process) {
    server.signal("TERM").expect("it lives");
    while !server.has_ended().expect("it can be waited for") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn put(addr: &str, key: &str) {
    let put = pb::PutRequest { key: key.to_owned().into(), ..Default::default() };
    let put = once(addr, &Method::new("/etcdserverpb.KV/Put"), &put.encode_to_vec()).await;
    put.expect("it takes a put");
}

async fn count(addr: &str) -> i64 {
    let all = pb::RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        count_only: true,
        ..Default::default()
    };
    let answer = once(addr, &Method::new(RANGE), &all.encode_to_vec()).await;
    pb::RangeResponse::decode(answer.expect("it serves")).expect("an answer").count
}

/// With the log go votes, and what was acknowledged since the checkpoint.
#[test]
fn a_state_whose_log_is_gone_is_not_served() {
    on_a_runtime(async || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let binary = Path::new(env!("CARGO_BIN_EXE_etcd"));
        let mut server =
            Process::start("keel", binary, dir.path(), None, &[]).await.expect("it starts");
        put(&server.addr, "a").await;
        end(&mut server).await;
        let log = dir.path().join("data/member/log");
        std::fs::remove_dir_all(&log).expect("there is one");
        let error = server.revive().await.expect_err("it must not serve").to_string();
        assert!(error.contains("its log is gone"), "{error}");
    });
}

#[test]
fn the_log_lies_where_it_is_told_to() {
    on_a_runtime(async || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let logs = dir.path().join("logs");
        let flag = format!("--wal-dir={}", logs.display());
        let binary = Path::new(env!("CARGO_BIN_EXE_etcd"));
        let mut server =
            Process::start("keel", binary, dir.path(), None, std::slice::from_ref(&flag))
                .await
                .expect("it starts");
        put(&server.addr, "a").await;
        server.kill().expect("it lives");
        let found = std::fs::read_dir(&logs).expect("it is made");
        let found = found.map(|entry| entry.expect("readable").file_name());
        assert!(
            found
                .map(|name| name.into_string())
                .any(|name| { name.is_ok_and(|name| name.ends_with(".log")) })
        );
        assert!(!dir.path().join("data/member/log").exists());
        server.revive().await.expect("it finds it again");
        assert_eq!(count(&server.addr).await, 1);
        // Nobody else may write there, whatever their data directory is.
        let other = dir.path().join("other");
        std::fs::create_dir(&other).expect("there is room");
        let refused = Process::start("other", binary, &other, None, &[flag]).await;
        let refused = refused.expect_err("it is in use").to_string();
        assert!(refused.contains("--wal-dir") && refused.contains("another process"), "{refused}");
        // Without the flag the log is not there, and that is not taken for an empty one.
        end(&mut server).await;
        let mut launch = server.launched().clone();
        launch.extra.clear();
        drop(server);
        let mut lost = Process::launch(launch).expect("it can be started");
        let error = lost.ready().await.expect_err("its log is elsewhere").to_string();
        assert!(error.contains("its log is gone"), "{error}");
    });
}

/// Puts one after the other until the server is gone; how many it acknowledged.
async fn put_until_it_dies(addr: &str) -> i64 {
    let mut conn = Conn::connect(addr).await.expect("a connection");
    let method = Method::new("/etcdserverpb.KV/Put");
    for number in 0.. {
        let put = pb::PutRequest {
            key: format!("full/{number:06}").into(),
            value: vec![b'v'; 512 * 1024].into(),
            ..Default::default()
        };
        conn.call(&method, &put.encode_to_vec());
        let mut answered = false;
        loop {
            match conn.next().await {
                Ok(Heard::Message(..)) => answered = true,
                Ok(Heard::End(_)) if answered => break,
                Ok(Heard::End(_)) | Err(_) => return number,
            }
        }
    }
    unreachable!("numbers do not end")
}
