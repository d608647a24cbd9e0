//! The bytes of a segment: its header, batches and records.
//!
//! ```text
//! segment   | header, one page | batch | batch | ... | zeros |
//! batch     | head | record | record | ... | zeros to the sector |
//! record    | crc u32 | len u32 | kind u8, 7 zeros | body | zeros to 8 bytes |
//! ```
//!
//! A record's CRC goes on from the record before it, across batches and segments, so that a
//! record out of its place is as wrong as one with a changed bit. Heads carry a CRC of their
//! own under the segment's seed: one that lies behind a bad batch can be known without the
//! chain, and bytes that a client chose cannot pass for one, since it never sees the seed.

use crate::entry::{EntryKind, HardState};
use crate::limits::{PAGE, SECTOR};
use crate::state::codec::Reader;
use crate::types::{Index, NodeId, Term};
use alloc::vec::Vec;
use bytes::Bytes;
use crc32fast::Hasher;

/// Where the first batch of a segment begins.
pub(super) const FIRST_BATCH: u64 = PAGE as u64;

/// Bytes of a batch's head.
pub(super) const HEAD_BYTES: usize = 48;

/// Bytes of a record before its body.
pub(super) const RECORD_BYTES: usize = 16;

/// Bytes of an entry's body before what it says: term and index.
const ENTRY_BYTES: usize = 16;

const SEGMENT_MAGIC: &[u8; 8] = b"keel.log";
const BATCH_MAGIC: u32 = 0x3162_6b6c;
/// The format of a segment, but for one that begins with the log restated.
const VERSION: u32 = 1;
/// The format of that one: a program that knows only the first would take it for one that voids
/// all entries before it.
const VERSION_RESTATED: u32 = 2;

/// The checksum of `parts`, going on from `seed`.
pub(crate) fn checksum(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// `len` rounded up to whole units.
pub(crate) fn round_up(len: u64, unit: usize) -> u64 {
    len.next_multiple_of(unit as u64)
}

/// An index that the log can count on from.
pub(crate) fn index(reader: &mut Reader<'_>) -> Option<Index> {
    reader.u64().filter(|&index| index <= u64::MAX / 2).map(Index)
}

/// What a segment says of itself and of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Its number; the name says the same.
    pub number: u64,
    /// The index that the next entry had when it was begun.
    pub first: Index,
    /// Where the records of the segment before end; zero if there is none.
    pub before_end: u64,
    /// The chain at that point: this segment goes on from there.
    pub chain: u32,
    /// Whose log it is.
    pub cluster: u64,
    /// Which member's.
    pub node: NodeId,
    /// The hard state when it was begun.
    pub hard: HardState,
    /// Whether all entries before it are void: a checkpoint holds other ones.
    pub anew: bool,
    /// Whether its first batch begins the log anew with all that is still needed.
    pub restated: bool,
}

/// Bytes of a segment's header that its checksum covers; the checksum follows.
const HEADER_COVERED: usize = 88;

impl SegmentHeader {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(SECTOR);
        out.extend_from_slice(SEGMENT_MAGIC);
        let version = if self.restated { VERSION_RESTATED } else { VERSION };
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&self.chain.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.before_end.to_le_bytes());
        out.extend_from_slice(&self.cluster.to_le_bytes());
        out.extend_from_slice(&self.node.0.to_le_bytes());
        out.extend_from_slice(&self.hard.term.0.to_le_bytes());
        out.extend_from_slice(&self.hard.vote.0.to_le_bytes());
        out.extend_from_slice(&self.hard.commit.0.to_le_bytes());
        out.extend_from_slice(&u64::from(self.anew).to_le_bytes());
        let crc = checksum(0, &[&out]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.resize(SECTOR, 0);
        Bytes::from(out)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<SegmentHeader, &'static str> {
        const SHORT: &str = "the segment is shorter than its header";
        let mut reader = Reader::new(bytes);
        if reader.take(SEGMENT_MAGIC.len()).ok_or(SHORT)? != SEGMENT_MAGIC {
            return Err("the segment has no header");
        }
        let version = reader.u32().ok_or(SHORT)?;
        if !matches!(version, VERSION | VERSION_RESTATED) {
            return Err("the segment's format is of another version than this program reads");
        }
        let chain = reader.u32().ok_or(SHORT)?;
        let header = SegmentHeader {
            number: reader.u64().ok_or(SHORT)?,
            first: index(&mut reader).ok_or(SHORT)?,
            before_end: reader.u64().ok_or(SHORT)?,
            chain,
            cluster: reader.u64().ok_or(SHORT)?,
            node: NodeId(reader.u64().ok_or(SHORT)?),
            hard: HardState {
                term: Term(reader.u64().ok_or(SHORT)?),
                vote: NodeId(reader.u64().ok_or(SHORT)?),
                commit: index(&mut reader).ok_or(SHORT)?,
            },
            anew: reader.u64().ok_or(SHORT)? != 0,
            restated: version == VERSION_RESTATED,
        };
        let crc = reader.u32().ok_or(SHORT)?;
        let covered = Reader::new(bytes).take(HEADER_COVERED).ok_or(SHORT)?;
        if checksum(0, &[covered]) != crc {
            return Err("the segment's header has a wrong checksum");
        }
        Ok(header)
    }

    /// Under what the heads of this segment's batches are checked.
    pub(super) fn seed(&self) -> u32 {
        checksum(
            self.chain,
            &[&self.number.to_le_bytes(), &self.cluster.to_le_bytes(), &self.node.0.to_le_bytes()],
        )
    }
}

