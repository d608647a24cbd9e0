//! State files whose checksums are right and whose frames make no sense, and manifests with
//! more files than a slot has room for.

use super::files::Files;
use super::frame::{Frame, Frames, Kind, VERSION, encode_numbers};
use super::image::{Image, ImageChunk};
use super::ledger::Ledger;
use super::manifest::{LISTED_MAX, Listed, Manifest, decode_list, encode_list};
use super::recovery::{Fed, Slots, read_manifest, resume};
use crate::disk::{DiskOp, File};
use crate::limits::PAGE;
use crate::planner::Options;
use crate::raft::Config;
use crate::state::codec::{encode_alarms, encode_cluster, encode_config, encode_leases};
use crate::types::{Index, Mark, NodeId, Term};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::collection::vec as list;
use proptest::prelude::*;

fn options() -> Options {
    Options { state_bytes: PAGE as u64, cluster: 3, node: NodeId(7), ..Options::default() }
}

fn image(index: u64, chunks: Vec<ImageChunk>) -> Image {
    Image {
        index: Index(index),
        term: Term(1),
        revision: 5,
        compacted: 2,
        lineage: 0,
        chunks,
        tail: Bytes::from_static(b"tail"),
        dead: Bytes::new(),
        leases: Bytes::from(encode_leases(&[])),
        alarms: Bytes::from(encode_alarms(&[])),
        cluster: Bytes::from(encode_cluster(&crate::members::Cluster::default())),
        config: Bytes::from(encode_config(&Config::default())),
    }
}

