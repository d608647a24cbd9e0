//! What a lease has left outlives its leader, where checkpoints of it are on.

use crate::calls::{PATIENCE, insist, put_request};
use crate::with_cluster;
use keel_cli::load::cluster::Cluster;
use keel_cli::load::failover::leader;
use keel_proto::pb::etcdserverpb as pb;
use std::time::{Duration, Instant};

/// How often a leader writes down what leases have left: etcd's.
const INTERVAL: i64 = 300;
const LEASE: i64 = 7;
/// Between two looks at what counts seconds.
const SECOND: Duration = Duration::from_secs(1);

/// It takes five minutes of waiting, as the first checkpoint does.
#[test]
fn a_new_leader_counts_on_from_the_checkpoint_of_the_old_one() {
    with_cluster(3, &["--feature-gates=LeaseCheckpoint=true"], async |kept| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let plain = Cluster::start(dir.path(), &vec![crate::ours(); 3], None, &[]).await;
        let mut plain = plain.expect("the cluster starts");
        for cluster in [&*kept, &plain] {
            let grant = pb::LeaseGrantRequest { ttl: 2 * INTERVAL, id: LEASE };
            let addr = &cluster.addrs()[0];
            let _: pb::LeaseGrantResponse =
                insist(addr, "/etcdserverpb.Lease/LeaseGrant", &grant).await;
        }
        let (with, without) = (after_the_leader(kept).await, after_the_leader(&mut plain).await);
        assert!(with <= INTERVAL, "{with} seconds are left");
        assert!(without > INTERVAL, "{without} seconds are left where nothing was written down");
    });
}

/// Waits until the lease's first checkpoint was due, kills the leader, and tells what the next one
/// gives the lease.
async fn after_the_leader(cluster: &mut Cluster) -> i64 {
    let addrs = cluster.addrs();
    while left(&addrs[0]).await >= INTERVAL - 1 {
        tokio::time::sleep(SECOND).await;
    }
    // Whatever the leader wrote down before lies before this in the log.
    let put = put_request("/behind", "v");
    let _: pb::PutResponse = insist(&addrs[0], "/etcdserverpb.KV/Put", &put).await;
    let dead = leader(cluster).await.expect("somebody leads");
    cluster.members[dead].kill().expect("it lives");
    left(&addrs[(dead + 1) % addrs.len()]).await
}

/// The seconds that the lease has left, says the leader, through this member.
async fn left(addr: &str) -> i64 {
    let begun = Instant::now();
    loop {
        let request = pb::LeaseTimeToLiveRequest { id: LEASE, keys: false };
        let life: pb::LeaseTimeToLiveResponse =
            insist(addr, "/etcdserverpb.Lease/LeaseTimeToLive", &request).await;
        if life.ttl > 0 {
            return life.ttl;
        }
        assert!(begun.elapsed() < PATIENCE, "the lease is gone");
    }
}
