//! A member whose state is whole, and not what the others have.

use crate::calls::{insist, put_request, wait_until_equal};
use crate::with_cluster;
use bytes::Bytes;
use keel_cli::load::process::Server;
use keel_core::disk::Lane;
use keel_core::node::{Named, repaired};
use keel_core::planner::Options;
use keel_core::{Mark, NodeId, Planner, Term};
use keel_proto::bbolt::Trailer;
use keel_proto::pb::etcdserverpb as pb;
use keel_proto::peer::Memory;
use keel_proto::peer::state::snapshot;
use keel_runtime_tokio::disk::{Disk, MapDisk};
use keel_runtime_tokio::{Backend, DataDir};
use pb::kv_client::KvClient;
use pb::maintenance_client::MaintenanceClient;
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};

const TRUTH: &[u8] = b"what everybody wrote";
const LIE: &[u8] = b"what nobody ever did";

async fn channel(addr: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("an address");
    endpoint.connect().await.expect("it can be reached")
}

/// A member's state as a snapshot.
async fn snapshot_of(addr: &str) -> Vec<u8> {
    let mut client = MaintenanceClient::new(channel(addr).await);
    let pieces = client.snapshot(pb::SnapshotRequest {}).await.expect("a stream");
    let (mut pieces, mut file) = (pieces.into_inner(), Vec::new());
    while let Some(piece) = pieces.message().await.expect("it comes whole") {
        file.extend_from_slice(&piece.blob);
    }
    file
}

/// The same state with another value in it, and a hash to fit.
fn tampered(mut file: Vec<u8>) -> Vec<u8> {
    file.truncate(file.len() - 32);
    let at = file.windows(TRUTH.len()).position(|bytes| bytes == TRUTH).expect("it is in there");
    file[at..at + LIE.len()].copy_from_slice(LIE);
    let mut trailer = Trailer::new();
    trailer.update(&file);
    file.extend_from_slice(&trailer.finish());
    file
}

/// Writes a data directory that holds a state.
async fn write(dir: &Path, cluster: u64, me: NodeId, term: u64, file: &[u8]) {
    let state = snapshot(cluster, file, &mut Memory::default()).await.expect("a sound snapshot");
    let mut named = Named::default();
    named.hear(Term(term));
    let (write, checkpoint) = repaired(me, state, &named).expect("a member");
    let mut disk = MapDisk::open(DataDir::lock(dir).expect("nobody has it"), Backend::default())
        .expect("a directory");
    let mut planner = Planner::create(Options { cluster, node: me, ..Options::default() });
    planner.persist(Mark(1), write);
    planner.store(Mark(1), checkpoint);
    let mut plans = 0;
    loop {
        for lane in [Lane::Log, Lane::Bulk] {
            while let Some(plan) = planner.poll(lane) {
                disk.submit(plan);
                plans += 1;
            }
        }
        if plans == 0 {
            return;
        }
        let end = disk.done().await;
        end.result.expect("the disk works");
        planner.done(end.plan);
        plans -= 1;
    }
}

async fn alarms(addr: &str) -> Vec<pb::AlarmMember> {
    let request = pb::AlarmRequest::default();
    let all: pb::AlarmResponse = insist(addr, "/etcdserverpb.Maintenance/Alarm", &request).await;
    all.alarms
}

#[test]
fn a_member_that_holds_something_else_is_found_and_repairs_itself() {
    with_cluster(3, &["--corrupt-check-time=1s"], async |cluster| {
        let leader = cluster.addrs()[0].clone();
        let truth = String::from_utf8_lossy(TRUTH);
        let put = put_request("/key", &truth);
        let _: pb::PutResponse = insist(&leader, "/etcdserverpb.KV/Put", &put).await;
        wait_until_equal(cluster).await;
        let mut liar = cluster.members.pop().expect("three members");
        let status: pb::StatusResponse =
            insist(&liar.addr, "/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}).await;
        let header = status.header.expect("a header");
        let file = tampered(snapshot_of(&leader).await);
        liar.kill().expect("it lives");
        let data = liar.launched().dir.join("data");
        std::fs::remove_dir_all(&data).expect("it has data");
        let me = NodeId(header.member_id);
        write(&data, header.cluster_id, me, status.raft_term, &file).await;

        // With the gate it does not even begin to serve.
        let mut launch = liar.launched().clone();
        launch.extra.push(String::from("--feature-gates=InitialCorruptCheck=true"));
        drop(liar);
        let mut careful = Server::launch(launch.clone()).expect("it can be started");
        let error = careful.ready().await.expect_err("it must not serve").to_string();
        assert!(error.contains("found data inconsistency with peers"), "{error}");
        drop(careful);

        // Without it, the leader finds it, and nobody takes writes any more.
        launch.extra.pop();
        let mut liar = Server::launch(launch.clone()).expect("it can be started");
        let range =
            pb::RangeRequest { key: Bytes::from("/key"), serializable: true, ..Default::default() };
        // It may be found before anybody has seen it well, so its health is not waited for.
        let found: pb::RangeResponse = insist(&liar.addr, "/etcdserverpb.KV/Range", &range).await;
        assert_ne!(found.kvs[0].value, TRUTH, "it serves what it has");
        let begun = Instant::now();
        while alarms(&leader).await.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody finds it");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let raised = alarms(&leader).await;
        assert_eq!(raised.len(), 1, "{raised:?}");
        let corrupt = pb::AlarmType::Corrupt.into();
        assert_eq!((raised[0].member_id, raised[0].alarm), (me.0, corrupt), "{raised:?}");
        let put = put_request("/more", "v");
        let refused = KvClient::new(channel(&leader).await).put(put.clone()).await;
        let refused = refused.expect_err("writes are refused");
        assert_eq!(refused.message(), "etcdserver: corrupt cluster");

        // Told so, it takes the others' state; then the operator ends the alarm.
        liar.kill().expect("it lives");
        launch.extra.push(String::from("--self-repair"));
        drop(liar);
        let honest = Server::launch(launch).expect("it can be started");
        let begun = Instant::now();
        loop {
            let found: pb::RangeResponse =
                insist(&honest.addr, "/etcdserverpb.KV/Range", &range).await;
            if found.kvs.first().is_some_and(|kv| kv.value == TRUTH) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "it keeps its lie");
        }
        let disarm = pb::AlarmRequest {
            action: pb::alarm_request::AlarmAction::Deactivate.into(),
            member_id: me.0,
            alarm: corrupt,
        };
        let _: pb::AlarmResponse =
            insist(&leader, "/etcdserverpb.Maintenance/Alarm", &disarm).await;
        let _: pb::PutResponse = insist(&leader, "/etcdserverpb.KV/Put", &put).await;
        cluster.members.push(honest);
        wait_until_equal(cluster).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(alarms(&leader).await, [], "all agree now");
    });
}
