//! Clusters of real processes: members die, lag, come and go while clients write, and nothing
//! that was acknowledged is lost.

mod beneath;
#[path = "../common/calls.rs"]
mod calls;
mod corruption;
#[path = "../common/history.rs"]
mod history;
#[path = "../common/large.rs"]
mod large;
mod leases;
mod life;
#[path = "../common/members.rs"]
mod members;
mod membership;
#[path = "../common/nested.rs"]
mod nested;
mod net;
mod partition;
mod repair;
#[path = "../common/search.rs"]
mod search;
mod slow;
#[path = "../common/small.rs"]
mod small;
mod wire;

use keel_cli::load::cluster::Cluster;
use std::path::PathBuf;

fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_etcd"))
}

/// Runs a test on a thread of its own.
fn with_runtime(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, test());
}

/// Runs a test against a cluster of ours, members given by their number.
fn with_cluster<F: AsyncFnOnce(&mut Cluster)>(members: usize, extra: &[&str], test: F) {
    with_runtime(async || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let extra: Vec<String> = extra.iter().map(|flag| String::from(*flag)).collect();
        let cluster = Cluster::start(dir.path(), &vec![ours(); members], None, &extra).await;
        test(&mut cluster.expect("the cluster starts")).await;
    });
}
