//! What comes in: accepted with a ticket, or refused with a reason.

use super::Node;
use super::alarms;
use super::duties::Own;
use super::reads::{Asker, Purpose};
use crate::command::{AlarmAction, AlarmKind, Command, Refusal, Reply};
use crate::entry::{Payload, Proposal};
use crate::input::{Input, Order};
use crate::lease::Renewal;
use crate::limits::APPLY_LAG_MAX;
use crate::types::{LeaseId, Ticket};
use alloc::vec::Vec;

/// A question that must see everything committed when it was asked (semantics §4.3).
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// Renew a lease.
    Renew(LeaseId),
    /// How long a lease has left.
    TimeToLive { lease: LeaseId, keys: bool },
}

crate::recording::code!(enum Question { 1 Renew(lease), 2 TimeToLive { lease, keys } });

impl Node {
    /// Takes one input in.
    pub(super) fn take(&mut self, input: Input) {
        match input {
            Input::Tick => {}
            Input::Peer { from, message } => self.raft.step(self.now, from, message),
            Input::LinkUp { peer, version } => self.link_up(peer, version),
            Input::LinkDown { peer } => self.link_down(peer),
            Input::Lost { peer } => self.raft.link_down(peer),
            Input::Propose { proposal } => self.admit_proposal(proposal),
            Input::Read { ticket } => {
                self.tickets.open(self.now, ticket);
                self.reads.ask(Asker { ticket, purpose: Purpose::Point });
            }
            Input::Renew { ticket, lease } => {
                if let Some(reply) = self.renew_at_once(lease) {
                    self.replies.push((ticket, Ok(reply)));
                    return;
                }
                self.tickets.open(self.now, ticket);
                self.admit_renewal(ticket, lease);
            }
            Input::RenewAll { ticket, leases } => {
                let reply = self.renew_all(&leases);
                self.replies.push((ticket, reply));
            }
            Input::Admin { ticket, order } => {
                self.tickets.open(self.now, ticket);
                self.admit_order(ticket, order);
            }
            Input::Reconfigure { ticket, bytes, change } => {
                self.tickets.open(self.now, ticket);
                self.admit_change(ticket, bytes, change);
            }
            Input::StateSent { peer, arrived } => self.raft.snapshot_ended(peer, arrived),
            Input::State { from, term, state } => self.state_arrived(from, term, state),
            Input::Forget { ticket } => {
                // What it asked for may still happen; nobody hears of it.
                self.tickets.close(ticket);
            }
            Input::Persisted { mark } => self.raft.persisted(self.now, mark),
            Input::Stored { mark, chunks } => self.stored(mark, &chunks),
        }
    }

    /// A client's command, in etcd's order of checks (semantics §1.8, §6.3).
    fn admit_proposal(&mut self, proposal: Proposal) {
        let ticket = proposal.ticket;
        self.tickets.open(self.now, ticket);
        if self.lacks_space(alarms::cost(&proposal.command)) {
            self.raise_no_space(Some(ticket));
            return;
        }
        if self.raft.commit().0 > self.applied.0.0 + APPLY_LAG_MAX {
            self.settle(ticket, Err(Refusal::TooManyRequests));
            return;
        }
        self.propose(proposal);
    }

    /// Hands a proposal to raft, or keeps it until a leader is known.
    pub(super) fn propose(&mut self, proposal: Proposal) {
        let ticket = proposal.ticket;
        match self.raft.propose(self.now, Payload::Command(proposal.clone())) {
            Ok(_) => {}
            // etcd blocks here until a leader is known or the asker's time is up.
            Err(Refusal::NoLeader) => self.parked.push_back(proposal),
            // A leader that hands over or was removed takes nothing. What it says of itself is
            // said until it is heard: to ask again at once would be asked for ever.
            Err(_) if self.own.get(&ticket) == Some(&Own::Publish) => {
                self.parked.push_back(proposal);
            }
            Err(refusal) => self.settle(ticket, Err(refusal)),
        }
    }

    /// Tries the proposals again that waited for a leader.
    pub(super) fn unpark(&mut self) {
        for proposal in core::mem::take(&mut self.parked) {
            if self.tickets.is_open(proposal.ticket) {
                self.propose(proposal);
            }
        }
    }

    /// Proposes a command of the node's own, and remembers why.
    pub(super) fn propose_own(&mut self, command: Command, why: Own) -> Ticket {
        let ticket = loop {
            let ticket = Ticket(self.rng.next_u64());
            if !self.tickets.is_open(ticket) {
                break ticket;
            }
        };
        self.tickets.open(self.now, ticket);
        self.own.insert(ticket, why);
        self.propose(super::own::proposal(ticket, command));
        ticket
    }

    /// Whether `cost` bytes would not fit the quota any more.
    pub(super) fn lacks_space(&self, cost: i64) -> bool {
        let quota = self.config.quota_bytes;
        cost > 0 && quota > 0 && self.store.usage().total.saturating_add(cost) >= quota
    }

