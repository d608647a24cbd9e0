//! The database file of etcd: what is written is sound, and reads back as what went in.

#[path = "bbolt/check.rs"]
mod check;
#[path = "bbolt/sample.rs"]
mod sample;

use bytes::Bytes;
use check::check;
use keel_core::command::{AlarmKind, Keys};
use keel_core::members::Cluster;
use keel_core::{Index, LeaseId, NodeId, Revision, Term};
use keel_proto::bbolt::{
    Backend, Bucket, Contents, Db, Export, Items, Survey, Trailer, export, strip,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Takes a whole file in pieces.
fn file(mut export: Export, piece: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let total = export.total_len();
    while let Some(bytes) = export.next_piece(piece) {
        assert!(bytes.len() == piece || (file.len() + bytes.len()) as u64 == total);
        file.extend_from_slice(&bytes);
    }
    assert_eq!(file.len() as u64, total, "the file is as long as was said");
    file
}

fn bucket(name: &[u8], items: &Map) -> Bucket {
    let items: Arc<Vec<(Bytes, Bytes)>> =
        Arc::new(items.iter().map(|(k, v)| (k.clone().into(), v.clone().into())).collect());
    let run = move || -> Items {
        let items = items.clone();
        Box::new((0..items.len()).map(move |i| items[i].clone()))
    };
    Bucket { name: Bytes::copy_from_slice(name), items: Box::new(run) }
}

/// Writes buckets, surveyed `step` items at a time.
fn written(buckets: &BTreeMap<Vec<u8>, Map>, step: usize, piece: usize) -> Vec<u8> {
    let mut survey = Survey::new(buckets.iter().map(|(name, items)| bucket(name, items)).collect());
    while !survey.step(step) {}
    file(survey.finish(), piece)
}

/// Reads every bucket of a file.
fn read(file: &[u8]) -> BTreeMap<Vec<u8>, Map> {
    let db = Db::open(file).unwrap();
    let bucket = |item: keel_proto::bbolt::Item<'_>| {
        let tree = db.open_bucket(&item).unwrap();
        let items = tree.items().map(|item| {
            let item = item.unwrap();
            assert!(!item.bucket);
            (item.key.to_vec(), item.value.to_vec())
        });
        (item.key.to_vec(), items.collect())
    };
    db.root().items().map(|item| bucket(item.unwrap())).collect()
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => prop::collection::vec(any::<u8>(), 1..40),
        2 => prop::collection::vec(any::<u8>(), 1..4000),
        1 => (any::<u8>(), 4000usize..=32_768).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => prop::collection::vec(any::<u8>(), 0..200),
        4 => (any::<u8>(), 3900usize..4200).prop_map(|(byte, len)| vec![byte; len]),
        1 => (any::<u8>(), 4200usize..70_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn buckets() -> impl Strategy<Value = BTreeMap<Vec<u8>, Map>> {
    let items = prop_oneof![
        prop::collection::btree_map(keys(), values(), 0..12),
        prop::collection::btree_map(keys(), values(), 100..600),
    ];
    prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..20), items, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, rng_seed: prop::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_sound_and_reads_back(
        buckets in buckets(), step in 1usize..500, piece in 1usize..100_000,
    ) {
        let file = written(&buckets, step, piece);
        let checked = check(&file);
        let expected: BTreeMap<_, Vec<_>> =
            buckets.iter().map(|(name, items)| (name.clone(), items.clone().into_iter().collect())).collect();
        prop_assert!(checked == expected, "the checker sees other items");
        prop_assert!(read(&file) == buckets, "the reader sees other items");
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        read_all(&bytes);
    }
}

/// Reads whatever can be read of a file that may be anything.
fn read_all(bytes: &[u8]) -> bool {
    let Ok(backend) = Backend::open(bytes) else { return false };
    let db = backend.db();
    let mut sound = true;
    for item in db.root().items() {
        let Ok(item) = item else { return false };
        let Ok(tree) = db.open_bucket(&item) else { return false };
        sound &= tree.items().all(|item| item.is_ok());
    }
    sound &= backend.records().is_ok_and(|mut records| records.all(|record| record.is_ok()));
    sound
        & backend.leases().is_ok()
        & backend.alarms().is_ok()
        & backend.members().is_ok()
        & backend.removed().is_ok()
        & backend.cluster_version().is_ok()
        & backend.downgrade().is_ok()
        & backend.index().is_ok()
        & backend.term().is_ok()
        & backend.conf_state().is_ok()
        & backend.scheduled_compaction().is_ok()
        & backend.finished_compaction().is_ok()
        & backend.storage_version().is_ok()
        & backend.auth().is_ok()
}

/// Every bit of the tables flips once; metas get their checksum again, so that the damage is seen
/// by what lies behind it. Nothing panics, and nothing runs without end.
#[test]
fn a_flipped_bit_never_panics() {
    let clean = file(export(sample::contents(300, -1)), 32_768);
    assert!(read_all(&clean));
    let mut refused = 0;
    let mut flipped = 0;
    for page in 0..clean.len() / 4096 {
        for byte in 0..160 {
            for bit in [0, 3, 7] {
                let mut file = clean.clone();
                file[page * 4096 + byte] ^= 1 << bit;
                if page < 2 {
                    reseal(&mut file);
                }
                flipped += 1;
                refused += u32::from(!read_all(&file));
            }
        }
    }
    assert!(refused > flipped / 4, "most flips in tables are seen: {refused} of {flipped}");
}

/// Gives both metas the checksum of what they say.
fn reseal(file: &mut [u8]) {
    for meta in [16, 4096 + 16] {
        let sum = file[meta..meta + 56].iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        file[meta + 56..meta + 64].copy_from_slice(&sum.to_le_bytes());
    }
}

#[test]
fn a_page_that_hangs_under_itself_ends_the_run() {
    let mut file = file(export(sample::contents(700, -1)), 32_768);
    let db = Db::open(&file).unwrap();
    let branch = (2..db.high_water() as usize)
        .find(|id| file[id * 4096 + 8] == 1)
        .expect("700 records need a branch");
    let own = (branch as u64).to_le_bytes();
    file[branch * 4096 + 16 + 8..][..8].copy_from_slice(&own);
    let damage = Backend::open(&file).unwrap().records().unwrap().find_map(Result::err).unwrap();
    assert_eq!(damage.why, "a page hangs in the tree twice");
    assert_eq!(damage.at, branch as u64 * 4096);
}

#[test]
fn a_file_cut_short_is_refused() {
    let file = file(export(sample::contents(700, -1)), 32_768);
    for len in [0, 1, 15, 16, 79, 80, 4095, 4096, 8192, file.len() - 1] {
        assert!(Db::open(&file[..len]).is_err(), "{len} bytes are no database");
    }
}

#[test]
fn one_lost_meta_does_no_harm() {
    let clean = file(export(sample::contents(3, -1)), 32_768);
    for meta in [0, 4096] {
        let mut file = clean.clone();
        file[meta..meta + 4096].fill(0xff);
        let db = Db::open(&file).unwrap();
        assert_eq!(db.page_size(), 4096);
        assert_eq!(read(&file), read(&clean));
    }
}

/// The state comes back field by field.
#[test]
fn a_members_state_comes_back() {
    let keys = 2000;
    let contents = sample::contents(keys, -1);
    let records: Vec<_> = sample::records(keys).collect();
    let (cluster, alarms) = (contents.cluster.clone(), contents.alarms.clone());
    let conf_state = contents.conf_state.clone();
    let file = file(export(contents), 1000);
    check(&file);

    let backend = Backend::open(&file).unwrap();
    let read: Vec<_> = backend
        .records()
        .unwrap()
        .map(|record| record.map(|(at, gone, bytes)| (at, gone, Bytes::copy_from_slice(bytes))))
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(read, records);
    assert_eq!(read.last().unwrap().0, Revision { main: i64::from(keys) + 2, sub: 0 });
    let leases = backend.leases().unwrap();
    let ids: Vec<_> =
        leases.iter().map(|lease| (lease.lease, lease.ttl, lease.remaining)).collect();
    let expected = [(LeaseId(6), 100, 0), (LeaseId(7), 300, 12), (LeaseId(-5), 60, 0)];
    assert_eq!(ids, expected);
    let mut alarms = alarms.to_vec();
    alarms.sort();
    assert_eq!(backend.alarms().unwrap(), alarms);
    assert_eq!(backend.members().unwrap(), cluster.members);
    assert_eq!(backend.removed().unwrap(), [NodeId(0xabc)]);
    assert_eq!(backend.cluster_version().unwrap(), "3.7.0");
    assert_eq!(backend.downgrade().unwrap(), None);
    assert_eq!(backend.index().unwrap(), Index(10));
    assert_eq!(backend.term().unwrap(), Term(2));
    assert_eq!(backend.conf_state().unwrap(), Some(conf_state));
    assert_eq!(backend.scheduled_compaction().unwrap(), None);
    assert_eq!(backend.storage_version().unwrap().as_deref(), Some("3.7.0"));
    assert_eq!(backend.auth().unwrap(), keel_proto::bbolt::Auth::default());
}

/// A snapshot that etcd 3.7.3 took of a member with a compaction, leases, an alarm, a learner, a
/// removed member, a user and a role.
const REAL: &[u8] = include_bytes!("bbolt/etcd_3_7_3.snapshot");

#[test]
fn a_real_snapshot_is_understood() {
    let db = strip(REAL).expect("the trailer is that of the bytes").expect("there is a trailer");
    let backend = Backend::open(db).unwrap();
    let records: Vec<_> = backend.records().unwrap().map(Result::unwrap).collect();
    assert_eq!(records.len(), 75);
    // Nothing was superseded by revision 40, so the compaction kept everything.
    let first = sample::key_value(b"key/10", Some((2, b"the value of key 10, long enough")));
    assert_eq!(records[0], (Revision { main: 2, sub: 0 }, false, first.as_ref()));
    let (last, tombstone, deleted) = records[74];
    assert_eq!((last.main, tombstone), (67, true));
    assert_eq!(deleted, sample::key_value(b"key/11", None));
    let large = records.iter().map(|(_, _, record)| record.len()).max();
    assert!(large > Some(9000), "a value that overflows its page");

    let leases = backend.leases().unwrap();
    let ids: Vec<_> = leases.iter().map(|lease| (lease.lease.0, lease.ttl)).collect();
    assert_eq!(ids, [(7777, 3000), (-3, 60_000)]);
    assert_eq!(backend.alarms().unwrap(), [(NodeId(9), AlarmKind::NoSpace)]);
    let members = backend.members().unwrap();
    let member = |id| &members[&NodeId(id)];
    assert_eq!(member(0xbe2d_219f_31d8_3897).name, "default");
    assert_eq!(member(0xbe2d_219f_31d8_3897).client_urls, ["http://127.0.0.1:22000"]);
    assert!(member(0x4702_a66a_b7f7_6020).learner);
    assert_eq!(member(0x4702_a66a_b7f7_6020).peer_urls, ["http://127.0.0.1:22092"]);
    assert_eq!(backend.removed().unwrap(), [NodeId(0x7539_8608_9c8c_ff09)]);
    assert_eq!(backend.cluster_version().unwrap(), "3.7.0");
    assert_eq!((backend.index().unwrap(), backend.term().unwrap()), (Index(81), Term(2)));
    let conf_state = backend.conf_state().unwrap().unwrap();
    assert_eq!(conf_state.voters, [0xbe2d_219f_31d8_3897]);
    assert_eq!(conf_state.learners, [0x4702_a66a_b7f7_6020]);
    assert_eq!(backend.scheduled_compaction().unwrap(), Some(40));
    assert_eq!(backend.finished_compaction().unwrap(), Some(40));
    assert_eq!(backend.storage_version().unwrap().as_deref(), Some("3.7.0"));
    let auth = backend.auth().unwrap();
    assert_eq!((auth.enabled, auth.revision), (None, 5));
    assert_eq!(auth.users[0].0, "alice");
    assert_eq!(auth.roles[0].1, b"\n\x06reader\x12\x0c\x12\x04key/\x1a\x04key0".as_slice());
}

/// Item for item, what etcd wrote is what we write of it, when it went through the store.
#[test]
fn a_real_snapshot_is_written_as_it_was_read() {
    let db = strip(REAL).unwrap().unwrap();
    let backend = Backend::open(db).unwrap();
    let kv = backend.store().unwrap().view();
    // What that member answered when it was asked for its hash.
    assert_eq!(kv.hash(0).unwrap().hash, 3_112_568_490);
    let cluster = Cluster {
        removed: Default::default(),
        id: 1,
        members: backend.members().unwrap(),
        version: backend.cluster_version().unwrap(),
        downgrade: None,
    };
    let contents = Contents {
        kv,
        index: backend.index().unwrap(),
        term: backend.term().unwrap(),
        conf_state: backend.conf_state().unwrap().unwrap(),
        leases: backend.leases().unwrap(),
        alarms: Arc::new(backend.alarms().unwrap()),
        cluster: Arc::new(cluster),
        removed: backend.removed().unwrap(),
        downgrade: backend.downgrade().unwrap(),
        auth: backend.auth().unwrap(),
    };
    let ours = file(export(contents), 32_768);
    check(&ours);
    assert!(read(&ours) == read(db), "the buckets hold other items");
}

/// A restore that raises the revision leaves a version without any bytes behind.
#[test]
fn a_revision_without_a_key_only_raises_the_revision() {
    let key = |main: i64| [&main.to_be_bytes()[..], b"_", &0i64.to_be_bytes()].concat();
    let put = sample::key_value(b"a", Some((2, b"1"))).to_vec();
    let records = Map::from([(key(2), put), (key(1_000_002), Vec::new())]);
    let meta = Map::from([(b"scheduledCompactRev".to_vec(), key(1_000_002))]);
    let buckets = BTreeMap::from([(b"key".to_vec(), records), (b"meta".to_vec(), meta)]);
    let file = written(&buckets, 1, 4096);
    let kv = Backend::open(&file).unwrap().store().unwrap().view();
    assert_eq!((kv.revision(), kv.compacted()), (1_000_002, 1_000_002));
    assert_eq!(kv.count(&Keys::All, 0), Ok(1));
}

/// What the store cannot hold is damage, too.
#[test]
fn records_out_of_sense_make_no_store() {
    let key = [&2i64.to_be_bytes()[..], b"_", &0i64.to_be_bytes()].concat();
    for record in [vec![0xff], vec![0x0a, 0x05, b'a']] {
        let records = Map::from([(key.clone(), record)]);
        let buckets = BTreeMap::from([(b"key".to_vec(), records)]);
        let file = written(&buckets, 1, 4096);
        let damage = Backend::open(&file).unwrap().store().unwrap_err();
        assert_eq!(damage.why, "a record is damaged");
    }
}

/// Every byte of a small file is what it was when real etcd tools were last seen to accept it.
#[test]
fn the_bytes_of_a_small_file_stay() {
    let mut trailer = Trailer::new();
    let file = file(export(sample::contents(100, 2)), 4096);
    trailer.update(&file);
    let sum: String = trailer.finish().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sum, "0b571fbe6b63f0e667c8af417873a2f612c8c79ac81ff461d906b6893345fa29");
}

#[test]
fn a_trailer_is_checked_and_taken_off() {
    let mut file = file(export(sample::contents(3, -1)), 4096);
    assert_eq!(strip(&file), Ok(None), "a plain copy has no trailer");
    let mut trailer = Trailer::new();
    trailer.update(&file);
    let db = file.clone();
    file.extend_from_slice(&trailer.finish());
    assert_eq!(strip(&file), Ok(Some(db.as_slice())));
    file[9000] ^= 1;
    assert_eq!(strip(&file).unwrap_err().at, db.len() as u64);
}
