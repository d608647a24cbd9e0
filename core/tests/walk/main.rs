//! A walk of three, five and seven members over a bad network and disks that lose what was not
//! durable, with members that come and go, and after every step the safety sentences of the Raft
//! paper (`safety.rs`).

mod safety;

use bytes::Bytes;
use keel_core::command::Command;
use keel_core::entry::HardState;
use keel_core::raft::{Body, Change, ChangeStep, Config, Message, Options, Raft, Ready, Start};
use keel_core::rng::Rng;
use keel_core::{Entry, Index, Instant, Mark, NodeId, Payload, Proposal, Term, Ticket, Write};
use safety::Safety;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const HEARTBEAT: Duration = Duration::from_millis(100);

fn options(id: NodeId) -> Options {
    Options {
        id,
        heartbeat: HEARTBEAT,
        election: HEARTBEAT * 10,
        pre_vote: true,
        check_quorum: true,
        window: 4,
        append_bytes: 64,
    }
}

/// One member and its disk.
struct Member {
    id: NodeId,
    raft: Raft,
    /// Durable.
    hard: HardState,
    log: Vec<Entry>,
    /// Handed out and not durable yet.
    writing: Vec<(Mark, Write)>,
    /// Applied, by position.
    applied: Vec<Entry>,
}

impl Member {
    fn boot(id: NodeId, config: &Config, seed: u64, now: Instant) -> Member {
        let start = Start { config: config.clone(), ..Start::default() };
        let raft = Raft::new(options(id), start, seed, now);
        let (hard, log) = (HardState::default(), Vec::new());
        Member { id, raft, hard, log, writing: Vec::new(), applied: Vec::new() }
    }

    /// What is in memory goes; what is on the disk comes back.
    fn crash(&mut self, config: &Config, seed: u64, now: Instant) {
        self.writing.clear();
        let start = Start {
            hard: self.hard,
            config: config.clone(),
            entries: self.log.clone(),
            ..Start::default()
        };
        self.raft = Raft::new(options(self.id), start, seed, now);
        self.applied.clear();
    }

    /// Its log, with what is not durable yet.
    fn whole_log(&self) -> Vec<Entry> {
        let mut log = self.log.clone();
        for (_, write) in &self.writing {
            if let Some(cut) = write.cut_from {
                log.retain(|entry| entry.index < cut);
            }
            log.extend(write.entries.iter().cloned());
        }
        log
    }

    /// The disk finishes some of its writes, in order.
    fn finish(&mut self, many: usize, now: Instant) {
        let many = many.min(self.writing.len());
        let mut last = None;
        for (mark, write) in self.writing.drain(..many) {
            last = Some(mark);
            self.hard = write.hard.unwrap_or(self.hard);
            if let Some(cut) = write.cut_from {
                self.log.retain(|entry| entry.index < cut);
            }
            for entry in write.entries {
                assert_eq!(entry.index.0, self.log.len() as u64 + 1, "the disk gets no gap");
                self.log.push(entry);
            }
        }
        if let Some(mark) = last {
            self.raft.persisted(now, mark);
        }
    }
}

struct World {
    now: Instant,
    rng: Rng,
    config: Config,
    members: BTreeMap<NodeId, Member>,
    /// Messages under way.
    flying: Vec<(NodeId, NodeId, Message)>,
    /// Members that no message reaches or leaves.
    cut_off: BTreeSet<NodeId>,
    // What must hold.
    safety: Safety,
    /// Whether a disk may have changed since disks were compared last.
    written: bool,
    /// Confirmed reads must not be older than what was committed when they were asked.
    reads: BTreeMap<(NodeId, u64), Index>,
    proposed: u64,
    steps: u64,
    read_answers: u64,
    /// Whether members come and go, and how often that took effect.
    changing: bool,
    changes: u64,
    /// Whether disks are lost for good, who has none now, and how often one came back.
    losing: Option<Care>,
    lost: Option<Lost>,
    repairs: u64,
}

/// How a member comes back that lost its disk (core/src/node/repair.rs).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// By the rules.
    Full,
    /// As if it had never been there.
    None,
    /// With whatever state another member has.
    AnyState,
}

