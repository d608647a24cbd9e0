//! The state on disk.

use crate::command::AlarmKind;
use crate::members::Cluster;
use crate::mvcc;
use crate::raft;
use crate::types::{Index, LeaseId, NodeId, Term};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Everything that must be on disk before the log up to `index` may go.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The last entry that is in it.
    pub index: Index,
    /// Its term.
    pub term: Term,
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
