//! The commands of raft's stories.
//!
//! ```text
//! members 1 2 3                        also: learners 4; no-pre-vote; window=2; bytes=8
//! log 1 1 1 2                          member 1's log holds entries of terms 1, 1, 2, durable
//! campaign 1                           at once; `wait 2 1500` lets that much time pass instead
//! propose 1 x y                        entries x and y; `change 1 +4 -3 ~5 joint` the members
//! read 1 r1                            asks for a read point
//! transfer 1 2                         hands the leadership over
//! slow 1, sync 1                       the disk of 1 finishes nothing, until it finishes all
//! cut 1, join 1                        nothing reaches 1 or leaves it, until it does
//! deliver                              until nothing flies; `deliver 1>2` only those, `2*1>2` two
//! drop 1>2                             loses what flies
//! crash 1                              comes back with what was durable
//! compact 1 3                          forgets the log up to 3, keeping nothing before
//! took 2 / lost 2                      how bringing 2 the state ended, told to its leader
//! show, logs, peers 1                  how everybody stands
//! ```
//!
//! Each message is told when it is delivered, each note when it comes.

use bytes::Bytes;
use keel_core::command::Command;
use keel_core::entry::HardState;
use keel_core::raft::{Body, Change, ChangeStep, Config, Message, Options, Raft, Ready, Start};
use keel_core::{
    Entry, Index, Instant, Mark, NodeId, Note, Payload, Proposal, Term, Ticket, Write,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const HEARTBEAT: Duration = Duration::from_millis(100);
const ELECTION: Duration = Duration::from_millis(1000);

struct Member {
    raft: Raft,
    hard: HardState,
    /// The position before the durable log, and its term.
    base: (Index, Term),
    log: Vec<Entry>,
    config: Config,
    writing: Vec<(Mark, Write)>,
    slow: bool,
    applied: Index,
}

pub(crate) struct Story {
    now: Instant,
    members: BTreeMap<NodeId, Member>,
    config: Config,
    pre_vote: bool,
    window: usize,
    bytes: usize,
    flying: Vec<(NodeId, NodeId, Message)>,
    cut: BTreeSet<NodeId>,
    reads: Vec<String>,
    told: Vec<String>,
}

impl Story {
    pub(crate) fn new() -> Story {
        Story {
            now: Instant(0),
            members: BTreeMap::new(),
            config: Config::default(),
            pre_vote: true,
            window: 64,
            bytes: 1024,
            flying: Vec::new(),
            cut: BTreeSet::new(),
            reads: Vec::new(),
            told: Vec::new(),
        }
    }

    fn options(&self, id: NodeId) -> Options {
        Options {
            id,
            heartbeat: HEARTBEAT,
            election: ELECTION,
            pre_vote: self.pre_vote,
            check_quorum: true,
            window: self.window,
            append_bytes: self.bytes,
        }
    }

    fn boot(&mut self, id: NodeId, hard: HardState, base: (Index, Term), log: Vec<Entry>) {
        let config = self.members.get(&id).map_or(&self.config, |member| &member.config).clone();
        let start = Start {
            hard,
            config: config.clone(),
            snapshot: base,
            entries: log.clone(),
            applied: base.0,
        };
        let raft = Raft::new(self.options(id), start, id.0, self.now);
        let writing = Vec::new();
        let applied = base.0;
        self.members
            .insert(id, Member { raft, hard, base, log, config, writing, slow: false, applied });
        self.settle(id);
    }

    fn member(&mut self, id: NodeId) -> &mut Member {
        self.members.get_mut(&id).expect("a member of the story")
    }

    /// Takes everything out of a member, and finishes its disk's work unless that is slow.
    fn settle(&mut self, id: NodeId) {
        loop {
            let now = self.now;
            let mut more = false;
            while let Some(ready) = self.member(id).raft.poll() {
                more = true;
                match ready {
                    Ready::Send { to, message } => self.flying.push((id, to, message)),
                    Ready::Persist { mark, write } => self.member(id).writing.push((mark, write)),
                    Ready::Read { context, index } => {
                        self.reads.push(format!("{id}: read {context} at {}", index.0));
                    }
                    Ready::Restore { from, index, term, config } => {
                        self.told
                            .push(format!("{id}: takes the state up to {} of {from}", index.0));
                        let member = self.member(id);
                        member.raft.restored(index, term, config.clone());
                        member.raft.acknowledge(now, index);
                        (member.base, member.applied) = ((index, term), index);
                        member.log.clear();
                        member.config = config;
                    }
                    Ready::Note(note) => self.told.extend(tell_note(id, &note)),
                }
            }
            let member = self.member(id);
            if !member.slow {
                more |= member.sync(now);
            }
            more |= member.apply();
            if !more {
                break;
            }
        }
        self.told.append(&mut self.reads);
    }

    /// Delivers messages from one to another, or all of them, oldest first.
    fn deliver(&mut self, from: Option<(NodeId, NodeId)>, most: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..most {
            let wanted = |one: &(NodeId, NodeId, Message)| {
                from.is_none_or(|(from, to)| (one.0, one.1) == (from, to))
            };
            let Some(at) = self.flying.iter().position(wanted) else { break };
            let (from, to, message) = self.flying.remove(at);
            let text = format!("{from}>{to} {}", tell(&message));
            if self.cut.contains(&from) || self.cut.contains(&to) || !self.members.contains_key(&to)
            {
                told.push(format!("{text} - lost"));
                continue;
            }
            told.push(text);
            let now = self.now;
            self.member(to).raft.step(now, from, message);
            self.settle(to);
            told.append(&mut self.told);
            assert!(told.len() < 500, "the story does not come to rest");
        }
        told
    }
}

impl Member {
    /// The disk finishes its work.
    fn sync(&mut self, now: Instant) -> bool {
        let mut last = None;
        for (mark, write) in self.writing.drain(..) {
            last = Some(mark);
            self.hard = write.hard.unwrap_or(self.hard);
            if let Some(cut) = write.cut_from {
                self.log.retain(|entry| entry.index < cut);
            }
            self.log.extend(write.entries);
        }
        if let Some(mark) = last {
            self.raft.persisted(now, mark);
        }
        last.is_some()
    }

    fn apply(&mut self) -> bool {
        let entries = self.raft.next_committed(usize::MAX);
        for entry in &entries {
            if let Payload::Change { change, .. } = &entry.payload {
                self.raft.apply_change(change);
                self.config = self.raft.config().clone();
            }
            self.applied = entry.index;
        }
        if entries.is_empty() {
            return false;
        }
        self.raft.applied(self.applied);
        true
    }
}

pub(crate) fn run(story: &mut Story, words: &[&str]) -> Vec<String> {
    let now = story.now;
    match *words {
        ["members", ref rest @ ..] => {
            let mut learners = false;
            let mut ids = Vec::new();
            for word in rest {
                match word.split_once('=') {
                    Some(("window", number)) => story.window = number.parse().expect("a number"),
                    Some(("bytes", number)) => story.bytes = number.parse().expect("a number"),
                    _ if *word == "no-pre-vote" => story.pre_vote = false,
                    _ if *word == "learners" => learners = true,
                    _ => {
                        let config = &mut story.config;
                        let set = if learners { &mut config.learners } else { &mut config.voters };
                        set.insert(id(word));
                        ids.push(id(word));
                    }
                }
            }
            for one in ids {
                story.boot(one, HardState::default(), (Index(0), Term(0)), Vec::new());
            }
        }
        ["newcomer", one] => {
            story.boot(id(one), HardState::default(), (Index(0), Term(0)), Vec::new());
        }
        ["log", one, ref terms @ ..] => {
            let entries = terms.iter().zip(1..).map(|(term, index)| Entry {
                term: Term(term.parse().expect("a term")),
                index: Index(index),
                payload: command(&format!("{term}.{index}")),
            });
            let log: Vec<Entry> = entries.collect();
            let term = log.last().map_or(Term(0), |entry| entry.term);
            let hard = HardState { term, ..HardState::default() };
            story.boot(id(one), hard, (Index(0), Term(0)), log);
        }
        ["campaign", one] => {
            story.member(id(one)).raft.campaign(now);
            story.settle(id(one));
        }
        ["wait", one, millis] => {
            let later = now.after(Duration::from_millis(millis.parse().expect("milliseconds")));
            story.now = later;
            story.member(id(one)).raft.tick(later);
            story.settle(id(one));
        }
        ["propose", one, ref rest @ ..] => {
            for text in rest {
                let proposed = story.member(id(one)).raft.propose(now, command(text));
                if let Err(refusal) = proposed {
                    story.told.push(format!("{text}: {refusal:?}"));
                }
                story.settle(id(one));
            }
        }
        ["change", one, ref rest @ ..] => {
            let proposed = story.member(id(one)).raft.propose(now, change(rest));
            if let Err(refusal) = proposed {
                story.told.push(format!("{refusal:?}"));
            }
            story.settle(id(one));
        }
        ["read", one, context] => {
            let context = context.parse().expect("a number");
            story.member(id(one)).raft.read_index(now, context);
            story.settle(id(one));
        }
        ["transfer", one, to] => {
            story.member(id(one)).raft.transfer_leader(now, id(to));
            story.settle(id(one));
        }
        ["slow", one] => story.member(id(one)).slow = true,
        ["sync", one] => {
            story.member(id(one)).slow = false;
            story.settle(id(one));
        }
        ["cut", one] => {
            story.cut.insert(id(one));
        }
        ["join", one] => {
            story.cut.remove(&id(one));
        }
        ["link-down", one, peer] => {
            story.member(id(one)).raft.link_down(id(peer));
            story.settle(id(one));
        }
        ["deliver"] => return story.deliver(None, usize::MAX),
        ["deliver", which] => {
            let (many, which) = match which.split_once('*') {
                Some((many, which)) => (many.parse().expect("a number"), which),
                None => (usize::MAX, which),
            };
            return story.deliver(Some(pair(which)), many);
        }
        ["drop", which] => {
            let which = pair(which);
            story.flying.retain(|(from, to, _)| (*from, *to) != which);
        }
        ["crash", one] => {
            let one = id(one);
            let member = story.members.remove(&one).expect("a member of the story");
            let (hard, base, log) = (member.hard, member.base, member.log.clone());
            let config = member.config.clone();
            story.flying.retain(|(from, _, _)| *from != one);
            let before = std::mem::replace(&mut story.config, config);
            story.boot(one, hard, base, log);
            story.config = before;
        }
        ["compact", one, index] => {
            let index = Index(index.parse().expect("an index"));
            story.member(id(one)).raft.compact(index, 0, 0);
        }
        [how @ ("took" | "lost"), peer] => {
            let leads: Vec<NodeId> = story
                .members
                .iter()
                .filter(|(_, member)| member.raft.leads())
                .map(|(id, _)| *id)
                .collect();
            for leader in leads {
                story.member(leader).raft.snapshot_ended(id(peer), how == "took");
                story.settle(leader);
            }
        }
        ["show"] => {
            return story.members.iter().map(|(id, member)| show(*id, member)).collect();
        }
        ["logs"] => {
            return story.members.iter().map(|(id, member)| show_log(*id, member)).collect();
        }
        ["flying"] => {
            let tell = |(from, to, message): &(NodeId, NodeId, Message)| {
                format!("{from}>{to} {}", tell(message))
            };
            return story.flying.iter().map(tell).collect();
        }
        ref other => panic!("no command of these stories: {other:?}"),
    }
    std::mem::take(&mut story.told)
}

fn id(text: &str) -> NodeId {
    NodeId(text.parse().expect("a member's number"))
}

fn pair(text: &str) -> (NodeId, NodeId) {
    let (from, to) = text.split_once('>').expect("from>to");
    (id(from), id(to))
}

fn command(text: &str) -> Payload {
    Payload::Command(Proposal {
        bytes: Bytes::copy_from_slice(text.as_bytes()),
        ticket: Ticket(0),
        command: Arc::new(Command::ClusterVersion(String::new())),
    })
}

fn change(words: &[&str]) -> Payload {
    let mut change = Change::default();
    for word in words {
        let step: fn(NodeId) -> ChangeStep = match word.as_bytes()[0] {
            b'+' => ChangeStep::AddVoter,
            b'~' => ChangeStep::AddLearner,
            b'-' => ChangeStep::Remove,
            _ if *word == "joint" => {
                (change.v2, change.auto_leave) = (true, true);
                continue;
            }
            _ if *word == "stay" => {
                (change.v2, change.explicit) = (true, true);
                continue;
            }
            _ if *word == "leave" => {
                change.v2 = true;
                continue;
            }
            _ => panic!("no change: {word}"),
        };
        change.steps.push(step(id(&word[1..])));
    }
    let bytes = Bytes::from(words.join(" "));
    Payload::Change { bytes, change: Arc::new(change) }
}

fn tell_payload(payload: &Payload) -> String {
    match payload {
        Payload::Empty => String::from("-"),
        Payload::Command(proposal) => String::from_utf8_lossy(&proposal.bytes).into_owned(),
        Payload::Change { bytes, .. } => format!("({})", String::from_utf8_lossy(bytes)),
    }
}

fn tell(message: &Message) -> String {
    let body = match &message.body {
        Body::Append { prev, prev_term, entries, commit } => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| {
                    format!("{}/{} {}", entry.index.0, entry.term.0, tell_payload(&entry.payload))
                })
                .collect();
            let entries = entries.join(", ");
            format!("append after {}/{} [{entries}] commit {}", prev.0, prev_term.0, commit.0)
        }
        Body::AppendAck { index, reject: None } => format!("holds up to {}", index.0),
        Body::AppendAck { index, reject: Some(hint) } => {
            format!("refuses after {}, may agree at {}/{}", index.0, hint.index.0, hint.term.0)
        }
        Body::Vote { pre, last, last_term, transfer } => {
            let what = if *pre { "would vote?" } else { "vote?" };
            let why = if *transfer { " told to" } else { "" };
            format!("{what} log ends {}/{}{why}", last.0, last_term.0)
        }
        Body::VoteReply { pre, reject } => {
            let what = if *pre { "would vote" } else { "votes" };
            format!("{what} {}", if *reject { "no" } else { "yes" })
        }
        Body::Heartbeat { commit, context } => {
            let asks = if context.is_empty() { "" } else { " asks" };
            format!("heartbeat commit {}{asks}", commit.0)
        }
        Body::HeartbeatAck { context } => {
            format!("lives{}", if context.is_empty() { "" } else { " confirms" })
        }
        Body::Snapshot { index, term, .. } => format!("state up to {}/{}", index.0, term.0),
        Body::Propose { payloads } => {
            let payloads: Vec<String> = payloads.iter().map(tell_payload).collect();
            format!("proposes {}", payloads.join(" "))
        }
        Body::ReadIndex { .. } => String::from("asks for a read point"),
        Body::ReadReply { index, .. } => format!("read at {}", index.0),
        Body::Transfer { to } => format!("wants {to} to lead"),
        Body::TimeoutNow => String::from("campaign now"),
    };
    match message.term.0 {
        0 => body,
        term => format!("t{term} {body}"),
    }
}

