//! The log on disk: `Persist` in, writes and syncs of segment files out.
//!
//! A **segment** is a file of fixed size, filled with zeros ahead of its use so that writing it
//! changes no metadata. Everything staged goes out as one **batch**: one write, one sync. A
//! **record** says one thing: an entry, the hard state, a cut, a restart behind a checkpoint.
//!
//! # What is assumed about the disk
//!
//! 1. What a sync that succeeded covers stays, whole, and in the place where it was written.
//! 2. Until then each sector of 512 bytes that was written may hold what was there before, what
//!    was written, a mixture, or garbage, each sector for itself and in any order.
//! 3. A sector that was not written keeps its bytes. So a batch ends on a sector, and nothing
//!    that was synced shares a sector with anything that is not: no sector is written twice.
//! 4. A file's name is durable once the directory was synced after the rename.
//! 5. A failed sync tells nothing about what is on the disk: the process ends.
//!
//! No sync is in flight when a batch is written, since a lane has one plan in flight: so a
//! batch never dirties a page that a sync covers.
//!
//! # How an end is known from damage
//!
//! A batch is handed out only after the one before it was written, and its head says up to
//! where the segment was synced by then. So a good head behind a bad batch proves, if its
//! synced end lies behind that batch, that the batch was whole once: **damage**. So does a
//! later segment, whose header is written after the one before it was synced, says where that
//! one ended, and is synced itself before its first batch is written. A bad batch without such a witness was never promised to anybody,
//! and the log ends before it. Batches count whole or not at all.
//!
//! A write that only raises the commit index is written without a sync: Raft does not need it.

mod record;
mod recovery;
#[cfg(test)]
mod tests;

pub(crate) use record::{checksum, index, round_up};
pub use recovery::{Held, held};
pub(crate) use recovery::{MISSING, Replay, replay};

use crate::disk::{DiskOp, File};
use crate::entry::{Entry, HardState, Payload, RawEntry, Write};
use crate::limits::{PAGE, SECTOR};
use crate::planner::Options;
use crate::types::{Index, Mark, Term};
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use record::{FIRST_BATCH, Record, SegmentHeader, batch_bytes, encode_batch};

/// A segment that holds records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub number: u64,
    /// The index that the next entry had when it was begun.
    pub first: Index,
}

/// The segment that is written.
#[derive(Clone, Copy, Debug)]
struct Tail {
    number: u64,
    len: u64,
    /// Where the next batch begins.
    at: u64,
    /// Up to where it is synced.
    synced: u64,
    seed: u32,
}

/// The segment after the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spare {
    None,
    /// The bulk lane is at it.
    Coming,
    /// Published, this long.
    Ready(u64),
}

/// A write that waits for its batch.
#[derive(Debug)]
struct Staged {
    mark: Mark,
    records: Vec<Record>,
    bytes: u64,
    /// Whether raft rests on it, so that it must be synced.
    binding: bool,
    /// Entries behind a checkpoint that is not in the log: not before that one is durable.
    after: Option<Index>,
    hard: HardState,
    next: Index,
}

/// A batch on its way.
#[derive(Debug)]
struct Flight {
    mark: Option<Mark>,
    /// Where the tail's synced end is once it is done.
    synced: u64,
    /// Whether the log stands whole in this batch.
    restated: bool,
}

/// The planner of the log.
#[derive(Debug)]
pub(crate) struct Log {
    options: Options,
    /// As of the last write staged.
    hard: HardState,
    /// As of the last batch handed out: what a new segment restates.
    hard_written: HardState,
    /// The index of the next entry, as of the last write staged.
    next: Index,
    /// The same, as of the last batch handed out.
    next_written: Index,
    chain: u32,
    staged: VecDeque<Staged>,
    /// Oldest first; the last is the newest that was begun.
    segments: VecDeque<Segment>,
    tail: Option<Tail>,
    /// The newest segment of which the header is durable.
    begun: u64,
    /// Where the records of the newest segment end.
    before_end: u64,
    spare: Spare,
    flight: Option<Flight>,
    /// Up to where a durable checkpoint makes the log void.
    stored: Index,
    /// After a restart: what brings files that a crash left half written, or in the page cache
    /// only, to rest before anything else.
    settle: Vec<DiskOp>,
    /// After a restart: a fresh segment is begun although nothing is staged.
    fresh: bool,
    /// After a restart: the entries in the segments before it are void.
    anew: bool,
    /// After a restart with more segments than are kept: what is still needed of them. The fresh
    /// segment begins with it, so that they may go: lives that end before their first checkpoint
    /// would leave one each.
    restated: Vec<Record>,
    /// The terms of the staged log's entries: where each begins, as far back as is known.
    terms: VecDeque<(Index, Term)>,
    /// A checkpoint was staged that holds other entries than the log: it begins anew there.
    replaced: Option<Index>,
}

