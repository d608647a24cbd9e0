//! A history as a recording holds it: exactly as it stands, so that it goes on as the one that was
//! recorded. A checkpoint may tidy up what it restores; what is replayed must not.

use super::super::chunk::{Link, Segment, slots};
use super::super::record;
use super::{CHUNK, History, Tail, segment_records, split};
use crate::recording::{Code, Reader, Writer};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes that are given out at once.
const PIECE: usize = 64 * 1024;

impl History {
    /// Gives its bytes out, piece by piece.
    pub(in crate::mvcc) fn pieces<E>(
        &self,
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out = Writer::new();
        out.u64(self.sealed);
        for chunk in 0..self.sealed {
            let (mid, nth) = split(chunk);
            let mid = &self.root[mid];
            mid.first[nth].encode(&mut out);
            out.fixed(mid.live[nth]);
            mid.segments[nth].as_ref().map(Segment::to_bytes).encode(&mut out);
            if out.len() > PIECE {
                core::mem::take(&mut out).pieces(each)?;
            }
        }
        let Tail { base, records, live } = &self.tail;
        base.encode(&mut out);
        out.fixed(*live);
        records.encode(&mut out);
        out.pieces(each)
    }

    /// What [`pieces`](History::pieces) gave out.
    pub(in crate::mvcc) fn decode(from: &mut Reader) -> Option<History> {
        let mut history = History::default();
        for _ in 0..from.count()? {
            let first = i64::decode(from)?;
            let live = from.fixed()?;
            let segment = match Code::decode(from)? {
                Some(bytes) => Some(Segment::from_bytes(bytes)?),
                None => None,
            };
            let present = segment.as_ref().map_or(0, |segment| segment.present);
            if live & !present != 0 || segment.is_some() && live == 0 {
                return None;
            }
            if let Some(segment) = &segment {
                history.held_bytes += segment_records(segment) as u64;
                history.count_living(live, |slot| segment.get(slot));
            }
            history.push_segment(segment, live, first);
        }
        let base = i64::decode(from)?;
        let live = from.fixed()?;
        let records = <Vec<Bytes>>::decode(from)?;
        if records.len() as u64 >= CHUNK || live >> records.len() != 0 {
            return None;
        }
        for raw in &records {
            let mut rest = raw.as_ref();
            Link::decode(base, &mut rest)?;
            record::decode(rest)?;
        }
        history.held_bytes += records.iter().map(|raw| raw.len() as u64).sum::<u64>();
        history.count_living(live, |slot| records.get(slot as usize).map(AsRef::as_ref));
        // Each on its own, as they were: a slice would hold the whole recording in memory.
        let records = records.iter().map(|raw| Bytes::copy_from_slice(raw)).collect();
        history.tail = Tail { base, records: Arc::new(records), live };
        Some(history)
    }

    fn count_living<'a>(&mut self, live: u64, get: impl Fn(u32) -> Option<&'a [u8]>) {
        self.live_records += u64::from(live.count_ones());
        self.live_bytes +=
            slots(live).filter_map(get).map(|record| record.len() as u64).sum::<u64>();
    }
}
