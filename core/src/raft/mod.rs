//! Who leads and what is committed: raft as etcd runs it (Raft thesis; semantics §8).
//!
//! ```text
//!   step, tick, propose ──► Raft { term, vote, log, config, role }
//!                             role: Follower | Candidate (also pre-vote) | Leader
//!   poll ◄── Ready: messages, writes, confirmed reads, notes
//! ```
//!
//! A role is a type with its own file; this one has what all share: terms, votes, and the rule
//! that nothing which rests on undurable bytes leaves before its [`Mark`].

mod candidate;
mod follower;
mod leader;
mod log;
mod members;
mod message;
mod progress;

pub use members::Config;
pub use message::{Body, Hint, Message};
pub use progress::{Feed, Progress};

use crate::command::Refusal;
use crate::entry::{Entry, HardState, Payload, Write};
use crate::members::Member;
use crate::note::Note;
use crate::rng::Rng;
use crate::types::{Index, Instant, Mark, NodeId, Term, Ticket};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use candidate::Candidate;
use core::time::Duration;
use follower::Follower;
use leader::Leader;
use log::{Log, Readies};

/// A change of the voting membership, as the log holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Whether it is encoded as a `ConfChangeV2`.
    pub v2: bool,
    /// Whether a joint configuration is asked for even where one step would do.
    pub explicit: bool,
    /// Whether the joint configuration is left without being told.
    pub auto_leave: bool,
    /// Who waits for it, on the member that proposed it.
    pub ticket: Ticket,
    /// Whether a voter that joins must have been a learner.
    pub promote: bool,
    /// The single steps.
    pub steps: Vec<ChangeStep>,
    /// The member that joins or changes, as etcd's JSON in the change's context tells it.
    pub member: Option<Member>,
}

crate::recording::code!(struct Change {
    v2,
    explicit,
    auto_leave,
    ticket,
    promote,
    steps,
    member,
});

/// One step of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeStep {
    /// A voter joins, or a learner is promoted.
    AddVoter(NodeId),
    /// A learner joins.
    AddLearner(NodeId),
    /// A member leaves.
    Remove(NodeId),
    /// A member's addresses change; the vote does not.
    Update(NodeId),
}

crate::recording::code!(enum ChangeStep {
    1 AddVoter(id),
    2 AddLearner(id),
    3 Remove(id),
    4 Update(id),
});

/// How raft behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who this member is.
    pub id: NodeId,
    /// Between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// Without a leader for this long, and up to twice, a member campaigns.
    pub election: Duration,
    /// Whether a campaign asks first what would be (Raft thesis §9.6).
    pub pre_vote: bool,
    /// Whether a leader steps down that hears of no majority, and voters stay with a leader
    /// that lives (Raft thesis §6.2).
    pub check_quorum: bool,
    /// Appends in flight to one follower.
    pub window: usize,
    /// Bytes of one append.
    pub append_bytes: usize,
}

crate::recording::code!(struct Options {
    id,
    heartbeat,
    election,
    pre_vote,
    check_quorum,
    window,
    append_bytes,
});

/// What raft begins with.
#[derive(Debug, Default)]
pub struct Start {
    /// Its votes.
    pub hard: HardState,
    /// Who votes and learns as of `snapshot`.
    pub config: Config,
    /// The position before the first entry, and its term.
    pub snapshot: (Index, Term),
    /// The log behind it, durable.
    pub entries: Vec<Entry>,
    /// What is applied already.
    pub applied: Index,
}

/// What raft has for the outside.
#[derive(Clone, Debug)]
pub enum Ready {
    /// To be sent.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// To be written, then told with [`Raft::persisted`].
    Persist {
        /// What to tell.
        mark: Mark,
        /// What to write.
        write: Write,
    },
    /// A read asked for with this context may happen once `index` is applied.
    Read {
        /// As it was asked for.
        context: u64,
        /// Up to where to apply.
        index: Index,
    },
    /// A leader has a whole state for this member, up to a position ahead of its log.
    Restore {
        /// Who has it.
        from: NodeId,
        /// The last position that is in it.
        index: Index,
        /// Its term.
        term: Term,
        /// Who votes and learns as of it.
        config: Config,
    },
    /// A fact.
    Note(Note),
}

/// What a member does in its term.
#[derive(Debug)]
enum Role {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Leader),
}

crate::recording::code!(enum Role { 1 Follower(role), 2 Candidate(role), 3 Leader(role) });