fn tell_note(id: NodeId, note: &Note) -> Option<String> {
    Some(match note {
        Note::BecameFollower { term, leader: NodeId::NONE } => {
            format!("{id}: follows nobody in t{}", term.0)
        }
        Note::BecameFollower { term, leader } => format!("{id}: follows {leader} in t{}", term.0),
        Note::BecamePreCandidate { term } => format!("{id}: asks around in t{}", term.0),
        Note::BecameCandidate { term } => format!("{id}: campaigns in t{}", term.0),
        Note::BecameLeader { term } => format!("{id}: leads t{}", term.0),
        Note::Committed { index } => format!("{id}: committed {}", index.0),
        Note::DiskStalls { heir } => format!("{id}: its disk stalls, {heir} is to lead"),
        Note::ProposalDropped => format!("{id}: drops a proposal"),
        Note::PeerRefused { peer, why } => format!("{id}: refuses {peer}: {why}"),
        _ => return None,
    })
}

fn show(id: NodeId, member: &Member) -> String {
    let raft = &member.raft;
    let role = match (raft.leads(), raft.leader()) {
        (true, _) => String::from("leads"),
        (false, NodeId::NONE) => String::from("no leader"),
        (false, leader) => format!("follows {leader}"),
    };
    let config = raft.config();
    let ids =
        |set: &BTreeSet<NodeId>| set.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ");
    let mut voters = format!("voters {}", ids(&config.voters));
    for (name, set) in [
        ("outgoing", &config.outgoing),
        ("learners", &config.learners),
        ("learners to be", &config.learners_next),
    ] {
        if !set.is_empty() {
            voters.push_str(&format!("; {name} {}", ids(set)));
        }
    }
    format!(
        "{id}: t{} {role}, last {}, commit {}, applied {}; {voters}",
        raft.term().0,
        raft.last().0,
        raft.commit().0,
        member.applied.0
    )
}

fn show_log(id: NodeId, member: &Member) -> String {
    let entries: Vec<String> = member
        .log
        .iter()
        .map(|entry| format!("{}/{} {}", entry.index.0, entry.term.0, tell_payload(&entry.payload)))
        .collect();
    let base = match member.base.0.0 {
        0 => String::new(),
        index => format!("state up to {index}/{}; ", member.base.1.0),
    };
    format!("{id}: {base}[{}]", entries.join(", "))
}
