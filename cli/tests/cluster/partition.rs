//! The network between members fails in all the ways that cables and switches know.

use crate::calls::{ATTEMPT, LOOK, PATIENCE, insist, put_request, wait_until_equal};
use crate::history::{History, answers};
use crate::net::Net;
use crate::ours;
use keel_cli::load::cluster::Cluster;
use keel_cli::load::failover::leader;
use keel_proto::pb::etcdserverpb as pb;
use pb::watch_client::WatchClient;
use std::time::{Duration, Instant};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Channel;

const CLIENTS: usize = 6;
/// Which packets are lost.
const SEED: u64 = 7;

/// Runs a test against three members of a network of its own.
fn with_net<F: AsyncFnOnce(&Net, &mut Cluster)>(test: F) {
    let Some(net) = Net::enter(3, SEED) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let launches = (0..3).map(|member| net.launch(member, &ours(), dir.path())).collect();
        let cluster = Cluster::launch(dir.path(), launches).await;
        test(&net, &mut cluster.expect("the cluster starts")).await;
    });
}

/// Waits until another member than this one leads, as the others see it.
async fn another_leads(cluster: &mut Cluster, than: usize) {
    let cut_off = cluster.members.remove(than);
    let begun = Instant::now();
    while tokio::time::timeout(ATTEMPT, leader(cluster)).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody leads without it");
        tokio::time::sleep(LOOK).await;
    }
    cluster.members.insert(than, cut_off);
}

/// Ends a test: the clients' history is one that a single store could have, and all members
/// hold the same.
async fn finish(cluster: &Cluster, history: History) {
    answers(&history, 100).await;
    let addr = cluster.addrs()[0].clone();
    history.check(&addr).await;
    wait_until_equal(cluster).await;
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_comes_back() {
    with_net(async |net, cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        for _ in 0..2 {
            answers(&history, 100).await;
            let old = leader(cluster).await.expect("somebody leads");
            net.cut(old);
            another_leads(cluster, old).await;
            answers(&history, 50).await;
            net.join(old);
            answers(&history, 100).await;
        }
        finish(cluster, history).await;
    });
}

#[test]
fn a_follower_that_is_cut_off_disturbs_nobody() {
    with_net(async |net, cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        answers(&history, 100).await;
        let leads = leader(cluster).await.expect("somebody leads");
        let cut = (leads + 1) % 3;
        net.cut(cut);
        tokio::time::sleep(Duration::from_secs(3)).await;
        answers(&history, 50).await;
        net.join(cut);
        answers(&history, 100).await;
        let still = leader(cluster).await.expect("somebody leads");
        assert_eq!(still, leads, "it asked around before it would have campaigned");
        finish(cluster, history).await;
    });
}

#[test]
fn a_leader_that_hears_and_is_not_heard_steps_down() {
    with_net(async |net, cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        answers(&history, 100).await;
        let mute = leader(cluster).await.expect("somebody leads");
        let others = [(mute + 1) % 3, (mute + 2) % 3];
        for other in others {
            net.silence(mute, other);
        }
        another_leads(cluster, mute).await;
        answers(&history, 50).await;
        for other in others {
            net.hear(mute, other);
        }
        finish(cluster, history).await;
    });
}

#[test]
fn two_members_that_do_not_hear_each_other_share_a_leader() {
    with_net(async |net, cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        answers(&history, 100).await;
        let leads = leader(cluster).await.expect("somebody leads");
        // The leader and one follower lose each other; the third hears both.
        let other = (leads + 1) % 3;
        net.silence(leads, other);
        net.silence(other, leads);
        tokio::time::sleep(Duration::from_secs(3)).await;
        answers(&history, 50).await;
        net.hear(leads, other);
        net.hear(other, leads);
        finish(cluster, history).await;
    });
}

#[test]
fn links_that_flap_lose_nothing() {
    with_net(async |net, cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        for turn in 0..12 {
            net.cut(turn % 3);
            tokio::time::sleep(Duration::from_millis(300)).await;
            net.join(turn % 3);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        finish(cluster, history).await;
    });
}

#[test]
fn links_that_are_late_are_borne() {
    with_net(async |net, cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        answers(&history, 50).await;
        net.disturb(Duration::from_millis(200), 0);
        answers(&history, 150).await;
        net.disturb(Duration::ZERO, 0);
        finish(cluster, history).await;
    });
}

#[test]
fn links_that_lose_packets_are_borne() {
    with_net(async |net, cluster| {
        let history = History::begin(cluster.addrs(), CLIENTS);
        answers(&history, 50).await;
        net.disturb(Duration::ZERO, 5);
        answers(&history, 300).await;
        net.disturb(Duration::from_millis(200), 5);
        answers(&history, 50).await;
        net.disturb(Duration::ZERO, 0);
        assert!(net.lost() > 100, "the links were not lossy: {} packets", net.lost());
        finish(cluster, history).await;
    });
}

#[test]
fn streams_that_want_a_leader_end_where_there_is_none() {
    with_net(async |net, cluster| {
        let alone = (leader(cluster).await.expect("somebody leads") + 1) % 3;
        let addr = format!("http://{}", cluster.members[alone].addr);
        let channel = Channel::from_shared(addr).expect("a URL").connect().await;
        let channel = channel.expect("it serves");
        let create = pb::WatchCreateRequest { key: "k".into(), ..Default::default() };
        let create = pb::watch_request::RequestUnion::CreateRequest(create);
        let create = pb::WatchRequest { request_union: Some(create) };
        let mut streams = Vec::new();
        for wants in ["true", "false"] {
            let requests = tokio_stream::once(create.clone()).chain(tokio_stream::pending());
            let mut request = tonic::Request::new(requests);
            request.metadata_mut().insert("hasleader", wants.parse().expect("a value"));
            let stream = WatchClient::new(channel.clone()).watch(request).await;
            let mut stream = stream.expect("it has a leader").into_inner();
            assert!(stream.message().await.expect("an answer").expect("an answer").created);
            streams.push(stream);
        }
        for other in [(alone + 1) % 3, (alone + 2) % 3] {
            net.silence(alone, other);
            net.silence(other, alone);
        }
        let end = tokio::time::timeout(PATIENCE, streams[0].message()).await;
        let end = end.expect("it ends in time").expect_err("it ends with an error");
        assert_eq!((end.code(), end.message()), (Code::Unavailable, "etcdserver: no leader"));
        for other in [(alone + 1) % 3, (alone + 2) % 3] {
            net.hear(alone, other);
            net.hear(other, alone);
        }
        // Who did not ask for one hears on.
        let addr = cluster.addrs()[alone].clone();
        let _: pb::PutResponse =
            insist(&addr, "/etcdserverpb.KV/Put", &put_request("k", "v")).await;
        let heard = tokio::time::timeout(PATIENCE, streams[1].message()).await;
        let heard = heard.expect("it is told in time").expect("the watch lives");
        assert_eq!(heard.expect("it goes on").events.len(), 1);
    });
}
