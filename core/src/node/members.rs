//! Who may join, leave and change, and whom this member can reach (semantics §7.5, §7.6).
//!
//! Twice a change is looked at: before it enters the log, by the member that was asked, with
//! what that member knows of links; and when it is applied, by all members, with nothing but
//! the membership itself, so that all decide alike.

use super::Node;
use crate::command::{Command, Refusal, Reply};
use crate::entry::Payload;
use crate::input::Order;
use crate::members::{Member, minor};
use crate::note::Note;
use crate::output::Output;
use crate::raft::{Change, ChangeStep};
use crate::types::{Instant, NodeId, Ticket};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// For so long a peer must have been reached before it counts as connected.
const CONNECTED_SINCE: Duration = Duration::from_secs(5);

/// What every version of etcd's v3 can do.
const VERSION_MIN: (u64, u64) = (3, 0);

/// A learner may be promoted once it holds this much of what its leader holds, in tenths.
const READY_TENTHS: u64 = 9;

/// What this member knows of a peer's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Since when it is up, while it is.
    up_since: Option<Instant>,
    /// What the peer said its version is; empty until it did.
    version: String,
}

crate::recording::code!(struct Link { up_since, version });

/// The links to all peers that were ever up.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<NodeId, Link>);

crate::recording::code!(newtype Links);

impl Links {
    fn up(&mut self, now: Instant, peer: NodeId, version: String) {
        let link = self.0.entry(peer).or_insert(Link { up_since: None, version: String::new() });
        link.up_since.get_or_insert(now);
        link.version = version;
    }

    fn down(&mut self, peer: NodeId) {
        if let Some(link) = self.0.get_mut(&peer) {
            link.up_since = None;
        }
    }

    /// Whether a peer can be reached now.
    fn is_up(&self, peer: NodeId) -> bool {
        self.0.get(&peer).is_some_and(|link| link.up_since.is_some())
    }

    /// Whether a peer was reached for long enough.
    fn connected(&self, now: Instant, peer: NodeId) -> bool {
        let since = self.0.get(&peer).and_then(|link| link.up_since);
        since.is_some_and(|since| now.since(since) >= CONNECTED_SINCE)
    }

    /// Of these peers, whom it reached first.
    fn longest(&self, peers: impl Iterator<Item = NodeId>) -> Option<NodeId> {
        let since = |peer: NodeId| {
            let since = self.0.get(&peer).and_then(|link| link.up_since)?;
            Some((since, peer))
        };
        peers.filter_map(since).min().map(|(_, peer)| peer)
    }

    fn version(&self, peer: NodeId) -> Option<&str> {
        self.0.get(&peer).map(|link| link.version.as_str()).filter(|version| !version.is_empty())
    }
}

/// How many of so many decide.
fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

impl Node {
    /// A link came up, or a peer was heard to speak another version.
    pub(super) fn link_up(&mut self, peer: NodeId, version: String) {
        self.links.up(self.now, peer, version);
        self.decide_version();
    }

    /// A link went down: what was sent may be lost.
    pub(super) fn link_down(&mut self, peer: NodeId) {
        self.links.down(peer);
        self.raft.link_down(peer);
    }

    /// Proposes a change of the membership, in etcd's order of checks.
    pub(super) fn admit_change(&mut self, ticket: Ticket, bytes: Bytes, change: Arc<Change>) {
        if change.promote && !self.leads {
            return self.settle(ticket, Err(Refusal::NotLeader));
        }
        let verdict = change.steps.first().map_or(Ok(()), |step| self.may_change(&change, *step));
        if let Err(refusal) = verdict {
            return self.settle(ticket, Err(refusal));
        }
        self.propose_change(ticket, Payload::Change { bytes, change });
    }

    fn propose_change(&mut self, ticket: Ticket, payload: Payload) {
        if let Err(refusal) = self.raft.propose(self.now, payload) {
            self.settle(ticket, Err(refusal));
        }
    }

    fn may_change(&self, change: &Change, step: ChangeStep) -> Result<(), Refusal> {
        match step {
            ChangeStep::AddVoter(id) if change.promote => self.may_promote(id),
            ChangeStep::AddVoter(_) | ChangeStep::AddLearner(_) if !self.config.strict_reconfig => {
                Ok(())
            }
            ChangeStep::AddVoter(_) => {
                let (voters, started) = self.voters_without(NodeId::NONE);
                let first_joiner = started == 1 && voters == 1;
                if !first_joiner && started < majority(voters + 1) {
                    return Err(Refusal::NotEnoughStarted);
                }
                self.is_healthy_for_one_more()
            }
            ChangeStep::AddLearner(_) => self.is_healthy_for_one_more(),
            ChangeStep::Remove(id) => self.may_remove(id),
            ChangeStep::Update(_) => Ok(()),
        }
    }

