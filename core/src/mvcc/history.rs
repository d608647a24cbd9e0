//! Every version of every key, once, in the order of revisions.
//!
//! ```text
//!   root ── Mid ── Mid ── Mid            64 chunks each; segments and live bits apart, so that
//!            │ segments   live bits      killing a record copies 512 bytes and no handles
//!            └─ Segment (64 records)     sealed; packed, or a slice of a mapped file
//!   tail                                 the youngest chunk: one allocation a record
//! ```
//!
//! A position is the number of a record, dense from zero. A record links to the key's version
//! before it and to a much older one, so an old version is found in O(log versions).

mod image;

use super::chunk::{Body, CHUNK, Chunk, Link, Segment, pack, slots};
use super::record;
use crate::types::Revision;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// Chunks below one node of the root.
const MID: usize = 64;

/// The history, shared with every view of it until either changes.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    root: Arc<Vec<Mid>>,
    /// Sealed chunks.
    sealed: u64,
    tail: Tail,
    /// Bytes of the records that live.
    pub(super) live_bytes: u64,
    /// Bytes of all records that are held.
    pub(super) held_bytes: u64,
    /// Records that live.
    pub(super) live_records: u64,
}

#[derive(Clone, Debug)]
struct Mid {
    /// `None` where all of a chunk died.
    segments: Arc<Vec<Option<Segment>>>,
    live: Arc<[u64; MID]>,
    /// The first main revision of each chunk, also of those that died.
    first: Arc<Vec<i64>>,
}

#[derive(Clone, Debug, Default)]
struct Tail {
    base: i64,
    records: Arc<Vec<Bytes>>,
    live: u64,
}

/// One version, borrowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) at: u64,
    pub(super) link: Link,
    /// The encoded KeyValue.
    pub(super) record: &'a [u8],
}

impl Found<'_> {
    pub(super) fn revision(&self) -> Revision {
        Revision { main: self.link.main, sub: self.link.sub }
    }

    pub(super) fn prev(&self) -> Option<u64> {
        back(self.at, self.link.prev)
    }

    fn jump(&self) -> Option<u64> {
        back(self.at, self.link.jump)
    }
}

/// By how many versions the one at this depth jumps back, and by how many that one does; zero
/// where there is nothing to jump to. A depth is a sum of numbers of the form 2^k - 1, the
/// largest first: the last of them is the jump.
fn last_jumps(depth: u64) -> (u64, u64) {
    let (mut last, mut before, mut rest) = (0, 0, depth);
    while rest > 0 {
        before = last;
        last = (1 << (rest + 1).ilog2()) - 1;
        rest -= last;
    }
    (last, before)
}

fn back(at: u64, distance: u64) -> Option<u64> {
    if distance == 0 { None } else { at.checked_sub(distance) }
}

impl History {
    /// The position that the next record gets.
    pub(super) fn end(&self) -> u64 {
        self.sealed * CHUNK + self.tail.records.len() as u64
    }