/// A member without a disk, on its way back.
struct Lost {
    id: NodeId,
    /// The entry that was asked for after it stopped.
    fresh: Option<u64>,
    /// What another member had applied when that entry was in it.
    state: Option<Vec<Entry>>,
    named: BTreeMap<NodeId, Term>,
}

impl World {
    fn new(size: u64, seed: u64) -> World {
        let ids: BTreeSet<NodeId> = (1..=size).map(NodeId).collect();
        let config = Config { voters: ids.clone(), ..Config::default() };
        let mut rng = Rng::new(seed);
        let now = Instant(0);
        let members =
            ids.iter().map(|id| (*id, Member::boot(*id, &config, rng.next_u64(), now))).collect();
        World {
            now,
            rng,
            config,
            members,
            flying: Vec::new(),
            cut_off: BTreeSet::new(),
            safety: Safety::default(),
            written: false,
            reads: BTreeMap::new(),
            proposed: 0,
            steps: 0,
            read_answers: 0,
            changing: false,
            changes: 0,
            losing: None,
            lost: None,
            repairs: 0,
        }
    }

    /// The same, with two more members that may be let in, and out again.
    fn changing(size: u64, seed: u64) -> World {
        let mut world = World::new(size, seed);
        world.changing = true;
        for id in (size + 1..=size + 2).map(NodeId) {
            let member = Member::boot(id, &world.config, world.rng.next_u64(), world.now);
            world.members.insert(id, member);
        }
        world
    }

    fn pick(&mut self) -> NodeId {
        let nth = self.rng.below(self.members.len() as u64);
        let nth = usize::try_from(nth).expect("few members");
        *self.members.keys().nth(nth).expect("one of them")
    }

    /// One thing happens somewhere.
    fn step(&mut self, faults: bool) {
        self.steps += 1;
        if let Some(care) = self.losing
            && self.flying.len() < 500
            && self.rng.below(3) == 0
        {
            self.repair(care);
        }
        match self.rng.below(100) {
            0..=54 => self.deliver(faults),
            55..=74 => {
                let id = self.pick();
                let many = usize::try_from(self.rng.below(3)).expect("few") + 1;
                let now = self.now;
                self.written = true;
                self.with(id, |member| member.finish(many, now));
            }
            75..=84 => self.pass(),
            // A network that is full brings nothing in time, whatever the members do.
            85..=92 if self.flying.len() < 500 => self.propose(),
            93..=95 if self.flying.len() < 500 => self.read(),
            96 if faults => {
                let id = self.pick();
                let (seed, now, config) = (self.rng.next_u64(), self.now, self.config.clone());
                self.reads.retain(|(asker, _), _| *asker != id);
                self.with(id, |member| member.crash(&config, seed, now));
            }
            97 if faults => {
                let id = self.pick();
                self.cut_off.insert(id);
            }
            98 if faults => {
                self.cut_off.clear();
            }
            99 if faults && self.changing => self.change(),
            99 if faults && self.losing.is_some() && self.lost.is_none() => {
                let id = self.pick();
                self.reads.retain(|(asker, _), _| *asker != id);
                self.lost = Some(Lost { id, fresh: None, state: None, named: BTreeMap::new() });
            }
            _ => {}
        }
    }

    /// A message arrives, late, early, twice or never.
    fn deliver(&mut self, faults: bool) {
        if self.flying.is_empty() {
            return;
        }
        // The network keeps order mostly.
        let far = if faults && self.rng.below(5) == 0 { self.flying.len() as u64 } else { 1 };
        let nth = usize::try_from(self.rng.below(far)).expect("few");
        let (from, to, message) = self.flying[nth].clone();
        let fate = self.rng.below(20);
        if !(faults && fate == 0) {
            self.flying.remove(nth);
        }
        let lost = faults && fate == 1;
        if lost || self.cut_off.contains(&from) || self.cut_off.contains(&to) {
            return;
        }
        let now = self.now;
        self.with(to, |member| member.raft.step(now, from, message));
    }

    fn pass(&mut self) {
        let span = Duration::from_millis(self.rng.below(120));
        self.now = self.now.after(span);
        let now = self.now;
        let ids: Vec<NodeId> = self.members.keys().copied().collect();
        for id in ids {
            self.with(id, |member| member.raft.tick(now));
        }
    }

