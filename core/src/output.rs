//! What the node gives out, with the receiver's duties.

use crate::command::{Event, Refusal, Reply};
use crate::entry::Write;
use crate::members::Cluster;
use crate::note::Note;
use crate::raft::Message;
use crate::state::Checkpoint;
use crate::types::{Mark, NodeId, Ticket};
use crate::view::View;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One thing to do outside.
#[derive(Clone, Debug)]
pub enum Output {
    /// Best effort: may be lost, is never reordered wilfully.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Best effort: bring a peer this state, then say `Input::StateSent`.
    SendState {
        /// To whom.
        to: NodeId,
        /// What announces it.
        message: Message,
        /// The state.
        state: Arc<Checkpoint>,
    },
    /// The log lane: in order, then `Input::Persisted`.
    Persist {
        /// What to report when it is durable.
        mark: Mark,
        /// What to write.
        write: Write,
    },
    /// The bulk lane: in order, then `Input::Stored`.
    Store {
        /// What to report when it is durable.
        mark: Mark,
        /// What to write.
        checkpoint: Arc<Checkpoint>,
    },
    /// The state moved on: publish the view and feed the hubs.
    Applied(Arc<Batch>),
    /// The one answer that a ticket gets.
    Reply {
        /// Whose.
        ticket: Ticket,
        /// What.
        reply: Result<Reply, Refusal>,
    },
    /// Whom to reach where from now on; this member is among them, if it is one.
    Members(Arc<Cluster>),
    /// The cluster has removed this member: let the peers hear the last messages, then stop.
    Leave,
    /// A fact: log it, count it, or drop it.
    Note(Note),
}

/// What one or more committed entries changed, and the state after them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The state after it.
    pub view: View,
    /// The store's main revision before it: events continue from there without a gap.
    pub before: i64,
    /// The changes, in the order of revisions.
    pub events: Vec<Event>,
}
