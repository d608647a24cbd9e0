//! The node: consensus, store, leases and members behind one door.
//!
//! ```text
//!            ┌ admit   accept with a ticket, or refuse with a reason
//!   step ────┤ duties  what is due: leases, compaction, checkpoints, auto-compaction
//!            └ apply   committed entries change the state and answer their tickets
//!   poll ───── gather  what raft and the state have for the outside, in order
//! ```

mod admit;
mod alarms;
mod apply;
mod compactor;
mod config;
mod duties;
mod image;
mod install;
mod members;
mod own;
mod reads;
mod repair;
mod still;
mod tickets;
mod trace;

pub use alarms::put_cost;
pub use config::{AutoCompaction, Boot, Config, Restored, Status};
pub use repair::{Named, repaired};
pub use still::{reborn, still};

use crate::command::{Event, Refusal, Reply};
use crate::entry::Proposal;
use crate::input::Input;
use crate::lease::Lessor;
use crate::members::Cluster;
use crate::mvcc::Store;
use crate::note::Note;
use crate::output::{Batch, Output};
use crate::raft::{Body, Raft, Ready};
use crate::rng::Rng;
use crate::types::{Index, Instant, LeaseId, Mark, NodeId, Term, Ticket};
use crate::view::View;
use admit::Question;
use alarms::Alarms;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use compactor::Compactor;
use duties::{Checkpoints, Own};
use install::{Arrived, Lineage};
use members::Links;
use reads::{Purpose, Reads};
use tickets::{Asked, Tickets};
use trace::Trace;

/// One member.
#[derive(Debug)]
pub struct Node {
    config: Config,
    now: Instant,
    rng: Rng,
    /// All that left so far, as a number.
    trace: Trace,
    raft: Raft,
    store: Store,
    lessor: Lessor,
    alarms: Alarms,
    cluster: Arc<Cluster>,
    links: Links,
    /// A state that came from elsewhere and waits for raft's word.
    arrived: Option<Arrived>,
    lineage: Lineage,
    /// Who waits for which member to lead.
    transfers: Vec<(Ticket, NodeId)>,
    /// The last entry applied.
    applied: (Index, Term),
    tickets: Tickets,
    /// What the node proposed by itself.
    own: BTreeMap<Ticket, Own>,
    reads: Reads,
    /// Proposals that wait for a leader to be known.
    parked: VecDeque<Proposal>,
    /// Who waits for the physical end of a compaction, and for which answer.
    compacting: Vec<(Ticket, Result<Reply, Refusal>)>,
    /// Keep-alives of leases whose time is up: answered when the lease is revoked.
    renewals: BTreeMap<LeaseId, Vec<Ticket>>,
    /// Questions that must see everything committed when they were asked.
    behind: Vec<(Ticket, Question)>,
    compactor: Compactor,
    checkpoints: Checkpoints,
    /// Whom raft last named as leader, and whether that is this member.
    leader: NodeId,
    leads: bool,
    /// When the current leader became known.
    led_since: Instant,
    /// Whether the last two steps were so far apart that another may lead by now.
    doubtful: bool,
    /// Whether this member has published itself since it started.
    published: bool,
    /// Whether the leader must look at the cluster's version again.
    versions_moved: bool,
    /// Changes since the last published batch.
    changed: bool,
    before: i64,
    events: Vec<Event>,
    replies: Vec<(Ticket, Result<Reply, Refusal>)>,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A member that goes on where `boot` ends. The seed feeds all its randomness.
    #[must_use]
    pub fn new(config: Config, mut boot: Boot, seed: u64, now: Instant) -> Node {
        let mut rng = Rng::new(seed);
        let mut outputs = VecDeque::new();
        if let Some(write) = boot.unwritten.take() {
            // Marks of raft's own writes begin above zero and cover this one, since the log
            // lane is in order.
            outputs.push_back(Output::Persist { mark: Mark(0), write });
        }
        let start = duties::start(&config, boot);
        let raft = Raft::new(duties::raft_options(&config), start.raft, rng.next_u64(), now);
        let revision = start.store.revision();
        let mut node = Node {
            now,
            trace: Trace::default(),
            raft,
            lessor: start.lessor,
            alarms: start.alarms,
            cluster: Arc::new(start.cluster),
            links: Links::default(),
            arrived: None,
            lineage: Lineage::default(),
            transfers: Vec::new(),
            applied: start.applied,
            tickets: Tickets::new(duties::request_timeout(&config)),
            own: BTreeMap::new(),
            reads: Reads::default(),
            parked: VecDeque::new(),
            compacting: Vec::new(),
            renewals: BTreeMap::new(),
            behind: Vec::new(),
            compactor: Compactor::new(config.auto_compaction, now, revision),
            checkpoints: Checkpoints::new(start.applied.0),
            leader: NodeId::NONE,
            leads: false,
            led_since: now,
            doubtful: false,
            published: false,
            versions_moved: false,
            changed: false,
            before: revision,
            events: Vec::new(),
            replies: Vec::new(),
            outputs,
            store: start.store,
            config,
            rng,
        };
        node.tell_members();
        node.apply_committed();
        if node.raft.config().only_voter_is(node.config.id) {
            // Nobody else can lead, so there is nothing to wait for.
            node.raft.campaign(now);
        }
        node
    }