/// Why raft wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No leader was heard for too long.
    Election,
    /// Followers must hear that the leader lives.
    Heartbeat,
    /// The leader looks whether a majority still answers.
    Quorum,
}

/// One member's consensus.
#[derive(Debug)]
pub struct Raft {
    options: Options,
    rng: Rng,
    now: Instant,
    term: Term,
    vote: NodeId,
    leader: NodeId,
    config: Config,
    log: Log,
    applied: Index,
    role: Role,
    /// The hard state that was last handed out.
    saved: HardState,
    /// The write that made this term durable, or will.
    term_mark: Mark,
    next_mark: u64,
    durable: Mark,
    /// A state that came from elsewhere is in place, and not durable yet.
    unsettled: bool,
    /// Each write that is not durable yet, its last position, and when it was handed out.
    writing: VecDeque<(Mark, Index, Instant)>,
    /// Messages that rest on such a write; to this member itself, too.
    held: VecDeque<(Mark, NodeId, Message)>,
    out: Readies,
}

crate::recording::code!(struct Raft {
    options,
    rng,
    now,
    term,
    vote,
    leader,
    config,
    log,
    applied,
    role,
    saved,
    term_mark,
    next_mark,
    durable,
    unsettled,
    writing,
    held,
} with nothing in out);

impl Raft {
    /// A member that goes on where `start` ends. The seed feeds its election timeouts.
    #[must_use]
    pub fn new(options: Options, start: Start, seed: u64, now: Instant) -> Raft {
        let Start { hard, config, snapshot, entries, applied } = start;
        let log = Log::new(snapshot, entries, hard.commit, applied);
        let mut rng = Rng::new(seed);
        let role = Role::Follower(Follower::new(&options, &mut rng, now));
        Raft {
            options,
            rng,
            now,
            term: hard.term,
            vote: hard.vote,
            leader: NodeId::NONE,
            config,
            log,
            applied,
            role,
            saved: hard,
            term_mark: Mark(0),
            next_mark: 1,
            durable: Mark(0),
            unsettled: false,
            writing: VecDeque::new(),
            held: VecDeque::new(),
            out: Readies::new(),
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((due, reason)) = self.deadline()
            && due <= self.now
        {
            match reason {
                Reason::Election => self.on_election_due(),
                Reason::Heartbeat => self.on_heartbeat_due(),
                Reason::Quorum => self.on_quorum_due(),
            }
        }
    }

    /// When something is due next, and what.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Reason)> {
        match &self.role {
            Role::Leader(leader) => Some(leader.deadline()),
            Role::Follower(follower) => Some((follower.due, Reason::Election)),
            Role::Candidate(candidate) => Some((candidate.due, Reason::Election)),
        }
    }

    /// Takes a message of a peer: first the rules of terms that bind every role, then the
    /// role's own.
    pub fn step(&mut self, now: Instant, from: NodeId, message: Message) {
        self.now = self.now.max(now);
        let Message { term, body } = message;
        if term > self.term {
            if !self.on_higher_term(from, term, &body) {
                return;
            }
        } else if term < self.term && term != Term::default() {
            self.on_lower_term(from, term, &body);
            return;
        }
        if let Body::Vote { pre, last, last_term, .. } = body {
            self.on_vote(from, term, pre, last, last_term);
            return;
        }
        match self.role {
            Role::Follower(_) => self.follower_step(from, body),
            Role::Candidate(_) => self.candidate_step(from, body),
            Role::Leader(_) => self.leader_step(from, body),
        }
    }

    /// A newer term; `false` where the message is to be ignored.
    fn on_higher_term(&mut self, from: NodeId, term: Term, body: &Body) -> bool {
        match body {
            // A voter that hears its leader does not help to depose it (Raft §4.2.3).
            Body::Vote { transfer: false, .. } if self.hears_leader() => return false,
            _ if mutant!(LeaderIgnoresTerms) && self.leads() => return false,
            Body::VoteReply { pre: true, reject: false } => return true,
            _ => {}
        }
        match body {
            Body::Vote { pre: true, .. } if !mutant!(PreVoteRaisesTerms) => {}
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => {
                self.become_follower(term, from);
            }
            _ => self.become_follower(term, NodeId::NONE),
        }
        true
    }