    fn propose(&mut self) {
        let id = self.pick();
        self.propose_at(id);
    }

    fn propose_at(&mut self, id: NodeId) {
        self.proposed += 1;
        let ticket = Ticket(self.proposed);
        let bytes = Bytes::from(self.proposed.to_be_bytes().to_vec());
        let command = Arc::new(Command::ClusterVersion(String::new()));
        let payload = Payload::Command(Proposal { bytes, ticket, command });
        let now = self.now;
        // Where nobody leads it is refused, which is right.
        self.with(id, |member| {
            let _ = member.raft.propose(now, payload);
        });
    }

    /// Whoever leads lets somebody in or out: one at a time, or several through a joint
    /// configuration.
    fn change(&mut self) {
        let Some(leader) = self.members.values().find(|member| member.raft.leads()) else { return };
        let (leader, config) = (leader.id, leader.raft.config().clone());
        let joint = self.rng.below(3) == 0;
        let mut steps = Vec::new();
        for _ in 0..=self.rng.below(if joint { 3 } else { 1 }) {
            let id = self.pick();
            steps.push(match self.rng.below(4) {
                0 if !config.votes(id) => ChangeStep::AddLearner(id),
                1 => ChangeStep::Remove(id),
                _ => ChangeStep::AddVoter(id),
            });
        }
        let change =
            Change { v2: joint, explicit: joint, auto_leave: joint, steps, ..Change::default() };
        // Of two voters the one that is left may need the other's vote, and etcd demotes nobody:
        // with both, a cluster may wait for ever for somebody who may not campaign.
        if config.after(&change).voters.len() < 3 {
            return;
        }
        self.proposed += 1;
        let bytes = Bytes::from(self.proposed.to_be_bytes().to_vec());
        let payload = Payload::Change { bytes, change: Arc::new(change) };
        let now = self.now;
        // One that comes too early becomes an empty entry, which is right.
        self.with(leader, |member| {
            let _ = member.raft.propose(now, payload);
        });
    }

    /// One step of a lost member's way back. Others answer when they can be reached, each in its
    /// own moment.
    fn repair(&mut self, care: Care) {
        let Some(mut lost) = self.lost.take() else { return };
        let others: Vec<NodeId> =
            self.members.keys().copied().filter(|id| *id != lost.id).collect();
        let nth = usize::try_from(self.rng.below(others.len() as u64)).expect("few");
        let other = others[nth];
        if care == Care::None {
            return self.come_back(lost.id, HardState::default(), Vec::new());
        }
        if lost.fresh.is_none() || lost.state.is_none() && self.rng.below(30) == 0 {
            // It may never be committed: then it is asked for again.
            lost.fresh = Some(self.proposed + 1);
            self.propose_at(other);
        } else if lost.state.is_none() && !self.cut_off.contains(&other) {
            let fresh = lost.fresh.map(u64::to_be_bytes);
            let applied = &self.members[&other].applied;
            let is_fresh = |entry: &Entry| fresh.is_some_and(|f| entry.payload.bytes() == f);
            if care == Care::AnyState || applied.iter().any(is_fresh) {
                lost.state = Some(applied.clone());
            }
        } else if !self.cut_off.contains(&other) {
            lost.named.insert(other, self.members[&other].raft.term());
        }
        let all = lost.named.len() == others.len();
        if let Some(state) = lost.state.take_if(|_| all) {
            let at = state.last().map_or(Term(0), |entry| entry.term);
            let term = lost.named.into_values().fold(at, Term::max);
            let commit = Index(state.len() as u64);
            let hard = HardState { term, vote: lost.id, commit };
            return self.come_back(lost.id, hard, state);
        }
        self.lost = Some(lost);
    }

    fn come_back(&mut self, id: NodeId, hard: HardState, log: Vec<Entry>) {
        let (config, seed, now) = (self.config.clone(), self.rng.next_u64(), self.now);
        let member = self.members.get_mut(&id).expect("a member");
        (member.hard, member.log) = (hard, log);
        member.crash(&config, seed, now);
        self.written = true;
        self.repairs += 1;
    }

