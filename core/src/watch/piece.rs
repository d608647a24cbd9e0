//! Cutting events into answers: never inside a revision, unless the client said it may be.

use super::{Config, Watch};
use crate::command::Event;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What an answer costs besides its events: its header, id and flags, rounded up.
pub(super) const ANSWER_COST: usize = 64;

/// The events of one answer.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) events: Arc<[Event]>,
    /// Encoded bytes, a little more than less.
    pub(super) cost: usize,
    /// Its first event's revision.
    pub(super) first: i64,
    /// Its last event's revision.
    pub(super) last: i64,
    /// It goes on where the piece before was cut inside a revision.
    pub(super) continues: bool,
    /// It is cut inside a revision, and the next piece goes on.
    pub(super) fragment: bool,
}

/// What decides how events are cut: watches that agree in it share their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cut {
    no_put: bool,
    no_delete: bool,
    prev_kv: bool,
    fragment: bool,
}

impl Cut {
    pub(super) fn of(watch: &Watch) -> Cut {
        Cut {
            no_put: watch.no_put,
            no_delete: watch.no_delete,
            prev_kv: watch.prev_kv,
            fragment: watch.fragment,
        }
    }

    /// Whether the watch wants to hear of such a change.
    fn keeps(self, event: &Event) -> bool {
        if event.tombstone { !self.no_delete } else { !self.no_put }
    }

    /// The answers for the events at `hits`, from the revision `from` on.
    ///
    /// Revisions are joined up to `answer_bytes`. One that is larger alone stays whole; with
    /// `fragment` it is cut where it would reach `fragment_bytes` (semantics §3.5).
    pub(super) fn pieces(
        self,
        events: &[Event],
        hits: &[u32],
        from: i64,
        bounds: &Config,
    ) -> Vec<Piece> {
        let chosen = hits.iter().map(|hit| &events[*hit as usize]);
        let chosen = chosen.filter(|event| event.revision.main >= from && self.keeps(event));
        let chosen: Vec<&Event> = chosen.collect();
        let mut pieces = Vec::new();
        let (mut start, mut end, mut cost) = (0, 0, ANSWER_COST);
        for revision in chosen.chunk_by(|a, b| a.revision.main == b.revision.main) {
            let more: usize = revision.iter().map(|event| self.cost(event)).sum();
            if end > start && cost + more > bounds.answer_bytes {
                pieces.push(Piece::new(&chosen[start..end], cost));
                (start, cost) = (end, ANSWER_COST);
            }
            end += revision.len();
            cost += more;
            if self.fragment && cost >= bounds.fragment_bytes && end - start > 1 {
                self.fragments(&chosen[start..end], bounds.fragment_bytes, &mut pieces);
                (start, cost) = (end, ANSWER_COST);
            }
        }
        if end > start {
            pieces.push(Piece::new(&chosen[start..end], cost));
        }
        pieces
    }

    /// Cuts events greedily into pieces that stay below the bound; an event that reaches it
    /// alone is a piece of its own.
    fn fragments(self, events: &[&Event], bound: usize, pieces: &mut Vec<Piece>) {
        let first = pieces.len();
        let (mut start, mut cost) = (0, ANSWER_COST);
        for (at, event) in events.iter().enumerate() {
            let more = self.cost(event);
            if at > start && cost + more >= bound {
                pieces.push(Piece::new(&events[start..at], cost));
                (start, cost) = (at, ANSWER_COST);
            }
            cost += more;
        }
        pieces.push(Piece::new(&events[start..], cost));
        let last = pieces.len() - 1;
        for (at, piece) in pieces.iter_mut().enumerate().skip(first) {
            piece.continues = at > first;
            piece.fragment = at < last;
        }
    }

