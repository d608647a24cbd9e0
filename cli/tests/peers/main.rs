//! The suite that wants a real etcd beside ours: same work, same answers, same bytes.
//!
//! It builds etcd's own programs from the Go module proxy, once, into the target directory, and
//! says so on standard error where it must skip: no Go, or no network to fetch the modules.
//! `KEEL_PEERS=DIR` uses the programs in DIR instead.

mod beside;
mod build;
#[path = "../common/calls.rs"]
mod calls;
mod clients;
mod failover;
#[path = "../common/history.rs"]
mod history;
mod import;
#[path = "../common/large.rs"]
mod large;
#[path = "../common/members.rs"]
mod members;
mod mixed;
#[path = "../common/runtimes.rs"]
mod runtimes;
#[path = "../common/search.rs"]
mod search;
mod snapshot;
mod told;
mod workload;

use keel_cli::load::process::Server;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// A server of ours and one of theirs, each on a directory of its own.
struct Pair {
    ours: Server,
    theirs: Server,
    dir: TempDir,
}

impl Pair {
    async fn start(peers: &build::Peers) -> Pair {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ours = start("keel", Path::new(env!("CARGO_BIN_EXE_etcd")), dir.path(), &[]).await;
        // What is compared is the answers; their speed is not, so theirs need not sync, and is
        // not to lose its leader on a busy machine.
        let patient =
            ["--unsafe-no-fsync", "--heartbeat-interval=1000", "--election-timeout=10000"];
        let theirs = start("etcd", &peers.etcd, dir.path(), &patient.map(String::from)).await;
        Pair { ours, theirs, dir }
    }
}

async fn start(name: &str, binary: &Path, dir: &Path, extra: &[String]) -> Server {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir).expect("a directory for the server");
    let started = Server::start(name, binary, &dir, None, extra).await;
    started.unwrap_or_else(|error| {
        let said = std::fs::read_to_string(dir.join("stderr")).unwrap_or_default();
        panic!("{name} does not start: {error}\n{said}")
    })
}

/// Runs a test that needs the peers on a runtime of its own, or says why it does not.
fn with_peers<F: Future<Output = ()>>(test: impl FnOnce(&'static build::Peers) -> F) {
    let Some(peers) = build::peers() else { return };
    // One after the other: the machine is small, and a starved server answers late.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, test(peers));
}
