//! Campaigns: first what would be, then for real (Raft §5.2, thesis §9.6).

use super::follower::due;
use super::members::Tally;
use super::{Body, Message, Raft, Ready, Role};
use crate::note::Note;
use crate::types::{Instant, NodeId, Term};
use alloc::collections::BTreeMap;

/// A member that asks for votes.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Whether it only asks what would be: its term is still the old one.
    pub(super) pre: bool,
    /// When it tries again.
    pub(super) due: Instant,
    /// The first answer of each voter.
    answers: BTreeMap<NodeId, bool>,
}

crate::recording::code!(struct Candidate { pre, due, answers });

impl Raft {
    /// No leader was heard for too long, or a campaign came to nothing.
    pub(super) fn on_election_due(&mut self) {
        let due = due(&self.options, &mut self.rng, self.now);
        match &mut self.role {
            Role::Follower(follower) => follower.due = due,
            Role::Candidate(candidate) => candidate.due = due,
            Role::Leader(_) => unreachable!("a leader waits for no election"),
        }
        self.begin_campaign(self.options.pre_vote, false);
    }

    pub(super) fn begin_campaign(&mut self, pre: bool, transfer: bool) {
        // A change that is committed and not applied may have taken the vote away.
        let stale = self.log.has_unapplied_change(self.applied);
        if !self.config.votes(self.options.id) || stale || self.unsettled {
            return;
        }
        let due = due(&self.options, &mut self.rng, self.now);
        self.role = Role::Candidate(Candidate { pre, due, answers: BTreeMap::new() });
        self.leader = NodeId::NONE;
        let term = Term(self.term.0 + 1);
        if pre {
            self.note(Note::BecamePreCandidate { term: self.term });
        } else {
            self.term = term;
            self.vote = self.options.id;
            self.note(Note::BecameCandidate { term });
        }
        let (last, last_term) = (self.log.last(), self.log.last_term());
        for voter in self.config.everybody() {
            if voter == self.options.id {
                // Its own vote counts once it is durable.
                self.hold(voter, term, Body::VoteReply { pre, reject: false });
            } else if self.config.votes(voter) {
                let body = Body::Vote { pre, last, last_term, transfer };
                if pre || mutant!(AsksBeforeDurable) {
                    // It promises nothing: the term is still the old one.
                    let message = Message { term, body };
                    self.out.push_back(Ready::Send { to: voter, message });
                } else {
                    // Who asks for votes in a term remembers that term, whatever comes: what
                    // `node::repaired` says of votes rests on it.
                    self.hold(voter, term, body);
                }
            }
        }
    }

    pub(super) fn candidate_step(&mut self, from: NodeId, body: Body) {
        match body {
            Body::VoteReply { pre, reject } => self.on_vote_reply(from, pre, !reject),
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => {
                // Somebody won this very term.
                self.become_follower(self.term, from);
                self.follower_step(from, body);
            }
            _ => {}
        }
    }

    fn on_vote_reply(&mut self, from: NodeId, pre: bool, granted: bool) {
        let Role::Candidate(candidate) = &mut self.role else { return };
        if candidate.pre != pre {
            return;
        }
        candidate.answers.entry(from).or_insert(granted);
        let answers = &candidate.answers;
        match self.config.tally(|id| answers.get(&id).copied()) {
            Tally::Pending => {}
            Tally::Lost => self.become_follower(self.term, NodeId::NONE),
            Tally::Won if pre && !mutant!(PreVotesElect) => self.begin_campaign(false, false),
            Tally::Won => self.become_leader(),
        }
    }
}
