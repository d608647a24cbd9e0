//! Who leads and what is committed.

use crate::members::Member;
use crate::types::NodeId;
use alloc::vec::Vec;

/// What members say to each other.
#[derive(Clone, Debug)]
pub enum Message {}

/// A change of the voting membership, as the log holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Whether it is encoded as a `ConfChangeV2`.
    pub v2: bool,
    /// The single steps.
    pub steps: Vec<ChangeStep>,
    /// The member that joins or changes, as etcd's JSON in the change's context tells it.
    pub member: Option<Member>,
}

/// One step of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeStep {
    /// A voter joins, or a learner is promoted.
    AddVoter(NodeId),
    /// A learner joins.
    AddLearner(NodeId),
    /// A member leaves.
    Remove(NodeId),
    /// A member's addresses change; the vote does not.
    Update(NodeId),
}