/// Carries everything out on files in memory.
fn run(files: &mut Files, disk: &mut BTreeMap<File, Vec<u8>>) {
    while let Some(ops) = files.poll() {
        for op in ops {
            match op {
                DiskOp::Allocate { file, len } => drop(disk.insert(file, vec![0; len as usize])),
                DiskOp::Write { file, at, bytes } => {
                    let bytes = bytes.concat();
                    let of = disk.get_mut(&file).expect("it was allocated");
                    of[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
                }
                DiskOp::Sync { .. } | DiskOp::Publish { .. } => {}
                DiskOp::Remove { .. } => panic!("the planner removes"),
            }
        }
        files.done();
    }
}

#[test]
fn a_slot_too_small_for_its_files_points_to_a_list() {
    let (mut files, mut disk) = (Files::create(options()), BTreeMap::new());
    let chunk = |number: u64| {
        let bytes = Bytes::from(vec![number as u8; PAGE - 200]);
        ImageChunk { number, version: 1, bytes }
    };
    for round in 1..=3 {
        let count = LISTED_MAX as u64 + round * 5;
        files.store(Mark(round), image(round, (0..count).map(chunk).collect()));
        run(&mut files, &mut disk);
        let Ok(Slots::Good(scans)) = read_manifest(&disk[&File::Manifest], 1) else {
            panic!("a manifest was written");
        };
        let (mut first, mut fed) = (None, Fed::new());
        let there = |number| disk.contains_key(&File::State(number));
        while let Some(number) = scans[0].wants(&fed, there) {
            first = first.or(Some(number));
            fed.insert(number, Bytes::from(disk[&File::State(number)].clone()));
        }
        let read = scans[0].read(&fed).expect("nothing is wrong");
        let (restored, _, named) = resume(&scans, 0, read, &fed, options(), 1000);
        assert_eq!(restored.chunks, (0..count).map(chunk).collect::<Vec<_>>());
        assert!(named.len() > LISTED_MAX);
        assert_eq!(named.last(), first.map(File::State).as_ref(), "the list is read first");
    }
}

#[test]
fn a_checkpoint_costs_what_is_new() {
    let options = Options::default();
    let (mut files, mut disk) = (Files::create(options), BTreeMap::new());
    let chunk = |number: u64| {
        let bytes = Bytes::from(vec![number as u8; 10_000]);
        ImageChunk { number, version: 1, bytes }
    };
    files.store(Mark(1), image(1, (0..500).map(chunk).collect()));
    run(&mut files, &mut disk);
    files.store(Mark(2), image(2, (0..503).map(chunk).collect()));
    let (mut written, mut largest) = (0, 0);
    while let Some(ops) = files.poll() {
        for op in &ops {
            if let DiskOp::Write { bytes, .. } = op {
                let len: usize = bytes.iter().map(Bytes::len).sum();
                written += len;
                largest = largest.max(len);
            }
        }
        files.done();
    }
    assert!((30_000..40_000).contains(&written), "{written} bytes for three chunks of 10,000");
    assert!(largest <= 128 * 1024, "paced pieces: {largest}");
}

/// The files of the format before this one are read and not appended to; those of a later one are
/// refused as such, and not as damaged.
#[test]
fn a_file_says_its_format() {
    let (mut files, mut disk) = (Files::create(options()), BTreeMap::new());
    files.store(Mark(1), image(1, Vec::new()));
    run(&mut files, &mut disk);
    let Ok(Slots::Good(mut scans)) = read_manifest(&disk[&File::Manifest], 1) else {
        panic!("a manifest was written");
    };
    let written = Bytes::from(disk[&File::State(1)].clone());
    for format in [VERSION - 1, VERSION, VERSION + 1] {
        let (mut bytes, mut chain) = (Vec::new(), 0);
        let mut frames = Frames::new(&written, PAGE as u64).expect("it is that long");
        while let Some(mut found) = frames.next().expect("good") {
            if found.frame.kind == Kind::Head {
                found.frame.version = format;
            }
            let (pieces, next) = found.frame.encode(chain);
            bytes.extend(pieces.concat());
            chain = next;
        }
        let len = bytes.len() as u64;
        bytes.resize(PAGE, 0);
        scans[0].manifest.files = vec![Listed { number: 1, len, chain }];
        let fed = Fed::from([(1, Bytes::from(bytes))]);
        match scans[0].read(&fed) {
            Ok(read) => {
                assert!(format <= VERSION);
                let (restored, mut files, _) = resume(&scans, 0, read, &fed, options(), 2);
                assert_eq!(restored.tail, "tail");
                files.store(
                    Mark(2),
                    Image { tail: Bytes::from_static(b"more"), ..image(2, vec![]) },
                );
                let first = files.poll().expect("there is news").remove(0);
                let appends = matches!(first, DiskOp::Write { file: File::State(1), .. });
                assert_eq!(appends, format == VERSION, "{first:?}");
            }
            Err(damage) => {
                assert!(format > VERSION, "{damage:?}");
                assert_eq!(damage.why, "the state file's format is of another version");
            }
        }
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let body = list(any::<u8>(), 0..60).prop_map(Bytes::from);
    prop_oneof![
        3 => (0u64..6, 0u64..3, body.clone()).prop_map(|(number, version, body)| {
            Frame { kind: Kind::Chunk, number, version, body }
        }),
        2 => list(0u64..8, 0..4).prop_map(|gone| Frame::single(Kind::Gone, encode_numbers(&gone))),
        1 => body.clone().prop_map(|body| Frame::single(Kind::Gone, body)),
        1 => body.clone().prop_map(|body| Frame::single(Kind::Tail, body)),
        1 => body.clone().prop_map(|body| Frame::single(Kind::Leases, body)),
        1 => body.prop_map(|body| Frame::single(Kind::Listing, body)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_come_back_as_they_were(frames in list(frame(), 0..12)) {
        let (mut bytes, mut chain) = (Vec::new(), 0);
        for frame in &frames {
            let (pieces, next) = frame.encode(chain);
            bytes.extend(pieces.concat());
            prop_assert_eq!(bytes.len() % 8, 0);
            chain = next;
        }
        let end = bytes.len() as u64;
        let bytes = Bytes::from(bytes);
        let mut reader = Frames::new(&bytes, end).expect("it is that long");
        for frame in &frames {
            let found = reader.next().expect("good").expect("there is one more");
            let from = found.body_at as usize;
            prop_assert_eq!(&bytes[from..from + frame.body.len()], &frame.body[..]);
            prop_assert_eq!(&found.frame, frame);
        }
        prop_assert!(reader.next().expect("good").is_none());
        prop_assert_eq!(reader.chain(), chain);
    }

    /// Whatever the frames say, and whatever is dropped: nothing overflows, and what counts is
    /// what a reader of the files that are left finds.
    #[test]
    fn a_ledger_forgets_nothing_that_counts(frames in list((1u64..5, frame()), 0..60)) {
        let mut ledger = Ledger::default();
        let mut kept: Vec<(u64, Frame)> = Vec::new();
        let mut newest = 1;
        for (file, frame) in frames {
            newest = newest.max(file);
            if ledger.note(newest, &frame, 0).is_some() {
                kept.push((newest, frame));
            }
        }
        let live: Vec<u64> = ledger.live().map(|(number, _)| number).collect();
        let dropped = ledger.drop_dead(newest);
        kept.retain(|(file, _)| !dropped.contains(file));
        let mut again = Ledger::default();
        for (file, frame) in &kept {
            again.note(*file, frame, 0);
        }
        prop_assert_eq!(live, again.live().map(|(number, _)| number).collect::<Vec<_>>());
        prop_assert_eq!(ledger.single(Kind::Tail), again.single(Kind::Tail));
        prop_assert!(again.drop_dead(newest).is_empty(), "all that is dead was dropped");
    }

    #[test]
    fn a_manifest_comes_back_as_it_was(sequence in 1u64..9, listing: bool, count in 0..LISTED_MAX) {
        let files = (0..count as u64).map(|number| Listed { number, len: number * 512, chain: 9 });
        let manifest = Manifest {
            sequence,
            cluster: 3,
            node: NodeId(7),
            index: Index(40),
            term: Term(2),
            revision: -1,
            compacted: 0,
            listing,
            files: files.collect(),
        };
        let slot = manifest.encode();
        prop_assert_eq!(slot.len(), PAGE);
        prop_assert_eq!(Manifest::decode(&slot), Some(manifest.clone()));
        prop_assert_eq!(decode_list(&encode_list(&manifest.files)), Some(manifest.files));
    }

    #[test]
    fn no_bytes_break_a_reader(bytes in list(any::<u8>(), 0..200), end in 0u64..300) {
        let bytes = Bytes::from(bytes);
        let _ = Manifest::decode(&bytes);
        let _ = decode_list(&bytes);
        let _ = read_manifest(&bytes, 0);
        if let Some(mut frames) = Frames::new(&bytes, end) {
            while let Ok(Some(_)) = frames.next() {}
        }
    }
}
