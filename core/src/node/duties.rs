//! What a node does unasked: leases that run out, compaction, checkpoints, publishing itself.

use super::alarms::Alarms;
use super::config::{Boot, Config, Restored};
use super::{Asked, Node};
use crate::command::{Command, Refusal, Reply};
use crate::entry::Write;
use crate::lease::Lessor;
use crate::limits::{
    APPEND_BYTES_MAX, APPENDS_IN_FLIGHT_MAX, CATCH_UP_BYTES, CHECKPOINT_LOG_BYTES, COMPACT_MAX,
    LEASE_REVOKE_RATE,
};
use crate::members::Cluster;
use crate::mvcc::{Chunk, Compaction, Store};
use crate::note::Note;
use crate::output::Output;
use crate::raft;
use crate::state::Checkpoint;
use crate::types::{Index, Instant, LeaseId, Mark, NodeId, Term, Ticket};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Why a node proposed something by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// A lease ran out.
    Revoke,
    /// Leases' remaining times; these keep-alives go on when it is applied.
    LeaseCheckpoint { renewals: Vec<(Ticket, LeaseId)> },
    /// The quota is used up; these hear so once the alarm is raised.
    NoSpace { askers: Vec<Ticket> },
    /// Old history goes.
    AutoCompaction { revision: i64 },
    /// Its name and client URLs.
    Publish,
    /// The cluster's version.
    Version,
}

crate::recording::code!(enum Own {
    1 Revoke,
    2 LeaseCheckpoint { renewals },
    3 NoSpace { askers },
    4 AutoCompaction { revision },
    5 Publish,
    6 Version,
});

impl Own {
    /// Whether it decides the cluster's version.
    pub(super) fn is_version(&self) -> bool {
        *self == Own::Version
    }
}

/// How long a ticket waits: etcd's `ReqTimeout` (semantics §6.4).
pub(super) fn request_timeout(config: &Config) -> Duration {
    let base = Duration::from_secs(if mutant!(TicketsNeverExpire) { 1 << 30 } else { 5 });
    base + config.election * 2
}

/// The shortest time to live of a lease, whole seconds (semantics §4.1).
fn lease_ttl_min(config: &Config) -> i64 {
    let heartbeat = config.heartbeat.as_nanos().max(1);
    let ticks = config.election.as_nanos() / heartbeat;
    let nanos = 3 * ticks / 2 * heartbeat;
    i64::try_from(nanos.div_ceil(1_000_000_000)).unwrap_or(i64::MAX)
}

pub(super) fn raft_options(config: &Config) -> raft::Options {
    raft::Options {
        id: config.id,
        heartbeat: config.heartbeat,
        election: config.election,
        pre_vote: config.pre_vote,
        check_quorum: true,
        window: APPENDS_IN_FLIGHT_MAX,
        append_bytes: APPEND_BYTES_MAX,
    }
}

/// What a node begins with.
pub(super) struct Start {
    pub(super) raft: raft::Start,
    pub(super) store: Store,
    pub(super) lessor: Lessor,
    pub(super) alarms: Alarms,
    pub(super) cluster: Cluster,
    pub(super) applied: (Index, Term),
}

/// Puts the state of a checkpoint, or of an empty disk, together.
pub(super) fn start(config: &Config, boot: Boot) -> Start {
    let mut lessor = Lessor::new(lease_ttl_min(config), config.lease_checkpoint);
    let Boot { hard, checkpoint, entries, unwritten: _ } = boot;
    let Some(restored) = checkpoint else {
        let cluster = Cluster { id: config.cluster_id, ..Cluster::default() };
        let raft = raft::Start {
            hard,
            config: raft::Config::default(),
            snapshot: (Index::default(), Term::default()),
            entries,
            applied: Index::default(),
        };
        let alarms = Alarms::default();
        let applied = (Index::default(), Term::default());
        return Start { raft, store: Store::new(), lessor, alarms, cluster, applied };
    };
    let Restored { index, term, store, leases, alarms, cluster, config: voting } = restored;
    // Leases hang on keys by the keys' own records and nowhere else.
    let leased = if leases.is_empty() { Vec::new() } else { store.view().leased().collect() };
    lessor.restore(&leases, leased.into_iter());
    let raft =
        raft::Start { hard, config: voting, snapshot: (index, term), entries, applied: index };
    let alarms = Alarms::restore(&Arc::new(alarms));
    Start { raft, store, lessor, alarms, cluster, applied: (index, term) }
}

