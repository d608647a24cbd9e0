//! Sixty-four positions of the history, as bytes that can lie in memory or in a file.
//!
//! ```text
//!   base: u64 LE     the main revision that the records count from
//!   present: u64 LE  which of the 64 positions still have a record here
//!   ends: u32 LE     one a record: where it ends, from the first record's first byte
//!   records          header (see Link) and the encoded KeyValue, one behind the other
//! ```
//!
//! A position whose bit is off died before the chunk was last written anew.

use super::record::{put_varint, take_varint};
use alloc::vec::Vec;
use bytes::Bytes;

/// Positions a chunk covers.
pub(super) const CHUNK: u64 = 64;
const HEADER: usize = 16;
/// A chunk whose records weigh more is not packed: copying it would take too long for a step.
pub(super) const PACKED_MAX: usize = 128 * 1024;

/// A sealed run of the history, as bytes that can lie in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its number: positions `64 * number` and up.
    pub number: u64,
    /// Tells a chunk that was written anew from the one before: its `present` bits.
    pub version: u64,
    /// Its bytes.
    pub bytes: Bytes,
}

/// How a record stands in the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// Whether the key was deleted here.
    pub(super) tombstone: bool,
    /// Its main revision.
    pub(super) main: i64,
    /// Its place among the changes of that revision.
    pub(super) sub: i64,
    /// How far back the key's version before it lies; zero is nowhere.
    pub(super) prev: u64,
    /// How far back a much older version lies (skew-binary jump pointers); zero is nowhere.
    pub(super) jump: u64,
    /// How many versions of the key came before.
    pub(super) depth: u64,
}

impl Link {
    /// Writes the header of a record in a chunk that counts from `base`.
    pub(super) fn encode(&self, base: i64, out: &mut Vec<u8>) {
        out.push(u8::from(self.tombstone));
        put_varint(out, (self.main - base).cast_unsigned());
        put_varint(out, self.sub.cast_unsigned());
        put_varint(out, self.prev);
        put_varint(out, self.jump);
        put_varint(out, self.depth);
    }

    /// Takes the header of a record off its front.
    pub(super) fn decode(base: i64, rest: &mut &[u8]) -> Option<Link> {
        let (&flags, behind) = rest.split_first()?;
        *rest = behind;
        if flags > 1 {
            return None;
        }
        Some(Link {
            tombstone: flags == 1,
            main: base.checked_add(i64::try_from(take_varint(rest)?).ok()?)?,
            sub: i64::try_from(take_varint(rest)?).ok()?,
            prev: take_varint(rest)?,
            jump: take_varint(rest)?,
            depth: take_varint(rest)?,
        })
    }
}

/// The records of one chunk in memory.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// As they lie in a file.
    Packed(Bytes),
    /// Each in its own allocation: the tail, and chunks of large values.
    Loose(alloc::sync::Arc<Vec<Bytes>>),
}

/// A chunk's records and which positions have one.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) base: i64,
    pub(super) present: u64,
    pub(super) body: Body,
}

impl Segment {
    /// The record at a slot, header and all.
    pub(super) fn get(&self, slot: u32) -> Option<&[u8]> {
        let at = self.nth(slot)?;
        match &self.body {
            Body::Loose(records) => records.get(at).map(AsRef::as_ref),
            Body::Packed(bytes) => {
                let (from, to) = bounds(bytes, self.present, at)?;
                bytes.get(from..to)
            }
        }
    }

    /// The record at a slot, header and all, sharing the chunk's memory.
    pub(super) fn share(&self, slot: u32) -> Option<Bytes> {
        let at = self.nth(slot)?;
        match &self.body {
            Body::Loose(records) => records.get(at).cloned(),
            Body::Packed(bytes) => {
                let (from, to) = bounds(bytes, self.present, at)?;
                (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
            }
        }
    }

    fn nth(&self, slot: u32) -> Option<usize> {
        let bit = 1_u64 << slot;
        (self.present & bit != 0).then(|| (self.present & (bit - 1)).count_ones() as usize)
    }

    /// Bytes of its records.
    pub(super) fn weight(&self) -> usize {
        match &self.body {
            Body::Packed(bytes) => bytes.len(),
            Body::Loose(records) => records.iter().map(Bytes::len).sum(),
        }
    }

    /// The same with only the records whose bits `live` has.
    pub(super) fn keep(&self, live: u64) -> Segment {
        let present = self.present & live;
        let kept: Vec<Bytes> = slots(present).filter_map(|slot| self.share(slot)).collect();
        Segment { base: self.base, present, body: pack(self.base, present, kept) }
    }

    /// As it goes into a file.
    pub(super) fn to_bytes(&self) -> Bytes {
        match &self.body {
            Body::Packed(bytes) => bytes.clone(),
            Body::Loose(records) => packed(self.base, self.present, records),
        }
    }

    /// From a file's bytes; `None` where they are no chunk. Checks every record.
    pub(super) fn from_bytes(bytes: Bytes) -> Option<Segment> {
        let base = i64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
        let present = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
        let segment = Segment { base, present, body: Body::Packed(bytes) };
        let checked = |slot| {
            let mut rest = segment.get(slot)?;
            Link::decode(base, &mut rest)?;
            super::record::decode(rest)
        };
        slots(present).all(|slot| checked(slot).is_some()).then_some(segment)
    }
}

/// The slots of the bits that are set.
pub(super) fn slots(mut bits: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let slot = bits.trailing_zeros();
        bits &= bits - 1;
        Some(slot)
    })
}

/// Packs records that are light, and leaves heavy ones where they are.
pub(super) fn pack(base: i64, present: u64, records: Vec<Bytes>) -> Body {
    let weight: usize = records.iter().map(Bytes::len).sum();
    if weight > PACKED_MAX {
        return Body::Loose(alloc::sync::Arc::new(records));
    }
    Body::Packed(packed(base, present, &records))
}

fn packed(base: i64, present: u64, records: &[Bytes]) -> Bytes {
    assert!(present.count_ones() as usize == records.len(), "a bit a record");
    let weight: usize = records.iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(HEADER + 4 * records.len() + weight);
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&present.to_le_bytes());
    let mut end = 0_u32;
    for record in records {
        end += u32::try_from(record.len()).expect("a record is far below 4 GiB");
        out.extend_from_slice(&end.to_le_bytes());
    }
    for record in records {
        out.extend_from_slice(record);
    }
    Bytes::from(out)
}

/// Where the nth record of packed bytes lies.
fn bounds(bytes: &[u8], present: u64, at: usize) -> Option<(usize, usize)> {
    let first = HEADER + 4 * present.count_ones() as usize;
    let end = |nth: usize| {
        let at = HEADER + 4 * nth;
        let raw = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(first + u32::from_le_bytes(raw) as usize)
    };
    let from = if at == 0 { first } else { end(at - 1)? };
    Some((from, end(at)?))
}
