//! A number for everything that was decided so far: equal runs have equal ones.
//!
//! It runs along with the outputs, at a few instructions each, so that it can be asked for under
//! load. What an output says beyond numbers follows from what was persisted, whose bytes count.

use super::Node;
use crate::entry::Write;
use crate::output::Output;
use crate::raft::{Body, Message};

/// The running number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trace(u64);

crate::recording::code!(newtype Trace);

impl Trace {
    pub(super) fn mix(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn mix_all(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.mix(*number);
        }
    }

    /// One more output left.
    pub(super) fn output(&mut self, output: &Output) {
        match output {
            Output::Send { to, message } => {
                self.mix_all(&[1, to.0]);
                self.message(message);
            }
            Output::SendState { to, message, state } => {
                self.mix_all(&[2, to.0, state.index.0]);
                self.message(message);
            }
            Output::Persist { mark, write } => {
                self.mix_all(&[3, mark.0]);
                self.write(write);
            }
            Output::Store { mark, checkpoint } => {
                self.mix_all(&[4, mark.0, checkpoint.index.0]);
            }
            Output::Applied(batch) => {
                let revision = batch.view.kv.revision().cast_unsigned();
                self.mix_all(&[5, batch.view.index.0, revision, batch.events.len() as u64]);
            }
            Output::Reply { ticket, reply } => {
                self.mix_all(&[6, ticket.0, u64::from(reply.is_ok())]);
            }
            Output::Members(cluster) => self.mix_all(&[7, cluster.members.len() as u64]),
            Output::Leave => self.mix(8),
            Output::Note(_) => self.mix(9),
        }
    }

    fn message(&mut self, message: &Message) {
        self.mix(message.term.0);
        match &message.body {
            Body::Append { prev, prev_term, entries, commit } => {
                self.mix_all(&[1, prev.0, prev_term.0, entries.len() as u64, commit.0]);
            }
            Body::AppendAck { index, reject } => {
                self.mix_all(&[2, index.0, reject.map_or(0, |hint| hint.index.0)]);
            }
            Body::Vote { pre, last, last_term, .. } => {
                self.mix_all(&[3, u64::from(*pre), last.0, last_term.0]);
            }
            Body::VoteReply { pre, reject } => {
                self.mix_all(&[4, u64::from(*pre), u64::from(*reject)]);
            }
            Body::Heartbeat { commit, .. } => self.mix_all(&[5, commit.0]),
            Body::HeartbeatAck { .. } => self.mix(6),
            Body::Snapshot { index, term, .. } => self.mix_all(&[7, index.0, term.0]),
            Body::Propose { payloads } => self.mix_all(&[8, payloads.len() as u64]),
            Body::ReadIndex { .. } => self.mix(9),
            Body::ReadReply { index, .. } => self.mix_all(&[10, index.0]),
            Body::Transfer { to } => self.mix_all(&[11, to.0]),
            Body::TimeoutNow => self.mix(12),
        }
    }

    fn write(&mut self, write: &Write) {
        if let Some(hard) = write.hard {
            self.mix_all(&[1, hard.term.0, hard.vote.0, hard.commit.0]);
        }
        self.mix(write.cut_from.map_or(0, |index| index.0));
        for entry in &write.entries {
            let bytes = u64::from(crc32fast::hash(entry.payload.bytes()));
            self.mix_all(&[entry.index.0, entry.term.0, bytes]);
        }
    }
}

impl Node {
    /// A digest of all that was decided so far and of how the node stands: equal runs, equal
    /// digests. O(1), and cheap enough to ask for after every input.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut trace = self.trace;
        self.raft.digest(&mut |number| trace.mix(number));
        trace.mix_all(&[
            self.now.0,
            self.applied.0.0,
            self.applied.1.0,
            self.store.revision().cast_unsigned(),
            self.store.compacted().cast_unsigned(),
            self.store.digest(),
            self.lessor.len() as u64,
            self.lessor.deadline().map_or(0, |due| due.0),
            self.alarms.all().len() as u64,
            self.tickets.len() as u64,
        ]);
        trace.0
    }
}
