//! What a node is told at birth, what it remembers, and how it stands.

use crate::command::{AlarmAction, AlarmKind, Command};
use crate::entry::{Entry, HardState, Payload, Write};
use crate::members::Cluster;
use crate::mvcc::{self, Store};
use crate::planner::Recovered;
use crate::raft;
use crate::state::{Checkpoint, LeaseRecord, RestoredImage};
use crate::types::{Index, NodeId, Term};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub id: NodeId,
    /// The cluster's id, as etcd computes it.
    pub cluster_id: u64,
    /// What it publishes of itself once it can: etcd's `--name`.
    pub name: String,
    /// And etcd's `--advertise-client-urls`.
    pub client_urls: Vec<String>,
    /// The cluster version that this build can serve, as `major.minor.0`.
    pub version: String,
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
    /// etcd's `--quota-backend-bytes`, resolved: zero or less is no quota.
    pub quota_bytes: i64,
    /// etcd's `--strict-reconfig-check`: whether a change that could cost the quorum is refused.
    pub strict_reconfig: bool,
    /// etcd's `--max-learners`.
    pub learners_max: usize,
    /// etcd's `--auto-compaction-mode` and `--auto-compaction-retention`.
    pub auto_compaction: AutoCompaction,
}

crate::recording::code!(struct Config {
    id,
    cluster_id,
    name,
    client_urls,
    version,
    heartbeat,
    election,
    pre_vote,
    snapshot_count,
    catch_up_entries,
    lease_checkpoint,
    quota_bytes,
    strict_reconfig,
    learners_max,
    auto_compaction,
});

/// Which history goes by itself (semantics §2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoCompaction {
    /// None.
    #[default]
    Off,
    /// What is older than this.
    Periodic(Duration),
    /// What is more than this many revisions back.
    Revision(i64),
}

crate::recording::code!(enum AutoCompaction { 1 Off, 2 Periodic(kept), 3 Revision(kept) });

/// What a node remembers from before.
#[derive(Debug, Default)]
pub struct Boot {
    /// Its votes.
    pub hard: HardState,
    /// The state, if a checkpoint was ever written.
    pub checkpoint: Option<Restored>,
    /// The log behind the checkpoint; for a new cluster, its first entries.
    pub entries: Vec<Entry>,
    /// What of the above was just made up, for a new cluster or one made anew, and must reach the
    /// disk first.
    pub unwritten: Option<Write>,
}

crate::recording::code!(struct Boot { hard, checkpoint, entries, unwritten });

/// A checkpoint that came back from the disk.
#[derive(Debug)]
pub struct Restored {
    /// The last entry in it.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// The key space.
    pub store: Store,
    /// The leases.
    pub leases: Vec<LeaseRecord>,
    /// The alarms.
    pub alarms: Vec<(NodeId, AlarmKind)>,
    /// The membership.
    pub cluster: Cluster,
    /// Who votes and who learns, as raft counts them.
    pub config: raft::Config,
}

crate::recording::code!(struct Restored { index, term, store, leases, alarms, cluster, config });

impl Restored {
    /// The state as a checkpoint that goes to a disk.
    #[must_use]
    pub fn checkpoint(self) -> Checkpoint {
        let Restored { index, term, store, leases, alarms, cluster, config } = self;
        Checkpoint {
            index,
            term,
            lineage: 0,
            kv: store.view(),
            leases,
            alarms: Arc::new(alarms),
            cluster: Arc::new(cluster),
            config,
        }
    }
}

impl Boot {
    /// What a directory held, its entries parsed. Fails where a checkpoint's history cannot be
    /// what was written.
    pub fn recovered(from: Recovered, entries: Vec<Entry>) -> Result<Boot, &'static str> {
        let restore = |image: RestoredImage| -> Result<Restored, &'static str> {
            let chunks = image.chunks.into_iter().map(|chunk| (chunk.number, chunk.bytes));
            let store = Store::restore(mvcc::Restored {
                chunks: chunks.collect(),
                tail: image.tail,
                dead: image.dead,
                revision: image.revision,
                compacted: image.compacted,
            })?;
            let RestoredImage { index, term, leases, alarms, cluster, config, .. } = image;
            Ok(Restored { index, term, store, leases, alarms, cluster, config })
        };
        let checkpoint = from.checkpoint.map(restore).transpose()?;
        Ok(Boot { hard: from.hard, checkpoint, entries, unwritten: None })
    }

    /// Whether an alarm says that this member's state is not what the others have. Entries that
    /// may not be committed count, too: it is better to look once too often.
    #[must_use]
    pub fn is_corrupt(&self, me: NodeId) -> bool {
        let alarms = self.checkpoint.as_ref().map_or(&[][..], |checkpoint| &checkpoint.alarms);
        let mut corrupt = alarms.contains(&(me, AlarmKind::Corrupt));
        for entry in &self.entries {
            if let Payload::Command(proposal) = &entry.payload
                && let Command::Alarm { action, member, kind: Some(AlarmKind::Corrupt) } =
                    &*proposal.command
                && *member == me
            {
                corrupt = match action {
                    AlarmAction::Activate => true,
                    AlarmAction::Deactivate => false,
                    AlarmAction::Get => corrupt,
                };
            }
        }
        corrupt
    }
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
    /// Whether it leads and no vote but its own elects anybody. Then a view whose last entry is of
    /// this term holds all that was ever acknowledged: a linearizable read of it needs no round.
    pub alone: bool,
}