    /// The version at a position, if it lives.
    pub(super) fn get(&self, at: u64) -> Option<Found<'_>> {
        let (base, raw) = self.raw(at)?;
        let mut rest = raw;
        let link = Link::decode(base, &mut rest).expect("records are checked where they come in");
        Some(Found { at, link, record: rest })
    }

    /// The encoded KeyValue at a position that lives, sharing its memory.
    pub(super) fn share(&self, found: &Found<'_>) -> Bytes {
        let slot = slot(found.at);
        let raw = match self.segment(found.at) {
            Some(segment) => segment.share(slot),
            None => self.tail.records.get(slot as usize).cloned(),
        };
        let raw = raw.expect("what was found is there");
        raw.slice(raw.len() - found.record.len()..)
    }

    /// The key at a position that lives.
    pub(super) fn key(&self, at: u64) -> &[u8] {
        let found = self.get(at).expect("the index points at living records");
        record::key_of(found.record)
    }

    fn raw(&self, at: u64) -> Option<(i64, &[u8])> {
        let slot = slot(at);
        let chunk = at / CHUNK;
        if chunk >= self.sealed {
            let alive = chunk == self.sealed && self.tail.live & 1 << slot != 0;
            let record = if alive { self.tail.records.get(slot as usize) } else { None };
            return record.map(|record| (self.tail.base, record.as_ref()));
        }
        let (mid, nth) = split(chunk);
        let mid = &self.root[mid];
        if mid.live[nth] & 1 << slot == 0 {
            return None;
        }
        let segment = mid.segments[nth].as_ref()?;
        segment.get(slot).map(|raw| (segment.base, raw))
    }

    fn segment(&self, at: u64) -> Option<&Segment> {
        let chunk = at / CHUNK;
        if chunk >= self.sealed {
            return None;
        }
        let (mid, nth) = split(chunk);
        self.root[mid].segments[nth].as_ref()
    }

    /// Appends a version of a key whose newest one is `prev`, a position and its link.
    pub(super) fn append(
        &mut self,
        revision: Revision,
        tombstone: bool,
        prev: Option<(u64, Link)>,
        fields: &record::Fields<'_>,
    ) -> u64 {
        let at = self.end();
        let jump = prev.map(|(prev, link)| self.jump_over(prev, link));
        let link = Link {
            tombstone,
            main: revision.main,
            sub: revision.sub,
            prev: prev.map_or(0, |(prev, _)| at - prev),
            jump: jump.map_or(0, |jump| at - jump),
            depth: prev.map_or(0, |(_, link)| link.depth + 1),
        };
        if self.tail.records.is_empty() {
            self.tail.base = revision.main;
        }
        let mut raw = Vec::with_capacity(fields.key.len() + fields.value.len() + 48);
        link.encode(self.tail.base, &mut raw);
        record::encode(fields, &mut raw);
        self.push(Bytes::from(raw));
        at
    }

    /// Where a version behind `prev` jumps to: the skew-binary rule. How far the versions before
    /// jump follows from their depth, so that at most one of them is read: each is a cache miss.
    fn jump_over(&self, prev: u64, link: Link) -> u64 {
        let (one, two) = last_jumps(link.depth);
        if one != two {
            return prev;
        }
        let over = back(prev, link.jump).and_then(|at| self.get(at)).and_then(|far| far.jump());
        over.unwrap_or(prev)
    }

    fn push(&mut self, raw: Bytes) {
        let weight = raw.len() as u64;
        self.live_bytes += weight;
        self.held_bytes += weight;
        self.live_records += 1;
        self.tail.live |= 1 << self.tail.records.len();
        Arc::make_mut(&mut self.tail.records).push(raw);
        if self.tail.records.len() as u64 == CHUNK {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let Tail { base, records, live } = core::mem::take(&mut self.tail);
        let records = Arc::unwrap_or_clone(records);
        let segment = Segment { base, present: u64::MAX, body: pack(base, u64::MAX, records) };
        self.push_segment(Some(segment), live, base);
    }

    fn push_segment(&mut self, segment: Option<Segment>, live: u64, first: i64) {
        let (mid, nth) = split(self.sealed);
        let root = Arc::make_mut(&mut self.root);
        if mid == root.len() {
            let (segments, first) = (Arc::default(), Arc::default());
            root.push(Mid { segments, live: Arc::new([0; MID]), first });
        }
        let mid = &mut root[mid];
        Arc::make_mut(&mut mid.segments).push(segment);
        Arc::make_mut(&mut mid.first).push(first);
        Arc::make_mut(&mut mid.live)[nth] = live;
        self.sealed += 1;
        if live == 0 {
            self.thin(self.sealed - 1);
        }
    }

    /// The version at a position dies. Memory goes when half of a chunk has.
    pub(super) fn kill(&mut self, at: u64) {
        let Some((_, raw)) = self.raw(at) else { return };
        self.live_bytes -= raw.len() as u64;
        self.live_records -= 1;
        let (chunk, bit) = (at / CHUNK, 1_u64 << slot(at));
        if chunk == self.sealed {
            self.tail.live &= !bit;
            return;
        }
        let (mid, nth) = split(chunk);
        let mid = &mut Arc::make_mut(&mut self.root)[mid];
        let live = &mut Arc::make_mut(&mut mid.live)[nth];
        *live &= !bit;
        let left = live.count_ones();
        let held = mid.segments[nth].as_ref().map_or(0, |segment| segment.present.count_ones());
        if left == 0 || left * 2 <= held && left.is_power_of_two() {
            self.thin(chunk);
        }
    }

    /// Writes a sealed chunk anew with what lives of it.
    fn thin(&mut self, chunk: u64) {
        let (mid, nth) = split(chunk);
        let mid = &mut Arc::make_mut(&mut self.root)[mid];
        let live = mid.live[nth];
        let segment = &mut Arc::make_mut(&mut mid.segments)[nth];
        let Some(before) = segment.take() else { return };
        let after = (live != 0).then(|| before.keep(live));
        let weight = |segment: &Segment| segment_records(segment) as u64;
        self.held_bytes -= weight(&before);
        self.held_bytes += after.as_ref().map_or(0, weight);
        *segment = after;
    }

    /// The newest version at or before `main` among `at` and the versions before it.
    pub(super) fn at_revision(&self, at: u64, main: i64) -> Option<Found<'_>> {
        let mut found = self.get(at)?;
        while found.link.main > main {
            let far = found.jump().and_then(|at| self.get(at)).filter(|far| far.link.main > main);
            found = match far {
                Some(far) => far,
                None => self.get(found.prev()?)?,
            };
        }
        Some(found)
    }

    /// The first position whose revision is at least `main`, living or not.
    pub(super) fn position_of(&self, main: i64) -> u64 {
        let mid = self.root.partition_point(|mid| mid.first.first().is_some_and(|f| *f < main));
        let chunk = match mid.checked_sub(1) {
            None => 0,
            Some(mid) => {
                let nth = self.root[mid].first.partition_point(|first| *first < main);
                (mid * MID + nth.saturating_sub(1)) as u64
            }
        };
        // The chunk before may end with records of the same revision.
        let mut at = chunk.saturating_sub(1) * CHUNK;
        while at < self.end() && self.get(at).is_none_or(|found| found.link.main < main) {
            at += 1;
        }
        at
    }

    /// What lives from a position on, in the order of revisions.
    pub(super) fn scan(&self, from: u64) -> impl Iterator<Item = Found<'_>> {
        let end = self.end();
        let mut at = from;
        core::iter::from_fn(move || {
            while at < end {
                let here = at;
                at += 1;
                if let Some(found) = self.get(here) {
                    return Some(found);
                }
            }
            None
        })
    }

    /// The sealed chunks that still hold something.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Chunk> {
        self.chunks_from(0)
    }

    /// How many chunks are sealed.
    pub(super) fn sealed(&self) -> u64 {
        self.sealed
    }

    /// Those of them from this number on.
    pub(super) fn chunks_from(&self, first: u64) -> impl Iterator<Item = Chunk> {
        (first..self.sealed).filter_map(|number| {
            let segment = self.segment(number * CHUNK)?;
            let (version, bytes) = (segment.present, segment.to_bytes());
            Some(Chunk { number, version, bytes })
        })
    }

    /// The youngest chunk so far: its number comes first, so that gaps before it are known.
    pub(super) fn tail(&self) -> Bytes {
        let Tail { base, records, .. } = &self.tail;
        let present = (1_u64 << records.len()) - 1;
        let segment = Segment { base: *base, present, body: Body::Loose(Arc::clone(records)) };
        let mut out = Vec::from(self.sealed.to_le_bytes());
        out.extend_from_slice(&segment.to_bytes());
        Bytes::from(out)
    }

    /// Which records of chunks and tail live no more: the chunk's number and the bits of those
    /// that do, for each chunk that holds others, too.
    pub(super) fn dead(&self) -> Bytes {
        let mut out = Vec::new();
        let mut push = |number: u64, live: u64| {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&live.to_le_bytes());
        };
        for number in 0..self.sealed {
            let (mid, nth) = split(number);
            let mid = &self.root[mid];
            if mid.segments[nth].as_ref().is_some_and(|segment| segment.present != mid.live[nth]) {
                push(number, mid.live[nth]);
            }
        }
        if self.tail.live.count_ones() as usize != self.tail.records.len() {
            push(self.sealed, self.tail.live);
        }
        Bytes::from(out)
    }

    /// Kills what [`History::dead`] named.
    pub(super) fn bury(&mut self, dead: &[u8]) -> Result<(), &'static str> {
        let (numbers, rest) = dead.as_chunks::<8>();
        let (pairs, odd) = numbers.as_chunks::<2>();
        if !rest.is_empty() || !odd.is_empty() {
            return Err("the list of what died in the history is damaged");
        }
        for [number, live] in pairs {
            let (number, live) = (u64::from_le_bytes(*number), u64::from_le_bytes(*live));
            if number > self.sealed {
                return Err("the list of what died names a chunk that is not there");
            }
            for slot in slots(!live) {
                self.kill(number * CHUNK + u64::from(slot));
            }
        }
        Ok(())
    }

    /// Takes equal bytes that lie in a file for a chunk; `false` if it has changed since.
    pub(super) fn adopt(&mut self, chunk: &Chunk) -> bool {
        let (mid, nth) = split(chunk.number);
        if chunk.number >= self.sealed {
            return false;
        }
        let same = |segment: &Segment| segment.present == chunk.version;
        if !self.root[mid].segments[nth].as_ref().is_some_and(same) {
            return false;
        }
        let mid = &mut Arc::make_mut(&mut self.root)[mid];
        let segment = Arc::make_mut(&mut mid.segments)[nth].as_mut();
        let segment = segment.expect("it was there above");
        segment.body = Body::Packed(chunk.bytes.clone());
        true
    }

    /// Puts a history together from chunks, ascending, and a tail. All that is there lives.
    pub(super) fn restore(
        chunks: impl IntoIterator<Item = (u64, Bytes)>,
        tail: Bytes,
    ) -> Result<History, &'static str> {
        let mut history = History::default();
        let mut first = 0;
        for (number, bytes) in chunks {
            if number < history.sealed {
                return Err("chunks of the history are out of order");
            }
            history.skip_to(number, first);
            let segment = Segment::from_bytes(bytes).ok_or("a chunk of the history is damaged")?;
            first = segment.base;
            history.count(&segment);
            let live = segment.present;
            history.push_segment(Some(segment), live, first);
        }
        let (number, rest) =
            tail.split_at_checked(8).ok_or("the tail of the history is damaged")?;
        let number = u64::from_le_bytes(number.try_into().expect("eight bytes were split off"));
        if number < history.sealed {
            return Err("the tail of the history lies before its chunks");
        }
        history.skip_to(number, first);
        let segment = Segment::from_bytes(tail.slice_ref(rest));
        let segment = segment.ok_or("the tail of the history is damaged")?;
        let records: Vec<Bytes> = slots(segment.present)
            .filter_map(|slot| segment.share(slot))
            .map(|raw| Bytes::copy_from_slice(&raw))
            .collect();
        if segment.present.trailing_ones() as usize != records.len() || records.len() >= 64 {
            return Err("the tail of the history has gaps");
        }
        history.count(&segment);
        let live = segment.present;
        history.tail = Tail { base: segment.base, records: Arc::new(records), live };
        Ok(history)
    }

    /// Leaves out chunks that died whole.
    fn skip_to(&mut self, number: u64, first: i64) {
        while self.sealed < number {
            self.push_segment(None, 0, first);
        }
    }

    fn count(&mut self, segment: &Segment) {
        let weight = segment_records(segment) as u64;
        self.live_bytes += weight;
        self.held_bytes += weight;
        self.live_records += u64::from(segment.present.count_ones());
    }
}

/// Bytes of a segment's records alone, whichever form they are in.
fn segment_records(segment: &Segment) -> usize {
    match &segment.body {
        Body::Loose(_) => segment.weight(),
        Body::Packed(bytes) => bytes.len() - 16 - 4 * segment.present.count_ones() as usize,
    }
}

fn slot(at: u64) -> u32 {
    u32::try_from(at % CHUNK).expect("below 64")
}

fn split(chunk: u64) -> (usize, usize) {
    let chunk = usize::try_from(chunk).expect("the history fits memory");
    (chunk / MID, chunk % MID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_follows_from_the_depth() {
        // The rule itself: two jumps of one length behind each other make one over both.
        let mut jump = alloc::vec![0_u64];
        for depth in 1..5000_usize {
            let prev = depth - 1;
            let one = jump[prev] as usize;
            let two = jump[one] as usize;
            let over = prev > one && one > two && prev - one == one - two;
            jump.push(if over { two } else { prev } as u64);
            let (last, _) = last_jumps(depth as u64);
            assert_eq!(depth as u64 - last, jump[depth], "at depth {depth}");
        }
    }
}
