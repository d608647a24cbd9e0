//! The manifest: what of the state files counts.
//!
//! It has slots of a page each: two that are written in turn, and more where more checkpoints
//! than one are kept. Each carries a sequence number and a CRC; the newest good one counts. A slot
//! is written only when all that it names is synced, and what the one before it names is given up
//! only when it is synced itself.

use crate::limits::PAGE;
use crate::state::codec::Reader;
use crate::types::{Index, NodeId, Term};
use crate::wal::{checksum, index};
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of the manifest's file, at least.
pub(super) const MANIFEST_BYTES: u64 = 2 * PAGE as u64;

/// Files that a slot has room for. With more, it names the newest, whose last frame lists the
/// others.
pub(super) const LISTED_MAX: usize = 128;

const MAGIC: &[u8; 8] = b"keel.man";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 96;

/// Bytes of one file in a list.
pub(super) const LISTED_BYTES: usize = 24;

const _: () = assert!(FIXED_BYTES + LISTED_MAX * LISTED_BYTES <= PAGE);

/// A state file, as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub number: u64,
    /// Up to where its frames count.
    pub len: u64,
    /// The chain of its frames there.
    pub chain: u32,
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Rises by one with each.
    pub sequence: u64,
    pub cluster: u64,
    pub node: NodeId,
    /// The last entry in it.
    pub index: Index,
    pub term: Term,
    pub revision: i64,
    pub compacted: i64,
    /// Whether the last file holds the list of the others.
    pub listing: bool,
    /// Oldest first.
    pub files: Vec<Listed>,
}

impl Manifest {
    /// The whole slot.
    pub(super) fn encode(&self) -> Bytes {
        assert!(self.files.len() <= LISTED_MAX, "a slot has room for its files");
        let mut body = Vec::with_capacity(PAGE);
        body.extend_from_slice(&self.sequence.to_le_bytes());
        body.extend_from_slice(&self.cluster.to_le_bytes());
        body.extend_from_slice(&self.node.0.to_le_bytes());
        body.extend_from_slice(&self.index.0.to_le_bytes());
        body.extend_from_slice(&self.term.0.to_le_bytes());
        body.extend_from_slice(&self.revision.to_le_bytes());
        body.extend_from_slice(&self.compacted.to_le_bytes());
        body.extend_from_slice(&u32::from(self.listing).to_le_bytes());
        body.extend_from_slice(&(self.files.len() as u32).to_le_bytes());
        body.extend_from_slice(&encode_list(&self.files));
        let mut slot = Vec::with_capacity(PAGE);
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(&VERSION.to_le_bytes());
        body.resize(PAGE - 16, 0);
        slot.extend_from_slice(&checksum(VERSION, &[&body]).to_le_bytes());
        slot.extend_from_slice(&body);
        Bytes::from(slot)
    }

    /// The slot in these bytes, if it is good.
    pub(super) fn decode(slot: &[u8]) -> Option<Manifest> {
        let mut reader = Reader::new(slot.get(..PAGE)?);
        if reader.take(MAGIC.len())? != MAGIC || reader.u32()? != VERSION {
            return None;
        }
        if reader.u32()? != checksum(VERSION, &[slot.get(16..PAGE)?]) {
            return None;
        }
        let mut manifest = Manifest {
            sequence: reader.u64()?,
            cluster: reader.u64()?,
            node: NodeId(reader.u64()?),
            index: index(&mut reader)?,
            term: Term(reader.u64()?),
            revision: reader.i64()?,
            compacted: reader.i64()?,
            listing: reader.u32()? != 0,
            files: Vec::new(),
        };
        let count = usize::try_from(reader.u32()?).ok()?;
        manifest.files = decode_list(reader.take(count.checked_mul(LISTED_BYTES)?)?)?;
        Some(manifest)
    }
}

/// A list of files.
pub(super) fn encode_list(files: &[Listed]) -> Bytes {
    let mut out = Vec::with_capacity(files.len() * LISTED_BYTES);
    for file in files {
        out.extend_from_slice(&file.number.to_le_bytes());
        out.extend_from_slice(&file.len.to_le_bytes());
        out.extend_from_slice(&u64::from(file.chain).to_le_bytes());
    }
    Bytes::from(out)
}

/// What [`encode_list`] wrote: the files ascend.
pub(super) fn decode_list(bytes: &[u8]) -> Option<Vec<Listed>> {
    let mut files: Vec<Listed> = Vec::with_capacity(bytes.len() / LISTED_BYTES);
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let number = reader.u64()?;
        let len = reader.u64()?;
        let chain = u32::try_from(reader.u64()?).ok()?;
        if files.last().is_some_and(|before| before.number >= number) {
            return None;
        }
        files.push(Listed { number, len, chain });
    }
    Some(files)
}
