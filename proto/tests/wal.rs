//! etcd's write-ahead log: what is written reads back, what etcd wrote is read, and damage is
//! told from an end that a crash left.

use bytes::Bytes;
use keel_core::entry::EntryKind;
use keel_core::raft::Config;
use keel_core::{HardState, Index, NodeId, RawEntry, Term};
use keel_proto::wal::{Record, Snapshot, Wal, Writer, name, parse_name};
use std::collections::BTreeMap;

fn entry(term: u64, index: u64, len: usize) -> RawEntry {
    let bytes = Bytes::from(vec![index.to_le_bytes()[0] | 1; len]);
    RawEntry { term: Term(term), index: Index(index), kind: EntryKind::Normal, bytes }
}

fn hard(term: u64, commit: u64) -> HardState {
    HardState { term: Term(term), vote: NodeId(5), commit: Index(commit) }
}

/// Takes what a writer has into its files.
fn take(writer: &mut Writer, files: &mut BTreeMap<String, Vec<u8>>) {
    let (name, bytes) = writer.take();
    files.entry(name.to_owned()).or_default().extend_from_slice(&bytes);
    writer.cut();
}

fn read(files: &BTreeMap<String, Vec<u8>>) -> Result<Wal, keel_proto::wal::Damage> {
    Wal::read(files.iter().map(|(name, bytes)| (name.clone(), Bytes::from(bytes.clone()))))
}

fn one_file(records: &[Record]) -> BTreeMap<String, Vec<u8>> {
    let mut writer = Writer::new(7, NodeId(5));
    for record in records {
        match record {
            Record::Entry(entry) => writer.entry(entry),
            other => writer.record(other),
        }
    }
    let mut files = BTreeMap::new();
    take(&mut writer, &mut files);
    files
}

/// The head of a log that etcd 3.4 wrote for the member 8e9e05c52164694d.
#[test]
fn a_log_begins_as_etcds_does() {
    let head = [
        0x04, 0, 0, 0, 0, 0, 0, 0x84, 0x08, 0x04, 0x10, 0x00, 0, 0, 0, 0, //
        0x20, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x01, 0x10, 0xbb, 0x81, 0xc7, 0xfc, 0x05, 0x1a, 0x16,
        0x08, 0xcd, 0xd2, 0x91, 0x8b, 0xd2, 0xb8, 0x81, 0xcf, 0x8e, 0x01, 0x10, 0xb2, 0x98, 0xea,
        0xf1, 0x94, 0x83, 0x86, 0xfc, 0xcd, 0x01,
    ];
    let mut writer = Writer::new(0xcdf8_1819_4e3a_8c32, NodeId(0x8e9e_05c5_2164_694d));
    let (file, bytes) = writer.take();
    assert_eq!(file, "0000000000000000-0000000000000000.wal");
    assert_eq!(bytes[..], head);
}

#[test]
fn a_name_leads_back_to_its_numbers() {
    assert_eq!(parse_name(&name(3, 0xabc)), Some((3, 0xabc)));
    for other in ["0.tmp", "3-abc.wal", "0000000000000003-0000000000000abc.wal.broken"] {
        assert_eq!(parse_name(other), None, "{other}");
    }
}

#[test]
fn what_is_written_reads_back_over_many_files() {
    let mut writer = Writer::new(7, NodeId(5));
    let mut files = BTreeMap::new();
    writer.record(&Record::Snapshot(Snapshot::default()));
    for index in 1..=300 {
        writer.entry(&entry(2, index, 700_000));
        writer.record(&Record::State(hard(2, index)));
        take(&mut writer, &mut files);
    }
    assert_eq!(files.len(), 4, "a file is full at 64 MB");
    let last = files.keys().last().expect("four");
    assert!(parse_name(last).is_some_and(|(sequence, index)| sequence == 3 && index > 200));
    let wal = read(&files).expect("it is sound");
    assert_eq!((wal.owner(), wal.hard(), wal.torn), (Some((7, NodeId(5))), hard(2, 300), None));
    let entries = wal.entries_after(Index(250)).expect("none is missing");
    assert_eq!(entries, (251..=300).map(|index| entry(2, index, 700_000)).collect::<Vec<_>>());

    // A reader may begin at any file, but none in between may be missing.
    files.pop_first();
    let wal = read(&files).expect("it is sound");
    assert!(wal.base() > Index(80) && wal.entries_after(wal.base()).is_ok());
    assert_eq!(wal.entries_after(Index(0)).expect_err("they are gone").at, 64);
    let second = files.keys().nth(1).expect("three").clone();
    files.remove(&second);
    assert_eq!(read(&files).expect_err("one is missing").why, "the file before it is missing");
}

