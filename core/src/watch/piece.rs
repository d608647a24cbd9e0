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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