impl Log {
    /// The log of an empty directory.
    pub(crate) fn create(options: Options) -> Log {
        Log {
            options,
            hard: HardState::default(),
            hard_written: HardState::default(),
            next: Index(1),
            next_written: Index(1),
            chain: 0,
            staged: VecDeque::new(),
            segments: VecDeque::new(),
            tail: None,
            begun: 0,
            before_end: 0,
            spare: Spare::None,
            flight: None,
            stored: Index(0),
            settle: Vec::new(),
            fresh: false,
            anew: false,
            restated: Vec::new(),
            terms: VecDeque::new(),
            replaced: None,
        }
    }

    /// The log that goes on, in a fresh segment, where `replay` ended. `stored` is the index of
    /// the checkpoint. Before anything else `settle` is carried out and the newest segment
    /// synced: a process that died may have left bytes that were read back but are on no disk yet.
    pub(crate) fn resume(
        options: Options,
        replay: &Replay,
        stored: Index,
        mut settle: Vec<DiskOp>,
    ) -> Log {
        let next = replay.last().next();
        let fresh = !settle.is_empty() || !replay.segments.is_empty();
        let newest = replay.segments.back().map(|segment| File::Segment(segment.number));
        let newest = newest.filter(|_| !mutant!(PageCacheTrusted));
        settle.extend(newest.map(|file| DiskOp::Sync { file }));
        Log {
            hard: replay.hard,
            hard_written: replay.hard,
            next,
            next_written: next,
            chain: replay.chain,
            segments: replay.segments.clone(),
            before_end: replay.end,
            stored,
            settle,
            fresh,
            anew: replay.anew,
            restated: restated(&options, replay),
            terms: replay.entries.iter().map(|entry| (entry.index, entry.term)).fold(
                VecDeque::new(),
                |mut terms, (index, term)| {
                    note_term(&mut terms, index, term);
                    terms
                },
            ),
            ..Log::create(options)
        }
    }

    /// A checkpoint is staged on the other lane. One that another member sent may lie inside the
    /// log and yet hold other entries: the log goes on behind it only when it is durable.
    pub(crate) fn store(&mut self, index: Index, term: Term) {
        let runs = self.terms.iter().rev();
        let known = runs.copied().find(|&(first, _)| first <= index && index < self.next);
        if known.is_some_and(|(_, known)| known != term) && !mutant!(StateKeepsOldLog) {
            self.replaced = Some(index);
        }
    }

    /// Stages a write. Entries follow the last one without a gap, or begin right after a
    /// checkpoint that was staged before them.
    pub(crate) fn persist(&mut self, mark: Mark, write: Write) {
        let mut records = Vec::with_capacity(write.entries.len() + 2);
        let mut binding = !write.entries.is_empty() || write.cut_from.is_some();
        let last = write.entries.last().map(|entry| entry.index);
        if let Some(mut hard) = write.hard {
            // A follower that installs a checkpoint knows more to be committed than the log
            // holds: what the log says of itself, it must hold.
            let void = write.cut_from.unwrap_or(self.next);
            hard.commit = hard.commit.min(last.unwrap_or(void.min(self.next).prev()));
            let news = (hard.term, hard.vote) != (self.hard.term, self.hard.vote);
            binding |= news && !mutant!(TermUnsynced);
            self.hard = hard;
            records.push(Record::Hard(hard));
        }
        let first = write.entries.first().map(|entry| entry.index);
        let mut after = None;
        if let Some(index) = self.replaced.take_if(|index| first == Some(index.next())) {
            after = Some(index);
            records.push(Record::Restart(index));
            self.next = index.next();
        }
        let cut = [write.cut_from, first].into_iter().flatten().min();
        if let Some(from) = cut.filter(|&from| from < self.next) {
            if !mutant!(CutUnwritten) {
                records.push(Record::Cut(from));
            }
            self.next = from;
        }
        if let Some(first) = first.filter(|&first| first > self.next) {
            after = Some(first.prev());
            records.push(Record::Restart(first.prev()));
            self.next = first;
        }
        self.terms.retain(|&(first, _)| first < self.next);
        for entry in write.entries {
            note_term(&mut self.terms, entry.index, entry.term);
            assert_eq!(entry.index, self.next, "entries reach the log without a gap");
            self.next = entry.index.next();
            records.push(record(entry));
        }
        let bytes = records.iter().map(Record::bytes).sum();
        let (hard, next) = (self.hard, self.next);
        self.staged.push_back(Staged { mark, records, bytes, binding, after, hard, next });
    }

