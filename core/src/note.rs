//! Every fact worth a log line, a counter or a test's mark.

use crate::command::{AlarmKind, Kind};
use crate::types::{Index, LeaseId, NodeId, Term};
use alloc::string::String;

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// This member became a follower.
    BecameFollower {
        /// In which term.
        term: Term,
        /// Of whom, if known.
        leader: NodeId,
    },
    /// This member asks whether it could win.
    BecamePreCandidate {
        /// In which term.
        term: Term,
    },
    /// This member asks for votes.
    BecameCandidate {
        /// In which term.
        term: Term,
    },
    /// This member leads.
    BecameLeader {
        /// In which term.
        term: Term,
    },
    /// Another leader is known, or none.
    LeaderChanged {
        /// Who leads now.
        leader: NodeId,
        /// In which term.
        term: Term,
    },
    /// This leader's disk takes longer than an election: another is asked to lead.
    DiskStalls {
        /// Who.
        heir: NodeId,
    },
    /// The commit index rose.
    Committed {
        /// To where.
        index: Index,
    },
    /// The applied index rose.
    Applied {
        /// To where.
        index: Index,
        /// By what.
        work: Work,
    },
    /// A proposal was dropped.
    ProposalDropped,
    /// A lease is due.
    LeaseExpired {
        /// Which one.
        lease: LeaseId,
    },
    /// A compaction was accepted.
    CompactionScheduled {
        /// The oldest revision that stays readable.
        revision: i64,
    },
    /// A compaction has no work left.
    CompactionFinished {
        /// The oldest revision that is still readable.
        revision: i64,
        /// The hash over what it scanned (semantics §6.7).
        hash: u32,
    },
    /// An alarm was raised.
    AlarmRaised {
        /// Whose.
        member: NodeId,
        /// Which kind.
        kind: AlarmKind,
    },
    /// An alarm was taken back.
    AlarmDisarmed {
        /// Whose.
        member: NodeId,
        /// Which kind.
        kind: AlarmKind,
    },
    /// A checkpoint was handed to the bulk lane.
    CheckpointStarted {
        /// The applied index it stands at.
        index: Index,
    },
    /// A checkpoint is durable.
    CheckpointFinished {
        /// The applied index it stands at.
        index: Index,
    },
    /// This member's name and client URLs are in the log: it may serve.
    Published,
    /// Another member's state is in place of this one's.
    StateInstalled {
        /// Whose.
        from: NodeId,
        /// The last entry in it.
        index: Index,
    },
    /// This member was removed from its cluster for ever.
    RemovedSelf,
    /// The cluster's version is decided.
    ClusterVersion {
        /// As `major.minor.0`.
        version: String,
    },
    /// The cluster goes back to a version, or not any more.
    Downgrade {
        /// As `major.minor.0`; empty where it ended.
        target: String,
    },
    /// A peer's message broke a rule and was refused.
    PeerRefused {
        /// Whose.
        peer: NodeId,
        /// Which rule.
        why: &'static str,
    },
}

/// How many commands of each kind were applied, and with which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work([[u16; 2]; Kind::ALL.len()]);

impl Work {
    /// One more.
    pub(crate) fn add(&mut self, kind: Kind, success: bool) {
        // A step applies fewer than that.
        let count = &mut self.0[kind as usize][usize::from(success)];
        *count = count.saturating_add(1);
    }

    /// Kinds, outcomes and how many, where there were any.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, bool, u16)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            let [failed, done] = self.0[kind as usize];
            [(kind, false, failed), (kind, true, done)].into_iter().filter(|(_, _, n)| *n > 0)
        })
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().flatten().map(|count| u32::from(*count)).sum()
    }
}
