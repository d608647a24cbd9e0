//! The node: consensus, store, leases and members behind one door.

use crate::entry::{Entry, HardState};
use crate::input::Input;
use crate::members::Cluster;
use crate::output::Output;
use crate::state::Checkpoint;
use crate::types::{Index, Instant, NodeId, Term};
use crate::view::View;
use alloc::vec::Vec;
use core::time::Duration;

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub id: NodeId,
    /// The cluster it boots into where the disk is empty.
    pub cluster: Cluster,
    /// etcd's `--heartbeat-interval`: one raft tick.
    pub heartbeat: Duration,
    /// etcd's `--election-timeout`.
    pub election: Duration,
    /// etcd's `--pre-vote`.
    pub pre_vote: bool,
    /// etcd's `--snapshot-count`: entries between two checkpoints.
    pub snapshot_count: u64,
    /// etcd's `--snapshot-catchup-entries`: entries kept in memory for slow followers.
    pub catch_up_entries: u64,
    /// etcd's `LeaseCheckpoint` feature gate.
    pub lease_checkpoint: bool,
    /// etcd's `--quota-backend-bytes`; zero or less is no quota.
    pub quota_bytes: i64,
}

/// What a node remembers from before.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// Its votes.
    pub hard: HardState,
    /// The state, if a checkpoint was ever written.
    pub checkpoint: Option<Checkpoint>,
    /// The log behind the checkpoint.
    pub entries: Vec<Entry>,
}

/// How a node stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Who it is.
    pub id: NodeId,
    /// Who leads, as far as it knows.
    pub leader: NodeId,
    /// Raft's term.
    pub term: Term,
    /// Raft's commit index.
    pub commit: Index,
    /// The last entry applied.
    pub applied: Index,
}

/// One member.
#[derive(Debug)]
pub struct Node {}

impl Node {
    /// A member that goes on where `boot` ends. The seed feeds all its randomness.
    #[must_use]
    pub fn new(_config: Config, _boot: Boot, _seed: u64, _now: Instant) -> Node {
        unimplemented!()
    }

    /// Runs due timers, then takes one input. Never blocks, never fails.
    pub fn step(&mut self, _now: Instant, _input: Input) {
        unimplemented!()
    }

    /// The next thing to do outside. Drain to `None` before you sleep.
    pub fn poll(&mut self) -> Option<Output> {
        unimplemented!()
    }

    /// When the next timer is due: `step(Input::Tick)` no later than this.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// The newest applied state, O(1).
    #[must_use]
    pub fn view(&self) -> View {
        unimplemented!()
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// A digest of everything: equal runs, equal digests.
    #[must_use]
    pub fn digest(&self) -> u64 {
        unimplemented!()
    }
}
