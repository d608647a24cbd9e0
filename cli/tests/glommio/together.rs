//! Members on either runtime in one cluster, and one directory under both.

use crate::calls::{equal_meanwhile, insist, put_request, wait_until_equal};
use crate::common::server::ours;
use crate::history::{History, answers};
use crate::{block_on, flags, on};
use keel_cli::load::cluster::Cluster;
use keel_cli::load::failover::leader;
use keel_cli::load::process::Server;
use keel_proto::pb::etcdserverpb as pb;

/// Small enough that who was away for a moment needs the state.
const SMALL: [&str; 2] = ["--snapshot-count=100", "--snapshot-catchup-entries=50"];

#[test]
fn members_on_either_runtime_lead_lag_and_die_and_nothing_is_lost() {
    if flags().is_none() {
        return;
    }
    block_on(async {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let extra = SMALL.map(String::from);
        let plan = Cluster::plan(dir.path(), &vec![ours(); 3], None, &extra);
        let mut plan = plan.expect("there are ports");
        for (launch, runtime) in plan.iter_mut().zip(["glommio", "tokio", "glommio"]) {
            launch.extra.extend(on(runtime));
        }
        // On one core a member has one shard, else one a core.
        plan[0].cpu = Some(0);
        let cluster = Cluster::launch(dir.path(), plan).await;
        let mut cluster = cluster.expect("members on either runtime form a cluster");
        let history = History::begin(cluster.addrs(), 4);
        for _ in 0..4 {
            answers(&history, 50).await;
            let leader = leader(&cluster).await.expect("somebody leads");
            cluster.members[leader].kill().expect("it lives");
            // Longer than the log goes back.
            answers(&history, 400).await;
            cluster.members[leader].revive().await.expect("it starts again");
        }
        answers(&history, 50).await;
        equal_meanwhile(&cluster).await;
        let addr = cluster.addrs()[0].clone();
        history.check(&addr).await;
        wait_until_equal(&cluster).await;
    });
}

#[test]
fn a_directory_goes_from_one_runtime_to_the_other_and_back() {
    if flags().is_none() {
        return;
    }
    block_on(async {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut extra = vec![String::from("--snapshot-count=20")];
        extra.extend(on("tokio"));
        let first = Server::start("keel", &ours(), dir.path(), None, &extra).await;
        let mut launch = first.expect("the server starts").launched().clone();
        let mut written = 0;
        for (life, runtime) in ["glommio", "tokio", "glommio", "tokio"].iter().enumerate() {
            launch.extra = vec![String::from("--snapshot-count=20")];
            launch.extra.extend(on(runtime));
            let mut server = Server::launch(launch.clone()).expect("it can be started");
            server.ready().await.expect("it goes on where the other stopped");
            for _ in 0..30 {
                let put = put_request(&format!("key-{written:03}"), runtime);
                let _: pb::PutResponse = insist(&server.addr, "/etcdserverpb.KV/Put", &put).await;
                written += 1;
            }
            // Either way to go, in turn.
            match life % 2 {
                0 => server.stop().expect("it stops"),
                _ => server.kill().expect("it lives"),
            }
        }
        launch.extra = on("glommio");
        let mut server = Server::launch(launch).expect("it can be started");
        server.ready().await.expect("it goes on where the other stopped");
        let range = pb::RangeRequest {
            key: b"key".as_slice().into(),
            range_end: b"kez".as_slice().into(),
            ..Default::default()
        };
        let found: pb::RangeResponse = insist(&server.addr, "/etcdserverpb.KV/Range", &range).await;
        let revisions: Vec<i64> = found.kvs.iter().map(|kv| kv.mod_revision).collect();
        assert_eq!(revisions, (2..2 + written).collect::<Vec<i64>>());
    });
}
