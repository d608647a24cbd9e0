//! Frames: eight bytes of length, a `walpb.Record`, zeros up to the next eight.
//!
//! A record's checksum is CRC-32C over the data of all records so far, so none can be missing,
//! doubled or from elsewhere.

use super::{Record, Snapshot};
use crate::peer::message::{conf_state, config};
use crate::wire::tree::{raftpb, walpb};
use bytes::{BufMut, Bytes, BytesMut};
use crc::{CRC_32_ISCSI, Crc, Table};
use keel_core::entry::EntryKind;
use keel_core::{HardState, Index, NodeId, RawEntry, Term};
use prost::Message;

static CASTAGNOLI: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The sector that a disk writes whole.
const SECTOR: usize = 512;
/// A record is in memory whole, so it must fit there: etcd's own bound is the file's length.
const LENGTH_MASK: u64 = (1 << 56) - 1;

const METADATA: i64 = 1;
const ENTRY: i64 = 2;
const STATE: i64 = 3;
const CHECKSUM: i64 = 4;
const SNAPSHOT: i64 = 5;

/// Whose log it is: etcd's message of that name, which belongs to no service.
#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(uint64, optional, tag = "1")]
    node: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    cluster: Option<u64>,
}

/// The checksum of more data behind what `crc` covers.
pub(super) fn continued(crc: u32, data: &[u8]) -> u32 {
    // The library takes the register as it stands before the bits are turned around.
    let mut digest = CASTAGNOLI.digest_with_initial((!crc).reverse_bits());
    digest.update(data);
    digest.finalize()
}

/// Why there is no further record in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It ends here, or zeros follow.
    Clean,
    /// What follows was never written whole: a crash may leave that at a log's end.
    Torn,
    /// What follows was whole once.
    Bad(&'static str),
}

/// Reads the record at `at`; gives it, the checksum behind it, and where the next one begins.
pub(super) fn read(file: &Bytes, at: usize, crc: u32) -> Result<(Record, u32, usize), End> {
    let Some(length) = file.get(at..at + 8).and_then(|bytes| bytes.first_chunk()) else {
        return Err(if at >= file.len() { End::Clean } else { End::Torn });
    };
    let length = u64::from_le_bytes(*length);
    if length == 0 {
        return Err(End::Clean);
    }
    let size = usize::try_from(length & LENGTH_MASK).map_err(|_| End::Torn)?;
    let padding = if length >> 63 == 1 { (length >> 56 & 0x7) as usize } else { 0 };
    let from = at + 8;
    let end = from.checked_add(size).and_then(|end| end.checked_add(padding)).ok_or(End::Torn)?;
    if end > file.len() {
        return Err(End::Torn);
    }
    let body = file.slice(from..from + size);
    let torn = is_torn(file, from, end);
    let bad = |why| if torn { End::Torn } else { End::Bad(why) };
    let record = walpb::Record::decode(body).map_err(|_| bad("a record cannot be read"))?;
    let data = record.data.clone().unwrap_or_default();
    if record.r#type() == CHECKSUM {
        // A reader may begin at any file; from then on they must agree.
        if crc != 0 && record.crc() != crc {
            return Err(bad("the file does not go on where the one before it ended"));
        }
        return Ok((Record::Checksum(record.crc()), record.crc(), end));
    }
    let crc = continued(crc, &data);
    if record.crc() != crc {
        return Err(bad("a record has a wrong checksum"));
    }
    let read = parse(record.r#type(), data).ok_or(bad("a record says what etcd does not"))?;
    Ok((read, crc, end))
}

/// Whether a sector of the record was never written.
fn is_torn(file: &[u8], from: usize, end: usize) -> bool {
    let mut at = from;
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        if file[at..next].iter().all(|byte| *byte == 0) {
            return true;
        }
        at = next;
    }
    false
}

fn parse(kind: i64, data: Bytes) -> Option<Record> {
    Some(match kind {
        METADATA => {
            let metadata = Metadata::decode(data).ok()?;
            Record::Metadata { node: metadata.node?, cluster: metadata.cluster? }
        }
        ENTRY => {
            let entry = raftpb::Entry::decode(data).ok()?;
            let kind = match entry.r#type() {
                raftpb::EntryType::EntryNormal => EntryKind::Normal,
                raftpb::EntryType::EntryConfChange => EntryKind::Change,
                raftpb::EntryType::EntryConfChangeV2 => EntryKind::ChangeV2,
            };
            let (term, index) = (Term(entry.term()), Index(entry.index()));
            let bytes = entry.data.unwrap_or_default();
            Record::Entry(RawEntry { term, index, kind, bytes })
        }
        STATE => {
            let state = raftpb::HardState::decode(data).ok()?;
            Record::State(HardState {
                term: Term(state.term()),
                vote: NodeId(state.vote()),
                commit: Index(state.commit()),
            })
        }
        SNAPSHOT => {
            let snapshot = walpb::Snapshot::decode(data).ok()?;
            Record::Snapshot(Snapshot {
                index: Index(snapshot.index()),
                term: Term(snapshot.term()),
                config: snapshot.conf_state.as_ref().map(config),
            })
        }
        _ => return None,
    })
}

/// Writes a record behind what `out` holds; gives the checksum behind it.
pub(super) fn write(record: &Record, crc: u32, out: &mut BytesMut) -> u32 {
    let (kind, data) = encode(record);
    let (crc, data) = match record {
        Record::Checksum(crc) => (*crc, None),
        _ => (continued(crc, &data), Some(data)),
    };
    let framed = walpb::Record { r#type: Some(kind), crc: Some(crc), data };
    let size = framed.encoded_len();
    let padding = size.next_multiple_of(8) - size;
    let marked = if padding == 0 { 0 } else { 0x80 | padding as u64 };
    out.put_u64_le(size as u64 | marked << 56);
    framed.encode(out).expect("a buffer that grows has room");
    out.put_bytes(0, padding);
    crc
}

fn encode(record: &Record) -> (i64, Bytes) {
    match record {
        Record::Metadata { node, cluster } => {
            let metadata = Metadata { node: Some(*node), cluster: Some(*cluster) };
            (METADATA, metadata.encode_to_vec().into())
        }
        Record::Entry(entry) => {
            let kind = match entry.kind {
                EntryKind::Normal => raftpb::EntryType::EntryNormal,
                EntryKind::Change => raftpb::EntryType::EntryConfChange,
                EntryKind::ChangeV2 => raftpb::EntryType::EntryConfChangeV2,
            };
            let data = (!entry.bytes.is_empty()).then(|| entry.bytes.clone());
            let entry = raftpb::Entry {
                term: Some(entry.term.0),
                index: Some(entry.index.0),
                r#type: Some(kind.into()),
                data,
            };
            (ENTRY, entry.encode_to_vec().into())
        }
        Record::State(hard) => {
            let state = raftpb::HardState {
                term: Some(hard.term.0),
                vote: Some(hard.vote.0),
                commit: Some(hard.commit.0),
            };
            (STATE, state.encode_to_vec().into())
        }
        Record::Checksum(_) => (CHECKSUM, Bytes::new()),
        Record::Snapshot(snapshot) => {
            let snapshot = walpb::Snapshot {
                index: Some(snapshot.index.0),
                term: Some(snapshot.term.0),
                conf_state: snapshot.config.as_ref().map(conf_state),
            };
            (SNAPSHOT, snapshot.encode_to_vec().into())
        }
    }
}
