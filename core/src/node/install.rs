//! A whole state on its way between members (semantics §8.9).
//!
//! A leader hands out its state at the moment when raft asks for it, so that index and state
//! agree. A follower that takes one in stands there at once, in memory; its leader hears so
//! when the state is on the disk.

use super::{Boot, Node, Restored, duties};
use crate::note::Note;
use crate::output::Output;
use crate::raft::{Body, Message};
use crate::types::{Index, Mark, NodeId, Term};
use alloc::boxed::Box;
use alloc::sync::Arc;

/// A state that came, until raft says whether it is wanted.
#[derive(Debug)]
pub(super) struct Arrived {
    index: Index,
    state: Box<Restored>,
}

/// What of the disk's news belongs to the state of now.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    /// How often the state was replaced.
    pub(super) number: u64,
    /// The first checkpoint of this lineage: chunks of older ones are not this state's.
    since: Mark,
    /// The leader waits to hear that this much is durable.
    owed: Option<Index>,
}

crate::recording::code!(struct Lineage { number, since, owed });

impl Lineage {
    /// Whether a checkpoint's chunks are chunks of the state of now.
    pub(super) fn holds(&self, mark: Mark) -> bool {
        mark >= self.since || mutant!(AdoptsOldChunks)
    }
}

impl Node {
    /// Hands the state out to a peer that lags behind the log.
    pub(super) fn send_state(&mut self, to: NodeId, term: Term) {
        let state = self.checkpoint();
        // Raft asked for the state of a moment ago; this one is what is sent.
        let (index, at, config) = (state.index, state.term, state.config.clone());
        let message = Message { term, body: Body::Snapshot { index, term: at, config } };
        self.outputs.push_back(Output::SendState { to, message, state });
    }

    /// A state came. Raft decides whether it is news.
    pub(super) fn state_arrived(&mut self, from: NodeId, term: Term, state: Box<Restored>) {
        let (index, at, config) = (state.index, state.term, state.config.clone());
        self.arrived = Some(Arrived { index, state });
        let body = Body::Snapshot { index, term: at, config };
        self.raft.step(self.now, from, Message { term, body });
    }

    /// Raft wants the state up to this entry in place of the log.
    pub(super) fn install(&mut self, from: NodeId, index: Index) {
        let Some(Arrived { state, .. }) = self.arrived.take_if(|arrived| arrived.index == index)
        else {
            let why = "a state is announced that did not come";
            return self.note(Note::PeerRefused { peer: from, why });
        };
        let boot = Boot { checkpoint: Some(*state), ..Boot::default() };
        let start = duties::start(&self.config, boot);
        let (index, term) = start.applied;
        assert!(index > self.applied.0, "a state that is taken in is ahead");
        self.raft.restored(index, term, start.raft.config);
        self.store = start.store;
        self.lessor = start.lessor;
        self.alarms = start.alarms;
        self.cluster = Arc::new(start.cluster);
        self.applied = (index, term);
        self.events.clear();
        self.changed = true;
        self.lineage.number += 1;
        self.lineage.owed = Some(index);
        self.lineage.since = self.checkpoint_now();
        if mutant!(AcksStateAtOnce) {
            self.raft.acknowledge(self.now, index);
        }
        self.note(Note::StateInstalled { from, index });
        self.tell_members();
    }

    /// The checkpoint of this mark is durable: the leader may hear of the state in it.
    pub(super) fn acknowledge_state(&mut self, mark: Mark) {
        if self.lineage.holds(mark)
            && let Some(index) = self.lineage.owed.take()
        {
            self.raft.acknowledge(self.now, index);
        }
    }
}