/// What stands in front of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Where in the segment it stands.
    pub at: u64,
    /// Up to where the segment was synced when this was written.
    pub synced: u64,
    /// Bytes of its records.
    pub bytes: u64,
    /// How many records.
    pub count: u32,
    /// The chain before its first record.
    pub chain: u32,
}

impl Head {
    pub(super) fn encode(&self, seed: u32) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[0..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        out[8..16].copy_from_slice(&self.at.to_le_bytes());
        out[16..24].copy_from_slice(&self.synced.to_le_bytes());
        out[24..32].copy_from_slice(&self.bytes.to_le_bytes());
        out[32..36].copy_from_slice(&self.count.to_le_bytes());
        out[36..40].copy_from_slice(&self.chain.to_le_bytes());
        let crc = checksum(seed, &[&out[8..]]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The head at `at`, if there is a good one.
    pub(super) fn decode(segment: &[u8], at: u64, seed: u32) -> Option<Head> {
        let from = usize::try_from(at).ok()?;
        let bytes = segment.get(from..)?.first_chunk::<HEAD_BYTES>()?;
        let mut reader = Reader::new(bytes);
        if reader.u32()? != BATCH_MAGIC || reader.u32()? != checksum(seed, &[&bytes[8..]]) {
            return None;
        }
        let head = Head {
            at: reader.u64()?,
            synced: reader.u64()?,
            bytes: reader.u64()?,
            count: reader.u32()?,
            chain: reader.u32()?,
        };
        (head.at == at).then_some(head)
    }

    /// Where the sector after the batch begins.
    pub(super) fn end(&self) -> Option<u64> {
        let end = self.at.checked_add(HEAD_BYTES as u64)?.checked_add(self.bytes)?;
        end.checked_next_multiple_of(SECTOR as u64)
    }
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// An entry.
    Entry(Term, Index, EntryKind, Bytes),
    /// The hard state from here on.
    Hard(HardState),
    /// Entries from here on are void.
    Cut(Index),
    /// The log begins anew after this index: a checkpoint holds all up to it.
    Restart(Index),
}

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Record::Entry(_, _, EntryKind::Normal, _) => 1,
            Record::Entry(_, _, EntryKind::Change, _) => 2,
            Record::Entry(_, _, EntryKind::ChangeV2, _) => 3,
            Record::Hard(_) => 4,
            Record::Cut(_) => 5,
            Record::Restart(_) => 6,
        }
    }

    /// Bytes that it takes in a batch.
    pub(super) fn bytes(&self) -> u64 {
        let body = match self {
            Record::Entry(_, _, _, bytes) => ENTRY_BYTES + bytes.len(),
            Record::Hard(_) => 24,
            Record::Cut(_) | Record::Restart(_) => 8,
        };
        round_up((RECORD_BYTES + body) as u64, 8)
    }

    /// Everything of it but an entry's own bytes, which follow: they are shared, not copied.
    fn fixed(&self) -> ([u8; 24], usize) {
        let mut body = [0; 24];
        let mut put = |slot: usize, number: u64| {
            body[slot * 8..slot * 8 + 8].copy_from_slice(&number.to_le_bytes());
        };
        match self {
            Record::Entry(term, index, _, _) => {
                put(0, term.0);
                put(1, index.0);
                (body, ENTRY_BYTES)
            }
            Record::Hard(hard) => {
                put(0, hard.term.0);
                put(1, hard.vote.0);
                put(2, hard.commit.0);
                (body, 24)
            }
            Record::Cut(index) | Record::Restart(index) => {
                put(0, index.0);
                (body, 8)
            }
        }
    }

    fn parse(kind: u8, body: Bytes) -> Option<Record> {
        let mut reader = Reader::new(&body);
        let record = match kind {
            1..=3 => {
                let term = Term(reader.u64()?);
                let index = index(&mut reader)?;
                let kind = match kind {
                    1 => EntryKind::Normal,
                    2 => EntryKind::Change,
                    _ => EntryKind::ChangeV2,
                };
                return Some(Record::Entry(term, index, kind, body.slice(ENTRY_BYTES..)));
            }
            4 => Record::Hard(HardState {
                term: Term(reader.u64()?),
                vote: NodeId(reader.u64()?),
                commit: index(&mut reader)?,
            }),
            5 => Record::Cut(index(&mut reader)?),
            6 => Record::Restart(index(&mut reader)?),
            _ => return None,
        };
        reader.is_empty().then_some(record)
    }
}

