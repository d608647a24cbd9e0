//! Committed entries change the state, in the order of the log, and answer their tickets.

use super::Node;
use super::alarms;
use crate::command::{AlarmAction, AlarmKind, Command, Refusal, Reply};
use crate::entry::{Entry, Payload, Proposal};
use crate::limits::APPLY_MAX;
use crate::mvcc::record;
use crate::note::{Note, Work};
use crate::types::{LeaseId, NodeId, Term, Ticket};
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Node {
    /// Applies what is committed, up to a bound; the rest makes the next deadline due at once.
    pub(super) fn apply_committed(&mut self) {
        let entries = self.raft.next_committed(APPLY_MAX);
        if entries.is_empty() {
            return;
        }
        let mut work = Work::default();
        for entry in entries {
            let (index, term) = (entry.index, entry.term);
            assert!(index == self.applied.0.next(), "entries are applied without a gap");
            self.apply(entry, &mut work);
            self.applied = (index, term);
        }
        self.changed = true;
        self.raft.applied(self.applied.0);
        self.note(Note::Applied { index: self.applied.0, work });
        self.checkpoint_if_due();
    }

    fn apply(&mut self, entry: Entry, work: &mut Work) {
        match entry.payload {
            Payload::Empty => self.on_term_begun(entry.term),
            Payload::Command(proposal) => {
                let done = self.apply_proposal(&proposal);
                work.add(proposal.command.kind(), done);
            }
            Payload::Change { change, .. } => self.apply_change(&change),
        }
    }

    /// A leader's first entry: all of earlier terms is applied, so a leader may count time.
    fn on_term_begun(&mut self, term: Term) {
        if !self.leads || term != self.raft.term() {
            return;
        }
        self.lessor.promote(self.now, self.config.election);
        if let Some(context) = self.reads.again(self.now, self.rng.next_u64()) {
            self.raft.read_index(self.now, context);
        }
        self.decide_version();
    }

    /// Applies a proposal and answers it; whether it was not refused.
    fn apply_proposal(&mut self, proposal: &Proposal) -> bool {
        let Some(reply) = self.apply_command(proposal.ticket, &proposal.command) else {
            return true;
        };
        let done = reply.is_ok();
        self.settle(proposal.ticket, reply);
        done
    }

    /// Applies one command; `None` where its answer comes later.
    fn apply_command(
        &mut self,
        ticket: Ticket,
        command: &Command,
    ) -> Option<Result<Reply, Refusal>> {
        if let Some(refusal) = self.forbidden(command) {
            return Some(Err(refusal));
        }
        let lacked_space = self.lacks_space(alarms::cost(command));
        let reply = self.execute(command);
        self.collect_events();
        if reply.is_ok() && lacked_space {
            // The change stands on every member, whatever its file size; only the asker of
            // this one hears that its quota is used up.
            let askers = self.tickets.is_open(ticket).then_some(ticket);
            if self.alarms.any(AlarmKind::NoSpace) {
                return Some(Err(Refusal::NoSpace));
            }
            self.raise_no_space(askers);
            return None;
        }
        match command {
            Command::Compact { physical: true, .. } => self.answer_when_compacted(ticket, reply),
            _ => Some(reply),
        }
    }

    /// What the alarms forbid (semantics §6.6); any member's alarm binds all.
    fn forbidden(&self, command: &Command) -> Option<Refusal> {
        let writes = matches!(
            command,
            Command::Put(_)
                | Command::Delete(_)
                | Command::Txn(_)
                | Command::Compact { .. }
                | Command::Grant { .. }
                | Command::Revoke { .. }
        );
        if writes && self.alarms.any(AlarmKind::Corrupt) {
            return Some(Refusal::Corrupt);
        }
        if alarms::cost(command) > 0 && self.alarms.any(AlarmKind::NoSpace) {
            return Some(Refusal::NoSpace);
        }
        None
    }

    fn execute(&mut self, command: &Command) -> Result<Reply, Refusal> {
        match command {
            Command::Put(put) => {
                let lessor = &self.lessor;
                self.store.put(put, &|lease| lessor.knows(lease)).map(Reply::Put)
            }
            Command::Delete(delete) => Ok(Reply::Delete(self.store.delete(delete))),
            Command::Txn(txn) => {
                let lessor = &self.lessor;
                self.store.txn(txn, &|lease| lessor.knows(lease)).map(Reply::Txn)
            }
            Command::Compact { revision, .. } => self.compact(*revision),
            Command::Grant { lease, ttl } => self.grant(*lease, *ttl),
            Command::Revoke { lease } => self.revoke(*lease),
            Command::Checkpoint(leases) => {
                self.lessor.apply_checkpoint(leases);
                Ok(Reply::Done)
            }
            Command::Alarm { action, member, kind } => {
                Ok(Reply::Alarms(self.alarm(*action, *member, *kind)))
            }
            Command::Publish { member, name, client_urls } => {
                self.on_published(*member, name, client_urls);
                Ok(Reply::Done)
            }
            Command::ClusterVersion(version) => {
                Arc::make_mut(&mut self.cluster).version.clone_from(version);
                self.note(Note::ClusterVersion { version: version.clone() });
                self.versions_moved = true;
                Ok(Reply::Done)
            }
            Command::Downgrade { target } => {
                Arc::make_mut(&mut self.cluster).downgrade = Some(target.clone());
                self.note(Note::Downgrade { target: target.clone() });
                self.versions_moved = true;
                Ok(Reply::Done)
            }
            Command::Range(_) => Ok(Reply::Done),
        }
    }

    fn compact(&mut self, revision: i64) -> Result<Reply, Refusal> {
        self.store.compact(revision)?;
        self.note(Note::CompactionScheduled { revision });
        self.compactor.succeeded(self.now, revision);
        Ok(Reply::Compact { revision: self.store.revision() })
    }

    /// Keeps the answer back until the old versions are gone, also where the request itself was
    /// refused as compacted already (semantics §2.1).
    fn answer_when_compacted(
        &mut self,
        ticket: Ticket,
        reply: Result<Reply, Refusal>,
    ) -> Option<Result<Reply, Refusal>> {
        let waits = matches!(reply, Ok(_) | Err(Refusal::Compacted)) && self.store.compacting();
        if !waits || !self.tickets.is_open(ticket) {
            return Some(reply);
        }
        self.compacting.push((ticket, reply));
        None
    }

    fn grant(&mut self, lease: LeaseId, ttl: i64) -> Result<Reply, Refusal> {
        let ttl = self.lessor.grant(self.now, lease, ttl)?;
        Ok(Reply::Grant { lease, ttl, revision: self.store.revision() })
    }

    fn revoke(&mut self, lease: LeaseId) -> Result<Reply, Refusal> {
        let keys = self.lessor.revoke(lease)?;
        let revision = self.store.remove(if mutant!(RevokeKeepsKeys) { &[] } else { &keys });
        if mutant!(RevokesInSilence) {
            self.store.take_events();
        }
        for ticket in self.renewals.remove(&lease).unwrap_or_default() {
            self.settle(ticket, Ok(Reply::Renew { lease, ttl: 0, revision }));
        }
        Ok(Reply::Revoke { revision })
    }

    fn alarm(
        &mut self,
        action: AlarmAction,
        member: NodeId,
        kind: Option<AlarmKind>,
    ) -> Vec<(NodeId, AlarmKind)> {
        let changed = self.alarms.apply(action, member, kind);
        for &(member, kind) in &changed {
            match action {
                AlarmAction::Get => {}
                AlarmAction::Activate => self.note(Note::AlarmRaised { member, kind }),
                AlarmAction::Deactivate => self.note(Note::AlarmDisarmed { member, kind }),
            }
        }
        changed
    }

    /// Takes the store's changes over: keys move between leases, watchers will hear.
    fn collect_events(&mut self) {
        for event in self.store.take_events() {
            let before = event.lease_before;
            let after = if event.tombstone { LeaseId::NONE } else { record::lease(&event.record) };
            if before != after {
                if before != LeaseId::NONE && !mutant!(DetachForgotten) {
                    self.lessor.detach(before, &event.key);
                }
                if after != LeaseId::NONE && !mutant!(AttachForgotten) {
                    self.lessor.attach(after, &event.key);
                }
            }
            self.events.push(event);
        }
    }
}
