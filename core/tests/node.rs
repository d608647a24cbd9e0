//! One node behind its door: proposals, reads, leases, alarms, compaction, and what a restart
//! brings back. The harness is the whole of a runtime: a log that is durable when told so, and
//! a clock that moves when told so.

use bytes::Bytes;
use keel_core::command::{AlarmAction, AlarmKind, Command, Delete, Keys, Put, Range};
use keel_core::entry::{EntryKind, HardState, Write};
use keel_core::members::Member;
use keel_core::node::{AutoCompaction, Boot, Config, Node};
use keel_core::raft::{Change, ChangeStep};
use keel_core::{
    Entry, Index, Input, Instant, LeaseId, Mark, NodeId, Note, Order, Output, Payload, Proposal,
    Refusal, Reply, Term, Ticket,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const ME: NodeId = NodeId(0x8e9e_05c5_2164_694d);

fn config() -> Config {
    Config {
        id: ME,
        cluster_id: 0xcdf8_18d3_a8a7_6a8d,
        name: "default".into(),
        client_urls: vec!["http://localhost:2379".into()],
        version: "3.7.0".into(),
        heartbeat: Duration::from_millis(100),
        election: SECOND,
        pre_vote: true,
        snapshot_count: 10_000,
        catch_up_entries: 5_000,
        lease_checkpoint: false,
        quota_bytes: 2 * 1024 * 1024 * 1024,
        strict_reconfig: true,
        learners_max: 1,
        auto_compaction: AutoCompaction::Off,
    }
}

/// The first entry of a cluster of one.
fn bootstrap() -> Boot {
    let steps = vec![ChangeStep::AddVoter(ME)];
    let change = Change { steps, member: Some(Member::default()), ..Change::default() };
    let payload = Payload::Change { bytes: Bytes::from_static(b"me"), change: Arc::new(change) };
    let hard = HardState { term: Term(1), vote: NodeId::NONE, commit: Index(1) };
    let entries = vec![Entry { term: Term(1), index: Index(1), payload }];
    let write = Write { hard: Some(hard), cut_from: None, entries: entries.clone() };
    Boot { hard, checkpoint: None, entries, unwritten: Some(write) }
}

/// What is on the disk of a node, and what came out of it.
struct World {
    node: Node,
    now: Instant,
    config: Config,
    /// Writes that are not durable yet.
    writing: Vec<(Mark, keel_core::Write)>,
    hard: HardState,
    log: Vec<Entry>,
    replies: BTreeMap<Ticket, Result<Reply, Refusal>>,
    notes: Vec<Note>,
    events: Vec<keel_core::Event>,
    /// Everything that came out, as text: equal runs, equal texts.
    trace: String,
    next_ticket: u64,
}

impl World {
    fn start(config: Config) -> World {
        let now = Instant(0);
        let node = Node::new(config.clone(), bootstrap(), 7, now);
        let mut world = World {
            node,
            now,
            config,
            writing: Vec::new(),
            hard: HardState::default(),
            log: Vec::new(),
            replies: BTreeMap::new(),
            notes: Vec::new(),
            events: Vec::new(),
            trace: String::new(),
            next_ticket: 1,
        };
        world.settle();
        world
    }

    /// Loses what is in memory and not durable, and begins again from the log.
    fn crash(&mut self) {
        self.crash_to_first_write();
        self.settle();
    }

    /// The same, up to the moment when the new life's first write is handed out.
    fn crash_to_first_write(&mut self) {
        self.writing.clear();
        let boot =
            Boot { hard: self.hard, checkpoint: None, entries: self.log.clone(), unwritten: None };
        self.node = Node::new(self.config.clone(), boot, 8, self.now);
        self.drain();
    }

    fn step(&mut self, input: Input) {
        self.node.step(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll() {
            self.trace.push_str(&format!("{output:?}\n"));
            match output {
                Output::Persist { mark, write } => self.writing.push((mark, write)),
                Output::Reply { ticket, reply } => {
                    let before = self.replies.insert(ticket, reply);
                    assert!(before.is_none(), "{ticket:?} is answered twice");
                }
                Output::Applied(batch) => self.events.extend(batch.events.iter().cloned()),
                Output::Note(note) => self.notes.push(note),
                Output::Store { mark, .. } => {
                    self.node.step(self.now, Input::Stored { mark, chunks: Vec::new() });
                }
                Output::Members(_) | Output::Leave | Output::SendState { .. } => {}
                Output::Send { .. } => panic!("a cluster of one has nobody to talk to"),
            }
        }
    }

    /// Makes everything durable, until nothing moves any more.
    fn settle(&mut self) {
        self.drain();
        while !self.writing.is_empty() {
            self.sync();
        }
        while self.node.deadline().is_some_and(|due| due <= self.now) {
            self.step(Input::Tick);
        }
    }

    /// Makes durable what was handed out so far.
    fn sync(&mut self) {
        let mut last = Mark(0);
        for (mark, write) in std::mem::take(&mut self.writing) {
            last = mark;
            self.hard = write.hard.unwrap_or(self.hard);
            if let Some(cut) = write.cut_from {
                self.log.retain(|entry| entry.index < cut);
            }
            self.log.extend(write.entries);
        }
        self.step(Input::Persisted { mark: last });
    }

    /// Lets time pass, waking the node whenever it wants.
    fn pass(&mut self, span: Duration) {
        let until = self.now.after(span);
        while let Some(due) = self.node.deadline().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            self.step(Input::Tick);
            self.settle();
        }
        self.now = until;
        self.step(Input::Tick);
        self.settle();
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn propose(&mut self, command: Command) -> Ticket {
        let ticket = self.ticket();
        let bytes = Bytes::from(format!("{command:?}"));
        let proposal = Proposal { bytes, ticket, command: Arc::new(command) };
        self.step(Input::Propose { proposal });
        ticket
    }

    /// Proposes, lets the disk finish, and gives the answer.
    fn ask(&mut self, command: Command) -> Result<Reply, Refusal> {
        let ticket = self.propose(command);
        self.settle();
        self.replies.remove(&ticket).expect("every ticket is answered")
    }

    fn order(&mut self, order: Order) -> Result<Reply, Refusal> {
        let ticket = self.ticket();
        self.step(Input::Admin { ticket, order });
        self.settle();
        self.replies.remove(&ticket).expect("every ticket is answered")
    }

    fn put(&mut self, key: &str, lease: i64) -> Result<i64, Refusal> {
        let put = Put {
            key: Bytes::from(key.to_owned()),
            value: Bytes::from_static(b"v"),
            lease: LeaseId(lease),
            ..Put::default()
        };
        match self.ask(Command::Put(put))? {
            Reply::Put(put) => Ok(put.revision),
            other => panic!("{other:?} answers no put"),
        }
    }

    fn keys(&self) -> i64 {
        let range = Range { count_only: true, ..Range::of(Keys::All) };
        self.node.view().kv.range(&range).expect("a count of now").count
    }

    fn grant(&mut self, id: i64, ttl: i64) -> Result<Reply, Refusal> {
        self.ask(Command::Grant { lease: LeaseId(id), ttl })
    }

    fn renew(&mut self, id: i64) -> Ticket {
        let ticket = self.ticket();
        self.step(Input::Renew { ticket, lease: LeaseId(id) });
        ticket
    }
}

#[test]
fn a_cluster_of_one_leads_at_once_and_publishes_itself() {
    let world = World::start(config());
    assert_eq!(world.node.status().leader, ME);
    assert!(world.notes.contains(&Note::Published));
    let view = world.node.view();
    assert_eq!(view.cluster.version, "3.7.0");
    assert_eq!(view.cluster.members[&ME].name, "default");
    assert_eq!(view.term, Term(2), "term 1 is the bootstrap's, as in etcd");
    assert_eq!(view.kv.revision(), 1);
}

#[test]
fn a_put_is_answered_after_its_write_is_durable_and_not_before() {
    let mut world = World::start(config());
    let put = Put { key: "k".into(), value: "v".into(), ..Put::default() };
    let ticket = world.propose(Command::Put(put));
    assert!(!world.writing.is_empty(), "the write is handed out at once");
    assert!(!world.replies.contains_key(&ticket));
    assert_eq!(world.keys(), 0, "and not visible either");
    world.settle();
    assert!(matches!(world.replies[&ticket], Ok(Reply::Put(_))));
    assert_eq!(world.keys(), 1);
}

#[test]
fn many_proposals_between_two_polls_are_one_write() {
    let mut world = World::start(config());
    for n in 0..100_u64 {
        let put = Put { key: format!("{n}").into(), ..Put::default() };
        let proposal = Proposal {
            bytes: Bytes::from_static(b"x"),
            ticket: Ticket(1000 + n),
            command: Arc::new(Command::Put(put)),
        };
        world.node.step(world.now, Input::Propose { proposal });
    }
    world.drain();
    assert_eq!(world.writing.len(), 1);
    assert_eq!(world.writing[0].1.entries.len(), 100);
    world.settle();
    assert_eq!(world.keys(), 100);
}

#[test]
fn a_crash_brings_back_what_was_durable_and_nothing_else() {
    let mut world = World::start(config());
    world.put("durable", 0).expect("a put");
    world.propose(Command::Put(Put { key: "lost".into(), ..Put::default() }));
    world.crash();
    assert_eq!(world.keys(), 1);
    assert_eq!(world.put("next", 0), Ok(3), "the lost put used no revision");
    assert!(world.log.iter().all(|entry| entry.payload.kind() != EntryKind::ChangeV2));
}

#[test]
fn a_read_sees_everything_that_was_answered() {
    let mut world = World::start(config());
    world.put("k", 0).expect("a put");
    let ticket = world.ticket();
    world.step(Input::Read { ticket });
    let Some(Ok(Reply::Point(view))) = world.replies.remove(&ticket) else {
        panic!("a lone leader's reads wait for nobody");
    };
    assert_eq!(view.kv.revision(), 2);
}

/// The commit index is not synced with each entry, so after a crash the log on the disk holds
/// acknowledged writes that are not known to be committed.
#[test]
fn a_read_right_after_a_crash_waits_for_everything_that_was_answered() {
    let mut world = World::start(config());
    world.grant(7, 60).expect("a lease");
    world.put("k", 7).expect("a put");
    world.crash_to_first_write();
    world.sync();
    assert_eq!(world.node.status().leader, ME, "its vote is durable, its first entry not yet");
    assert!(world.node.status().commit < Index(world.log.len() as u64), "else nothing is tested");
    let (read, life) = (world.ticket(), world.ticket());
    world.step(Input::Read { ticket: read });
    let order = Order::TimeToLive { lease: LeaseId(7), keys: true };
    world.step(Input::Admin { ticket: life, order });
    assert!(world.replies.is_empty(), "the leader's first entry is not durable yet");
    world.settle();
    let Some(Ok(Reply::Point(view))) = world.replies.remove(&read) else {
        panic!("the read is answered once that is committed");
    };
    assert_eq!(view.kv.revision(), 2);
    let Some(Ok(Reply::TimeToLive(Some(life)))) = world.replies.remove(&life) else {
        panic!("and so is the question for the lease");
    };
    assert_eq!(life.keys, ["k"]);
}

/// A view of a member that stands alone is as good as a round, but not before it holds an entry of
/// the member's own term: what was acknowledged before a crash may not be applied yet.
#[test]
fn a_member_alone_needs_no_round_until_somebody_else_votes() {
    let mut world = World::start(config());
    let certain = |world: &World| {
        let status = world.node.status();
        status.alone && world.node.view().term == status.term
    };
    world.settle();
    assert!(certain(&world));
    world.put("a", 0).expect("it leads");
    world.crash_to_first_write();
    assert!(!certain(&world), "what was answered is not applied again yet");
    world.settle();
    assert!(certain(&world));
    assert_eq!(world.node.view().kv.revision(), 2);
    let ticket = world.ticket();
    let steps = vec![ChangeStep::AddVoter(NodeId(7))];
    let change = Change { ticket, steps, member: Some(Member::default()), ..Change::default() };
    let input = Input::Reconfigure {
        ticket,
        bytes: Bytes::from_static(b"seven"),
        change: Arc::new(change),
    };
    world.node.step(world.now, input);
    while world.node.status().alone {
        let mark = std::iter::from_fn(|| world.node.poll()).find_map(|output| match output {
            Output::Persist { mark, .. } => Some(mark),
            _ => None,
        });
        let mark = mark.expect("the change is written, and committed by this member alone");
        world.node.step(world.now, Input::Persisted { mark });
    }
}

#[test]
fn a_lease_takes_its_keys_with_it() {
    let mut world = World::start(config());
    assert_eq!(world.grant(7, 5), Ok(Reply::Grant { lease: LeaseId(7), ttl: 5, revision: 1 }));
    assert_eq!(world.grant(7, 5), Err(Refusal::LeaseExists));
    assert_eq!(world.grant(8, 1), Ok(Reply::Grant { lease: LeaseId(8), ttl: 2, revision: 1 }));
    assert_eq!(world.put("lost", 99), Err(Refusal::LeaseNotFound));
    world.put("b", 7).expect("a put");
    world.put("a", 7).expect("a put");
    world.put("moved", 7).expect("a put");
    world.put("moved", 0).expect("a put");
    let reply = world.order(Order::TimeToLive { lease: LeaseId(7), keys: true });
    let Ok(Reply::TimeToLive(Some(life))) = reply else { panic!("{reply:?}") };
    assert_eq!((life.granted, life.keys), (5, vec![Bytes::from("a"), Bytes::from("b")]));

    world.pass(3 * SECOND);
    let ticket = world.renew(7);
    assert!(matches!(world.replies[&ticket], Ok(Reply::Renew { ttl: 5, .. })));
    world.pass(4 * SECOND);
    assert_eq!(world.keys(), 3, "renewed at 3 s, it lives until 8 s");
    world.events.clear();
    world.pass(4 * SECOND);
    assert_eq!(world.keys(), 1);
    let gone: Vec<_> =
        world.events.iter().map(|event| (event.key.clone(), event.revision.sub)).collect();
    assert_eq!(gone, [(Bytes::from("a"), 0), (Bytes::from("b"), 1)], "one revision, in key order");
    let ticket = world.renew(7);
    assert!(matches!(world.replies[&ticket], Ok(Reply::Renew { ttl: 0, .. })));
}

/// What another member asks for its clients: one that cannot be said at once is asked for alone.
#[test]
fn many_leases_are_kept_alive_at_once() {
    let mut world = World::start(config());
    world.settle();
    for id in [1, 2] {
        world.grant(id, 60).expect("it leads");
    }
    world.pass(SECOND * 50);
    let ticket = world.ticket();
    let leases = [1, 3].map(LeaseId).to_vec();
    world.step(Input::RenewAll { ticket, leases });
    assert_eq!(world.replies[&ticket], Ok(Reply::RenewAll(vec![60, 0])));
    world.pass(SECOND * 20);
    let lives = |world: &mut World, id| {
        let order = Order::TimeToLive { lease: LeaseId(id), keys: false };
        match world.order(order) {
            Ok(Reply::TimeToLive(life)) => life.map(|life| life.remaining),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lives(&mut world, 1), Some(40));
    assert_eq!(lives(&mut world, 2), None, "nobody kept this one alive");
}

#[test]
fn a_crash_keeps_leases_and_their_keys() {
    let mut world = World::start(config());
    world.grant(7, 5).expect("a lease");
    world.put("k", 7).expect("a put");
    world.crash();
    assert_eq!(world.keys(), 1);
    world.pass(10 * SECOND);
    assert_eq!(world.keys(), 0);
}

#[test]
fn a_full_quota_raises_the_alarm_and_only_deletes_go_on() {
    let quota = Config { quota_bytes: 12_000, ..config() };
    let mut world = World::start(quota);
    let mut put = 0;
    while world.put(&format!("key{put}"), 0).is_ok() {
        put += 1;
        assert!(put < 500, "the quota must stop it");
    }
    assert_eq!(world.node.view().alarms[..], [(ME, AlarmKind::NoSpace)]);
    assert_eq!(world.put("more", 0), Err(Refusal::NoSpace));
    assert_eq!(world.grant(1, 10), Err(Refusal::NoSpace));
    let all = Command::Delete(Delete { keys: Keys::All, prev_kv: false });
    assert!(world.ask(all).is_ok());
    let revision = world.node.view().kv.revision();
    assert!(world.ask(Command::Compact { revision, physical: true }).is_ok());
    assert_eq!(world.put("still", 0), Err(Refusal::NoSpace), "nothing clears it by itself");
    let disarm = Command::Alarm {
        action: AlarmAction::Deactivate,
        member: ME,
        kind: Some(AlarmKind::NoSpace),
    };
    assert_eq!(world.ask(disarm), Ok(Reply::Alarms(vec![(ME, AlarmKind::NoSpace)])));
    assert!(world.put("again", 0).is_ok());
}

#[test]
fn a_corrupt_cluster_takes_no_writes() {
    let mut world = World::start(config());
    world.put("k", 0).expect("a put");
    let alarm = Command::Alarm {
        action: AlarmAction::Activate,
        member: NodeId(5),
        kind: Some(AlarmKind::Corrupt),
    };
    world.ask(alarm).expect("an alarm");
    assert_eq!(world.put("k", 0), Err(Refusal::Corrupt));
    let all = Command::Delete(Delete { keys: Keys::All, prev_kv: false });
    assert_eq!(world.ask(all), Err(Refusal::Corrupt));
    assert_eq!(world.keys(), 1, "reads go on");
}

#[test]
fn a_physical_compaction_is_answered_when_it_is_done() {
    let mut world = World::start(config());
    for _ in 0..2000 {
        world.put("k", 0).expect("a put");
    }
    let ticket = world.propose(Command::Compact { revision: 2001, physical: true });
    let mut steps = 0;
    while !world.writing.is_empty() {
        let last = world.writing.iter().map(|(mark, _)| *mark).max().expect("a write");
        world.writing.clear();
        world.step(Input::Persisted { mark: last });
    }
    while !world.replies.contains_key(&ticket) {
        assert!(world.node.deadline().is_some_and(|due| due <= world.now), "work is due at once");
        world.step(Input::Tick);
        steps += 1;
        assert!(steps < 1000, "it ends");
    }
    assert!(steps > 1, "it took bounded steps");
    assert!(world.notes.iter().any(|note| matches!(note, Note::CompactionFinished { .. })));
    assert_eq!(
        world.ask(Command::Compact { revision: 2001, physical: true }),
        Err(Refusal::Compacted)
    );
    assert_eq!(
        world.ask(Command::Compact { revision: 9999, physical: false }),
        Err(Refusal::FutureRevision)
    );
}

#[test]
fn old_history_goes_by_itself() {
    let revision = AutoCompaction::Revision(10);
    let mut world = World::start(Config { auto_compaction: revision, ..config() });
    for _ in 0..50 {
        world.put("k", 0).expect("a put");
    }
    world.pass(301 * SECOND);
    assert_eq!(world.node.view().kv.compacted(), 41);
}

#[test]
fn a_checkpoint_is_written_when_enough_was_logged() {
    let mut world = World::start(Config { snapshot_count: 20, catch_up_entries: 5, ..config() });
    for _ in 0..50 {
        world.put("k", 0).expect("a put");
    }
    let finished = |note: &&Note| matches!(note, Note::CheckpointFinished { .. });
    assert_eq!(world.notes.iter().filter(finished).count(), 2);
    let Ok(Reply::Export(state)) = world.order(Order::Export) else { panic!("an export") };
    assert_eq!(state.kv.revision(), 51);
}

#[test]
fn a_forgotten_ticket_gets_no_reply() {
    let mut world = World::start(config());
    let ticket = world.propose(Command::Put(Put { key: "k".into(), ..Put::default() }));
    world.step(Input::Forget { ticket });
    world.settle();
    assert!(!world.replies.contains_key(&ticket));
    assert_eq!(world.keys(), 1, "what it asked for still happens");
}

#[test]
fn equal_inputs_give_equal_outputs_and_digests() {
    let run = || {
        let mut world = World::start(config());
        world.grant(7, 3).expect("a lease");
        for n in 0..200 {
            world.put(&format!("key{}", n % 17), if n % 3 == 0 { 7 } else { 0 }).expect("a put");
            world.pass(Duration::from_millis(10));
        }
        world.pass(10 * SECOND);
        (world.node.digest(), world.trace)
    };
    let (one, other) = (run(), run());
    assert_eq!(one.0, other.0);
    assert_eq!(one.1, other.1);
}

#[test]
fn a_downgrade_lowers_the_version_and_ends_when_everybody_speaks_it() {
    let mut world = World::start(config());
    let version = |world: &World| world.node.view().cluster.version.clone();
    assert_eq!(version(&world), "3.7.0");
    let to = |target: &str| Command::Downgrade { target: target.into() };
    assert!(world.ask(to("3.6.0")).is_ok());
    world.settle();
    assert_eq!(version(&world), "3.6.0", "it goes back though this member speaks a newer one");
    assert_eq!(world.node.view().cluster.target(), Some("3.6.0"));
    // Called off, it goes up again.
    assert!(world.ask(to("")).is_ok());
    world.settle();
    assert_eq!(version(&world), "3.7.0");
    assert_eq!(world.node.view().cluster.target(), None);
    // The older program takes over: then the job is done.
    assert!(world.ask(to("3.6.0")).is_ok());
    world.settle();
    world.config.version = "3.6.0".into();
    world.crash();
    assert_eq!(version(&world), "3.6.0");
    assert_eq!(world.node.view().cluster.target(), None);
    // The newer one again.
    world.config.version = "3.7.0".into();
    world.crash();
    assert_eq!(version(&world), "3.7.0");
}

#[test]
fn a_version_that_is_not_one_back_is_not_gone_to() {
    let mut world = World::start(config());
    let target = "3.5.0".into();
    assert!(world.ask(Command::Downgrade { target }).is_ok());
    world.settle();
    assert_eq!(world.node.view().cluster.version, "3.7.0");
}