#[test]
fn later_entries_void_earlier_ones() {
    let mut records: Vec<Record> = (1..=9).map(|index| Record::Entry(entry(2, index, 9))).collect();
    records.push(Record::Entry(entry(3, 6, 9)));
    records.push(Record::State(hard(3, 6)));
    let wal = read(&one_file(&records)).expect("it is sound");
    let entries = wal.entries_after(Index(4)).expect("none is missing");
    assert_eq!(entries, [entry(2, 5, 9), entry(3, 6, 9)]);
    assert!(wal.entries_after(Index(6)).expect("none is missing").is_empty());
}

#[test]
fn a_snapshot_counts_once_it_is_committed() {
    let at = |index| {
        let config = Config { voters: [NodeId(index)].into(), ..Config::default() };
        Snapshot { index: Index(index), term: Term(2), config: Some(config) }
    };
    let records = [
        Record::Snapshot(Snapshot::default()),
        Record::Snapshot(at(40)),
        Record::Entry(entry(2, 41, 9)),
        Record::State(hard(2, 41)),
        Record::Snapshot(at(60)),
    ];
    let wal = read(&one_file(&records)).expect("it is sound");
    assert_eq!(wal.snapshots().last(), Some(&at(40)));
    assert_eq!(Some(wal.config_at(Index(41)).expect("it is known")), at(40).config);
    assert_eq!(wal.base(), Index(40));
}

/// Whatever byte of a record is changed: it is damage, unless a sector was never written.
#[test]
fn a_changed_byte_is_damage_and_a_hole_is_an_end() {
    let records: Vec<Record> = (1..=4).map(|index| Record::Entry(entry(2, index, 2000))).collect();
    let files = one_file(&records);
    let (name, sound) = files.first_key_value().expect("one file");
    let whole = read(&files).expect("it is sound");
    let starts: Vec<u64> = whole.records.iter().map(|(_, at, _)| *at).collect();
    for at in (0..sound.len()).step_by(97) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x04;
        let found = read(&BTreeMap::from([(name.clone(), bytes)]));
        let begins = *starts.iter().rfind(|start| **start <= at as u64).expect("the first is 0");
        match found {
            Err(damage) => assert_eq!((&damage.file, damage.at), (name, begins), "at {at}"),
            // A length that leads beyond the file looks like a write that was cut short.
            Ok(wal) => assert!(at as u64 - begins < 8 && wal.torn == Some(begins), "at {at}"),
        }
    }
    let last = *starts.last().expect("some");
    for hole in (last as usize + 512..sound.len() - 512).step_by(512) {
        let mut bytes = sound.clone();
        let sector = hole / 512 * 512;
        bytes[sector..sector + 512].fill(0);
        let wal = read(&BTreeMap::from([(name.clone(), bytes)])).expect("a crash can leave that");
        assert_eq!((wal.torn, wal.records.len()), (Some(last), whole.records.len() - 1));
    }
    // Zeros behind the last record are room that was made ahead.
    let mut padded = sound.clone();
    padded.resize(sound.len() + 100_000, 0);
    let wal = read(&BTreeMap::from([(name.clone(), padded)])).expect("it is sound");
    assert_eq!((wal.torn, wal.records.len()), (None, whole.records.len()));
}

#[test]
fn a_hole_in_a_file_that_others_follow_is_damage() {
    let mut writer = Writer::new(7, NodeId(5));
    let mut files = BTreeMap::new();
    for index in 1..=2 {
        writer.entry(&entry(2, index, 64_000_000));
        take(&mut writer, &mut files);
    }
    let first = files.first_entry().expect("two files").into_mut();
    let middle = first.len() / 1024 * 512;
    first[middle..middle + 512].fill(0);
    assert_eq!(read(&files).expect_err("others follow it").why, "a record is cut short");
}