    /// An older term: its leader is told, so that it steps down, and a candidate that asks what
    /// would be is refused; the rest is silence.
    fn on_lower_term(&mut self, from: NodeId, _term: Term, body: &Body) {
        let body = match body {
            Body::Append { .. } | Body::Heartbeat { .. }
                if self.options.check_quorum || self.options.pre_vote =>
            {
                Body::AppendAck { index: Index::default(), reject: None }
            }
            Body::Vote { pre: true, .. } => Body::VoteReply { pre: true, reject: true },
            Body::VoteReply { .. } if mutant!(OldVotesCount) => {
                return self.candidate_step(from, body.clone());
            }
            Body::AppendAck { .. } if mutant!(OldAcksCount) && self.leads() => {
                return self.leader_step(from, body.clone());
            }
            _ => return,
        };
        self.send(from, body);
    }

    fn on_vote(&mut self, from: NodeId, term: Term, pre: bool, last: Index, last_term: Term) {
        let free = self.vote == from
            || mutant!(VotesTwice)
            || self.vote == NodeId::NONE && self.leader == NodeId::NONE
            || pre && term > self.term;
        let worthy = self.log.is_beaten_by(last, last_term) || mutant!(VotesForShorterLog);
        if !free || !worthy {
            self.hold(from, self.term, Body::VoteReply { pre, reject: true });
            return;
        }
        if !pre {
            self.vote = from;
            let now = self.now;
            if let Role::Follower(follower) = &mut self.role {
                follower.rest(&self.options, &mut self.rng, now);
            }
        }
        self.hold(from, term, Body::VoteReply { pre, reject: false });
    }

    /// Whether this member knows a leader that it heard lately.
    fn hears_leader(&self) -> bool {
        if !self.options.check_quorum || self.leader == NodeId::NONE {
            return false;
        }
        match &self.role {
            Role::Follower(follower) => self.now.since(follower.heard) < self.options.election,
            Role::Leader(_) => true,
            Role::Candidate(_) => false,
        }
    }

    fn become_follower(&mut self, term: Term, leader: NodeId) {
        assert!(term >= self.term, "terms don't go back");
        let changed = term > self.term || leader != self.leader || !self.is_follower();
        if term > self.term {
            self.term = term;
            self.vote = if mutant!(VoteOutlivesTerm) { self.vote } else { NodeId::NONE };
        }
        self.leader = leader;
        self.role = Role::Follower(Follower::new(&self.options, &mut self.rng, self.now));
        if changed {
            self.note(Note::BecameFollower { term, leader });
        }
    }

    fn is_follower(&self) -> bool {
        matches!(self.role, Role::Follower(_))
    }

    /// Begins a campaign at once, whatever was heard.
    pub fn campaign(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if !matches!(self.role, Role::Leader(_)) {
            self.begin_campaign(self.options.pre_vote, false);
        }
    }

    /// Puts something into the log, here or by way of the leader. Gives its position where this
    /// member leads.
    pub fn propose(&mut self, now: Instant, payload: Payload) -> Result<Option<Index>, Refusal> {
        self.now = self.now.max(now);
        match &self.role {
            Role::Leader(_) => self.append_proposals(alloc::vec![payload]).map(Some),
            Role::Candidate(_) => Err(Refusal::NoLeader),
            Role::Follower(_) if self.leader == NodeId::NONE => Err(Refusal::NoLeader),
            Role::Follower(_) => {
                if mutant!(ForwardsTwice) {
                    self.forward(Body::Propose { payloads: alloc::vec![payload.clone()] });
                }
                self.forward(Body::Propose { payloads: alloc::vec![payload] });
                Ok(None)
            }
        }
    }

    /// Asks for a read point; the answer is a [`Ready::Read`], or never comes.
    pub fn read_index(&mut self, now: Instant, context: u64) {
        self.now = self.now.max(now);
        let context = bytes::Bytes::copy_from_slice(&context.to_be_bytes());
        match self.role {
            Role::Leader(_) => self.on_read_index(self.options.id, context),
            Role::Follower(_) if self.leader != NodeId::NONE => {
                self.forward(Body::ReadIndex { context });
            }
            // The asker asks again once a leader is known.
            Role::Follower(_) | Role::Candidate(_) => {}
        }
    }

    /// Everything up to this mark is on the disk.
    pub fn persisted(&mut self, now: Instant, mark: Mark) {
        self.now = self.now.max(now);
        self.durable = self.durable.max(mark);
        while let Some((_, last, _)) = self.writing.pop_front_if(|(writing, ..)| *writing <= mark) {
            self.log.durable = self.log.durable.max(last);
        }
        while let Some((_, to, message)) = self.held.pop_front_if(|(held, ..)| *held <= mark) {
            self.deliver(to, message);
        }
    }