    fn may_promote(&self, id: NodeId) -> Result<(), Refusal> {
        let mine = self.raft.matched(self.config.id).unwrap_or_default();
        let theirs = self.raft.matched(id).ok_or(Refusal::MemberNotFound)?;
        let is_learner = self.cluster.members.get(&id).is_some_and(|member| member.learner);
        if is_learner && theirs.0 * 10 < mine.0 * READY_TENTHS {
            return Err(Refusal::LearnerNotReady);
        }
        let (voters, started) = self.voters_without(NodeId::NONE);
        if self.config.strict_reconfig && started + 1 < majority(voters + 1) {
            return Err(Refusal::NotEnoughStarted);
        }
        Ok(())
    }

    fn may_remove(&self, id: NodeId) -> Result<(), Refusal> {
        let known = self.cluster.members.get(&id);
        if !self.config.strict_reconfig || known.is_some_and(|member| member.learner) {
            return Ok(());
        }
        let (voters, started) = self.voters_without(id);
        if started < majority(voters) {
            return Err(Refusal::NotEnoughStarted);
        }
        let me = self.config.id;
        // Whoever cannot be reached helps nobody to a majority.
        if id != me && !self.links.is_up(id) {
            return Ok(());
        }
        let all = self.cluster.voters().count();
        if self.connected_voters().saturating_sub(1) < 1 + all.saturating_sub(1) / 2 {
            return Err(Refusal::Unhealthy);
        }
        Ok(())
    }

    /// How many vote beside this one, and how many of them ever ran.
    fn voters_without(&self, id: NodeId) -> (usize, usize) {
        let voters = || self.cluster.voters().filter(|(voter, _)| *voter != id);
        (voters().count(), voters().filter(|(_, member)| member.is_started()).count())
    }

    fn connected_voters(&self) -> usize {
        self.cluster.voters().filter(|(id, _)| self.is_connected(*id)).count()
    }

    fn is_connected(&self, id: NodeId) -> bool {
        id == self.config.id || self.links.connected(self.now, id)
    }

    /// Whether a majority would still be connected with one more voter.
    fn is_healthy_for_one_more(&self) -> Result<(), Refusal> {
        let voters = self.cluster.voters().count();
        let healthy = voters == 1 || self.connected_voters() >= majority(voters + 1);
        if healthy { Ok(()) } else { Err(Refusal::Unhealthy) }
    }

    /// A change of the membership is committed: it takes effect in raft's configuration and in
    /// the list of members, or, where it cannot, in neither.
    pub(super) fn apply_change(&mut self, change: &Change) {
        let reply = match self.fits(change) {
            Ok(()) => {
                self.raft.apply_change(change);
                self.change_members(change);
                Ok(Reply::Members(Arc::clone(&self.cluster)))
            }
            Err(refusal) => Err(refusal),
        };
        if change.ticket != Ticket::default() {
            self.settle(change.ticket, reply);
        }
    }

    /// What every member checks alike.
    fn fits(&self, change: &Change) -> Result<(), Refusal> {
        let told = change.member.as_ref();
        let urls = || told.map(|member| member.peer_urls.as_slice()).unwrap_or_default();
        for step in &change.steps {
            let (ChangeStep::AddVoter(id)
            | ChangeStep::AddLearner(id)
            | ChangeStep::Remove(id)
            | ChangeStep::Update(id)) = *step;
            if self.cluster.removed.contains(&id) {
                return Err(Refusal::MemberNotFound);
            }
            let known = self.cluster.members.get(&id);
            match step {
                ChangeStep::AddVoter(_) if change.promote => match known {
                    None => return Err(Refusal::MemberNotFound),
                    Some(member) if !member.learner => return Err(Refusal::NotLearner),
                    Some(_) => {}
                },
                ChangeStep::AddVoter(_) | ChangeStep::AddLearner(_) => {
                    if known.is_some() {
                        return Err(Refusal::MemberExists);
                    }
                    self.are_free(urls(), id)?;
                    let learners = self.cluster.members.values().filter(|m| m.learner).count();
                    if matches!(step, ChangeStep::AddLearner(_))
                        && learners >= self.config.learners_max
                    {
                        return Err(Refusal::TooManyLearners);
                    }
                }
                ChangeStep::Remove(_) if known.is_none() => return Err(Refusal::MemberNotFound),
                ChangeStep::Remove(_) => {}
                ChangeStep::Update(_) if known.is_none() => return Err(Refusal::MemberNotFound),
                ChangeStep::Update(_) => self.are_free(urls(), id)?,
            }
        }
        Ok(())
    }

    /// Whether no other member is reached by any of these.
    fn are_free(&self, urls: &[String], id: NodeId) -> Result<(), Refusal> {
        let mut others = self.cluster.members.iter().filter(|(other, _)| **other != id);
        if others.any(|(_, member)| member.peer_urls.iter().any(|url| urls.contains(url))) {
            return Err(Refusal::PeerUrlExists);
        }
        Ok(())
    }