    /// A leader that was removed stops, as its process does, once those who are left know that it
    /// was: it leads on for a while to tell them.
    fn stop_the_removed(&mut self) {
        let removed = self.members.values().find(|member| {
            member.raft.leads() && !member.raft.config().everybody().contains(&member.id)
        });
        let Some(removed) = removed else { return };
        let knows = |id: &NodeId| self.members[id].applied.len() >= removed.applied.len();
        if removed.raft.config().voters.iter().all(knows) {
            self.cut_off.insert(removed.id);
        }
    }

    fn read(&mut self) {
        let id = self.pick();
        let context = self.rng.next_u64();
        let floor = self.safety.committed.keys().next_back().copied().unwrap_or_default();
        self.reads.insert((id, context), floor);
        let now = self.now;
        self.with(id, |member| member.raft.read_index(now, context));
    }

    /// Lets a member act, takes what comes out, and checks.
    fn with(&mut self, id: NodeId, act: impl FnOnce(&mut Member)) {
        if self.lost.as_ref().is_some_and(|lost| lost.id == id) {
            return;
        }
        let member = self.members.get_mut(&id).expect("a member");
        let led = member.raft.leads().then(|| member.raft.term());
        act(member);
        let leads = member.raft.leads().then(|| member.raft.term());
        while let Some(ready) = member.raft.poll() {
            match ready {
                Ready::Send { to, message } => {
                    if !matches!(
                        message.body,
                        Body::Vote { pre: true, .. } | Body::VoteReply { pre: true, .. }
                    ) {
                        // Who spoke in a term never forgets that it was in it.
                        assert!(member.hard.term >= message.term, "{id} speaks ahead of its disk");
                    }
                    self.flying.push((id, to, message));
                }
                Ready::Persist { mark, write } => {
                    if led.is_some() && led == leads {
                        self.safety.leader_writes(id, write.cut_from);
                    }
                    member.writing.push((mark, write));
                }
                Ready::Read { context, index } => {
                    if let Some(floor) = self.reads.remove(&(id, context)) {
                        assert!(index >= floor, "a read point goes back behind {floor:?}");
                        self.read_answers += 1;
                    }
                }
                Ready::Restore { .. } => panic!("nobody compacts"),
                Ready::Note(_) => {}
            }
        }
        let entries = member.raft.next_committed(8);
        for entry in entries {
            assert_eq!(entry.index.0, member.applied.len() as u64 + 1, "applied without a gap");
            self.safety.applies(member.raft.term(), &entry);
            if let Payload::Change { change, .. } = &entry.payload {
                member.raft.apply_change(change);
                self.changes += 1;
            }
            member.raft.applied(entry.index);
            member.applied.push(entry);
        }
        if member.raft.leads() {
            self.safety.leads(id, member.raft.term(), || member.whole_log());
        }
        self.flying.truncate(2000);
    }

    fn match_logs(&mut self) {
        let members: Vec<&Member> = self.members.values().collect();
        for (at, one) in members.iter().enumerate() {
            for other in &members[at + 1..] {
                self.safety.logs_match(&one.log, &other.log);
            }
        }
    }

    /// Logs match, and what is committed lies on a majority of disks.
    fn check_disks(&mut self) {
        if !std::mem::take(&mut self.written) {
            return;
        }
        self.match_logs();
        let members: Vec<&Member> = self.members.values().collect();
        if self.changing || self.losing.is_some() {
            return; // A majority of whom, and of which disks, is another question.
        }
        for (index, told) in &self.safety.committed {
            let at = usize::try_from(index.0 - 1).expect("small");
            let holders = members
                .iter()
                .filter(|member| member.log.get(at).is_some_and(|entry| entry.term == told.term));
            assert!(holders.count() > members.len() / 2, "{index:?} is committed and lost");
        }
    }
}

