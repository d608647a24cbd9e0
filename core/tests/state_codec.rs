//! The bytes of every version of every format, kept for ever, and decoders under bytes of any
//! kind.

mod planner_disk;
mod planner_model;

use bytes::Bytes;
use keel_core::command::AlarmKind;
use keel_core::disk::File;
use keel_core::members::{Cluster, Member};
use keel_core::planner::Recovery;
use keel_core::raft::Config;
use keel_core::state::LeaseRecord;
use keel_core::state::codec::{
    decode_alarms, decode_cluster, decode_config, decode_leases, encode_alarms, encode_cluster,
    encode_config, encode_leases,
};
use keel_core::types::{LeaseId, NodeId};
use planner_model::options;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn leases() -> Vec<LeaseRecord> {
    vec![
        LeaseRecord { lease: LeaseId(-2), ttl: 60, remaining: 0 },
        LeaseRecord { lease: LeaseId(0x1234), ttl: 9_000_000_000, remaining: 5 },
    ]
}

fn alarms() -> Vec<(NodeId, AlarmKind)> {
    vec![(NodeId(1), AlarmKind::NoSpace), (NodeId(0xffff_ffff_ffff_ffff), AlarmKind::Corrupt)]
}

fn cluster() -> Cluster {
    let first = Member {
        name: "a".into(),
        peer_urls: vec!["http://a:2380".into()],
        client_urls: vec!["http://a:2379".into(), "http://b:2379".into()],
        learner: false,
    };
    let second = Member { learner: true, ..Member::default() };
    Cluster {
        id: 0xcdf8_18c1_94e3_a8c9,
        members: BTreeMap::from([(NodeId(0x8e9e), first), (NodeId(0xffff), second)]),
        removed: [NodeId(0xabcd)].into(),
        version: "3.7.0".into(),
        downgrade: Some("3.6.0".into()),
    }
}

#[test]
fn version_1_of_leases() {
    let bytes = "0102000000feffffffffffffff3c000000000000000000000000000000\
                 3412000000000000001a7118020000000500000000000000";
    assert_eq!(hex(&encode_leases(&leases())), bytes);
    assert_eq!(decode_leases(&encode_leases(&leases())), Some(leases()));
}

#[test]
fn version_1_of_alarms() {
    let bytes = "0102000000010000000000000001ffffffffffffffff02";
    assert_eq!(hex(&encode_alarms(&alarms())), bytes);
    assert_eq!(decode_alarms(&encode_alarms(&alarms())), Some(alarms()));
}

#[test]
fn versions_1_to_3_of_members() {
    let bytes = "c9a8e394c118f8cd05000000332e372e30020000009e8e000000000000000100000061\
                 010000000d000000687474703a2f2f613a32333830020000000d000000687474703a2f2f613a32333739\
                 0d000000687474703a2f2f623a32333739ffff00000000000001000000000000000000000000";
    let removed = "01000000cdab000000000000";
    let downgrade = "0100000005000000332e362e30";
    assert_eq!(hex(&encode_cluster(&cluster())), format!("03{bytes}{removed}{downgrade}"));
    assert_eq!(decode_cluster(&encode_cluster(&cluster())), Some(cluster()));
    // As they were written before.
    let mut second = Cluster { downgrade: None, ..cluster() };
    let mut written = encode_cluster(&second);
    written[0] = 2;
    written.truncate(written.len() - 4);
    assert_eq!(hex(&written), format!("02{bytes}{removed}"));
    assert_eq!(decode_cluster(&written), Some(second.clone()));
    second.removed.clear();
    let mut written = encode_cluster(&second);
    written[0] = 1;
    written.truncate(written.len() - 8);
    assert_eq!(hex(&written), format!("01{bytes}"));
    assert_eq!(decode_cluster(&written), Some(second));
}

fn config() -> Config {
    Config {
        voters: [NodeId(1), NodeId(2)].into(),
        outgoing: [NodeId(3)].into(),
        learners: [].into(),
        learners_next: [NodeId(0x8e9e)].into(),
        auto_leave: true,
    }
}

#[test]
fn version_1_of_the_configuration() {
    let bytes = "01010200000001000000000000000200000000000000010000000300000000000000\
                 00000000010000009e8e000000000000";
    assert_eq!(hex(&encode_config(&config())), bytes);
    assert_eq!(decode_config(&encode_config(&config())), Some(config()));
}

#[test]
fn what_is_cut_or_too_long_is_refused() {
    let whole = [
        encode_leases(&leases()),
        encode_alarms(&alarms()),
        encode_cluster(&cluster()),
        encode_config(&config()),
    ];
    for bytes in whole {
        let refused = |bytes: &[u8]| {
            decode_leases(bytes).is_none()
                && decode_alarms(bytes).is_none()
                && decode_cluster(bytes).is_none()
                && decode_config(bytes).is_none()
        };
        assert!((0..bytes.len()).all(|end| refused(&bytes[..end])));
        let mut long = bytes.clone();
        long.push(0);
        assert!(refused(&long));
        let mut newer = bytes.clone();
        newer[0] = 4;
        assert!(refused(&newer));
    }
}

/// Bytes that look like a file of ours in places.
fn file_like() -> impl Strategy<Value = Vec<u8>> {
    let magic = prop_oneof![
        Just(b"keel.log\x01\0\0\0".to_vec()),
        Just(b"keel.man\x01\0\0\0".to_vec()),
        Just(b"lkb1".to_vec()),
        Just(vec![0; 512]),
        Just(vec![0xff; 8]),
        vec(any::<u8>(), 0..64),
    ];
    vec(magic, 0..40).prop_map(|parts| {
        let mut bytes = parts.concat();
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_a_decoder(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode_leases(&bytes);
        let _ = decode_alarms(&bytes);
        let _ = decode_cluster(&bytes);
        let _ = decode_config(&bytes);
        let mut versioned = bytes;
        versioned.insert(0, 1);
        let _ = decode_leases(&versioned);
        let _ = decode_alarms(&versioned);
        let _ = decode_cluster(&versioned);
        let _ = decode_config(&versioned);
    }

    #[test]
    fn no_files_break_a_recovery(files in vec((0u8..3, 0u64..4, file_like()), 0..6)) {
        let files: BTreeMap<File, Vec<u8>> = files
            .into_iter()
            .map(|(kind, number, bytes)| match kind {
                0 => (File::Segment(number), bytes),
                1 => (File::State(number), bytes),
                _ => (File::Manifest, bytes),
            })
            .collect();
        let lengths = files.iter().map(|(&file, bytes)| (file, bytes.len() as u64)).collect();
        let mut recovery = Recovery::new(options(), lengths);
        while let Some(file) = recovery.wants() {
            if recovery.feed(file, Bytes::from(files[&file].clone())).is_err() {
                return Ok(());
            }
        }
        let _ = recovery.finish();
    }
}
