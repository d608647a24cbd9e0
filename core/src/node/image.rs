//! A node in the middle of its life, as a recording holds it.

use super::Node;
use crate::input::Input;
use crate::types::Instant;

crate::recording::code!(struct Node {
    config,
    now,
    rng,
    trace,
    raft,
    store,
    lessor,
    alarms,
    cluster,
    links,
    lineage,
    transfers,
    applied,
    tickets,
    own,
    reads,
    parked,
    renewals,
    behind,
    compactor,
    checkpoints,
    leader,
    leads,
    led_since,
    doubtful,
    published,
    versions_moved,
    changed,
    before,
} with nothing in arrived, compacting, events, replies, outputs);

impl Node {
    /// Whether it can be recorded as it stands: everything was polled, no state arrives, no
    /// compaction is under way.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.outputs.is_empty()
            && self.replies.is_empty()
            && self.events.is_empty()
            && self.arrived.is_none()
            && self.compacting.is_empty()
            && self.raft.is_polled()
            && self.store.is_at_rest()
    }

    /// What time it is for it.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// An input as it was before it was recorded: chunks stand there by name, and this node has
    /// the same bytes for them.
    #[must_use]
    pub fn complete(&self, mut input: Input) -> Input {
        if let Input::Stored { chunks, .. } = &mut input {
            for chunk in chunks {
                if let Some(own) =
                    self.store.chunk(chunk.number).filter(|own| own.version == chunk.version)
                {
                    chunk.bytes = own.bytes;
                }
            }
        }
        input
    }
}