/// When the state goes to disk.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// The newest one that is durable, or was at the start.
    durable: Index,
    /// Bytes logged since the newest one was begun.
    logged: usize,
    next: u64,
    under_way: Option<(Mark, Index)>,
    /// Who waits for one, whatever its size.
    forced: Vec<Ticket>,
}

crate::recording::code!(struct Checkpoints { durable, logged, next, under_way, forced });

impl Checkpoints {
    pub(super) fn new(durable: Index) -> Checkpoints {
        Checkpoints { durable, logged: 0, next: 1, under_way: None, forced: Vec::new() }
    }

    /// The log grew.
    pub(super) fn logged(&mut self, write: &Write) {
        let bytes: usize = write.entries.iter().map(|entry| entry.payload.bytes().len()).sum();
        self.logged = self.logged.saturating_add(bytes);
    }
}

impl Node {
    /// Runs what is due.
    pub(super) fn run_duties(&mut self) {
        self.expire_tickets();
        self.ask_reads_again();
        if self.leads || mutant!(OldLeaderExpires) {
            self.expire_leases();
        }
        self.compact_some();
        let revision = self.store.revision();
        if let Some(revision) = self.compactor.tick(self.now, revision, self.leads) {
            let command = Command::Compact { revision, physical: false };
            self.propose_own(command, Own::AutoCompaction { revision });
        }
    }

    fn expire_tickets(&mut self) {
        while let Some((ticket, asked)) = self.tickets.expire(self.now) {
            let refusal = self.why_late(ticket, asked);
            self.transfers.retain(|(waiting, _)| *waiting != ticket);
            match self.own.remove(&ticket) {
                Some(own) => self.on_own(own, &Err(refusal)),
                None => self.replies.push((ticket, Err(refusal))),
            }
        }
        if self.tickets.len() == 0 {
            self.parked.clear();
        }
    }

    /// Which of etcd's words fits a ticket whose time ran out (semantics §6.4).
    fn why_late(&self, ticket: Ticket, asked: Asked) -> Refusal {
        if self.is_transfer(ticket) {
            return Refusal::TransferTimeout;
        }
        if self.parked.iter().any(|parked| parked.ticket == ticket) {
            return Refusal::DeadlineExceeded;
        }
        let lost = Instant(self.led_since.0.saturating_sub(
            u64::try_from((self.config.election * 2).as_nanos()).unwrap_or(u64::MAX),
        ));
        if lost < asked.at && asked.at < self.led_since {
            return Refusal::TimeoutLeaderFailure;
        }
        if !self.raft.hears_quorum() {
            return Refusal::TimeoutConnectionLost;
        }
        Refusal::Timeout
    }

    fn ask_reads_again(&mut self) {
        if self.reads.due(self.now)
            && let Some(context) = self.reads.again(self.now, self.rng.next_u64())
        {
            self.raft.read_index(self.now, context);
        }
    }

    fn expire_leases(&mut self) {
        for lease in self.lessor.due(self.now, LEASE_REVOKE_RATE / 2) {
            self.note(Note::LeaseExpired { lease });
            self.propose_own(Command::Revoke { lease }, Own::Revoke);
        }
        let checkpoints = self.lessor.checkpoints_due(self.now);
        if !checkpoints.is_empty() {
            self.propose_own(
                Command::Checkpoint(checkpoints),
                Own::LeaseCheckpoint { renewals: Vec::new() },
            );
        }
    }

    /// One bounded step of the compaction under way.
    fn compact_some(&mut self) {
        if let Compaction::Finished { revision, hash, .. } = self.store.compact_step(COMPACT_MAX) {
            self.changed = true;
            self.note(Note::CompactionFinished { revision, hash });
            if !self.store.compacting() {
                for (ticket, reply) in core::mem::take(&mut self.compacting) {
                    self.settle(ticket, reply);
                }
            }
        }
    }

    /// What the node proposed by itself ended.
    pub(super) fn on_own(&mut self, own: Own, reply: &Result<Reply, Refusal>) {
        match own {
            // An unfinished revocation is due again after a while; the rest is retried by the
            // next occasion.
            Own::Revoke | Own::Version => {}
            Own::LeaseCheckpoint { renewals } => {
                for (ticket, lease) in renewals {
                    match reply {
                        Ok(_) => self.renew(ticket, lease),
                        Err(refusal) => self.settle(ticket, Err(*refusal)),
                    }
                }
            }
            Own::NoSpace { askers } => {
                for asker in askers {
                    self.settle(asker, Err(Refusal::NoSpace));
                }
            }
            Own::AutoCompaction { revision } => {
                if matches!(reply, Ok(_) | Err(Refusal::Compacted)) {
                    self.compactor.succeeded(self.now, revision);
                }
            }
            Own::Publish => match reply {
                Ok(_) => {
                    self.published = true;
                    self.note(Note::Published);
                }
                Err(_) => self.publish_self(),
            },
        }
    }

