//! Members come and go while clients write.

use crate::calls::{LOOK, PATIENCE, equal_meanwhile, insist, put_request, wait_until_equal};
use crate::history::History;
use crate::members::{As, join, remove_first};
use crate::{ours, with_cluster};
use keel_cli::load::process::{Launch, Server};
use keel_proto::pb::etcdserverpb as pb;
use std::time::{Duration, Instant};

#[test]
fn three_five_three_members_while_clients_write() {
    let extra = ["--snapshot-count=200", "--snapshot-catchup-entries=100"];
    with_cluster(3, &extra, async |cluster| {
        let history = History::begin(cluster.addrs(), 4);
        // A change is refused until members were connected for five seconds.
        tokio::time::sleep(Duration::from_secs(5)).await;
        for first in [As::Learner, As::Voter] {
            join(cluster, &ours(), first).await;
            history.move_to(cluster.addrs());
            equal_meanwhile(cluster).await;
        }
        assert_eq!(cluster.members.len(), 5);
        tokio::time::sleep(Duration::from_secs(5)).await;
        for _ in 0..2 {
            let rest: Vec<String> = cluster.addrs().split_off(1);
            history.move_to(rest);
            remove_first(cluster).await;
            equal_meanwhile(cluster).await;
        }
        let addr = cluster.addrs()[2].clone();
        history.check(&addr).await;
        wait_until_equal(cluster).await;
    });
}

#[test]
fn a_member_whose_disk_is_lost_is_refused_until_it_is_added_anew() {
    with_cluster(3, &[], async |cluster| {
        let mut lost = cluster.members.pop().expect("three members");
        let status: pb::StatusResponse =
            insist(&lost.addr, "/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}).await;
        let id = status.header.expect("a header").member_id;
        lost.kill().expect("it lives");
        std::fs::remove_dir_all(lost.launched().dir.join("data")).expect("it has data");
        let error = lost.revive().await.expect_err("it may not vote again").to_string();
        assert!(error.contains("has already been bootstrapped"), "{error}");
        let addr = cluster.addrs()[0].clone();
        let _: pb::MemberRemoveResponse =
            insist(&addr, "/etcdserverpb.Cluster/MemberRemove", &pb::MemberRemoveRequest { id })
                .await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        join(cluster, &ours(), As::Learner).await;
        wait_until_equal(cluster).await;
    });
}

#[test]
fn a_member_whose_majority_is_lost_for_ever_goes_on_alone() {
    with_cluster(3, &[], async |cluster| {
        let addr = cluster.addrs()[0].clone();
        let put = put_request("/kept", "v");
        let _: pb::PutResponse = insist(&addr, "/etcdserverpb.KV/Put", &put).await;
        wait_until_equal(cluster).await;
        let mut lost = cluster.members.split_off(1);
        for member in &mut lost {
            member.kill().expect("it lives");
        }
        let mut last = cluster.members.pop().expect("one is left");
        last.kill().expect("it lives");
        let mut launch = last.launched().clone();
        launch.extra.push(String::from("--force-new-cluster"));
        drop(last);
        let mut alone = Server::launch(launch).expect("it can be started");
        alone.ready().await.expect("it is healthy by itself");
        let list: pb::MemberListResponse =
            insist(&addr, "/etcdserverpb.Cluster/MemberList", &pb::MemberListRequest::default())
                .await;
        assert_eq!(list.members.len(), 1, "{list:?}");
        // Once is enough: it starts as a cluster of one ever after, and can grow again.
        alone.kill().expect("it lives");
        let mut launch = alone.launched().clone();
        launch.extra.pop();
        cluster.members.push(Server::launch(launch).expect("it can be started"));
        cluster.members[0].ready().await.expect("it is healthy");
        join(cluster, &ours(), As::Learner).await;
        let addr = cluster.addrs()[1].clone();
        let range = pb::RangeRequest { key: "/kept".into(), ..Default::default() };
        let range: pb::RangeResponse = insist(&addr, "/etcdserverpb.KV/Range", &range).await;
        assert_eq!(range.count, 1);
        wait_until_equal(cluster).await;
    });
}

/// Starts a member that is expected to refuse; its last words.
fn refused(launch: Launch) -> String {
    let mut server = Server::launch(launch).expect("it can be started");
    let begun = Instant::now();
    while !server.has_ended().expect("it can be waited for") {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(LOOK);
    }
    server.last_words()
}

#[test]
fn who_does_not_belong_is_told_so_in_a_line() {
    with_cluster(3, &[], async |cluster| {
        let all = cluster.members[0].launched().cluster.clone();
        for (written, state, extra, said) in [
            (format!("{all},SELF"), "new", None, "belong to cluster"),
            (all.clone() + ",SELF", "existing", None, "names 4 members, but the cluster has 3"),
            (all.clone(), "existing", None, "couldn't find local name"),
            ("SELF,x=http://127.0.0.1:1".into(), "existing", None, "cannot fetch cluster info"),
            (
                String::from("SELF"),
                "new",
                Some("--initial-advertise-peer-urls=http://127.0.0.1:1"),
                "but missing from --initial-advertise-peer-urls=http://127.0.0.1:1",
            ),
        ] {
            let mut launch = cluster.newcomer(&ours()).expect("there are ports");
            let myself = format!("{}=http://{}", launch.name, launch.peer);
            launch.cluster = written.replace("SELF", &myself);
            launch.state = state;
            launch.extra.extend(extra.map(String::from));
            let words = refused(launch);
            assert!(words.lines().count() == 1 && words.contains(said), "{said}: {words}");
        }
    });
}
