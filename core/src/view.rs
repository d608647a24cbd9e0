//! The newest applied state, as anybody may read it.

use crate::command::AlarmKind;
use crate::members::Cluster;
use crate::mvcc;
use crate::types::{Index, NodeId, Term};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One moment of the state: taken and copied in O(1), never changed, read on any thread.
#[derive(Clone, Debug)]
pub struct View {
    /// The key space.
    pub kv: mvcc::View,
    /// The last entry applied.
    pub index: Index,
    /// Its term: `raft_term` of every response header.
    pub term: Term,
    /// The alarms that are raised.
    pub alarms: Arc<Vec<(NodeId, AlarmKind)>>,
    /// Who belongs to the cluster.
    pub cluster: Arc<Cluster>,
}

impl PartialEq for View {
    /// Two views are the same moment of one run when they stand at the same entry.
    fn eq(&self, other: &View) -> bool {
        self.index == other.index && self.term == other.term
    }
}

impl Eq for View {}
