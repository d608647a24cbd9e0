//! Members die, stop and lag; clients go on.

use crate::calls::{LOOK, PATIENCE, call, insist, put_request, wait_until_equal};
use crate::history::{History, answers};
use crate::small::Small;
use crate::{large, ours, with_cluster};
use keel_cli::load::cluster::Cluster;
use keel_cli::load::failover::leader;
use keel_cli::load::http2::{Conn, Heard, Method};
use keel_cli::load::process::{Launch, free_addr};
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::time::Instant;

const CLIENTS: usize = 8;

#[test]
fn leaders_are_killed_and_nothing_is_lost() {
    with_cluster(3, &["--snapshot-count=200"], async |cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        for _ in 0..5 {
            answers(&history, 100).await;
            let leader = leader(cluster).await.expect("somebody leads");
            cluster.members[leader].kill().expect("it lives");
            answers(&history, 100).await;
            cluster.members[leader].revive().await.expect("it starts again");
        }
        answers(&history, 100).await;
        let addr = cluster.addrs()[0].clone();
        history.check(&addr).await;
        wait_until_equal(cluster).await;
    });
}

#[test]
fn all_members_die_at_once_and_nothing_is_lost() {
    with_cluster(3, &["--snapshot-count=200"], async |cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        for _ in 0..3 {
            answers(&history, 150).await;
            for member in &mut cluster.members {
                member.kill().expect("it lives");
            }
            for member in &mut cluster.members {
                member.relaunch().expect("it starts again");
            }
            for member in &mut cluster.members {
                member.ready().await.expect("it is healthy");
            }
        }
        answers(&history, 100).await;
        let addr = cluster.addrs()[1].clone();
        history.check(&addr).await;
        wait_until_equal(cluster).await;
    });
}

#[test]
fn a_leader_that_is_frozen_loses_its_place_and_serves_nothing_stale() {
    with_cluster(3, &[], async |cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        answers(&history, 100).await;
        let frozen = leader(cluster).await.expect("somebody leads");
        cluster.members[frozen].signal("STOP").expect("it lives");
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        answers(&history, 50).await;
        cluster.members[frozen].signal("CONT").expect("it lives");
        answers(&history, 100).await;
        let addr = cluster.addrs()[frozen].clone();
        history.check(&addr).await;
        wait_until_equal(cluster).await;
    });
}

#[test]
fn a_member_that_lags_takes_the_state_while_writes_go_on() {
    let extra = ["--snapshot-count=100", "--snapshot-catchup-entries=50"];
    with_cluster(3, &extra, async |cluster| {
        let last = cluster.members.len() - 1;
        let lease: pb::LeaseGrantResponse = insist(
            &cluster.addrs()[0],
            "/etcdserverpb.Lease/LeaseGrant",
            &pb::LeaseGrantRequest { ttl: 600, id: 77 },
        )
        .await;
        cluster.members[last].kill().expect("it lives");
        let mut others = cluster.addrs();
        others.truncate(last);
        let history = History::begin(others, CLIENTS);
        let leased = pb::PutRequest { lease: lease.id, ..put_request("/leased", "v") };
        let addr = cluster.addrs()[0].clone();
        let _: pb::PutResponse = insist(&addr, "/etcdserverpb.KV/Put", &leased).await;
        answers(&history, 1000).await;
        cluster.members[last].revive().await.expect("it starts again");
        answers(&history, 200).await;
        history.check(&cluster.addrs()[last].clone()).await;
        wait_until_equal(cluster).await;
        let addr = &cluster.addrs()[last];
        let request = pb::LeaseTimeToLiveRequest { id: lease.id, keys: true };
        let life: pb::LeaseTimeToLiveResponse =
            insist(addr, "/etcdserverpb.Lease/LeaseTimeToLive", &request).await;
        assert_eq!((life.granted_ttl, life.keys), (600, vec!["/leased".into()]));
        // What it took in is on its disk: it comes back with it.
        cluster.members[last].kill().expect("it lives");
        cluster.members[last].revive().await.expect("it starts again");
        wait_until_equal(cluster).await;
    });
}

