//! Files to work on, all made of one snapshot that etcd 3.7.3 wrote (`etcd.db`).

use bytes::Bytes;
use keel_core::entry::EntryKind;
use keel_core::members::Cluster;
use keel_core::{HardState, Index, RawEntry};
use keel_proto::bbolt::Backend;
use keel_proto::bootstrap;
use keel_proto::wal::{Record, Snapshot, Writer};
use std::fs;
use std::path::{Path, PathBuf};

/// Any cluster will do: the snapshot does not know it.
const CLUSTER: u64 = 7;

/// Where the snapshot lies.
pub(crate) fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/utl/etcd.db")
}

/// Where the one lies that a server of ours wrote of the same keys.
pub(crate) fn recorded_of_ours() -> PathBuf {
    recorded().with_file_name("keel.db")
}

/// The snapshot, with the hash behind it.
pub(crate) fn snapshot() -> Vec<u8> {
    fs::read(recorded()).expect("the recorded snapshot is there")
}

/// Makes all files anew: `s.db`, the snapshot; `plain.db`, without its hash; `flipped.db`, with
/// one bit of a value changed; `short.db`, its first bytes; `page.db`, without its hash and with a
/// page that says it is another; `d`, a data directory of etcd's; and `e`, one whose log goes on
/// behind the database. And of our snapshot: `k.db`, itself; `kflipped.db`, with one bit of a value
/// changed; and `kd`, a data directory of etcd's around it.
pub(crate) fn make(dir: &Path) {
    let snapshot = snapshot();
    let plain = &snapshot[..snapshot.len() - 32];
    let put = |name: &str, bytes: &[u8]| {
        fs::write(dir.join(name), bytes).expect("a file can be written");
    };
    put("s.db", &snapshot);
    put("plain.db", plain);
    put("short.db", &snapshot[..3000]);
    put("flipped.db", &flipped(&snapshot));
    let mut page = plain.to_vec();
    page[3 * PAGE] ^= 1;
    put("page.db", &page);
    data_dir(&dir.join("d"), plain);
    data_dir_with(&dir.join("e"), plain, &requests(), 8);
    // It is not there before it is recorded.
    if let Ok(ours) = fs::read(recorded_of_ours()) {
        put("k.db", &ours);
        put("kflipped.db", &flipped(&ours));
        data_dir(&dir.join("kd"), &ours[..ours.len() - 32]);
    }
}

/// How large a page of a database is.
const PAGE: usize = 4096;

fn flipped(snapshot: &[u8]) -> Vec<u8> {
    let mut flipped = snapshot.to_vec();
    let at = snapshot.windows(6).position(|bytes| bytes == b"value1").expect("it holds that value");
    flipped[at] ^= 1;
    flipped
}

