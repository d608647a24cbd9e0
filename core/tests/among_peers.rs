//! One node among peers that the test plays: they vote and say that they live, and take entries
//! or not.

use keel_core::entry::{Entry, HardState, Payload};
use keel_core::members::Member;
use keel_core::node::{AutoCompaction, Boot, Config, Node};
use keel_core::raft::{Body, Change, ChangeStep, Message};
use keel_core::{Index, Input, Instant, NodeId, Order, Output, Refusal, Reply, Term, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
const ELECTION: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config {
        id: ME,
        cluster_id: 7,
        name: "one".into(),
        client_urls: vec!["http://localhost:2379".into()],
        version: "3.7.0".into(),
        heartbeat: ELECTION / 10,
        election: ELECTION,
        pre_vote: true,
        snapshot_count: 1000,
        catch_up_entries: 1000,
        lease_checkpoint: false,
        quota_bytes: 0,
        strict_reconfig: true,
        learners_max: 1,
        auto_compaction: AutoCompaction::Off,
    }
}

fn boot(members: u64) -> Boot {
    let entry = |id: u64| {
        let change = Change {
            steps: vec![ChangeStep::AddVoter(NodeId(id))],
            // It was started before.
            member: Some(Member { name: id.to_string(), ..Member::default() }),
            ..Change::default()
        };
        let payload = Payload::Change { bytes: Default::default(), change: Arc::new(change) };
        Entry { term: Term(1), index: Index(id), payload }
    };
    let hard = HardState { term: Term(1), vote: NodeId::NONE, commit: Index(members) };
    Boot { hard, checkpoint: None, entries: (1..=members).map(entry).collect(), unwritten: None }
}

struct World {
    node: Node,
    now: Instant,
    /// Whether the peers take entries.
    take: bool,
    replies: BTreeMap<Ticket, Result<Reply, Refusal>>,
}

impl World {
    fn new(members: u64, take: bool) -> World {
        let now = Instant(0);
        let node = Node::new(config(), boot(members), 7, now);
        World { node, now, take, replies: BTreeMap::new() }
    }

    /// Lets the node act, makes what it writes durable, and answers for its peers.
    fn step(&mut self, input: Input) {
        self.node.step(self.now, input);
        while let Some(output) = self.node.poll() {
            match output {
                Output::Persist { mark, .. } => self.node.step(self.now, Input::Persisted { mark }),
                Output::Reply { ticket, reply } => {
                    self.replies.insert(ticket, reply);
                }
                Output::Send { to, message: Message { term, body } } => {
                    let body = match body {
                        Body::Vote { pre, .. } => Body::VoteReply { pre, reject: false },
                        Body::Heartbeat { context, .. } => Body::HeartbeatAck { context },
                        Body::Append { prev, entries, .. } if self.take => {
                            let index = entries.last().map_or(prev, |entry| entry.index);
                            Body::AppendAck { index, reject: None }
                        }
                        _ => continue,
                    };
                    let message = Message { term, body };
                    self.node.step(self.now, Input::Peer { from: to, message });
                }
                _ => {}
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now.after(span);
        while self.now < until {
            self.now = self.now.after(ELECTION / 20);
            self.step(Input::Tick);
        }
    }

    fn lead(&mut self) {
        while self.node.status().leader != ME {
            self.pass(ELECTION / 20);
        }
    }

    /// How a removal is answered; nothing where it is not, yet.
    fn remove(&mut self, ticket: u64, id: NodeId) -> Option<Result<(), Refusal>> {
        let ticket = Ticket(ticket);
        let steps = vec![ChangeStep::Remove(id)];
        let change = Arc::new(Change { ticket, steps, ..Change::default() });
        self.step(Input::Reconfigure { ticket, bytes: Default::default(), change });
        self.replies.remove(&ticket).map(|reply| reply.map(|_| ()))
    }
}

/// A leader that is handing over takes no proposals, its own among them. What it has to say of
/// itself waits for whoever leads next, or for its own time.
#[test]
fn a_leader_that_hands_over_asks_itself_once_and_not_for_ever() {
    let mut world = World::new(2, false);
    world.lead();
    // It has published itself, which cannot be committed: its time is up seven seconds later.
    // Just before, it is asked to hand over.
    world.pass(Duration::from_millis(6900));
    world.step(Input::Admin { ticket: Ticket(1), order: Order::MoveLeader { to: OTHER } });
    world.pass(ELECTION * 3);
    assert_eq!(world.node.status().leader, ME, "nobody took over");
}

/// With strict checks a voter that is reached may only go if enough others were reached for five
/// seconds, however short it is reached itself; one that is not reached may go (semantics §7.5).
#[test]
fn a_voter_that_is_reached_goes_only_where_enough_others_are() {
    let mut world = World::new(3, true);
    for peer in [OTHER, NodeId(3)] {
        world.step(Input::LinkUp { peer, version: "3.7.0".into() });
    }
    world.lead();
    assert_eq!(world.remove(1, OTHER), Some(Err(Refusal::Unhealthy)), "nobody for long enough");
    world.pass(Duration::from_secs(5));
    world.step(Input::LinkDown { peer: NodeId(3) });
    assert_eq!(world.remove(2, OTHER), Some(Err(Refusal::Unhealthy)), "the majority would be gone");
    assert_eq!(world.remove(3, NodeId(3)), Some(Ok(())), "it is not reached anyway");
}
