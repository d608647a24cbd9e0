//! Reads a log back: what it says, or where it is damaged.

use super::Segment;
use super::record::{FIRST_BATCH, Head, Record, SegmentHeader, decode_batch};
use crate::disk::{Damage, File};
use crate::entry::{HardState, RawEntry};
use crate::limits::SECTOR;
use crate::types::{Index, NodeId, Term};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

/// Why a log that does not reach back far enough is refused.
pub(crate) const MISSING: &str = "a segment of the log is missing";

/// What a log says.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub hard: HardState,
    /// The entries behind `base`, without a gap.
    pub entries: VecDeque<RawEntry>,
    /// The index before the first entry.
    pub base: Index,
    /// The segments that hold records, oldest first.
    pub segments: VecDeque<Segment>,
    /// Where the records of the newest end, and the chain there.
    pub end: u64,
    pub chain: u32,
    /// Whether entries were void, because the checkpoint holds other ones.
    pub anew: bool,
    /// Whose log it is.
    pub owner: Option<(u64, NodeId)>,
    /// Segments that are no part of the log: older ones before a gap.
    pub leftover: Vec<File>,
}

impl Replay {
    /// The log ends at `index`: entries behind it are void, and if it lies behind them all, the
    /// log begins anew there.
    fn end_at(&mut self, index: Index) {
        if index > self.last() || index < self.base {
            self.entries.clear();
            self.base = index;
        }
        self.entries.truncate(usize::try_from(index.0 - self.base.0).unwrap_or(usize::MAX));
    }

    /// The index of the last entry.
    pub(crate) fn last(&self) -> Index {
        Index(self.base.0 + self.entries.len() as u64)
    }
}

/// Everything that a log still holds, for tools: also what a checkpoint has made void.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Whose log it is: cluster and member.
    pub owner: Option<(u64, NodeId)>,
    /// The hard state.
    pub hard: HardState,
    /// The index before the first entry.
    pub base: Index,
    /// The entries behind it, without a gap.
    pub entries: Vec<RawEntry>,
    /// The segments that hold records, oldest first: number, and where its records end.
    pub segments: Vec<(u64, u64)>,
}

/// Reads the segments of a directory, by number; every checksum is looked at.
///
/// # Errors
///
/// Where the log is not what was written.
pub fn held(segments: &BTreeMap<u64, Bytes>) -> Result<Held, Damage> {
    let mut replay = Replay::default();
    let (kept, broken) = unbroken(segments, &mut replay)?;
    if let Some(damage) = broken {
        return Err(damage);
    }
    let Some(newest) = kept.last() else { return Ok(Held::default()) };
    replay.owner = Some((newest.cluster, newest.node));
    replay.base = kept[0].first.prev();
    replay.chain = kept[0].chain;
    let mut ends = Vec::new();
    for (at, header) in kept.iter().enumerate() {
        read_nth(&mut replay, segments, &kept, at)?;
        ends.push((header.number, replay.end));
    }
    let Replay { owner, hard, base, entries, .. } = replay;
    Ok(Held { owner, hard, base, entries: entries.into(), segments: ends })
}

/// What a segment's file is, by its first bytes.
enum Kind {
    /// It holds records, or was about to.
    Begun(SegmentHeader),
    /// It was made ahead, or the writing of its header was cut short.
    Blank,
    /// It holds records and its header is bad.
    Bad(Damage),
}