/// A batch as it goes to the disk, and the chain after it.
pub(super) struct Batch {
    /// Its pieces, one after the other, to the end of a sector.
    pub pieces: Vec<Bytes>,
    /// The chain after its last record.
    pub chain: u32,
    /// Where the next one begins.
    pub end: u64,
}

/// Bytes that a batch of records takes, whole sectors.
pub(super) fn batch_bytes(records: u64) -> u64 {
    round_up(HEAD_BYTES as u64 + records, SECTOR)
}

/// Lays records out as the batch that begins at `at`.
pub(super) fn encode_batch(
    records: &[Record],
    at: u64,
    synced: u64,
    chain: u32,
    seed: u32,
) -> Batch {
    assert!(at.is_multiple_of(SECTOR as u64), "a batch begins on a sector");
    let bytes = records.iter().map(Record::bytes).sum();
    let count = u32::try_from(records.len()).expect("a batch is bounded in bytes");
    let head = Head { at, synced, bytes, count, chain };
    let end = head.end().expect("a segment is far shorter than 2^64 bytes");
    // All that is not shared stands in one buffer; `shared` says where an entry's bytes go in.
    let mut own = Vec::with_capacity(records.len() * 40 + HEAD_BYTES + SECTOR);
    let mut shared: Vec<(usize, Bytes)> = Vec::new();
    own.extend_from_slice(&head.encode(seed));
    let mut chain = chain;
    for record in records {
        chain = encode_record(record, chain, &mut own, &mut shared);
    }
    let padding = end - at - HEAD_BYTES as u64 - bytes;
    own.resize(own.len() + padding as usize, 0);
    let own = Bytes::from(own);
    let mut pieces = Vec::with_capacity(shared.len() * 2 + 1);
    let mut from = 0;
    for (to, bytes) in shared {
        pieces.push(own.slice(from..to));
        pieces.push(bytes);
        from = to;
    }
    pieces.push(own.slice(from..));
    pieces.retain(|piece| !piece.is_empty());
    Batch { pieces, chain, end }
}

fn encode_record(
    record: &Record,
    chain: u32,
    own: &mut Vec<u8>,
    shared: &mut Vec<(usize, Bytes)>,
) -> u32 {
    let payload: &[u8] = match record {
        Record::Entry(_, _, _, bytes) => bytes,
        _ => &[],
    };
    let (fixed, fixed_len) = record.fixed();
    let len = u32::try_from(fixed_len + payload.len()).expect("an entry is below 4 GiB");
    let mut front = [0; 12];
    front[..4].copy_from_slice(&len.to_le_bytes());
    front[4] = record.kind();
    let crc = checksum(chain, &[&front, &fixed[..fixed_len], payload]);
    own.extend_from_slice(&crc.to_le_bytes());
    own.extend_from_slice(&front);
    own.extend_from_slice(&fixed[..fixed_len]);
    if let Record::Entry(_, _, _, bytes) = record
        && !bytes.is_empty()
    {
        shared.push((own.len(), bytes.clone()));
    }
    let whole = RECORD_BYTES + fixed_len + payload.len();
    own.resize(own.len() + (whole.next_multiple_of(8) - whole), 0);
    crc
}

/// Reads the batch at `at` whole: its records, the chain after it and where it ends. `None` if
/// anything in it is not as it was written.
pub(super) fn decode_batch(
    segment: &Bytes,
    at: u64,
    chain: u32,
    seed: u32,
) -> Option<(Head, Vec<Record>, u32)> {
    let head = Head::decode(segment, at, seed)?;
    if head.chain != chain || head.synced > at || head.end()? > segment.len() as u64 {
        return None;
    }
    let mut from = usize::try_from(at).ok()?.checked_add(HEAD_BYTES)?;
    let end = from.checked_add(usize::try_from(head.bytes).ok()?)?;
    let mut chain = chain;
    let mut records = Vec::new();
    while from < end {
        let (record, crc, next) = decode_record(segment, from, end, chain)?;
        records.push(record);
        chain = crc;
        from = next;
    }
    (records.len() == head.count as usize && from == end).then_some((head, records, chain))
}

fn decode_record(
    segment: &Bytes,
    from: usize,
    end: usize,
    chain: u32,
) -> Option<(Record, u32, usize)> {
    let mut reader = Reader::new(segment.get(from..end)?);
    let crc = reader.u32()?;
    let front = reader.take(12)?;
    let mut fields = Reader::new(front);
    let len = usize::try_from(fields.u32()?).ok()?;
    let kind = fields.u8()?;
    let body = reader.take(len)?;
    if checksum(chain, &[front, body]) != crc && !mutant!(BadRecordsCount) {
        return None;
    }
    let body_at = from + RECORD_BYTES;
    let record = Record::parse(kind, segment.slice(body_at..body_at + len))?;
    Some((record, crc, from + (RECORD_BYTES + len).next_multiple_of(8)))
}
