//! What the node takes in, with the sender's duties.

use crate::entry::Proposal;
use crate::node::Restored;
use crate::raft::{Change, Message};
use crate::types::{LeaseId, Mark, NodeId, Term, Ticket};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use bytes::Bytes;

/// One thing that happened outside.
#[derive(Debug)]
pub enum Input {
    /// Only time passed.
    Tick,
    /// A peer said something. It may be late, doubled or out of order.
    Peer {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A peer can be reached, and says which version it speaks.
    LinkUp {
        /// Whose.
        peer: NodeId,
        /// As `major.minor.patch`.
        version: String,
    },
    /// A peer cannot be reached any more: what was sent may be lost.
    LinkDown {
        /// Whose.
        peer: NodeId,
    },
    /// A peer's queue was full: some of what was sent is lost.
    Lost {
        /// Whose.
        peer: NodeId,
    },
    /// How bringing a peer the state ended.
    StateSent {
        /// Whose.
        peer: NodeId,
        /// Whether it has it.
        arrived: bool,
    },
    /// A leader's state came, whole.
    State {
        /// From whom.
        from: NodeId,
        /// In which term it was sent.
        term: Term,
        /// What it is.
        state: Box<Restored>,
    },
    /// Somebody wants a command in the log. The ticket is the proposal's own.
    Propose {
        /// What, and who waits for it.
        proposal: Proposal,
    },
    /// Somebody wants a linearizable point.
    Read {
        /// Who waits.
        ticket: Ticket,
    },
    /// Somebody keeps a lease alive: the leader's own business, not replicated.
    Renew {
        /// Who waits.
        ticket: Ticket,
        /// The lease.
        lease: LeaseId,
    },
    /// Somebody keeps many leases alive at once.
    RenewAll {
        /// Who waits.
        ticket: Ticket,
        /// The leases.
        leases: alloc::vec::Vec<LeaseId>,
    },
    /// Somebody asks the node itself.
    Admin {
        /// Who waits.
        ticket: Ticket,
        /// For what.
        order: Order,
    },
    /// Somebody wants the membership changed. The change names the ticket.
    Reconfigure {
        /// Who waits.
        ticket: Ticket,
        /// The encoded `ConfChange`.
        bytes: Bytes,
        /// What it says.
        change: Arc<Change>,
    },
    /// The asker went away: no reply is owed.
    Forget {
        /// Which one.
        ticket: Ticket,
    },
    /// Every [`Persist`](crate::Output::Persist) up to this mark is durable.
    Persisted {
        /// The highest completed mark.
        mark: Mark,
    },
    /// The checkpoint of this mark and all before it are durable, and these chunks of the
    /// history may live in the mapped file from now on.
    Stored {
        /// The highest completed mark.
        mark: Mark,
        /// Where the chunks lie now.
        chunks: alloc::vec::Vec<crate::mvcc::Chunk>,
    },
}

crate::recording::code!(enum Input {
    1 Tick,
    2 Peer { from, message },
    3 LinkUp { peer, version },
    4 LinkDown { peer },
    5 Lost { peer },
    6 StateSent { peer, arrived },
    7 State { from, term, state },
    8 Propose { proposal },
    9 Read { ticket },
    10 Renew { ticket, lease },
    11 Admin { ticket, order },
    12 Reconfigure { ticket, bytes, change },
    13 Forget { ticket },
    14 Persisted { mark },
    15 Stored { mark, chunks },
    16 RenewAll { ticket, leases },
});

/// What can be asked of the node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// How long a lease has left.
    TimeToLive {
        /// The lease.
        lease: LeaseId,
        /// Answer with its keys, too.
        keys: bool,
    },
    /// All leases, by remaining time.
    Leases,
    /// Everything that a copy of the state needs besides the view.
    Export,
    /// Hand the leadership to this voter.
    MoveLeader {
        /// Whom.
        to: NodeId,
    },
    /// Hand the leadership to whoever is fit for it: this member is about to stop.
    HandOver,
    /// Write a checkpoint now.
    Checkpoint,
    /// Whether so many bytes more fit the quota, for a request that is wrong otherwise, too:
    /// etcd looks at the quota first.
    Room {
        /// As [`crate::node::put_cost`] counts.
        bytes: i64,
    },
}

crate::recording::code!(enum Order {
    1 TimeToLive { lease, keys },
    2 Leases,
    3 Export,
    4 MoveLeader { to },
    5 HandOver,
    6 Checkpoint,
    7 Room { bytes },
});
