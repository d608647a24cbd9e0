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
