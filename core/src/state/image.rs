//! A checkpoint reduced to what goes into files.

use crate::state::Checkpoint;
use crate::state::codec::{encode_alarms, encode_cluster, encode_config, encode_leases};
use crate::types::{Index, Term};
use alloc::vec::Vec;
use bytes::Bytes;

/// A checkpoint as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The last entry in it.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// The newest revision.
    pub revision: i64,
    /// The oldest revision that is still readable.
    pub compacted: i64,
    /// Changes when the whole state was replaced by one from elsewhere: then no chunk is what
    /// an older one with its number and version was.
    pub lineage: u64,
    /// The sealed chunks of the history, by ascending number.
    pub chunks: Vec<ImageChunk>,
    /// The open tail of the history.
    pub tail: Bytes,
    /// What of the chunks and the tail lives no more ([`mvcc::View::dead`](crate::mvcc::View)).
    pub dead: Bytes,
    /// [`encode_leases`].
    pub leases: Bytes,
    /// [`encode_alarms`].
    pub alarms: Bytes,
    /// [`encode_cluster`].
    pub cluster: Bytes,
    /// [`encode_config`].
    pub config: Bytes,
}

/// A sealed chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageChunk {
    /// Its number.
    pub number: u64,
    /// Changes when its bytes change.
    pub version: u64,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Image {
    /// Reduces a checkpoint.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Image {
        Image {
            index: checkpoint.index,
            term: checkpoint.term,
            revision: checkpoint.kv.revision(),
            compacted: checkpoint.kv.compacted(),
            lineage: checkpoint.lineage,
            chunks: checkpoint.kv.chunks().map(ImageChunk::from).collect(),
            tail: checkpoint.kv.tail(),
            dead: checkpoint.kv.dead(),
            leases: Bytes::from(encode_leases(&checkpoint.leases)),
            alarms: Bytes::from(encode_alarms(&checkpoint.alarms)),
            cluster: Bytes::from(encode_cluster(&checkpoint.cluster)),
            config: Bytes::from(encode_config(&checkpoint.config)),
        }
    }
}

impl From<crate::mvcc::Chunk> for ImageChunk {
    fn from(chunk: crate::mvcc::Chunk) -> ImageChunk {
        let crate::mvcc::Chunk { number, version, bytes } = chunk;
        ImageChunk { number, version, bytes }
    }
}
