//! A member that does not run: what its disk says, and what a disk must say.

use super::Node;
use super::config::{AutoCompaction, Boot, Config, Restored};
use crate::entry::{HardState, Payload, Write};
use crate::members::Cluster;
use crate::raft;
use crate::state::Checkpoint;
use crate::types::{Index, Instant, NodeId, Term};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// The state that a member's disk holds: its checkpoint, and on top of it what the log knows to
/// be committed. What a lone voter has on its disk is committed, said so or not. Nothing is
/// written, sent or proposed.
#[must_use]
pub fn still(me: NodeId, cluster_id: u64, mut boot: Boot) -> Arc<Checkpoint> {
    boot.hard.commit = committed(me, &boot);
    let config = Config {
        id: me,
        cluster_id,
        name: String::new(),
        client_urls: Vec::new(),
        version: String::new(),
        heartbeat: Duration::from_millis(100),
        election: Duration::from_secs(1),
        pre_vote: true,
        snapshot_count: u64::MAX,
        catch_up_entries: 0,
        lease_checkpoint: false,
        quota_bytes: 0,
        strict_reconfig: false,
        learners_max: usize::MAX,
        auto_compaction: AutoCompaction::Off,
    };
    let mut node = Node::new(config, boot, 0, Instant(0));
    while node.raft.has_committed() {
        node.apply_committed();
    }
    node.checkpoint()
}

/// Up to where the log is committed.
fn committed(me: NodeId, boot: &Boot) -> Index {
    let mut config = boot.checkpoint.as_ref().map(|it| it.config.clone()).unwrap_or_default();
    let mut commit = boot.hard.commit;
    for entry in &boot.entries {
        if entry.index > commit && !config.only_voter_is(me) {
            break;
        }
        commit = commit.max(entry.index);
        if let Payload::Change { change, .. } = &entry.payload {
            config = config.after(change);
        }
    }
    commit
}

/// What the disk of a member of a new cluster must hold that begins with a state from elsewhere:
/// as if its members' joining had been the cluster's first entries (semantics §9c). All members
/// begin so with equal states.
#[must_use]
pub fn reborn(state: Restored, cluster: Cluster) -> (Write, Arc<Checkpoint>) {
    let index = Index(cluster.members.len() as u64);
    let term = Term(1);
    let first = cluster.members.keys().next().copied().unwrap_or(NodeId::NONE);
    let hard = HardState { term, vote: first, commit: index };
    let write = Write { hard: Some(hard), cut_from: None, entries: Vec::new() };
    let config =
        raft::Config { voters: cluster.members.keys().copied().collect(), ..Default::default() };
    // How far the old cluster had come stays true of the data; who belonged to it does not.
    let Restored { store, leases, alarms, cluster: before, .. } = state;
    let cluster = Cluster { version: before.version, downgrade: before.downgrade, ..cluster };
    let state = Restored { index, term, store, leases, alarms, cluster, config };
    (write, Arc::new(state.checkpoint()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Put};
    use crate::entry::{Entry, Proposal};
    use crate::members::Member;
    use crate::mvcc::Store;
    use crate::types::{LeaseId, Ticket};
    use bytes::Bytes;

    fn restored(store: Store) -> Restored {
        let mut cluster = Cluster { id: 5, version: "3.7.0".into(), ..Cluster::default() };
        cluster.members.insert(NodeId(9), Member::default());
        cluster.removed.insert(NodeId(8));
        Restored {
            index: Index(40),
            term: Term(6),
            store,
            leases: Vec::new(),
            alarms: Vec::new(),
            cluster,
            config: raft::Config::default(),
        }
    }

    fn entry(index: u64) -> Entry {
        let put = Put {
            key: Bytes::from_static(b"k"),
            value: Bytes::from_static(b"v"),
            lease: LeaseId::NONE,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        };
        let command = Arc::new(Command::Put(put));
        let proposal = Proposal { bytes: Bytes::new(), ticket: Ticket(index), command };
        Entry { term: Term(6), index: Index(index), payload: Payload::Command(proposal) }
    }

    #[test]
    fn what_is_committed_is_in_the_state_and_what_follows_is_not() {
        let hard = HardState { term: Term(6), vote: NodeId(9), commit: Index(5042) };
        let mut checkpoint = restored(Store::new());
        checkpoint.config.voters.extend([NodeId(9), NodeId(10)]);
        let boot = Boot {
            hard,
            checkpoint: Some(checkpoint),
            entries: (41..6000).map(entry).collect(),
            unwritten: None,
        };
        let state = still(NodeId(9), 5, boot);
        assert_eq!((state.index, state.term), (Index(5042), Term(6)));
        assert_eq!(state.kv.revision(), 1 + 5002);
    }

    #[test]
    fn a_lone_voters_log_is_committed() {
        let hard = HardState { term: Term(6), vote: NodeId(9), commit: Index(41) };
        let mut checkpoint = restored(Store::new());
        checkpoint.config.voters.insert(NodeId(9));
        checkpoint.config.learners.insert(NodeId(10));
        let entries = (41..=50).map(entry).collect();
        let boot = Boot { hard, checkpoint: Some(checkpoint), entries, unwritten: None };
        assert_eq!(still(NodeId(9), 5, boot).index, Index(50));
    }

    #[test]
    fn a_new_cluster_keeps_the_data_and_forgets_who_was_there() {
        let mut cluster = Cluster { id: 7, ..Cluster::default() };
        for id in [3, 1, 2] {
            cluster.members.insert(NodeId(id), Member::default());
        }
        let (write, state) = reborn(restored(Store::new()), cluster);
        let hard = HardState { term: Term(1), vote: NodeId(1), commit: Index(3) };
        assert_eq!((write.hard, write.entries.len()), (Some(hard), 0));
        assert_eq!((state.index, state.term), (Index(3), Term(1)));
        assert_eq!(state.config.voters.len(), 3);
        assert_eq!((state.cluster.id, state.cluster.members.len()), (7, 3));
        assert_eq!((state.cluster.version.as_str(), state.cluster.removed.len()), ("3.7.0", 0));
    }
}