    /// Everything staged, as operations; `None` if there is nothing, or something is in flight.
    pub(crate) fn poll(&mut self) -> Option<Vec<DiskOp>> {
        if self.flight.is_some() {
            return None;
        }
        let (count, bytes) = self.group();
        if count == 0 && !self.fresh {
            return None;
        }
        if bytes == 0 && !self.fresh {
            return Some(self.nothing(count));
        }
        let bytes = bytes + self.restated.iter().map(Record::bytes).sum::<u64>();
        let full = self.tail.is_none_or(|tail| tail.at + batch_bytes(bytes) > tail.len);
        if full && self.spare == Spare::Coming {
            return None; // The bulk lane publishes it soon.
        }
        let mut ops = core::mem::take(&mut self.settle);
        if full {
            self.begin_segment(bytes, &mut ops);
            self.fresh = false;
        }
        self.write_batch(count, &mut ops);
        Some(ops)
    }

    /// How many staged writes make the next batch, and their bytes.
    fn group(&self) -> (usize, u64) {
        let (mut count, mut bytes) = (0, 0);
        for staged in &self.staged {
            let full = count > 0 && bytes + staged.bytes > self.options.group_bytes;
            if full || staged.after.is_some_and(|index| index > self.stored) {
                break;
            }
            count += 1;
            bytes += staged.bytes;
        }
        (count, bytes)
    }

    /// Writes that say nothing are durable at once.
    fn nothing(&mut self, count: usize) -> Vec<DiskOp> {
        let mark = self.staged.drain(..count).map(|staged| staged.mark).next_back();
        let synced = self.tail.map_or(0, |tail| tail.synced);
        self.flight = Some(Flight { mark, synced, restated: false });
        Vec::new()
    }

    /// Begins the next segment: the one before it is synced to its end, then the header, whose
    /// presence says so.
    fn begin_segment(&mut self, bytes: u64, ops: &mut Vec<DiskOp>) {
        if let Some(tail) = self.tail.take() {
            if tail.synced < tail.at && !mutant!(LastBatchUnsynced) {
                ops.push(DiskOp::Sync { file: File::Segment(tail.number) });
            }
            self.before_end = tail.at;
        }
        let number = self.segments.back().map_or(1, |segment| segment.number + 1);
        let file = File::Segment(number);
        let needed = FIRST_BATCH + batch_bytes(bytes);
        let len = match self.spare {
            Spare::Ready(len) if len >= needed => len,
            Spare::Coming => unreachable!("the caller waits for the bulk lane"),
            Spare::Ready(_) | Spare::None => {
                let len = round_up(self.options.segment_bytes.max(needed), PAGE);
                ops.push(DiskOp::Allocate { file, len });
                ops.push(DiskOp::Publish { file });
                len
            }
        };
        self.spare = Spare::None;
        let header = SegmentHeader {
            number,
            first: self.next_written,
            before_end: self.before_end,
            chain: self.chain,
            cluster: self.options.cluster,
            node: self.options.node,
            hard: self.hard_written,
            anew: core::mem::take(&mut self.anew),
            restated: !self.restated.is_empty(),
        };
        ops.push(DiskOp::Write { file, at: 0, bytes: vec![header.encode()] });
        if !mutant!(HeaderUnsynced) {
            ops.push(DiskOp::Sync { file });
        }
        self.segments.push_back(Segment { number, first: self.next_written });
        let seed = header.seed();
        self.tail = Some(Tail { number, len, at: FIRST_BATCH, synced: FIRST_BATCH, seed });
    }

    /// Writes the first `count` staged writes behind what is written, and syncs if raft rests
    /// on any of them.
    fn write_batch(&mut self, count: usize, ops: &mut Vec<DiskOp>) {
        let mut records = core::mem::take(&mut self.restated);
        let restated = !records.is_empty();
        let (mut mark, mut binding) = (None, restated);
        for staged in self.staged.drain(..count) {
            records.extend(staged.records);
            binding |= staged.binding;
            mark = Some(staged.mark);
            self.hard_written = staged.hard;
            self.next_written = staged.next;
        }
        let tail = self.tail.as_mut().expect("a batch has a segment");
        let mut synced = tail.synced;
        if !records.is_empty() {
            let file = File::Segment(tail.number);
            let batch = encode_batch(&records, tail.at, tail.synced, self.chain, tail.seed);
            assert!(batch.end <= tail.len, "a batch fits its segment");
            ops.push(DiskOp::Write { file, at: tail.at, bytes: batch.pieces });
            self.chain = batch.chain;
            tail.at = batch.end;
            if binding && !mutant!(LogUnsynced) {
                ops.push(DiskOp::Sync { file });
                synced = batch.end;
            }
        }
        self.flight = Some(Flight { mark, synced, restated });
    }

