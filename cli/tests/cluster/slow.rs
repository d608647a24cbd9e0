//! One member's disk stands still: it neither leads on nor holds the others up.

use crate::calls::{LOOK, PATIENCE, call, insist, put_request, wait_until_equal};
use crate::history::{History, answers};
use crate::life::move_leader;
use crate::nested::Nested;
use crate::{ours, with_runtime};
use keel_cli::load::cluster::Cluster;
use keel_cli::load::failover::leader;
use keel_proto::pb::etcdserverpb as pb;
use std::time::Instant;

const CLIENTS: usize = 8;

/// The member with the disk that can be frozen.
const SLOW: usize = 0;

/// Runs a test against three members, one of them on a disk that can be frozen.
fn with_slow_member(test: impl AsyncFnOnce(&Cluster, &Nested)) {
    let Some(nested) = Nested::mount() else { return };
    with_runtime(async || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut launches =
            Cluster::plan(dir.path(), &vec![ours(); 3], None, &[]).expect("there are ports");
        launches[SLOW].dir = nested.path("inner");
        let cluster = Cluster::launch(dir.path(), launches).await;
        test(&cluster.expect("the cluster starts"), &nested).await;
    });
}

async fn status(addr: &str) -> pb::StatusResponse {
    insist(addr, "/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}).await
}

#[test]
fn a_leader_whose_disk_stands_still_leads_no_longer() {
    with_slow_member(async |cluster, nested| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        answers(&history, 100).await;
        move_leader(cluster, SLOW).await;
        let addrs = cluster.addrs();
        let stalled = status(&addrs[SLOW]).await.leader;
        nested.freeze();
        let begun = Instant::now();
        loop {
            // A write is what the disk is asked to keep.
            let put = put_request("/stalled", "v");
            let _: Result<pb::PutResponse, _> = call(&addrs[1], "/etcdserverpb.KV/Put", &put).await;
            let leader = status(&addrs[1]).await.leader;
            if leader != 0 && leader != stalled {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "it leads on");
            tokio::time::sleep(LOOK).await;
        }
        // The others go on while it waits for its disk.
        history.move_to(addrs[1..].to_vec());
        answers(&history, 200).await;
        nested.thaw();
        history.move_to(addrs.clone());
        answers(&history, 100).await;
        history.check(&addrs[SLOW]).await;
        wait_until_equal(cluster).await;
    });
}

#[test]
fn a_follower_whose_disk_stands_still_costs_the_others_nothing() {
    with_slow_member(async |cluster, nested| {
        let addrs = cluster.addrs();
        if leader(cluster).await.expect("somebody leads") == SLOW {
            move_leader(cluster, 1).await;
        }
        let before = status(&addrs[1]).await;
        nested.freeze();
        let history = History::begin(addrs[1..].to_vec(), CLIENTS);
        answers(&history, 500).await;
        // More than may be under way to one follower at once.
        for nth in 0..100 {
            let put = pb::PutRequest {
                key: format!("/large/{}", nth % 10).into(),
                value: vec![b'v'; 256 * 1024].into(),
                ..Default::default()
            };
            let put: Result<pb::PutResponse, _> =
                call(&addrs[1 + nth % 2], "/etcdserverpb.KV/Put", &put).await;
            put.expect("each is answered at the first attempt");
        }
        let after = status(&addrs[1]).await;
        assert_eq!((after.leader, after.raft_term), (before.leader, before.raft_term));
        nested.thaw();
        answers(&history, 100).await;
        history.check(&addrs[SLOW]).await;
        wait_until_equal(cluster).await;
    });
}