    /// Runs due timers, then takes one input. Never blocks, never fails.
    pub fn step(&mut self, now: Instant, input: Input) {
        assert!(now >= self.now, "time goes back from {:?} to {now:?}", self.now);
        self.doubtful |= now.since(self.now) > self.config.heartbeat * 3;
        self.now = now;
        self.raft.tick(now);
        self.run_duties();
        self.take(input);
        self.apply_committed();
        if core::mem::take(&mut self.versions_moved) {
            self.decide_version();
        }
        self.answer_questions();
        self.watch_leadership();
    }

    /// The next thing to do outside. Drain to `None` before you sleep.
    pub fn poll(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.gather();
        }
        let output = self.outputs.pop_front()?;
        self.trace.output(&output);
        Some(output)
    }

    /// When the next timer is due: `step(Input::Tick)` no later than this.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.raft.has_committed() || self.store.compacting() {
            return Some(self.now);
        }
        [
            self.raft.deadline().map(|(due, _)| due),
            self.lessor.deadline(),
            self.tickets.deadline(),
            self.reads.deadline(),
            self.compactor.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The newest applied state, O(1).
    #[must_use]
    pub fn view(&self) -> View {
        View {
            kv: self.store.view(),
            index: self.applied.0,
            term: self.applied.1,
            alarms: Arc::clone(self.alarms.all()),
            cluster: Arc::clone(&self.cluster),
        }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            id: self.config.id,
            leader: self.raft.leader(),
            term: self.raft.term(),
            commit: self.raft.commit(),
            applied: self.applied.0,
            alone: self.leads && self.raft.config().only_voter_is(self.config.id),
        }
    }

    /// Collects what raft and the state have for the outside: writes and messages first, so
    /// that the disk and the peers begin, then the batch, then the replies that it answers.
    fn gather(&mut self) {
        loop {
            let now = self.now;
            if let Some(context) = self.reads.begin(now, || self.rng.next_u64()) {
                self.raft.read_index(now, context);
            }
            while let Some(ready) = self.raft.poll() {
                match ready {
                    Ready::Send { to, message } => match message.body {
                        Body::Snapshot { .. } => self.send_state(to, message.term),
                        _ => self.outputs.push_back(Output::Send { to, message }),
                    },
                    Ready::Persist { mark, write } => {
                        self.checkpoints.logged(&write);
                        self.outputs.push_back(Output::Persist { mark, write });
                    }
                    Ready::Read { context, index } => self.reads.confirm(context, index),
                    Ready::Restore { from, index, .. } => self.install(from, index),
                    Ready::Note(note) => self.outputs.push_back(Output::Note(note)),
                }
            }
            self.release_reads();
            self.publish();
            let more =
                self.replies.drain(..).map(|(ticket, reply)| Output::Reply { ticket, reply });
            self.outputs.extend(more);
            if !self.reads.wants_round() {
                break;
            }
        }
        // A state that raft did not want is of no use.
        self.arrived = None;
    }

    /// Gives the state after the changes since the last time to everybody.
    fn publish(&mut self) {
        if !self.changed {
            return;
        }
        self.changed = false;
        let before = core::mem::replace(&mut self.before, self.store.revision());
        let events = core::mem::take(&mut self.events);
        let batch = Batch { view: self.view(), before, events };
        self.outputs.push_back(Output::Applied(Arc::new(batch)));
    }

    fn release_reads(&mut self) {
        for asker in self.reads.release(self.applied.0) {
            match asker.purpose {
                Purpose::Point => {
                    if self.tickets.is_open(asker.ticket) {
                        let point = Reply::Point(self.view());
                        self.settle(asker.ticket, Ok(point));
                    }
                }
                Purpose::Renew(lease) => {
                    self.doubtful = false;
                    self.renew(asker.ticket, lease);
                }
            }
        }
    }

    /// Answers a ticket, if somebody still waits for it.
    fn settle(&mut self, ticket: Ticket, reply: Result<Reply, Refusal>) {
        if !self.tickets.close(ticket) {
            return;
        }
        if mutant!(Canary) {
            self.replies.push((ticket, reply.clone()));
        }
        match self.own.remove(&ticket) {
            Some(own) => self.on_own(own, &reply),
            None => self.replies.push((ticket, reply)),
        }
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }
}
