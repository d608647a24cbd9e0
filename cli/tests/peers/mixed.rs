//! Members of ours and of etcd's in one cluster: either leads, either brings the other the log
//! and the state, and one takes the other's place while clients write.

use crate::beside::Beside;
use crate::calls::{LOOK, PATIENCE, call, equal_meanwhile, insist, wait_until_equal};
use crate::history::{History, answers};
use crate::large;
use crate::members::{As, join, remove_first};
use crate::runtimes::runtimes;
use crate::told::{Refusals, Told};
use crate::with_peers;
use keel_cli::load::cluster::Cluster;
use keel_cli::load::failover::leader;
use keel_cli::load::process::Server;
use keel_proto::pb::etcdserverpb as pb;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_etcd"))
}

/// Small enough that who was away for a moment needs the state.
const SMALL: [&str; 2] = ["--snapshot-count=100", "--snapshot-catchup-entries=50"];

/// What etcd tells whoever asks while a leader goes; which of these is told is a matter of moments.
const LEADERLESS: [&str; 6] = [
    "Unavailable: etcdserver: leader changed",
    "Unavailable: etcdserver: no leader",
    "Unavailable: etcdserver: request timed out",
    "Unavailable: etcdserver: request timed out, possibly due to connection lost",
    "Unavailable: etcdserver: request timed out, possibly due to previous leader failure",
    "Unknown: raft proposal dropped",
];

/// Members of ours run on each runtime in turn.
async fn cluster(dir: &Path, binaries: &[PathBuf]) -> Cluster {
    let plan = Cluster::plan(dir, binaries, None, &SMALL.map(String::from));
    let mut plan = plan.expect("there are ports");
    let ours = plan.iter_mut().filter(|launch| launch.binary == ours());
    for (launch, runtime) in ours.zip(runtimes().into_iter().rev().cycle()) {
        // A newcomer takes the first one's flags, and etcd has none for this.
        launch.under = vec![String::from("env"), runtime.replace("--runtime", "ETCD_RUNTIME")];
    }
    let started = Cluster::launch(dir, plan).await;
    started.expect("members of both kinds form a cluster")
}

/// Moves the leadership to the n-th member.
async fn lead(cluster: &Cluster, to: usize) {
    let addr = &cluster.members[to].addr;
    let status: pb::StatusResponse =
        insist(addr, "/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}).await;
    let target_id = status.header.expect("a header").member_id;
    let begun = Instant::now();
    loop {
        let now = leader(cluster).await.expect("somebody leads");
        if now == to {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the leadership does not move");
        let request = pb::MoveLeaderRequest { target_id };
        let addr = &cluster.members[now].addr;
        // It may have moved by itself meanwhile: then it is asked again.
        let _: Result<pb::MoveLeaderResponse, _> =
            call(addr, "/etcdserverpb.Maintenance/MoveLeader", &request).await;
        tokio::time::sleep(LOOK).await;
    }
}

#[test]
fn either_kind_leads_and_brings_the_other_the_log_and_the_state() {
    with_peers(async |peers| {
        for binaries in
            [[peers.etcd.clone(), peers.etcd.clone(), ours()], [ours(), ours(), peers.etcd.clone()]]
        {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let mut cluster = cluster(dir.path(), &binaries).await;
            let history = History::begin(cluster.addrs(), 4);
            for to in 0..3 {
                answers(&history, 50).await;
                lead(&cluster, to).await;
            }
            for kind in [2, 0] {
                // Away for longer than the log goes back.
                let led = if kind == 0 { 2 } else { 0 };
                lead(&cluster, led).await;
                cluster.members[kind].kill().expect("it lives");
                answers(&history, 400).await;
                cluster.members[kind].revive().await.expect("it starts again");
                answers(&history, 50).await;
            }
            let addr = cluster.addrs()[1].clone();
            history.check(&addr).await;
            wait_until_equal(&cluster).await;
        }
    });
}

#[cfg(feature = "glommio")]
#[test]
fn one_of_etcds_and_ours_on_either_runtime_lead_lag_and_die_in_turn() {
    if let Err(failure) = keel_runtime_glommio::probe() {
        eprintln!("SKIPPED: {failure}");
        return;
    }
    with_peers(async |peers| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let binaries = [peers.etcd.clone(), ours(), ours()];
        let plan = Cluster::plan(dir.path(), &binaries, None, &SMALL.map(String::from));
        let mut plan = plan.expect("there are ports");
        plan[1].extra.push(String::from("--runtime=tokio"));
        plan[2].extra.push(String::from("--runtime=glommio"));
        let cluster = Cluster::launch(dir.path(), plan).await;
        let mut cluster = cluster.expect("the three form a cluster");
        let history = History::begin(cluster.addrs(), 4);
        for kind in 0..3 {
            lead(&cluster, kind).await;
            answers(&history, 50).await;
            cluster.members[kind].kill().expect("it lives");
            // Longer than the log goes back.
            answers(&history, 400).await;
            cluster.members[kind].revive().await.expect("it starts again");
            answers(&history, 50).await;
        }
        let addr = cluster.addrs()[2].clone();
        history.check(&addr).await;
        wait_until_equal(&cluster).await;
    });
}

#[test]
fn a_large_state_of_etcds_is_taken_in_piece_by_piece() {
    with_peers(async |peers| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let binaries = [peers.etcd.clone(), peers.etcd.clone(), ours()];
        let mut cluster = cluster(dir.path(), &binaries).await;
        lead(&cluster, 0).await;
        let most = large::take_in(&mut cluster).await;
        eprintln!("{} MB of values, {} MB of memory", large::BYTES / 1_000_000, most / 1_000_000);
        assert!(most < large::BYTES / 3, "{most} bytes were held");
    });
}

