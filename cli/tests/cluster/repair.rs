//! A member whose disk lies takes its state from the others, if it is told so.

use crate::calls::{LOOK, PATIENCE, call, insist, wait_until_equal};
use crate::history::{History, answers};
use crate::with_cluster;
use keel_cli::load::cluster::Cluster;
use keel_cli::load::process::Server;
use keel_proto::pb::etcdserverpb as pb;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXTRA: [&str; 2] = ["--snapshot-count=100", "--snapshot-catchup-entries=50"];

/// The files of one kind, the oldest first.
fn files(member: &Server, home: &str, end: &str) -> Vec<PathBuf> {
    let home = member.launched().dir.join("data/member").join(home);
    let found = fs::read_dir(home).expect("a member has such files");
    let found = found.map(|entry| entry.expect("it can be listed").path());
    let mut found: Vec<PathBuf> =
        found.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    found.sort();
    found
}

/// Flips a bit in each page of the file's first part that holds anything.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("it can be read");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("there is something in it");
    for at in (200..used).step_by(4096) {
        bytes[at] ^= 1;
    }
    fs::write(path, bytes).expect("it can be written");
}

async fn id(member: &Server) -> u64 {
    let status: pb::StatusResponse =
        insist(&member.addr, "/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}).await;
    status.header.expect("a header").member_id
}

async fn is_silent(addr: &str) -> bool {
    let status = pb::StatusRequest {};
    call::<pb::StatusResponse>(addr, "/etcdserverpb.Maintenance/Status", &status).await.is_err()
}

/// Breaks the last member's disk while clients write, sees that it stops with a line that says
/// what to do, and lets it do that.
async fn breaks_and_comes_back(cluster: &mut Cluster, harm: impl FnOnce(&Server)) {
    let mut member = cluster.members.pop().expect("three members");
    let history = History::begin(cluster.addrs(), 4);
    answers(&history, 300).await;
    let begun = Instant::now();
    while files(&member, "state", ".state").is_empty() {
        assert!(begun.elapsed() < PATIENCE, "it writes no checkpoint");
        tokio::time::sleep(LOOK).await;
    }
    // And one more behind it, so that the manifest names the first.
    answers(&history, 300).await;
    let before = id(&member).await;
    member.kill().expect("it lives");
    harm(&member);
    let error = member.revive().await.expect_err("its disk lies").to_string();
    assert!(error.contains("--self-repair"), "{error}");
    let mut launch = member.launched().clone();
    launch.extra.push(String::from("--self-repair"));
    drop(member);
    let mut member = Server::launch(launch).expect("it can be started");
    member.ready().await.expect("it takes the others' state");
    assert_eq!(id(&member).await, before, "it is the same member");
    let home = member.launched().dir.join("data");
    assert!(!home.join("repair-unfinished").exists());
    cluster.members.push(member);
    let addr = cluster.addrs()[0].clone();
    history.check(&addr).await;
    wait_until_equal(cluster).await;
    // It votes and counts again: with one of the others it is a majority.
    let mut other = cluster.members.remove(0);
    other.kill().expect("it lives");
    for member in &mut cluster.members {
        member.ready().await.expect("two of three are enough");
    }
    other.revive().await.expect("it comes back");
    cluster.members.insert(0, other);
    wait_until_equal(cluster).await;
}

#[test]
fn a_member_whose_log_is_damaged_takes_the_others_state() {
    with_cluster(3, &EXTRA, async |cluster| {
        breaks_and_comes_back(cluster, |member| {
            let logs = files(member, "log", ".log");
            // The newest of them is a spare that is empty yet.
            let written =
                |log: &&PathBuf| fs::read(log).is_ok_and(|log| log.iter().any(|b| *b != 0));
            damage(logs.iter().rfind(written).expect("a log"));
        })
        .await;
    });
}

#[test]
fn a_member_whose_state_is_damaged_takes_the_others_state() {
    with_cluster(3, &EXTRA, async |cluster| {
        breaks_and_comes_back(cluster, |member| {
            let files = files(member, "state", ".state");
            damage(files.first().expect("a checkpoint"));
        })
        .await;
    });
}

#[test]
fn a_member_whose_log_is_gone_takes_the_others_state() {
    with_cluster(3, &EXTRA, async |cluster| {
        breaks_and_comes_back(cluster, |member| {
            for log in files(member, "log", ".log") {
                fs::remove_file(log).expect("it is there");
            }
            assert_ne!(files(member, "state", ".state"), [] as [PathBuf; 0], "a checkpoint");
        })
        .await;
    });
}

#[test]
fn a_member_whose_disk_is_gone_takes_the_others_state() {
    with_cluster(3, &EXTRA, async |cluster| {
        breaks_and_comes_back(cluster, |member| {
            fs::remove_dir_all(member.launched().dir.join("data")).expect("it has data");
        })
        .await;
    });
}

#[test]
fn a_repair_that_was_cut_short_is_not_taken_for_a_whole_member() {
    with_cluster(3, &EXTRA, async |cluster| {
        breaks_and_comes_back(cluster, |member| {
            let data = member.launched().dir.join("data");
            fs::write(data.join("repair-unfinished"), "").expect("there is room");
        })
        .await;
    });
}

#[test]
fn a_repair_waits_until_every_other_voter_has_named_its_term() {
    with_cluster(5, &EXTRA, async |cluster| {
        let mut silent = cluster.members.pop().expect("five members");
        let mut lost = cluster.members.pop().expect("four members");
        silent.kill().expect("it lives");
        lost.kill().expect("it lives");
        fs::remove_dir_all(lost.launched().dir.join("data")).expect("it has data");
        let mut launch = lost.launched().clone();
        launch.extra.push(String::from("--self-repair"));
        drop(lost);
        let mut lost = Server::launch(launch).expect("it can be started");
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(!lost.has_ended().expect("it can be asked"), "{}", lost.last_words());
        assert!(is_silent(&lost.addr).await, "it serves, and one voter was not asked");
        silent.revive().await.expect("it comes back");
        lost.ready().await.expect("now it can");
        cluster.members.extend([lost, silent]);
        wait_until_equal(cluster).await;
    });
}
