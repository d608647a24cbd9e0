//! Files to work on, all made of one snapshot that etcd 3.7.3 wrote (`etcd.db`).

use keel_core::entry::EntryKind;
use keel_core::members::{Cluster, Member};
use keel_core::{HardState, Index, NodeId, RawEntry, Term};
use keel_proto::bbolt::Backend;
use keel_proto::bootstrap;
use keel_proto::wal::{Record, Snapshot, Writer};
use std::fs;
use std::path::{Path, PathBuf};

/// The member and the cluster that wrote the snapshot.
pub(crate) const NODE: u64 = 0x69fb_fa0f_1e04_1c3f;
/// Any cluster will do: the snapshot does not know it.
const CLUSTER: u64 = 7;

/// Where the snapshot lies.
pub(crate) fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/utl/etcd.db")
}

/// The snapshot, with the hash behind it.
pub(crate) fn snapshot() -> Vec<u8> {
    fs::read(recorded()).expect("the recorded snapshot is there")
}

/// Makes all files anew: `s.db`, the snapshot; `plain.db`, without its hash; `flipped.db`, with
/// one bit of a key changed; `short.db`, its first bytes; and `d`, a data directory of etcd's.
pub(crate) fn make(dir: &Path) {
    let snapshot = snapshot();
    let plain = &snapshot[..snapshot.len() - 32];
    let put = |name: &str, bytes: &[u8]| {
        fs::write(dir.join(name), bytes).expect("a file can be written");
    };
    put("s.db", &snapshot);
    put("plain.db", plain);
    put("short.db", &snapshot[..3000]);
    let mut flipped = snapshot.clone();
    let at = snapshot.windows(6).position(|bytes| bytes == b"value1").expect("it holds that value");
    flipped[at] ^= 1;
    put("flipped.db", &flipped);
    data_dir(&dir.join("d"), plain);
}

/// A data directory of etcd's around a database.
pub(crate) fn data_dir(dir: &Path, database: &[u8]) {
    fs::create_dir_all(dir.join("member/snap")).expect("a directory can be made");
    fs::create_dir_all(dir.join("member/wal")).expect("a directory can be made");
    fs::write(dir.join("member/snap/db"), database).expect("a file can be written");
    let index = Backend::open(database).and_then(|backend| backend.index()).expect("it is sound");
    let mut wal = Writer::new(CLUSTER, NodeId(NODE));
    wal.record(&Record::Snapshot(Snapshot::default()));
    let mut cluster = Cluster::default();
    cluster.members.insert(NodeId(NODE), Member::default());
    let first = &bootstrap(&cluster).entries[0];
    for number in 1..=index.0 {
        let (kind, bytes) = match number {
            1 => (EntryKind::Change, first.payload.bytes().to_vec().into()),
            _ => (EntryKind::Normal, bytes::Bytes::new()),
        };
        wal.entry(&RawEntry { term: Term(2), index: Index(number), kind, bytes });
    }
    wal.record(&Record::State(HardState { term: Term(2), vote: NodeId(NODE), commit: index }));
    let (name, bytes) = wal.take();
    fs::write(dir.join("member/wal").join(name), bytes).expect("a file can be written");
}
