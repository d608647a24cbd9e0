//! What a follower does with what it hears.

use super::{Body, Hint, Options, Raft, Ready, Role};
use crate::entry::Entry;
use crate::rng::Rng;
use crate::types::{Index, Instant, NodeId, Term};
use alloc::vec::Vec;

/// A member that follows, or waits for somebody to follow.
#[derive(Debug)]
pub(super) struct Follower {
    /// When it last heard a leader, or gave its vote.
    pub(super) heard: Instant,
    /// When it campaigns.
    pub(super) due: Instant,
}

crate::recording::code!(struct Follower { heard, due });

impl Follower {
    pub(super) fn new(options: &Options, rng: &mut Rng, now: Instant) -> Follower {
        Follower { heard: now, due: due(options, rng, now) }
    }

    /// Waits a full timeout again.
    pub(super) fn rest(&mut self, options: &Options, rng: &mut Rng, now: Instant) {
        *self = Follower::new(options, rng, now);
    }
}

/// One to two election timeouts from now, in whole heartbeats, so that members differ.
pub(super) fn due(options: &Options, rng: &mut Rng, now: Instant) -> Instant {
    let heartbeat = options.heartbeat.max(core::time::Duration::from_nanos(1));
    let ticks = u64::try_from(options.election.as_nanos() / heartbeat.as_nanos()).unwrap_or(1);
    let extra = u32::try_from(rng.below(ticks.max(1))).unwrap_or(0);
    now.after(options.election + heartbeat * extra)
}

impl Raft {
    pub(super) fn follower_step(&mut self, from: NodeId, body: Body) {
        match body {
            Body::Append { prev, prev_term, entries, commit } => {
                self.heard_from(from);
                self.on_append(from, prev, prev_term, entries, commit);
            }
            Body::Heartbeat { commit, context } => {
                self.heard_from(from);
                self.commit_to(commit.min(self.log.last()));
                self.send(from, Body::HeartbeatAck { context });
            }
            Body::Snapshot { index, term, config } => {
                self.heard_from(from);
                self.on_snapshot(from, index, term, config);
            }
            Body::Propose { .. } | Body::ReadIndex { .. } | Body::Transfer { .. } => {
                if self.leader != NodeId::NONE {
                    self.forward(body);
                }
            }
            Body::ReadReply { index, context } => self.on_read_reply(index, &context),
            Body::TimeoutNow => self.begin_campaign(false, true),
            Body::AppendAck { .. }
            | Body::HeartbeatAck { .. }
            | Body::Vote { .. }
            | Body::VoteReply { .. } => {}
        }
    }

    fn heard_from(&mut self, leader: NodeId) {
        if self.leader != leader {
            self.leader = leader;
            let note = crate::note::Note::BecameFollower { term: self.term, leader };
            self.note(note);
        }
        let now = self.now;
        if let Role::Follower(follower) = &mut self.role {
            follower.rest(&self.options, &mut self.rng, now);
        }
    }

    pub(super) fn on_append(
        &mut self,
        from: NodeId,
        prev: Index,
        prev_term: Term,
        entries: Vec<Entry>,
        commit: Index,
    ) {
        let term = self.term;
        if prev < self.log.commit {
            // What is committed agrees: say so, that the leader goes on from there.
            self.holds(from, self.log.commit);
            return;
        }
        let agrees = |term| term == prev_term || mutant!(AppendsAnywhere);
        if !self.log.term(prev).is_some_and(agrees) {
            let (index, hint_term) = self.log.agree_before(prev, prev_term);
            let reject = Some(Hint { index, term: hint_term });
            self.hold(from, term, Body::AppendAck { index: prev, reject });
            return;
        }
        let mut expected = prev.next();
        for entry in &entries {
            if entry.index != expected {
                self.refuse_peer(from, "an append has a gap");
                return;
            }
            expected = expected.next();
        }
        let last = expected.prev();
        self.log.splice(entries);
        self.commit_to(commit.min(if mutant!(CommitsAheadOfAppend) {
            self.log.last()
        } else {
            last
        }));
        self.holds(from, if mutant!(AcksWholeLog) { self.log.last() } else { last });
    }

    fn on_snapshot(&mut self, from: NodeId, index: Index, term: Term, config: super::Config) {
        let mine = config.everybody().contains(&self.options.id);
        if index <= self.log.commit || self.log.term(index) == Some(term) || !mine {
            // Nothing in it is news, or it is not for this member.
            if mine {
                self.commit_to(index.min(self.log.last()));
            }
            self.holds(from, self.log.commit);
            return;
        }
        self.out.push_back(Ready::Restore { from, index, term, config });
    }

    pub(super) fn on_read_reply(&mut self, index: Index, context: &[u8]) {
        if let Ok(context) = context.try_into().map(u64::from_be_bytes) {
            self.out.push_back(Ready::Read { context, index });
        }
    }

    pub(super) fn refuse_peer(&mut self, peer: NodeId, why: &'static str) {
        self.note(crate::note::Note::PeerRefused { peer, why });
    }
}
