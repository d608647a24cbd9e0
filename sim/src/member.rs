//! Who a simulated member is, on both levels, and what its node is told.

use crate::plan::Knobs;
use keel_core::NodeId;
use keel_core::node::{AutoCompaction, Config};

/// The id of every simulated cluster.
pub(crate) const CLUSTER: u64 = 0x6b65_656c;

/// How a member is called, counted from zero.
pub(crate) fn name(at: usize) -> String {
    format!("n{}", at + 1)
}

/// A member's id.
pub(crate) fn id(at: usize) -> NodeId {
    NodeId(at as u64 + 1)
}

/// Where a member can be asked.
pub(crate) fn url(at: usize, port: u16) -> String {
    format!("http://{}:{port}", name(at))
}

/// What etcd would be told by its flags.
pub(crate) fn config(at: usize, knobs: &Knobs) -> Config {
    Config {
        id: id(at),
        cluster_id: CLUSTER,
        name: name(at),
        client_urls: vec![url(at, 2379)],
        version: String::from("3.7.0"),
        heartbeat: knobs.tick,
        election: knobs.tick * 10,
        pre_vote: knobs.pre_vote > 0,
        snapshot_count: knobs.checkpoint,
        catch_up_entries: knobs.catch_up,
        lease_checkpoint: false,
        quota_bytes: 0,
        strict_reconfig: knobs.strict > 0,
        learners_max: 1,
        auto_compaction: AutoCompaction::Off,
    }
}