fn walk(size: u64, seeds: std::ops::Range<u64>, steps: u64) {
    let (mut committed, mut reads) = (0, 0);
    for seed in seeds {
        let mut world = World::new(size, seed);
        for _ in 0..steps {
            world.step(true);
            world.check_disks();
        }
        world.check_disks();
        // Without faults it must become live again.
        world.cut_off.clear();
        let before = world.safety.committed.len();
        let mut quiet = 0;
        while world.safety.committed.len() < before + 3 {
            world.step(false);
            quiet += 1;
            assert!(quiet < 200_000, "seed {seed}: nothing moves any more");
        }
        committed += world.safety.committed.len();
        reads += world.read_answers;
    }
    assert!(committed > 100 && reads > 20, "the walk saw {committed} entries and {reads} reads");
}

#[test]
fn three_members_are_safe() {
    walk(3, 0..60, 6_000);
}

#[test]
fn five_members_are_safe() {
    walk(5, 1000..1040, 6_000);
}

#[test]
fn seven_members_are_safe() {
    walk(7, 2000..2020, 6_000);
}

#[test]
fn members_that_come_and_go_are_safe() {
    let (mut committed, mut changes) = (0, 0);
    for (size, seeds) in [(3, 3000..3060_u64), (5, 4000..4030)] {
        for seed in seeds {
            let mut world = World::changing(size, seed);
            for _ in 0..6_000 {
                world.step(true);
                world.check_disks();
            }
            // Without faults whoever votes now becomes live again.
            world.cut_off.clear();
            let before = world.safety.committed.len();
            let mut quiet = 0;
            while world.safety.committed.len() < before + 3 {
                world.stop_the_removed();
                world.step(false);
                quiet += 1;
                assert!(quiet < 200_000, "seed {seed}: nothing moves any more");
            }
            committed += world.safety.committed.len();
            changes += world.changes;
        }
    }
    assert!(committed > 1000 && changes > 300, "it saw {committed} entries, {changes} changes");
}

/// Disks are lost one at a time, and each member comes back as the same.
fn lose_disks(size: u64, seeds: std::ops::Range<u64>, care: Care) -> (usize, u64) {
    let (mut committed, mut repairs) = (0, 0);
    for seed in seeds {
        let mut world = World::new(size, seed);
        world.losing = Some(care);
        for _ in 0..6_000 {
            world.step(true);
            world.check_disks();
        }
        world.cut_off.clear();
        let before = world.safety.committed.len();
        let mut quiet = 0;
        while world.lost.is_some() || world.safety.committed.len() < before + 3 {
            world.step(false);
            quiet += 1;
            assert!(quiet < 200_000, "seed {seed}: nothing moves any more");
        }
        committed += world.safety.committed.len();
        repairs += world.repairs;
    }
    (committed, repairs)
}

#[test]
fn members_that_lose_their_disks_and_come_back_are_safe() {
    for (size, seeds) in [(3, 5000..5060), (5, 6000..6040)] {
        let (committed, repairs) = lose_disks(size, seeds, Care::Full);
        assert!(committed > 300 && repairs > 40, "{committed} entries, {repairs} repairs");
    }
}

/// Without the rules the walk sees broken promises.
#[test]
fn the_walk_notices_a_careless_repair() {
    for care in [Care::None, Care::AnyState] {
        let caught = std::panic::catch_unwind(|| {
            lose_disks(3, 0..400, care);
            lose_disks(5, 400..800, care);
        });
        assert!(caught.is_err(), "repair {} must be caught", care as u8);
    }
}

/// The walk's own eyes: a message that claims what a member's disk does not hold is noticed.
#[test]
fn the_walk_notices_a_lie() {
    let caught = std::panic::catch_unwind(|| {
        for seed in 0..40 {
            let mut world = World::new(3, seed);
            for _ in 0..4_000 {
                world.step(true);
                // Every append is acknowledged as if it were durable.
                let lies: Vec<_> = world
                    .flying
                    .iter()
                    .filter_map(|(from, to, message)| match &message.body {
                        Body::Append { entries, .. } => {
                            let index = entries.last()?.index;
                            let body = Body::AppendAck { index, reject: None };
                            Some((*to, *from, Message { term: message.term, body }))
                        }
                        _ => None,
                    })
                    .collect();
                world.flying.extend(lies.into_iter().take(1));
                world.check_disks();
            }
        }
    });
    assert!(caught.is_err(), "acknowledging what is not durable must be caught");
}