    /// Entries up to here are applied.
    pub fn applied(&mut self, index: Index) {
        assert!(index >= self.applied, "applying does not go back");
        self.applied = index;
        self.leave_joint_if_told();
    }

    /// A change of the membership takes effect.
    pub fn apply_change(&mut self, change: &Change) {
        self.config = self.config.after(change);
        if let Role::Leader(_) = self.role {
            self.on_config_changed();
        }
    }

    /// Committed and durable entries that were not handed out yet.
    pub fn next_committed(&mut self, max: usize) -> Vec<Entry> {
        self.log.next_committed(max)
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_committed(&self) -> bool {
        self.log.has_committed()
    }

    /// Forgets the log up to a position whose effect is on the disk, but for what members that
    /// lag may ask for: so many entries before it, and of them no more than so many bytes.
    pub fn compact(&mut self, index: Index, entries: u64, bytes: usize) {
        let index = index.min(self.applied);
        self.log.compact(self.log.kept_from(index, entries, bytes).prev());
    }

    /// A peer's link went down: what was sent may be lost.
    pub fn link_down(&mut self, peer: NodeId) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.peers.get_mut(&peer)
            && progress.feed == Feed::Stream
        {
            progress.probe();
        }
    }

    /// How bringing a peer the state ended.
    pub fn snapshot_ended(&mut self, peer: NodeId, arrived: bool) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.peers.get_mut(&peer)
        {
            if arrived {
                progress.probe();
            } else {
                progress.snapshot_failed();
            }
        }
    }

    /// A state that came from elsewhere is in place of the log. Until it is durable
    /// ([`acknowledge`](Raft::acknowledge)) this member tells no leader what it holds, and does
    /// not want to lead: a crash would take the ground from under whatever it says.
    pub fn restored(&mut self, index: Index, term: Term, config: Config) {
        self.log.restore(index, term);
        self.config = config;
        self.applied = index;
        self.unsettled = true;
        self.writing.clear();
    }

    /// A state that came from elsewhere is durable: the leader may go on behind it.
    pub fn acknowledge(&mut self, now: Instant, index: Index) {
        self.now = self.now.max(now);
        self.unsettled = false;
        if self.is_follower() {
            self.holds(self.leader, index);
        }
    }

    /// Tells a leader that the log is held up to here, once that is durable.
    fn holds(&mut self, leader: NodeId, index: Index) {
        if !self.unsettled {
            self.hold(leader, self.term, Body::AppendAck { index, reject: None });
        }
    }

    /// Whether a peer is on its way to a state, and will need the log behind it.
    #[must_use]
    pub fn feeds_state(&self) -> bool {
        let fed = |progress: &Progress| matches!(progress.feed, Feed::Snapshot(_));
        matches!(&self.role, Role::Leader(leader) if leader.peers.values().any(fed))
    }

    /// The next thing for the outside. What came since the last time is one write.
    pub fn poll(&mut self) -> Option<Ready> {
        if self.out.is_empty() {
            self.spread();
            self.save();
        }
        self.out.pop_front()
    }

    /// Whether all that it has for the outside was polled.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.out.is_empty()
    }

    /// Hands out what the disk lacks.
    fn save(&mut self) {
        let hard = self.hard();
        if !self.is_dirty() {
            return;
        }
        let (cut_from, entries) = self.log.take_unwritten();
        let changed = hard != self.saved;
        let mark = Mark(self.next_mark);
        if hard.term != self.saved.term {
            self.term_mark = mark;
        }
        self.saved = hard;
        self.next_mark += 1;
        for (_, last, _) in &mut self.writing {
            // What was cut since is not made durable by an older write.
            *last = cut_from.map_or(*last, |cut| (*last).min(cut.prev()));
        }
        let last = self.log.last();
        self.writing.push_back((mark, last, self.now));
        if !entries.is_empty() && matches!(self.role, Role::Leader(_)) {
            // The leader counts its own log only once it is durable.
            let body = Body::AppendAck { index: last, reject: None };
            self.held.push_back((mark, self.options.id, Message { term: self.term, body }));
        }
        let write = Write { hard: changed.then_some(hard), cut_from, entries };
        self.out.push_back(Ready::Persist { mark, write });
    }

    /// Whether something must be written before what rests on it may leave. A commit index
    /// alone is not worth a write: a majority knows it anyway.
    fn is_dirty(&self) -> bool {
        let hard = self.hard();
        self.log.has_unwritten() || (hard.term, hard.vote) != (self.saved.term, self.saved.vote)
    }

    fn hard(&self) -> HardState {
        let vote = if mutant!(VoteForgotten) { NodeId::NONE } else { self.vote };
        HardState { term: self.term, vote, commit: self.log.commit }
    }

    /// Sends what rests on nothing but the term: at once, where that is durable.
    fn send(&mut self, to: NodeId, body: Body) {
        let durable = self.term == self.saved.term && self.term_mark <= self.durable;
        if !durable && !mutant!(SpeaksInUndurableTerm) {
            return self.hold(to, self.term, body);
        }
        let message = Message { term: self.term, body };
        self.out.push_back(Ready::Send { to, message });
    }

    /// Sends to the leader on somebody's behalf: without a term.
    fn forward(&mut self, body: Body) {
        let message = Message { term: Term::default(), body };
        self.out.push_back(Ready::Send { to: self.leader, message });
    }

    /// Sends once everything so far is durable.
    fn hold(&mut self, to: NodeId, term: Term, body: Body) {
        let mark = Mark(if self.is_dirty() { self.next_mark } else { self.next_mark - 1 });
        if self.outdates(mark, to, term, &body) {
            self.held.pop_back();
        }
        let hasty = match &body {
            Body::VoteReply { reject: false, .. } => mutant!(VotesBeforeDurable),
            Body::AppendAck { reject: None, .. } => {
                mutant!(AcksBeforeDurable) || mutant!(DuplicateOvertakes) && !self.is_dirty()
            }
            _ => false,
        };
        let message = Message { term, body };
        if mark <= self.durable && self.held.is_empty() || hasty {
            self.deliver(to, message);
        } else {
            self.held.push_back((mark, to, message));
        }
    }

    /// Whether an acknowledgement says all that the last one says which still waits.
    fn outdates(&self, mark: Mark, to: NodeId, term: Term, body: &Body) -> bool {
        let Body::AppendAck { index, reject: None } = *body else { return false };
        self.held.back().is_some_and(|(held, peer, message)| {
            let says = |body: &Body| match *body {
                Body::AppendAck { index, reject: None } => Some(index),
                _ => None,
            };
            (*held, *peer, message.term) == (mark, to, term)
                && says(&message.body).is_some_and(|said| said <= index)
        })
    }

    fn deliver(&mut self, to: NodeId, message: Message) {
        if to == self.options.id {
            let now = self.now;
            self.step(now, to, message);
        } else if to != NodeId::NONE {
            self.out.push_back(Ready::Send { to, message });
        }
    }

    fn note(&mut self, note: Note) {
        self.out.push_back(Ready::Note(note));
    }

    /// Moves the commit index.
    fn commit_to(&mut self, index: Index) {
        if self.log.commit_to(index) {
            self.note(Note::Committed { index });
        }
    }

    /// Whom this member takes for the leader, or nobody.
    #[must_use]
    pub fn leader(&self) -> NodeId {
        self.leader
    }

    /// Whether this member leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The newest term it has seen.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// What it knows to be committed.
    #[must_use]
    pub fn commit(&self) -> Index {
        self.log.commit
    }

    /// Its last position.
    #[must_use]
    pub fn last(&self) -> Index {
        self.log.last()
    }

    /// The term at a position that is still in memory.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.log.term(index)
    }

    /// Who votes and who learns.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What a leader knows of how far a peer's log reaches; nothing where this member does not
    /// lead or does not know the peer.
    #[must_use]
    pub fn matched(&self, peer: NodeId) -> Option<Index> {
        match &self.role {
            Role::Leader(leader) => leader.peers.get(&peer).map(|progress| progress.matched),
            _ => None,
        }
    }

    /// Feeds everything that decides what comes next.
    pub fn digest(&self, feed: &mut impl FnMut(u64)) {
        let numbers = [
            self.term.0,
            self.vote.0,
            self.leader.0,
            self.log.commit.0,
            self.log.last().0,
            self.log.last_term().0,
            self.log.durable.0,
            self.applied.0,
            self.next_mark,
            u64::from(self.leads()),
            self.deadline().map_or(0, |(due, _)| due.0),
        ];
        for number in numbers {
            feed(number);
        }
    }
}