    /// What an event costs as a field of the encoded answer.
    fn cost(self, event: &Event) -> usize {
        let mut kv = event.record.len();
        let mut inside = 0;
        if event.tombstone {
            kv += 1 + varint(event.revision.main.unsigned_abs()); // The wire adds `mod_revision`.
            inside += 2;
        }
        inside += field(kv);
        if let Some(prev) = event.prev.as_ref().filter(|_| self.prev_kv) {
            inside += field(prev.len());
        }
        field(inside)
    }
}

impl Piece {
    fn new(events: &[&Event], cost: usize) -> Piece {
        let (first, last) = (events.first(), events.last());
        let first = first.expect("a piece has events").revision.main;
        let last = last.expect("a piece has events").revision.main;
        let events = events.iter().map(|event| (*event).clone()).collect();
        Piece { events, cost, first, last, continues: false, fragment: false }
    }
}

/// The encoded size of a field of `len` bytes: a tag of one byte, the length, the bytes.
fn field(len: usize) -> usize {
    1 + varint(len as u64) + len
}

/// The encoded size of a number.
fn varint(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Revision;
    use alloc::vec;
    use bytes::Bytes;

    const ALL: Cut = Cut { no_put: false, no_delete: false, prev_kv: true, fragment: true };

    /// A field of bytes as protobuf writes it: tag, length in groups of seven bits, bytes.
    fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
        out.push(tag);
        put_number(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }

    fn put_number(out: &mut Vec<u8>, mut number: u64) {
        while number > 127 {
            out.push(number as u8 | 128);
            number >>= 7;
        }
        out.push(number as u8);
    }

    /// The event as a field of the answer.
    fn encoded(event: &Event) -> Vec<u8> {
        let mut kv = event.record.to_vec();
        let mut inside = Vec::new();
        if event.tombstone {
            inside.extend([0x08, 1]);
            kv.push(0x18);
            put_number(&mut kv, event.revision.main as u64);
        }
        put(&mut inside, 0x12, &kv);
        if let Some(prev) = &event.prev {
            put(&mut inside, 0x1a, prev);
        }
        let mut field = Vec::new();
        put(&mut field, 0x5a, &inside);
        field
    }

    fn event(main: i64, tombstone: bool, len: usize, prev: Option<usize>) -> Event {
        let zeros = |len| Bytes::from(vec![0; len]);
        let (record, prev) = (zeros(len), prev.map(zeros));
        let (revision, lease_before) = (Revision { main, sub: 0 }, crate::types::LeaseId::NONE);
        Event { revision, tombstone, key: zeros(1), record, prev, lease_before }
    }

    #[test]
    fn an_event_costs_what_it_has_bytes() {
        for len in [0, 1, 100, 121, 122, 123, 124, 127, 128, 16_383, 16_384, 2_097_152] {
            for main in [1, 127, 128, i64::MAX] {
                for prev in [None, Some(0), Some(127), Some(128), Some(16_384)] {
                    for tombstone in [false, true] {
                        let event = event(main, tombstone, len, prev);
                        assert_eq!(ALL.cost(&event), encoded(&event).len(), "{event:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn pieces_stay_below_their_bounds() {
        let events: Vec<_> = (0..100).map(|n| event(n / 7, false, 90, None)).collect();
        let hits: Vec<u32> = (0..100).collect();
        let bounds = Config { answer_bytes: 1500, fragment_bytes: 500, ..Config::default() };
        for fragment in [false, true] {
            let cut = Cut { fragment, ..ALL };
            let pieces = cut.pieces(&events, &hits, 0, &bounds);
            let bound = if fragment { bounds.fragment_bytes } else { bounds.answer_bytes };
            assert!(pieces.iter().all(|piece| piece.cost < bound));
            let joined: Vec<_> = pieces.iter().flat_map(|piece| piece.events.to_vec()).collect();
            assert_eq!(joined, events);
            for pair in pieces.windows(2) {
                assert_eq!(pair[0].fragment, pair[1].continues);
                assert!(pair[0].fragment || pair[0].last < pair[1].first);
            }
        }
    }
}