/// Reads the segments of a directory, by number. `stored` is the index and term of its
/// checkpoint, zero without one. Segments wholly before it are not read: nothing rests on them.
pub(crate) fn replay(
    segments: &BTreeMap<u64, Bytes>,
    stored: (Index, Term),
) -> Result<Replay, Damage> {
    let mut replay = Replay { base: stored.0, ..Replay::default() };
    let (kept, broken) = unbroken(segments, &mut replay)?;
    let Some(newest) = kept.last() else {
        check(&mut replay, stored)?;
        return Ok(replay);
    };
    replay.owner = Some((newest.cluster, newest.node));
    replay.segments =
        kept.iter().map(|header| Segment { number: header.number, first: header.first }).collect();
    // The entry at the checkpoint's index tells whether what follows it has the same past.
    let firsts: Vec<Index> =
        kept.iter().map(|header| holds_from(header, &segments[&header.number])).collect();
    let at = |index: Index| firsts.iter().rposition(|&first| first <= index);
    let from = at(stored.0).or(at(stored.0.next()));
    let from = from.ok_or_else(|| {
        let file = File::Segment(kept[0].number.saturating_sub(1));
        let before = broken.filter(|damage| damage.file == file);
        // What a segment restated, those before it need not hold any more.
        let broken = |header: &&SegmentHeader| {
            header.restated && first_batch(header, &segments[&header.number]).is_none()
        };
        let restated = kept.iter().rfind(broken).map(|header| {
            let why = "a bad record, and no segment before it holds the same";
            Damage { file: File::Segment(header.number), at: FIRST_BATCH, why }
        });
        before.or(restated).unwrap_or(Damage { file, at: 0, why: MISSING })
    })?;
    replay.base = kept[from].first.prev();
    replay.chain = kept[from].chain;
    for at in from..kept.len() {
        read_nth(&mut replay, segments, &kept, at)?;
    }
    check(&mut replay, stored)?;
    Ok(replay)
}

/// The index from which on a segment needs none before it: where it was begun with the log restated,
/// and that is whole, it lies before the entries that come next.
fn holds_from(header: &SegmentHeader, bytes: &Bytes) -> Index {
    let batch = if header.restated { first_batch(header, bytes) } else { None };
    match batch.and_then(|records| records.into_iter().next()) {
        Some(Record::Restart(base)) => header.first.min(base.next()),
        _ => header.first,
    }
}

fn first_batch(header: &SegmentHeader, bytes: &Bytes) -> Option<Vec<Record>> {
    let batch = decode_batch(bytes, FIRST_BATCH, header.chain, header.seed());
    batch.map(|(_, records, _)| records)
}

/// The headers of the newest segments without a gap, and what is wrong right before them. What
/// lies before a gap was on its way out, or is missed by the caller.
fn unbroken(
    segments: &BTreeMap<u64, Bytes>,
    replay: &mut Replay,
) -> Result<(Vec<SegmentHeader>, Option<Damage>), Damage> {
    let mut kept: Vec<SegmentHeader> = Vec::new();
    let (mut broken, mut bad) = (None, None);
    for (&number, bytes) in segments {
        match kind(number, bytes) {
            Kind::Begun(header) => {
                if kept.last().is_some_and(|before| before.number + 1 != number) {
                    replay.leftover.extend(kept.drain(..).map(|old| File::Segment(old.number)));
                }
                kept.push(header);
                broken = bad.take().or(broken);
            }
            Kind::Blank => {}
            Kind::Bad(damage) => bad = Some(damage),
        }
    }
    // A segment is made when the one before it was begun.
    let last = kept.last().map_or(0, |header| header.number);
    let mut ahead = segments.range(last + 1..).map(|(&number, _)| number).zip(last + 1..);
    if let Some((_, missing)) = ahead.find(|(number, expected)| number != expected) {
        let file = File::Segment(missing);
        bad = bad.or(Some(Damage { file, at: 0, why: MISSING }));
    }
    bad.map_or(Ok((kept, broken)), Err)
}

fn kind(number: u64, bytes: &Bytes) -> Kind {
    let bad = |why| Kind::Bad(Damage { file: File::Segment(number), at: 0, why });
    match SegmentHeader::decode(bytes) {
        Ok(header) if header.number == number => Kind::Begun(header),
        Ok(_) => bad("the segment carries another segment's number"),
        // The header is synced before the first batch is written.
        Err(_) if blank(bytes, FIRST_BATCH as usize) => Kind::Blank,
        Err(why) => bad(why),
    }
}

/// Whether the sector at `at` was never written.
fn blank(bytes: &Bytes, at: usize) -> bool {
    bytes.iter().skip(at).take(SECTOR).all(|&byte| byte == 0)
}

fn read_nth(
    replay: &mut Replay,
    segments: &BTreeMap<u64, Bytes>,
    kept: &[SegmentHeader],
    at: usize,
) -> Result<(), Damage> {
    let header = &kept[at];
    let begun_after = segments.get(&(header.number + 1)).is_some_and(|bytes| !blank(bytes, 0));
    read_segment(replay, header, &segments[&header.number], kept.get(at + 1), begun_after)
}