#[test]
fn a_large_state_is_taken_in_piece_by_piece() {
    let extra = ["--snapshot-count=100", "--snapshot-catchup-entries=50"];
    with_cluster(3, &extra, async |cluster| {
        let most = large::take_in(cluster).await;
        eprintln!("{} MB of values, {} MB of memory", large::BYTES / 1_000_000, most / 1_000_000);
        assert!(most < large::BYTES / 3, "{most} bytes were held");
    });
}

#[test]
fn leases_live_and_end_whoever_is_asked_and_whoever_leads() {
    with_cluster(3, &[], async |cluster| {
        let addrs = cluster.addrs();
        for (id, ttl) in [(1, 3), (2, 60)] {
            let grant = pb::LeaseGrantRequest { ttl, id };
            let _: pb::LeaseGrantResponse =
                insist(&addrs[0], "/etcdserverpb.Lease/LeaseGrant", &grant).await;
            let put = pb::PutRequest { lease: id, ..put_request(&format!("/l/{id}"), "v") };
            let _: pb::PutResponse = insist(&addrs[1], "/etcdserverpb.KV/Put", &put).await;
        }
        for addr in &addrs {
            let request = pb::LeaseKeepAliveRequest { id: 2 };
            let alive: pb::LeaseKeepAliveResponse =
                insist(addr, "/etcdserverpb.Lease/LeaseKeepAlive", &request).await;
            assert_eq!((alive.id, alive.ttl), (2, 60), "at {addr}");
            let request = pb::LeaseTimeToLiveRequest { id: 2, keys: true };
            let life: pb::LeaseTimeToLiveResponse =
                insist(addr, "/etcdserverpb.Lease/LeaseTimeToLive", &request).await;
            assert_eq!((life.granted_ttl, life.keys), (60, vec!["/l/2".into()]), "at {addr}");
        }
        let dead = leader(cluster).await.expect("somebody leads");
        cluster.members[dead].kill().expect("it lives");
        let alive = addrs[(dead + 1) % addrs.len()].clone();
        let begun = Instant::now();
        loop {
            let request = pb::RangeRequest {
                key: "/l/".into(),
                range_end: "/l0".into(),
                ..Default::default()
            };
            let range: pb::RangeResponse = insist(&alive, "/etcdserverpb.KV/Range", &request).await;
            let keys: Vec<&[u8]> = range.kvs.iter().map(|kv| &kv.key[..]).collect();
            if keys == [b"/l/2"] {
                break;
            }
            assert_eq!(keys, [b"/l/1", b"/l/2"], "the long lease lives");
            assert!(begun.elapsed() < PATIENCE, "the short lease does not end");
            tokio::time::sleep(LOOK).await;
        }
        cluster.members[dead].revive().await.expect("it starts again");
        wait_until_equal(cluster).await;
    });
}

#[test]
fn a_watch_on_a_follower_hears_everything_across_a_change_of_leaders() {
    with_cluster(3, &[], async |cluster| {
        let dead = leader(cluster).await.expect("somebody leads");
        let follower = cluster.addrs()[(dead + 1) % 3].clone();
        let create = pb::WatchCreateRequest { key: "/watched".into(), ..Default::default() };
        let create = pb::watch_request::RequestUnion::CreateRequest(create);
        let create = pb::WatchRequest { request_union: Some(create) };
        let mut conn = Conn::connect(&follower).await.expect("a connection");
        let stream = conn.open(&Method::new("/etcdserverpb.Watch/Watch"));
        conn.send(stream, &create.encode_to_vec());
        assert!(heard(&mut conn).await.created);
        let mut written = Vec::new();
        for turn in 0..200 {
            if turn == 100 {
                cluster.members[dead].kill().expect("it lives");
            }
            let value = format!("{turn}");
            let put = put_request("/watched", &value);
            let put: Result<pb::PutResponse, _> =
                call(&follower, "/etcdserverpb.KV/Put", &put).await;
            if let Ok(put) = put {
                written.push((put.header.expect("a header").revision, value));
            }
        }
        assert!(written.len() > 150, "most of it was written");
        let mut seen = Vec::new();
        while seen.last() != written.last() {
            for event in heard(&mut conn).await.events {
                let kv = event.kv.expect("a put has a version");
                let value = String::from_utf8_lossy(&kv.value).into_owned();
                assert!(seen.last().is_none_or(|(last, _)| *last < kv.mod_revision), "in order");
                seen.push((kv.mod_revision, value));
            }
        }
        // What was never acknowledged may have happened, too.
        assert!(written.iter().all(|one| seen.contains(one)), "something was missed");
    });
}