    /// The operations in flight are done: the highest mark that is durable now, and segments that
    /// nothing rests on any more.
    pub(crate) fn done(&mut self) -> (Option<Mark>, Vec<File>) {
        let flight = self.flight.take().expect("the planner knows what is in flight");
        if let Some(tail) = &mut self.tail {
            tail.synced = flight.synced;
            self.begun = tail.number;
        }
        let spent = if flight.restated { self.give_up(|_| true) } else { Vec::new() };
        (flight.mark, spent)
    }

    /// The next segment, made ahead on the bulk lane as soon as the one before it is begun: a
    /// number that is missing is known by the ones behind it.
    pub(crate) fn poll_spare(&mut self) -> Option<Vec<DiskOp>> {
        let newest = self.tail.as_ref()?.number;
        if self.spare != Spare::None || self.begun != newest {
            return None;
        }
        let file = File::Segment(newest + 1);
        self.spare = Spare::Coming;
        let len = round_up(self.options.segment_bytes, PAGE);
        Some(vec![DiskOp::Allocate { file, len }, DiskOp::Publish { file }])
    }

    /// The spare is published.
    pub(crate) fn spare_done(&mut self) {
        assert_eq!(self.spare, Spare::Coming, "the bulk lane was at it");
        self.spare = Spare::Ready(round_up(self.options.segment_bytes, PAGE));
    }

    /// A checkpoint at `index` is durable: gives up the segments wholly before that entry, oldest
    /// first, but never the newest `segments_kept`.
    pub(crate) fn release(&mut self, index: Index) -> Vec<File> {
        assert!(index >= self.stored, "checkpoints move forward");
        self.stored = index;
        while self.terms.get(1).is_some_and(|&(first, _)| first <= index) {
            self.terms.pop_front();
        }
        self.give_up(|next| next.first <= index || mutant!(ReleasesTooMuch))
    }

    /// Gives up the oldest segments, each while the one after it says so, but never the newest
    /// `segments_kept`.
    fn give_up(&mut self, may: impl Fn(&Segment) -> bool) -> Vec<File> {
        let mut spent = Vec::new();
        if self.options.segments_kept == 0 {
            return spent;
        }
        while self.segments.len() > self.options.segments_kept
            && self.segments.get(1).is_some_and(&may)
        {
            let segment = self.segments.pop_front().expect("it has a second one");
            spent.push(File::Segment(segment.number));
        }
        spent
    }
}

/// The log behind the checkpoint, as a fresh segment begins with it where there are more segments
/// than are kept: nothing where that is not so, or where it would not fit one segment.
fn restated(options: &Options, replay: &Replay) -> Vec<Record> {
    if options.segments_kept == 0 || replay.segments.len() <= options.segments_kept {
        return Vec::new();
    }
    let entries = replay.entries.iter().map(|entry| {
        let RawEntry { term, index, kind, bytes } = entry.clone();
        Record::Entry(term, index, kind, bytes)
    });
    let records: Vec<Record> = [Record::Restart(replay.base)].into_iter().chain(entries).collect();
    let bytes = records.iter().map(Record::bytes).sum();
    let fits = FIRST_BATCH + batch_bytes(bytes) <= options.segment_bytes;
    if fits { records } else { Vec::new() }
}

/// Notes an entry behind the last.
fn note_term(terms: &mut VecDeque<(Index, Term)>, index: Index, term: Term) {
    if terms.back().is_none_or(|&(_, last)| last != term) {
        terms.push_back((index, term));
    }
}

fn record(entry: Entry) -> Record {
    let kind = entry.payload.kind();
    let bytes = match entry.payload {
        Payload::Empty => Bytes::new(),
        Payload::Command(proposal) => proposal.bytes,
        Payload::Change { bytes, .. } => bytes,
    };
    Record::Entry(entry.term, entry.index, kind, bytes)
}

const _: () = assert!(FIRST_BATCH.is_multiple_of(SECTOR as u64));
