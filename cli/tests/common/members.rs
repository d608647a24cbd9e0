//! Members come and go.

use crate::calls::{LOOK, PATIENCE, call, insist};
use keel_cli::load::cluster::Cluster;
use keel_cli::load::process::Server;
use keel_proto::pb::etcdserverpb as pb;
use std::path::Path;
use std::time::Instant;

/// How a member comes in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// As operators should: it catches up, and only then votes.
    Learner,
    Voter,
}

/// Adds a member, starts it, and waits until it serves as a voter.
pub(crate) async fn join(cluster: &mut Cluster, binary: &Path, first: As) {
    let launch = cluster.newcomer(binary).expect("there are ports");
    let addr = cluster.addrs()[0].clone();
    let request = pb::MemberAddRequest {
        peer_ur_ls: vec![format!("http://{}", launch.peer)],
        is_learner: first == As::Learner,
    };
    let added: pb::MemberAddResponse =
        insist(&addr, "/etcdserverpb.Cluster/MemberAdd", &request).await;
    let id = added.member.expect("the new member").id;
    let server = Server::launch(launch).expect("it can be started");
    cluster.members.push(server);
    if first == As::Learner {
        let request = pb::MemberPromoteRequest { id };
        let _: pb::MemberPromoteResponse =
            insist(&addr, "/etcdserverpb.Cluster/MemberPromote", &request).await;
    }
    let newest = cluster.members.last_mut().expect("it was just pushed");
    newest.ready().await.expect("it is healthy");
}

/// Removes the first member, which must stop by itself.
pub(crate) async fn remove_first(cluster: &mut Cluster) {
    let mut gone = cluster.members.remove(0);
    let request = pb::StatusRequest {};
    let status: pb::StatusResponse =
        insist(&gone.addr, "/etcdserverpb.Maintenance/Status", &request).await;
    let id = status.header.expect("a header").member_id;
    let begun = Instant::now();
    loop {
        let addr = &cluster.members[0].addr;
        let removed: Result<pb::MemberRemoveResponse, _> =
            call(addr, "/etcdserverpb.Cluster/MemberRemove", &pb::MemberRemoveRequest { id }).await;
        let list: pb::MemberListResponse =
            insist(addr, "/etcdserverpb.Cluster/MemberList", &pb::MemberListRequest::default())
                .await;
        if list.members.iter().all(|member| member.id != id) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it cannot be removed: {removed:?}");
        tokio::time::sleep(LOOK).await;
    }
    while !gone.has_ended().expect("it can be waited for") {
        assert!(begun.elapsed() < PATIENCE, "a removed member does not stop");
        tokio::time::sleep(LOOK).await;
    }
    // It does not come back: its id is spent.
    gone.relaunch().expect("it can be started");
    let begun = Instant::now();
    while !gone.has_ended().expect("it can be waited for") {
        assert!(begun.elapsed() < PATIENCE, "a removed member runs again");
        tokio::time::sleep(LOOK).await;
    }
}