    fn change_members(&mut self, change: &Change) {
        let cluster = Arc::make_mut(&mut self.cluster);
        for step in &change.steps {
            let told = || change.member.clone().unwrap_or_default();
            match *step {
                ChangeStep::AddVoter(id) => {
                    cluster.members.entry(id).or_insert_with(told).learner = false;
                }
                ChangeStep::AddLearner(id) => {
                    cluster.members.entry(id).or_insert_with(told).learner = true;
                }
                ChangeStep::Remove(id) => {
                    cluster.members.remove(&id);
                    cluster.removed.insert(id);
                }
                ChangeStep::Update(id) => {
                    if let Some(member) = cluster.members.get_mut(&id) {
                        member.peer_urls = told().peer_urls;
                    }
                }
            }
        }
        self.tell_members();
        self.decide_version();
        if self.cluster.removed.contains(&self.config.id) {
            self.note(Note::RemovedSelf);
            self.outputs.push_back(Output::Leave);
        }
    }

    /// Tells the outside whom to reach where.
    pub(super) fn tell_members(&mut self) {
        self.outputs.push_back(Output::Members(Arc::clone(&self.cluster)));
    }

    /// Publishing: a member's name and client URLs.
    pub(super) fn on_published(&mut self, id: NodeId, name: &str, client_urls: &[String]) {
        // A member that was removed meanwhile stays removed.
        if let Some(member) = Arc::make_mut(&mut self.cluster).members.get_mut(&id) {
            member.name = name.into();
            member.client_urls = client_urls.to_vec();
        }
    }

    /// A leader moves the cluster's version to the lowest that a member speaks, or to the one
    /// before where the operator wants to go back; and ends a downgrade that is complete
    /// (semantics §7.8, §7.9).
    pub(super) fn decide_version(&mut self) {
        if !self.leads || self.raft.begins_term() || self.own.values().any(|own| own.is_version()) {
            return;
        }
        if let Some(command) = self.next_version() {
            self.propose_own(command, super::Own::Version);
        }
    }

    fn next_version(&self) -> Option<Command> {
        let set = |(major, minor)| Command::ClusterVersion(alloc::format!("{major}.{minor}.0"));
        let others = self.cluster.members.keys().filter(|id| **id != self.config.id);
        let others = others.map(|id| self.links.version(*id).and_then(minor));
        let spoken: Option<Vec<(u64, u64)>> =
            core::iter::once(minor(&self.config.version)).chain(others).collect();
        let Some(now) = minor(&self.cluster.version) else {
            // What every version can do, until all are known.
            let lowest = spoken.and_then(|spoken| spoken.into_iter().min());
            return Some(set(lowest.unwrap_or(VERSION_MIN)));
        };
        let spoken = spoken?;
        let lowest = spoken.iter().copied().min()?;
        let Some(target) = self.cluster.target().and_then(minor) else {
            return (now < lowest).then(|| set(lowest));
        };
        if spoken.iter().all(|version| *version == target) {
            return Some(Command::Downgrade { target: String::new() });
        }
        // The operator goes back by one, from what all speak or from where some are there already.
        let one_back = target.0 == now.0 && target.1 + 1 == now.1;
        (one_back && target <= lowest).then(|| set(target))
    }

    /// Hands the leadership over, and answers once that has happened.
    pub(super) fn admit_transfer(&mut self, ticket: Ticket, order: &Order) {
        if !self.leads {
            return self.settle(ticket, Err(Refusal::NotLeader));
        }
        let me = self.config.id;
        let to = match *order {
            Order::MoveLeader { to } => to,
            // Whoever was reached longest is most likely to be up to date.
            _ => {
                let voters = self.cluster.voters().map(|(id, _)| id).filter(|id| *id != me);
                match self.links.longest(voters) {
                    Some(to) => to,
                    None => return self.settle(ticket, Ok(Reply::Done)),
                }
            }
        };
        let votes = self.cluster.members.get(&to).is_some_and(|member: &Member| !member.learner);
        if !votes {
            return self.settle(ticket, Err(Refusal::BadTransferee));
        }
        if to == me {
            return self.settle(ticket, Ok(Reply::Done));
        }
        self.transfers.push((ticket, to));
        self.raft.transfer_leader(self.now, to);
    }

    /// Another leader is known: who waited for it hears so.
    pub(super) fn settle_transfers(&mut self) {
        let leader = self.leader;
        let (done, waiting) =
            core::mem::take(&mut self.transfers).into_iter().partition(|(_, to)| *to == leader);
        self.transfers = waiting;
        let done: alloc::vec::Vec<(Ticket, NodeId)> = done;
        for (ticket, _) in done {
            self.settle(ticket, Ok(Reply::Done));
        }
    }

    /// Whether a ticket waits for a leadership to move.
    pub(super) fn is_transfer(&self, ticket: Ticket) -> bool {
        self.transfers.iter().any(|(waiting, _)| *waiting == ticket)
    }
}
