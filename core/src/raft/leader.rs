//! What a leader does with what it hears.

use super::message::Hint;
use super::{Body, Feed, Progress, Raft, Ready, Reason, Role};
use crate::command::Refusal;
use crate::entry::{Entry, Payload};
use crate::note::Note;
use crate::types::{Index, Instant, NodeId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// A member that leads.
#[derive(Debug)]
pub(super) struct Leader {
    /// Everybody who gets the log, this member too.
    pub(super) peers: BTreeMap<NodeId, Progress>,
    heartbeat_due: Instant,
    quorum_due: Instant,
    /// Whom it hands over to, and until when it tries.
    transfer: Option<(NodeId, Instant)>,
    /// A change up to here may not be applied yet: no second one.
    pending_change: Index,
    /// Reads that wait for a majority to confirm the leadership, oldest first.
    reads: VecDeque<Read>,
    /// The number of the oldest of them.
    first_read: u64,
    /// Reads that wait for the first commit of this term.
    early: Vec<(NodeId, Bytes)>,
    /// Entries came, or the commit index moved, and nobody was told yet.
    news: bool,
}

crate::recording::code!(struct Leader {
    peers,
    heartbeat_due,
    quorum_due,
    transfer,
    pending_change,
    reads,
    first_read,
    early,
    news,
});

#[derive(Debug)]
struct Read {
    from: NodeId,
    context: Bytes,
    index: Index,
    confirmed: BTreeSet<NodeId>,
}

crate::recording::code!(struct Read { from, context, index, confirmed });

impl Leader {
    pub(super) fn deadline(&self) -> (Instant, Reason) {
        if self.quorum_due < self.heartbeat_due {
            (self.quorum_due, Reason::Quorum)
        } else {
            (self.heartbeat_due, Reason::Heartbeat)
        }
    }
}

impl Raft {
    pub(super) fn become_leader(&mut self) {
        let next = self.log.last().next();
        let window = self.options.window;
        let mut peers: BTreeMap<NodeId, Progress> = self
            .config
            .everybody()
            .into_iter()
            .map(|id| (id, Progress::new(next, window)))
            .collect();
        if let Some(me) = peers.get_mut(&self.options.id) {
            me.active = true;
            me.acked(self.log.durable);
            me.stream();
        }
        self.role = Role::Leader(Leader {
            peers,
            heartbeat_due: self.now.after(self.options.heartbeat),
            quorum_due: self.now.after(self.options.election),
            transfer: None,
            // Whatever lies in the log may be a change.
            pending_change: self.log.last(),
            reads: VecDeque::new(),
            first_read: 0,
            early: Vec::new(),
            news: true,
        });
        self.leader = self.options.id;
        self.note(Note::BecameLeader { term: self.term });
        if !mutant!(NoFirstEntry) {
            self.append(Payload::Empty);
        }
    }

    fn leading(&mut self) -> &mut Leader {
        match &mut self.role {
            Role::Leader(leader) => leader,
            _ => unreachable!("only a leader's code asks for the leader"),
        }
    }

    fn append(&mut self, payload: Payload) -> Index {
        let index = self.log.last().next();
        self.log.push(Entry { term: self.term, index, payload });
        if mutant!(CountsUndurable) {
            self.log.durable = index;
            self.on_append_ack(self.options.id, index, None);
        }
        index
    }

    /// Appends what somebody proposed, and gives the last position.
    pub(super) fn append_proposals(&mut self, payloads: Vec<Payload>) -> Result<Index, Refusal> {
        let me = self.options.id;
        let leader = self.leading();
        if !leader.peers.contains_key(&me) || leader.transfer.is_some() {
            return Err(Refusal::ProposalDropped);
        }
        for payload in payloads {
            let payload = self.one_change_at_a_time(payload);
            let change = matches!(payload, Payload::Change { .. });
            let index = self.append(payload);
            if change {
                self.leading().pending_change = index;
            }
        }
        self.leading().news = true;
        Ok(self.log.last())
    }

    /// A change that may not come now becomes an empty entry (semantics §8.7).
    fn one_change_at_a_time(&mut self, payload: Payload) -> Payload {
        let Payload::Change { change, .. } = &payload else { return payload };
        let (joint, leaves) = (self.config.is_joint(), change.leaves_joint());
        let applied = self.applied;
        if self.leading().pending_change > applied || joint != leaves {
            return Payload::Empty;
        }
        payload
    }

    /// Sends everybody what they lack, where they may be sent something. What came since the
    /// last time is one append to each: the driver takes many proposals before it looks.
    pub(super) fn spread(&mut self) {
        let me = self.options.id;
        let Role::Leader(leader) = &mut self.role else { return };
        if !core::mem::take(&mut leader.news) {
            return;
        }
        let peers: Vec<NodeId> = self.leading().peers.keys().copied().collect();
        for peer in peers.into_iter().filter(|peer| *peer != me) {
            self.feed(peer, true);
        }
    }

    /// Sends a peer the next entries, or the state where the log does not go back that far.
    fn feed(&mut self, peer: NodeId, even_if_empty: bool) {
        loop {
            // Such mistakes hide where one append brings all that is lacking.
            let append_bytes = if mutant!(CommitsOldTerms | AcksWholeLog | CommitsAheadOfAppend) {
                1
            } else {
                self.options.append_bytes
            };
            let (commit, last) = (self.log.commit, self.log.last());
            let Some(progress) = self.leading().peers.get(&peer) else { return };
            if progress.is_paused() {
                return;
            }
            let (next, feed) = (progress.next, progress.feed);
            let prev = next.prev();
            let Some(prev_term) = self.log.term(prev).filter(|_| next >= self.log.first()) else {
                self.feed_snapshot(peer);
                return;
            };
            let entries = self.log.slice(next, append_bytes);
            if entries.is_empty() && !even_if_empty {
                return;
            }
            let sent = entries.last().map(|entry| entry.index);
            self.send(peer, Body::Append { prev, prev_term, entries, commit });
            if let Some(progress) = self.leading().peers.get_mut(&peer) {
                progress.sent(sent);
            }
            if feed != Feed::Stream || sent.is_none_or(|sent| sent == last) {
                return;
            }
        }
    }

    fn feed_snapshot(&mut self, peer: NodeId) {
        let index = self.applied;
        let Some(term) = self.log.term(index) else { return };
        let config = self.config.clone();
        let Some(progress) = self.leading().peers.get_mut(&peer) else { return };
        if !progress.active {
            return; // It does not listen.
        }
        progress.snapshot(index);
        self.send(peer, Body::Snapshot { index, term, config });
    }

    pub(super) fn leader_step(&mut self, from: NodeId, body: Body) {
        match body {
            Body::Propose { payloads } => {
                if self.append_proposals(payloads).is_err() {
                    self.note(Note::ProposalDropped);
                }
            }
            Body::ReadIndex { context } => self.on_read_index(from, context),
            Body::AppendAck { index, reject } => self.on_append_ack(from, index, reject),
            Body::HeartbeatAck { context } => self.on_heartbeat_ack(from, &context),
            Body::Transfer { to } => self.on_transfer(to),
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => {
                self.refuse_peer(from, "a second leader of one term");
            }
            Body::Vote { .. }
            | Body::VoteReply { .. }
            | Body::ReadReply { .. }
            | Body::TimeoutNow => {}
        }
    }

    /// A peer's disk, or this member's own, now holds the log up to `index`. Acks come late,
    /// twice and out of order, so only news moves anything.
    fn on_append_ack(&mut self, from: NodeId, index: Index, reject: Option<Hint>) {
        let last = self.log.last();
        let me = self.options.id;
        let hint = reject.map(|hint| {
            // The leader's own log may rule out more than the follower could.
            let (agreed, _) = self.log.agree_before(hint.index, hint.term);
            if hint.term.0 > 0 { agreed } else { hint.index }
        });
        let Some(progress) = self.leading().peers.get_mut(&from) else { return };
        progress.active = true;
        if let Some(hint) = hint {
            if progress.refused(index, hint) {
                if progress.feed == Feed::Stream {
                    progress.probe();
                }
                self.feed(from, true);
            }
            return;
        }
        if index > last {
            self.refuse_peer(from, "it acknowledges what was never sent");
            return;
        }
        let was_paused = progress.is_paused();
        let news = progress.acked(index);
        match progress.feed {
            Feed::Probe if news || progress.matched == index => progress.stream_from_ack(),
            Feed::Snapshot(pending) if progress.matched >= pending => progress.stream(),
            _ => {}
        }
        if !news {
            return;
        }
        if self.commit_agreed() {
            self.leading().news = true;
        } else if was_paused && from != me {
            self.feed(from, true);
        }
        if from != me {
            self.feed(from, false);
            self.finish_transfer(from);
        }
    }

    /// Commits up to what a majority holds, if that entry is of this term: one of an older term
    /// may still be overwritten, whoever holds it (Raft §5.4.2, figure 8).
    fn commit_agreed(&mut self) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let reached = |id| leader.peers.get(&id).map_or(Index::default(), |peer| peer.matched);
        let agreed = self.config.agreed(reached);
        let own_term = self.log.term(agreed) == Some(self.term) || mutant!(CommitsOldTerms);
        if agreed <= self.log.commit || !own_term {
            return false;
        }
        self.commit_to(agreed);
        let early = core::mem::take(&mut self.leading().early);
        for (from, context) in early {
            self.on_read_index(from, context);
        }
        true
    }

    /// Whether this member leads and has committed nothing in its term yet: until then it does
    /// not know how far the log is committed.
    #[must_use]
    pub fn begins_term(&self) -> bool {
        self.leads() && self.log.term(self.log.commit) != Some(self.term)
    }

    pub(super) fn on_read_index(&mut self, from: NodeId, context: Bytes) {
        let committed = self.log.commit;
        if self.begins_term() && !mutant!(ReadsBeforeFirstCommit) {
            // What earlier leaders committed is not known before: a lone voter after a restart
            // has acknowledged more than the commit index on its disk says (Raft §8).
            self.leading().early.push((from, context));
            return;
        }
        if self.config.only_voter_is(self.options.id) || mutant!(ReadsUnconfirmed) {
            self.answer_read(from, committed, context);
            return;
        }
        let confirmed = BTreeSet::from([self.options.id]);
        let leader = self.leading();
        leader.reads.push_back(Read { from, context, index: committed, confirmed });
        let newest = leader.first_read + leader.reads.len() as u64 - 1;
        self.heartbeat(&newest.to_le_bytes());
    }

    fn answer_read(&mut self, from: NodeId, index: Index, context: Bytes) {
        if from == self.options.id {
            self.on_read_reply(index, &context);
        } else {
            self.send(from, Body::ReadReply { index, context });
        }
    }

    /// A peer confirms the leadership, for a read and for all that were asked before it.
    fn on_heartbeat_ack(&mut self, from: NodeId, context: &[u8]) {
        let last = self.log.last();
        let Some(progress) = self.leading().peers.get_mut(&from) else { return };
        progress.active = true;
        progress.unpause();
        if progress.matched < last || progress.feed == Feed::Probe {
            self.feed(from, true);
        }
        let Ok(number) = context.try_into().map(u64::from_le_bytes) else { return };
        self.confirm_reads(from, number);
    }

    fn confirm_reads(&mut self, from: NodeId, number: u64) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(nth) = number.checked_sub(leader.first_read) else { return };
        let Ok(nth) = usize::try_from(nth) else { return };
        let Some(read) = leader.reads.get_mut(nth) else { return };
        read.confirmed.insert(from);
        let confirmed = &read.confirmed;
        let tally = self.config.tally(|id| confirmed.contains(&id).then_some(true));
        if tally != super::members::Tally::Won {
            return;
        }
        let leader = self.leading();
        leader.first_read = number + 1;
        let released: Vec<Read> = leader.reads.drain(..=nth).collect();
        for read in released {
            self.answer_read(read.from, read.index, read.context);
        }
    }

    pub(super) fn on_heartbeat_due(&mut self) {
        let next = self.now.after(self.options.heartbeat);
        let leader = self.leading();
        leader.heartbeat_due = next;
        let newest = (leader.first_read + leader.reads.len() as u64).checked_sub(1);
        let context = newest.filter(|_| !leader.reads.is_empty()).map(u64::to_le_bytes);
        match context {
            Some(context) => self.heartbeat(&context),
            None => self.heartbeat(&[]),
        }
    }

    /// Tells everybody that the leader lives, and what of their log is committed.
    fn heartbeat(&mut self, context: &[u8]) {
        let (me, commit) = (self.options.id, self.log.commit);
        let peers: Vec<(NodeId, Index)> =
            self.leading().peers.iter().map(|(id, peer)| (*id, peer.matched)).collect();
        let context = Bytes::copy_from_slice(context);
        for (peer, matched) in peers.into_iter().filter(|(peer, _)| *peer != me) {
            let context = context.clone();
            let commit = if mutant!(CommitsAheadOfMatch) { commit } else { commit.min(matched) };
            self.send(peer, Body::Heartbeat { commit, context });
        }
    }

    /// Looks whether a majority was heard since the last look; a leader without one steps down.
    pub(super) fn on_quorum_due(&mut self) {
        let (now, me) = (self.now, self.options.id);
        let next = now.after(self.options.election);
        let leader = self.leading();
        leader.quorum_due = next;
        let failed = leader.transfer.take_if(|(_, until)| *until <= now);
        if !self.options.check_quorum {
            return;
        }
        let heard = self.hears_quorum();
        let heir = self.disk_stalls().then(|| self.heir()).flatten();
        let leader = self.leading();
        for (id, peer) in &mut leader.peers {
            if !peer.active {
                // It takes no state in either: the log need not wait for it.
                peer.snapshot_failed();
            }
            peer.active = *id == me;
        }
        match heir {
            _ if !heard && !mutant!(LeaderWithoutQuorum) => {
                self.become_follower(self.term, NodeId::NONE)
            }
            // Whoever was asked did not take over, and this disk is no better.
            Some(_) if failed.is_some() => self.become_follower(self.term, NodeId::NONE),
            Some(heir) => {
                self.note(Note::DiskStalls { heir });
                self.on_transfer(heir);
            }
            None => {}
        }
    }

    /// Whether a write takes longer than an election: such a leader holds everybody up, while a
    /// follower like that costs nothing.
    fn disk_stalls(&self) -> bool {
        let oldest = self.writing.front();
        oldest.is_some_and(|(.., since)| self.now.since(*since) >= self.options.election)
    }

    /// Who should lead instead: of the voters that were heard lately, who holds most.
    fn heir(&self) -> Option<NodeId> {
        let Role::Leader(leader) = &self.role else { return None };
        let fit = leader
            .peers
            .iter()
            .filter(|(id, peer)| peer.active && **id != self.options.id && self.config.votes(**id));
        fit.max_by_key(|(_, peer)| peer.matched).map(|(id, _)| *id)
    }

    /// Whether a majority was heard since the last look, as far as this member can tell.
    #[must_use]
    pub fn hears_quorum(&self) -> bool {
        let Role::Leader(leader) = &self.role else { return true };
        let active = |id| leader.peers.get(&id).map(|peer| peer.active);
        self.config.tally(active) == super::members::Tally::Won
    }

    /// Hands the leadership to a voter: it is brought up to date and told to campaign.
    pub fn transfer_leader(&mut self, now: Instant, to: NodeId) {
        self.now = self.now.max(now);
        if self.leads() {
            self.on_transfer(to);
        } else if self.leader != NodeId::NONE {
            self.forward(Body::Transfer { to });
        }
    }

    fn on_transfer(&mut self, to: NodeId) {
        let me = self.options.id;
        if to == me || !self.config.votes(to) {
            return;
        }
        let until = self.now.after(self.options.election);
        let leader = self.leading();
        if leader.transfer.is_some_and(|(before, _)| before == to) {
            return;
        }
        leader.transfer = Some((to, until));
        leader.quorum_due = until;
        self.finish_transfer(to);
        // Even if all was sent: what was lost of it is found out at once, not by a heartbeat.
        self.feed(to, true);
    }

    fn finish_transfer(&mut self, peer: NodeId) {
        let last = self.log.last();
        let leader = self.leading();
        let wanted = leader.transfer.is_some_and(|(to, _)| to == peer);
        if wanted && leader.peers.get(&peer).is_some_and(|peer| peer.matched == last) {
            self.send(peer, Body::TimeoutNow);
        }
    }

    /// The membership changed: begin to feed who came, forget who went.
    pub(super) fn on_config_changed(&mut self) {
        let everybody = self.config.everybody();
        let (next, window) = (self.log.last().next(), self.options.window);
        let votes = |id| self.config.votes(id);
        let Role::Leader(leader) = &mut self.role else { return };
        leader.peers.retain(|id, _| everybody.contains(id));
        for id in &everybody {
            leader.peers.entry(*id).or_insert_with(|| {
                // Whoever is new counts as heard, so that the next look does not depose.
                let mut progress = Progress::new(next, window);
                progress.active = true;
                progress
            });
        }
        if leader.transfer.is_some_and(|(to, _)| !votes(to)) {
            leader.transfer = None;
        }
        self.commit_agreed();
        self.leading().news = true;
    }

    /// A joint configuration that is to be left by itself is left once it is applied.
    pub(super) fn leave_joint_if_told(&mut self) {
        if !self.config.auto_leave || !self.config.is_joint() || !self.leads() {
            return;
        }
        let applied = self.applied;
        if self.leading().pending_change > applied {
            return;
        }
        let change = Arc::new(super::Change { v2: true, ..super::Change::default() });
        // An empty `ConfChangeV2` is no bytes at all.
        let payload = Payload::Change { bytes: Bytes::new(), change };
        let index = self.append(payload);
        self.leading().pending_change = index;
        self.leading().news = true;
    }
}

impl Progress {
    /// The logs agree: from here on appends go out one behind the other.
    fn stream_from_ack(&mut self) {
        if self.feed == Feed::Probe {
            self.stream();
        }
    }
}

/// Where a raft learns that it must stop leading: kept beside what makes it lead.
impl Ready {
    /// Whether it is a write.
    #[must_use]
    pub fn is_persist(&self) -> bool {
        matches!(self, Ready::Persist { .. })
    }
}