async fn heard(conn: &mut Conn) -> pb::WatchResponse {
    let next = tokio::time::timeout(PATIENCE, conn.next()).await.expect("an answer in time");
    match next.expect("the member lives") {
        Heard::Message(_, message) => pb::WatchResponse::decode(message).expect("an answer"),
        Heard::End(_) => panic!("the watch ended"),
    }
}

#[test]
fn the_leadership_goes_round_while_clients_write() {
    with_cluster(3, &[], async |cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        for turn in 0..6 {
            answers(&history, 50).await;
            let to = turn % 3;
            move_leader(cluster, to).await;
        }
        answers(&history, 50).await;
        let addr = cluster.addrs()[0].clone();
        history.check(&addr).await;
        wait_until_equal(cluster).await;
    });
}

/// Moves the leadership to the n-th member.
pub(crate) async fn move_leader(cluster: &Cluster, to: usize) {
    let addr = &cluster.members[to].addr;
    let status: pb::StatusResponse =
        insist(addr, "/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}).await;
    let target_id = status.header.expect("a header").member_id;
    let begun = Instant::now();
    while leader(cluster).await.expect("somebody leads") != to {
        assert!(begun.elapsed() < PATIENCE, "the leadership does not move");
        let now = leader(cluster).await.expect("somebody leads");
        let request = pb::MoveLeaderRequest { target_id };
        let addr = &cluster.members[now].addr;
        // It may have moved by itself meanwhile: then it is asked again.
        let _: Result<pb::MoveLeaderResponse, _> =
            call(addr, "/etcdserverpb.Maintenance/MoveLeader", &request).await;
    }
}

#[test]
fn members_are_restarted_one_by_one_while_clients_write() {
    with_cluster(3, &["--snapshot-count=200"], async |cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        for turn in 0..6 {
            answers(&history, 100).await;
            let member = &mut cluster.members[turn % 3];
            member.stop().expect("it stops when it is asked");
            member.revive().await.expect("it starts again");
        }
        answers(&history, 100).await;
        let addr = cluster.addrs()[0].clone();
        history.check(&addr).await;
        wait_until_equal(cluster).await;
    });
}

#[test]
fn a_member_whose_disk_is_full_leaves_the_others_alone() {
    let Some(small) = Small::mount("m3/data", "200m") else {
        eprintln!("SKIPPED: this user may not mount a small file system");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let launch = |nth: usize| Launch {
            name: format!("m{nth}"),
            binary: ours(),
            dir: small.path().join(format!("m{nth}")),
            cpu: None,
            client: free_addr().expect("there are ports"),
            peer: free_addr().expect("there are ports"),
            cluster: String::new(),
            state: "new",
            extra: Vec::new(),
            under: Vec::new(),
        };
        let launches = (1..=3).map(launch).collect();
        let cluster = Cluster::launch(small.path(), launches).await;
        let mut cluster = cluster.expect("the cluster starts");
        let mut others = cluster.addrs();
        others.truncate(2);
        let history = History::begin(others.clone(), CLIENTS);
        let begun = Instant::now();
        for nth in 0.. {
            if cluster.members[2].has_ended().expect("it can be waited for") {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "its disk does not fill up");
            let put = pb::PutRequest {
                key: format!("/large/{nth}").into(),
                value: vec![b'v'; 512 * 1024].into(),
                ..Default::default()
            };
            let _: pb::PutResponse = insist(&others[nth % 2], "/etcdserverpb.KV/Put", &put).await;
        }
        let said = cluster.members[2].last_words();
        assert!(said.contains("No space left"), "{said}");
        answers(&history, 100).await;
        small.grow("2g");
        cluster.members[2].revive().await.expect("it starts again where there is room");
        answers(&history, 50).await;
        history.check(&others[0]).await;
        wait_until_equal(&cluster).await;
    });
}