    /// Tells the cluster this member's name and client URLs.
    pub(super) fn publish_self(&mut self) {
        let command = Command::Publish {
            member: self.config.id,
            name: self.config.name.clone(),
            client_urls: self.config.client_urls.clone(),
        };
        self.propose_own(command, Own::Publish);
    }

    /// Reacts to a new leader, or to none.
    pub(super) fn watch_leadership(&mut self) {
        let (leader, leads) = (self.raft.leader(), self.raft.leads());
        if self.leads && !leads {
            if !mutant!(OldLeaderExpires) {
                self.lessor.demote();
            }
            for (_, tickets) in core::mem::take(&mut self.renewals) {
                for ticket in tickets {
                    self.settle(ticket, Err(Refusal::NotPrimary));
                }
            }
        }
        self.leads = leads;
        if leader == self.leader {
            return;
        }
        self.leader = leader;
        if leader == NodeId::NONE {
            return;
        }
        self.led_since = self.now;
        self.settle_transfers();
        for asker in self.reads.fail() {
            self.settle(asker.ticket, Err(Refusal::LeaderChanged));
        }
        self.unpark();
        if !self.published && !self.own.values().any(|own| *own == Own::Publish) {
            self.publish_self();
        }
    }

    /// Everything that a copy of the state needs.
    pub(super) fn checkpoint(&self) -> Arc<Checkpoint> {
        let index = match self.applied.0 {
            index if mutant!(CheckpointBehind) => index.prev(),
            index if mutant!(CheckpointAhead) => index.next(),
            index => index,
        };
        Arc::new(Checkpoint {
            index,
            term: self.applied.1,
            lineage: self.lineage.number,
            kv: self.store.view(),
            leases: if mutant!(CheckpointLosesLeases) { Vec::new() } else { self.lessor.records() },
            alarms: Arc::clone(self.alarms.all()),
            cluster: Arc::clone(&self.cluster),
            config: self.raft.config().clone(),
        })
    }

    /// Somebody wants the state on disk now.
    pub(super) fn force_checkpoint(&mut self, ticket: Ticket) {
        self.checkpoints.forced.push(ticket);
        self.checkpoint_if_due();
    }

    /// Hands the state to the bulk lane when enough was logged since the last time.
    pub(super) fn checkpoint_if_due(&mut self) {
        let checkpoints = &mut self.checkpoints;
        if checkpoints.under_way.is_some() {
            return;
        }
        let behind = self.applied.0.0 - checkpoints.durable.0;
        let large = checkpoints.logged > CHECKPOINT_LOG_BYTES;
        let forced = !checkpoints.forced.is_empty();
        if behind <= self.config.snapshot_count && !large && !forced {
            return;
        }
        if behind == 0 {
            for ticket in core::mem::take(&mut checkpoints.forced) {
                self.settle(ticket, Ok(Reply::Done));
            }
            return;
        }
        self.checkpoint_now();
    }

    /// Hands the state to the bulk lane, in place of one that waits there.
    pub(super) fn checkpoint_now(&mut self) -> Mark {
        let checkpoints = &mut self.checkpoints;
        checkpoints.logged = 0;
        let mark = Mark(checkpoints.next);
        checkpoints.next += 1;
        let index = self.applied.0;
        checkpoints.under_way = Some((mark, index));
        let checkpoint = self.checkpoint();
        self.note(Note::CheckpointStarted { index });
        self.outputs.push_back(Output::Store { mark, checkpoint });
        mark
    }

    /// A checkpoint is durable: its chunks may live in the file, the log before it may go.
    pub(super) fn stored(&mut self, mark: Mark, chunks: &[Chunk]) {
        if self.lineage.holds(mark) {
            for chunk in chunks {
                self.store.adopt(chunk);
            }
            self.changed |= !chunks.is_empty();
        }
        self.acknowledge_state(mark);
        let done = self.checkpoints.under_way.take_if(|(under_way, _)| *under_way <= mark);
        let Some((_, index)) = done else { return };
        self.checkpoints.durable = index;
        self.note(Note::CheckpointFinished { index });
        if self.raft.feeds_state() {
            // Whoever takes the state in needs the log behind it.
            return self.checkpoint_if_due();
        }
        self.raft.compact(index, self.config.catch_up_entries, CATCH_UP_BYTES);
        self.checkpoint_if_due();
    }
}
