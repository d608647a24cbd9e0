//! Logs whose checksums are right and whose words make no sense: refused, never panicked on.

use super::record::{FIRST_BATCH, Head, Record, SegmentHeader, decode_batch, encode_batch};
use super::{replay, round_up};
use crate::entry::{EntryKind, HardState};
use crate::limits::SECTOR;
use crate::types::{Index, NodeId, Term};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::collection::vec as list;
use proptest::prelude::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0u64..12, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 2), 1 => any::<u64>()]
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        4 => (0u64..3, number(), list(any::<u8>(), 0..40)).prop_map(|(term, index, bytes)| {
            Record::Entry(Term(term), Index(index), EntryKind::Normal, Bytes::from(bytes))
        }),
        1 => (number(), number(), number()).prop_map(|(term, vote, commit)| {
            Record::Hard(HardState { term: Term(term), vote: NodeId(vote), commit: Index(commit) })
        }),
        1 => number().prop_map(|index| Record::Cut(Index(index))),
        1 => number().prop_map(|index| Record::Restart(Index(index))),
    ]
}

fn segment(header: &SegmentHeader, batches: &[Vec<Record>]) -> (Bytes, u32, u64) {
    let mut bytes = header.encode().to_vec();
    bytes.resize(FIRST_BATCH as usize, 0);
    let mut chain = header.chain;
    for records in batches {
        let at = bytes.len() as u64;
        let batch = encode_batch(records, at, at, chain, header.seed());
        bytes.extend(batch.pieces.concat());
        chain = batch.chain;
    }
    let end = bytes.len() as u64;
    bytes.resize(bytes.len() + 4 * SECTOR, 0);
    (Bytes::from(bytes), chain, end)
}

fn header(number: u64, first: u64, chain: u32, before_end: u64) -> SegmentHeader {
    let (hard, node) = (HardState::default(), NodeId(7));
    SegmentHeader {
        number,
        first: Index(first),
        before_end,
        chain,
        cluster: 3,
        node,
        hard,
        anew: false,
        restated: false,
    }
}

#[test]
fn a_batch_comes_back_as_it_was() {
    let records = vec![
        Record::Hard(HardState { term: Term(4), vote: NodeId(9), commit: Index(17) }),
        Record::Cut(Index(18)),
        Record::Entry(Term(4), Index(18), EntryKind::ChangeV2, Bytes::from_static(b"change")),
        Record::Entry(Term(4), Index(19), EntryKind::Normal, Bytes::new()),
        Record::Restart(Index(40)),
    ];
    let header = header(1, 18, 5, 0);
    let (bytes, chain, end) = segment(&header, core::slice::from_ref(&records));
    let read = decode_batch(&bytes, FIRST_BATCH, 5, header.seed()).expect("good");
    assert_eq!((&read.1, read.2, read.0.end()), (&records, chain, Some(end)));
    assert!(decode_batch(&bytes, FIRST_BATCH, 6, header.seed()).is_none(), "another chain");
    assert!(decode_batch(&bytes, FIRST_BATCH, 5, 0).is_none(), "another segment's seed");
    assert!(decode_batch(&bytes, u64::MAX, 5, header.seed()).is_none());
}

#[test]
fn entries_are_shared_and_not_copied() {
    let bytes = Bytes::from_static(b"0123456789");
    let records = [Record::Entry(Term(1), Index(1), EntryKind::Normal, bytes.clone())];
    let batch = encode_batch(&records, FIRST_BATCH, FIRST_BATCH, 0, 0);
    assert!(batch.pieces.iter().any(|piece| piece.as_ptr() == bytes.as_ptr()));
    let (whole, _, _) = segment(&header(1, 1, 0, 0), &[records.to_vec()]);
    let found = decode_batch(&whole, FIRST_BATCH, 0, header(1, 1, 0, 0).seed()).expect("good");
    let Record::Entry(_, _, _, found) = &found.1[0] else { panic!("an entry") };
    assert!(whole.as_ptr_range().contains(&found.as_ptr()), "a slice of the file");
}

/// A program that knows only the first format would take a restated log for a voided one.
#[test]
fn a_restated_log_has_a_format_of_its_own() {
    for (restated, version) in [(false, 1_u32), (true, 2)] {
        for anew in [false, true] {
            let header = SegmentHeader { restated, anew, ..header(3, 9, 5, 0) };
            let bytes = header.encode();
            assert_eq!(bytes[8..12], version.to_le_bytes());
            let read = SegmentHeader::decode(&bytes).expect("it was written");
            assert_eq!((read.restated, read.anew), (restated, anew));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_words_break_a_replay(
        first in number(),
        second in number(),
        batches in list(list(record(), 0..6), 0..6),
        more in list(list(record(), 0..6), 0..3),
        stored in (number(), number()),
    ) {
        let (bytes, chain, end) = segment(&header(1, first, 0, 0), &batches);
        let next = header(2, second, chain, end);
        let segments = BTreeMap::from([(1, bytes), (2, segment(&next, &more).0)]);
        let stored = (Index(stored.0.min(u64::MAX / 2)), Term(stored.1));
        if let Ok(replay) = replay(&segments, stored) {
            let indexes: Vec<u64> = replay.entries.iter().map(|entry| entry.index.0).collect();
            let expected: Vec<u64> = (stored.0.0 + 1..).take(indexes.len()).collect();
            prop_assert_eq!(indexes, expected, "without a gap behind the checkpoint");
        }
    }

    #[test]
    fn no_bytes_break_a_head(bytes in list(any::<u8>(), 0..100), at in number(), seed: u32) {
        let _ = Head::decode(&bytes, at, seed);
        let _ = SegmentHeader::decode(&bytes);
    }

    #[test]
    fn a_head_comes_back_as_it_was(at in 0u64..8, synced: u64, bytes in number(), seed: u32) {
        let at = at * SECTOR as u64;
        let head = Head { at, synced, bytes, count: 3, chain: seed ^ 1 };
        let mut file = vec![0; at as usize];
        file.extend(head.encode(seed));
        prop_assert_eq!(Head::decode(&file, at, seed), Some(head));
        if let Some(end) = head.end() {
            prop_assert_eq!(end, round_up(end, SECTOR));
        }
    }
}