/// Requests of every kind, as etcd's log holds them.
fn requests() -> Vec<Bytes> {
    use keel_proto::pb::etcdserverpb as pb;
    use prost::Message;
    let put =
        pb::PutRequest { key: "/a/b".into(), value: "c".into(), lease: 9, ..Default::default() };
    let gone =
        pb::DeleteRangeRequest { key: "/a/".into(), range_end: "/a0".into(), ..Default::default() };
    let compare = pb::Compare {
        key: "key1".into(),
        result: pb::compare::CompareResult::Greater.into(),
        target: pb::compare::CompareTarget::Version.into(),
        target_union: Some(pb::compare::TargetUnion::Version(1)),
        ..Default::default()
    };
    let op = |request| pb::RequestOp { request: Some(request) };
    let txn = pb::TxnRequest {
        compare: vec![compare],
        success: vec![op(pb::request_op::Request::RequestPut(pb::PutRequest {
            key: "key1".into(),
            value: "again".into(),
            ..Default::default()
        }))],
        failure: vec![op(pb::request_op::Request::RequestDeleteRange(gone.clone()))],
    };
    let checkpoint = pb::LeaseCheckpoint { id: 9, remaining_ttl: 5 };
    let alarm = pb::AlarmRequest {
        action: pb::alarm_request::AlarmAction::Activate.into(),
        member_id: 5,
        alarm: pb::AlarmType::Nospace.into(),
    };
    let grant = pb::LeaseGrantRequest { id: 9, ttl: 600 };
    let leases = pb::LeaseCheckpointRequest { checkpoints: vec![checkpoint] };
    let compaction = pb::CompactionRequest { revision: 47, physical: true };
    let attributes = keel_proto::pb::membershippb::Attributes {
        name: "m1".into(),
        client_urls: vec!["http://localhost:2379".into()],
    };
    let publish = keel_proto::pb::membershippb::ClusterMemberAttrSetRequest {
        member_id: 5,
        member_attributes: Some(attributes),
    };
    let version = keel_proto::pb::membershippb::ClusterVersionSetRequest { ver: "3.7.0".into() };
    let downgrade = keel_proto::pb::membershippb::DowngradeInfoSetRequest {
        enabled: true,
        ver: "3.6.0".into(),
    };
    type Request = pb::InternalRaftRequest;
    let none = Request::default();
    [
        Request { lease_grant: Some(grant), ..none.clone() },
        Request { put: Some(put), ..none.clone() },
        Request { txn: Some(txn), ..none.clone() },
        Request { delete_range: Some(gone), ..none.clone() },
        Request { compaction: Some(compaction), ..none.clone() },
        Request { lease_checkpoint: Some(leases), ..none.clone() },
        Request { alarm: Some(alarm), ..none.clone() },
        Request { cluster_version_set: Some(version), ..none.clone() },
        Request { cluster_member_attr_set: Some(publish), ..none.clone() },
        Request { downgrade_info_set: Some(downgrade), ..none.clone() },
        Request { lease_revoke: Some(pb::LeaseRevokeRequest { id: 9 }), ..none },
    ]
    .iter()
    .map(|request| request.encode_to_vec().into())
    .collect()
}

/// A data directory of etcd's around a database, and its log up to where that stands.
pub(crate) fn data_dir(dir: &Path, database: &[u8]) {
    data_dir_with(dir, database, &[], 0);
}

/// The same, with requests in the log behind it, of which so many are known to be committed.
pub(crate) fn data_dir_with(dir: &Path, database: &[u8], behind: &[Bytes], committed: u64) {
    fs::create_dir_all(dir.join("member/snap")).expect("a directory can be made");
    fs::create_dir_all(dir.join("member/wal")).expect("a directory can be made");
    fs::write(dir.join("member/snap/db"), database).expect("a file can be written");
    let backend = Backend::open(database).expect("it is sound");
    let index = backend.index().expect("it is sound");
    let members = backend.members().expect("it is sound");
    let term = backend.term().expect("it is sound");
    let node = *members.keys().next().expect("the member itself");
    let mut wal = Writer::new(CLUSTER, node);
    wal.record(&Record::Snapshot(Snapshot::default()));
    let first = &bootstrap(&Cluster { members, ..Cluster::default() }).entries[0];
    for number in 1..=index.0 {
        let (kind, bytes) = match number {
            1 => (EntryKind::Change, first.payload.bytes().to_vec().into()),
            _ => (EntryKind::Normal, Bytes::new()),
        };
        wal.entry(&RawEntry { term, index: Index(number), kind, bytes });
    }
    for (bytes, number) in behind.iter().zip(index.0 + 1..) {
        let (kind, bytes) = (EntryKind::Normal, bytes.clone());
        wal.entry(&RawEntry { term, index: Index(number), kind, bytes });
    }
    let commit = Index(index.0 + committed);
    wal.record(&Record::State(HardState { term, vote: node, commit }));
    let (name, bytes) = wal.take();
    fs::write(dir.join("member/wal").join(name), bytes).expect("a file can be written");
}