#[test]
fn one_kind_takes_the_others_place_while_clients_write() {
    with_peers(async |peers| {
        // What the very same costs among etcds is the measure.
        let known = replace(&peers.etcd, &peers.etcd).await;
        eprintln!("etcd by etcd: {known:?}");
        for (from, to) in [(peers.etcd.clone(), ours()), (ours(), peers.etcd.clone())] {
            let refusals = replace(&from, &to).await;
            eprintln!("{} by {}: {refusals:?}", from.display(), to.display());
            let is_known = |told: &str| known.contains_key(told) || LEADERLESS.contains(&told);
            let beyond: Vec<&String> = refusals.keys().filter(|told| !is_known(told)).collect();
            assert!(beyond.is_empty(), "etcds do not tell clients this: {beyond:?}");
        }
    });
}

/// Three members give way to three of another program, one by one; what clients were told
/// meanwhile instead of an answer.
async fn replace(from: &Path, to: &Path) -> Refusals {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = cluster(dir.path(), &vec![from.to_path_buf(); 3]).await;
    let history = History::begin(cluster.addrs(), 4);
    let beside = Beside::begin(cluster.addrs()).await;
    let told = Told::begin(cluster.addrs());
    answers(&history, 300).await;
    for nth in 0..3 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let first = if nth == 1 { As::Voter } else { As::Learner };
        join(&mut cluster, to, first).await;
        equal_meanwhile(&cluster).await;
        let rest: Vec<String> = cluster.addrs().split_off(1);
        history.move_to(rest.clone());
        beside.move_to(rest.clone());
        told.move_to(rest);
        tokio::time::sleep(Duration::from_secs(5)).await;
        remove_first(&mut cluster).await;
        answers(&history, 50).await;
        equal_meanwhile(&cluster).await;
    }
    assert_eq!(cluster.members.len(), 3);
    lead(&cluster, 2).await;
    beside.finish().await;
    let refusals = told.finish();
    let addr = cluster.addrs()[0].clone();
    history.check(&addr).await;
    wait_until_equal(&cluster).await;
    refusals
}

#[test]
fn a_member_of_ours_takes_its_lost_state_from_etcds() {
    with_peers(async |peers| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let binaries = [peers.etcd.clone(), peers.etcd.clone(), ours()];
        let mut cluster = cluster(dir.path(), &binaries).await;
        lead(&cluster, 0).await;
        let history = History::begin(cluster.addrs(), 4);
        answers(&history, 300).await;
        let mut lost = cluster.members.pop().expect("ours");
        lost.kill().expect("it lives");
        std::fs::remove_dir_all(lost.launched().dir.join("data")).expect("it has data");
        answers(&history, 300).await;
        let mut launch = lost.launched().clone();
        launch.extra.push(String::from("--self-repair"));
        drop(lost);
        let mut back = Server::launch(launch).expect("it can be started");
        back.ready().await.expect("it takes their state");
        cluster.members.push(back);
        answers(&history, 100).await;
        // It counts again: the leader that brought it the state goes.
        lead(&cluster, 2).await;
        cluster.members[0].kill().expect("it lives");
        answers(&history, 100).await;
        cluster.members[0].revive().await.expect("it comes back");
        let addr = cluster.addrs()[2].clone();
        history.check(&addr).await;
        wait_until_equal(&cluster).await;
        // Not the keys alone: everything that a member remembers.
        let mut hashes = Vec::new();
        for addr in cluster.addrs() {
            let hash: pb::HashResponse =
                insist(&addr, "/etcdserverpb.Maintenance/Hash", &pb::HashRequest {}).await;
            hashes.push(hash.hash);
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    });
}
