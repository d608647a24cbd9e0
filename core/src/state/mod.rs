//! The state on disk: the history's chunks as they stand in memory, in files that are only
//! appended to, and a manifest that says what of them counts.
//!
//! A checkpoint costs what is new since the last one, not what is there. Nothing that a durable
//! manifest names is written again or removed before a newer one is durable, so at each moment
//! of a crash one of its slots leads to a whole state. The disk is assumed to behave as
//! [`crate::wal`] says.

pub mod codec;
mod files;
mod frame;
pub mod image;
mod kept;
mod ledger;
mod manifest;
mod recovery;
#[cfg(test)]
mod tests;

pub(crate) use files::Files;
pub(crate) use recovery::{Fed, Read, Scan, Slots, read_manifest, resume, settle_manifest};

use crate::command::AlarmKind;
use crate::members::Cluster;
use crate::mvcc;
use crate::raft;
use crate::types::{Index, LeaseId, NodeId, Term};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// Everything that must be on disk before the log up to `index` may go.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The last entry that is in it.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// How often the whole state was replaced by another member's since the node started: the
    /// chunks of one lineage are not those of another, whatever their numbers.
    pub lineage: u64,
    /// The key space.
    pub kv: mvcc::View,
    /// The leases, by id.
    pub leases: Vec<LeaseRecord>,
    /// The alarms.
    pub alarms: Arc<Vec<(NodeId, AlarmKind)>>,
    /// The membership.
    pub cluster: Arc<Cluster>,
    /// Who votes and who learns.
    pub config: raft::Config,
}

impl PartialEq for Checkpoint {
    /// Two checkpoints are the same moment of one run when they stand at the same entry.
    fn eq(&self, other: &Checkpoint) -> bool {
        self.index == other.index && self.term == other.term
    }
}

impl Eq for Checkpoint {}

/// What is remembered of a lease: etcd's `leasepb.Lease`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Its id.
    pub lease: LeaseId,
    /// Seconds granted.
    pub ttl: i64,
    /// Seconds left at the last checkpoint of leases; zero is "not set".
    pub remaining: i64,
}

crate::recording::code!(struct LeaseRecord { lease, ttl, remaining });

/// A checkpoint as it comes off the disk. Its bytes are slices of the files that were fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredImage {
    /// The last entry that is in it.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// The newest revision.
    pub revision: i64,
    /// The oldest revision that is still readable.
    pub compacted: i64,
    /// The sealed chunks of the history, by ascending number.
    pub chunks: Vec<image::ImageChunk>,
    /// The open tail of the history.
    pub tail: Bytes,
    /// What of both lives no more; nothing in files that are older than this field.
    pub dead: Bytes,
    /// The leases, by id.
    pub leases: Vec<LeaseRecord>,
    /// The alarms.
    pub alarms: Vec<(NodeId, AlarmKind)>,
    /// The membership.
    pub cluster: Cluster,
    /// Who votes and who learns.
    pub config: raft::Config,
}