fn read_segment(
    replay: &mut Replay,
    header: &SegmentHeader,
    bytes: &Bytes,
    next: Option<&SegmentHeader>,
    begun_after: bool,
) -> Result<(), Damage> {
    let file = File::Segment(header.number);
    let damage = |at, why| Damage { file, at, why };
    if header.chain != replay.chain {
        return Err(damage(0, "the segment does not go on where the one before it ended"));
    }
    if replay.owner != Some((header.cluster, header.node)) {
        return Err(damage(0, "the segment belongs to another member"));
    }
    replay.hard = header.hard;
    if header.anew {
        replay.entries.clear();
        replay.base = header.first.prev();
    }
    replay.end_at(header.first.prev());
    let seed = header.seed();
    let mut at = FIRST_BATCH;
    while next.is_none_or(|next| next.before_end != at) {
        let Some((head, records, chain)) = decode_batch(bytes, at, replay.chain, seed) else {
            break;
        };
        apply(replay, records).map_err(|why| damage(at, why))?;
        replay.chain = chain;
        at = head.end().expect("a batch that was read ends inside its segment");
    }
    replay.end = at;
    if let Some(next) = next {
        let whole = next.before_end == at;
        let why = "a bad record before the end of a finished segment";
        return if whole { Ok(()) } else { Err(damage(at, why)) };
    }
    let finished = begun_after && usize::try_from(at).is_ok_and(|at| !blank(bytes, at));
    if (finished || witness(bytes, at, seed)) && !mutant!(MiddleIsEnd) {
        return Err(damage(at, "a bad record before the end of what was synced"));
    }
    Ok(())
}

/// Whether a good head behind `at` says that the segment was synced beyond it.
fn witness(bytes: &Bytes, at: u64, seed: u32) -> bool {
    // A head that is good bounds its own batch: nothing inside it can be a witness.
    let own = Head::decode(bytes, at, seed).and_then(|head| head.end());
    let mut from = own.unwrap_or(at + SECTOR as u64);
    while from < bytes.len() as u64 {
        if Head::decode(bytes, from, seed).is_some_and(|head| head.synced > at) {
            return true;
        }
        from += SECTOR as u64;
    }
    false
}

fn apply(replay: &mut Replay, records: Vec<Record>) -> Result<(), &'static str> {
    for record in records {
        match record {
            Record::Hard(hard) => replay.hard = hard,
            Record::Cut(from) => replay.end_at(from.prev()),
            Record::Restart(index) => {
                replay.entries.clear();
                replay.base = index;
            }
            Record::Entry(term, index, kind, bytes) => {
                if index != replay.last().next() {
                    return Err("an entry out of its order");
                }
                replay.entries.push_back(RawEntry { term, index, kind, bytes });
            }
        }
    }
    Ok(())
}

/// What the log must say together with the checkpoint; then drops what that one holds.
fn check(replay: &mut Replay, stored: (Index, Term)) -> Result<(), Damage> {
    let (stored, term) = stored;
    let number = replay.segments.back().map_or(0, |segment| segment.number);
    let damage = |why| Damage { file: File::Segment(number), at: 0, why };
    if replay.base > stored {
        return Err(damage("the log begins behind the checkpoint that it rests on"));
    }
    if replay.hard.commit > replay.last().max(stored) {
        return Err(damage("the log ends before what it knew to be committed"));
    }
    replay.hard.commit = replay.hard.commit.max(stored);
    if replay.hard.term < term {
        // The checkpoint came from another leader and overtook the news of its term.
        (replay.hard.term, replay.hard.vote) = (term, NodeId::NONE);
    }
    let held = usize::try_from(stored.0 - replay.base.0).unwrap_or(usize::MAX);
    // Entries behind a checkpoint that came from another leader go with their own past.
    let at = held.checked_sub(1).and_then(|at| replay.entries.get(at));
    let next = replay.entries.get(held);
    let replaced =
        at.is_some_and(|entry| entry.term != term) || next.is_some_and(|entry| entry.term < term);
    if replaced && !mutant!(ForeignPastStays) {
        replay.entries.clear();
        replay.anew = true;
    }
    replay.entries.drain(..held.min(replay.entries.len()));
    replay.base = stored;
    Ok(())
}