    /// Raises this member's alarm through the log; the asker hears `NoSpace` once that ended.
    pub(super) fn raise_no_space(&mut self, asker: Option<Ticket>) {
        let under_way = self.own.values_mut().find_map(|own| match own {
            Own::NoSpace { askers } => Some(askers),
            _ => None,
        });
        if let Some(askers) = under_way {
            askers.extend(asker);
            return;
        }
        let command = Command::Alarm {
            action: AlarmAction::Activate,
            member: self.config.id,
            kind: Some(AlarmKind::NoSpace),
        };
        let askers: Vec<Ticket> = asker.into_iter().collect();
        self.propose_own(command, Own::NoSpace { askers });
    }

    /// Whether it leads and need not ask whether it still does.
    fn is_sure_to_lead(&self) -> bool {
        self.leads && !self.doubtful
    }

    /// What nearly every keep-alive comes to: nobody waits, so no ticket is opened.
    fn renew_at_once(&mut self, lease: LeaseId) -> Option<Reply> {
        if !self.is_sure_to_lead() {
            return None;
        }
        let Renewal::Granted { ttl } = self.lessor.renew(self.now, lease) else { return None };
        Some(Reply::Renew { lease, ttl, revision: self.store.revision() })
    }

    /// The keep-alives that another member has for its clients.
    fn renew_all(&mut self, leases: &[LeaseId]) -> Result<Reply, Refusal> {
        if !self.is_sure_to_lead() {
            return Err(Refusal::NotPrimary);
        }
        let granted = |lease: &LeaseId| match self.lessor.renew(self.now, *lease) {
            Renewal::Granted { ttl } => ttl,
            _ => 0,
        };
        Ok(Reply::RenewAll(leases.iter().map(granted).collect()))
    }

    /// A keep-alive: the leader's own business, as long as it is sure to lead (semantics §4.3).
    fn admit_renewal(&mut self, ticket: Ticket, lease: LeaseId) {
        if !self.leads && !mutant!(FollowerRenews) {
            self.settle(ticket, Err(Refusal::NotPrimary));
        } else if self.doubtful && !mutant!(DoubtfulLeaderRenews) {
            self.reads.ask(Asker { ticket, purpose: Purpose::Renew(lease) });
        } else {
            self.renew(ticket, lease);
        }
    }

    /// Renews a lease, the leadership being sure. A lease that is not here yet may stand in an
    /// entry that is committed and not yet applied.
    pub(super) fn renew(&mut self, ticket: Ticket, lease: LeaseId) {
        if !self.lessor.knows(lease) && self.raft.has_committed() {
            self.behind.push((ticket, Question::Renew(lease)));
            return;
        }
        let revision = self.store.revision();
        match self.lessor.renew(self.now, lease) {
            Renewal::Granted { ttl } => {
                self.settle(ticket, Ok(Reply::Renew { lease, ttl, revision }));
            }
            Renewal::Clear => {
                let command = Command::Checkpoint(alloc::vec![(lease, 0)]);
                let renewals = alloc::vec![(ticket, lease)];
                self.propose_own(command, Own::LeaseCheckpoint { renewals });
            }
            Renewal::Unknown => {
                self.settle(ticket, Ok(Reply::Renew { lease, ttl: 0, revision }));
            }
            Renewal::NotPrimary => self.settle(ticket, Err(Refusal::NotPrimary)),
            // Its time is up: the answer waits until it is revoked, or this member demoted.
            Renewal::Expired => self.renewals.entry(lease).or_default().push(ticket),
        }
    }

    fn admit_order(&mut self, ticket: Ticket, order: Order) {
        match order {
            Order::TimeToLive { lease, keys } => {
                self.behind.push((ticket, Question::TimeToLive { lease, keys }));
            }
            Order::Leases => {
                let leases = self.lessor.list();
                self.settle(ticket, Ok(Reply::Leases(leases)));
            }
            Order::Export => {
                let state = self.checkpoint();
                self.settle(ticket, Ok(Reply::Export(state)));
            }
            Order::MoveLeader { .. } | Order::HandOver => self.admit_transfer(ticket, &order),
            Order::Checkpoint => self.force_checkpoint(ticket),
            Order::Room { bytes } if self.lacks_space(bytes) => self.raise_no_space(Some(ticket)),
            Order::Room { .. } => self.settle(ticket, Ok(Reply::Done)),
        }
    }

    /// Answers the questions that waited for everything committed to be applied.
    pub(super) fn answer_questions(&mut self) {
        if self.behind.is_empty() || self.raft.has_committed() || self.raft.begins_term() {
            return;
        }
        for (ticket, question) in core::mem::take(&mut self.behind) {
            match question {
                Question::Renew(lease) => self.admit_renewal(ticket, lease),
                Question::TimeToLive { lease, keys } => {
                    let reply = if self.leads {
                        Ok(Reply::TimeToLive(self.lessor.life(self.now, lease, keys)))
                    } else {
                        Err(Refusal::NotLeader)
                    };
                    self.settle(ticket, reply);
                }
            }
        }
    }
}
