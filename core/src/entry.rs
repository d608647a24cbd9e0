//! What the raft log holds.

use crate::command::Command;
use crate::types::{Index, Term, Ticket};
use alloc::sync::Arc;
use bytes::Bytes;

/// One entry of the raft log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term in which a leader appended it.
    pub term: Term,
    /// Its position.
    pub index: Index,
    /// What it says.
    pub payload: Payload,
}

crate::recording::code!(struct Entry { term, index, payload });

/// What an entry says: its etcd bytes, as every etcd member reads them, and what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A new leader's first entry (etcd: a normal entry without data).
    Empty,
    /// A command (etcd: a normal entry that holds an `InternalRaftRequest`).
    Command(Proposal),
    /// A membership change, one at a time (etcd: `EntryConfChange`).
    Change {
        /// The encoded `raftpb.ConfChange` or `ConfChangeV2`.
        bytes: Bytes,
        /// What it says.
        change: Arc<crate::raft::Change>,
    },
}

impl Payload {
    /// The bytes that the entry carries on disk and between members.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Payload::Empty => &[],
            Payload::Command(proposal) => &proposal.bytes,
            Payload::Change { bytes, .. } => bytes,
        }
    }

    /// The bytes' kind.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        match self {
            Payload::Empty | Payload::Command(_) => EntryKind::Normal,
            Payload::Change { change, .. } if change.v2 => EntryKind::ChangeV2,
            Payload::Change { .. } => EntryKind::Change,
        }
    }
}

/// A command on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The encoded `InternalRaftRequest`.
    pub bytes: Bytes,
    /// Its `header.ID`: who waits for it, on the member that proposed it.
    pub ticket: Ticket,
    /// What it says.
    pub command: Arc<Command>,
}

/// How the log file and the peer protocol name an entry's kind (etcd's `EntryType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// `EntryNormal`.
    Normal,
    /// `EntryConfChange`.
    Change,
    /// `EntryConfChangeV2`.
    ChangeV2,
}

/// An entry as it comes off the disk, before `proto` has parsed its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    /// Its term.
    pub term: Term,
    /// Its position.
    pub index: Index,
    /// The kind of its bytes.
    pub kind: EntryKind,
    /// Its bytes; empty for a new leader's first entry.
    pub bytes: Bytes,
}

/// What a member must remember of its votes (Raft §5.2) besides the log itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The newest term it has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: crate::types::NodeId,
    /// What it knew to be committed.
    pub commit: Index,
}

crate::recording::code!(struct HardState { term, vote, commit });

/// What must reach the disk, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// The hard state, if it changed.
    pub hard: Option<HardState>,
    /// From here on the log is void: entries of a leader that lost.
    pub cut_from: Option<Index>,
    /// New entries, ascending and without a gap.
    pub entries: alloc::vec::Vec<Entry>,
}

crate::recording::code!(struct Write { hard, cut_from, entries });
