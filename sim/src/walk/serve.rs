//! What stands between clients and a node: requests become inputs, replies become answers. The
//! log's bytes are etcd's, as in every member.

use super::member::Life;
use super::roster::Wish;
use super::{Happening, World};
use crate::ask::{both, swap};
use crate::history::{Call, Outcome};
use crate::oracle::Broken;
use bytes::Bytes;
use keel_core::command::{Command, OpReply, Refusal, Reply};
use keel_core::limits::{REQUEST_BYTES_MAX, TXN_OPS_MAX};
use keel_core::mvcc::{self, record};
use keel_core::{Input, Instant, Proposal, Ticket};
use keel_proto::convert::{propose, request};
use keel_proto::wire::etcdserverpb as pb;

/// Whose question it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    /// This client's, as this operation.
    Client(usize, usize),
    /// The plan's own.
    Plan,
    /// A change of the membership.
    Change(Wish),
    /// A damaged member's.
    Repair(usize),
}

/// Who waits for a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) whose: Whose,
    /// Since when.
    pub(super) since: Instant,
}

impl World {
    /// A client's request reaches a member.
    pub(super) fn request(
        &mut self,
        client: usize,
        operation: usize,
        at: usize,
    ) -> Result<(), Broken> {
        let member = &self.members[at];
        if member.life.is_none() || member.hidden {
            return Ok(());
        }
        if member.still > self.now {
            let still = member.still;
            self.at(still, Happening::Request { client, operation, member: at });
            return Ok(());
        }
        let ticket = self.ticket();
        let call = self.history.0[operation].call.clone();
        if let Call::Stale { key } = &call {
            let life = self.members[at].life.as_ref().expect("it lives");
            let outcome = read(&life.node.view().kv, key);
            self.answer(client, operation, outcome);
            return Ok(());
        }
        self.admit(at, ticket, Whose::Client(client, operation), input(ticket, &call))
    }

    /// Gives a member an input that owes a reply.
    pub(super) fn admit(
        &mut self,
        at: usize,
        ticket: Ticket,
        whose: Whose,
        input: Input,
    ) -> Result<(), Broken> {
        let asked = Asked { whose, since: self.now };
        let life = self.members[at].life.as_mut().expect("only who lives is asked");
        life.asked.ask(ticket, asked);
        self.turn(at, Some(input))
    }

    /// A node answers a ticket: there is one answer a ticket.
    pub(super) fn reply(
        &mut self,
        at: usize,
        life: &mut Life,
        ticket: Ticket,
        reply: Result<Reply, Refusal>,
    ) -> Result<(), Broken> {
        let asked = life.asked.pay(ticket)?;
        match (asked.whose, reply) {
            (Whose::Client(client, operation), reply) => {
                let call = &self.history.0[operation].call;
                let outcome = outcome(call, reply);
                self.answer(client, operation, outcome);
            }
            (Whose::Repair(damaged), Ok(reply)) => {
                self.repair_hears(damaged, at, life.node.status().commit, reply);
            }
            (Whose::Change(wish), Ok(_)) => self.changed(wish),
            (Whose::Repair(_) | Whose::Change(_), Err(_)) | (Whose::Plan, _) => {}
        }
        Ok(())
    }

    fn answer(&mut self, client: usize, operation: usize, outcome: Outcome) {
        let takes = self.way_to_client(client);
        self.soon(takes, Happening::Answer { client, operation, outcome });
    }
}

/// A call as a node takes it.
fn input(ticket: Ticket, call: &Call) -> Input {
    let none = pb::InternalRaftRequest::default;
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let (command, operation) = match call {
        Call::Get { .. } | Call::Stale { .. } => return Input::Read { ticket },
        Call::Renew { lease } => return Input::Renew { ticket, lease: *lease },
        Call::Put { key, value, lease } => {
            let put = pb::PutRequest {
                key: text(key),
                value: text(value),
                lease: lease.0,
                ..Default::default()
            };
            let command = request::put(put.clone()).expect("it is a put");
            (Command::Put(command), pb::InternalRaftRequest { put: Some(put), ..none() })
        }
        Call::Delete { key } => {
            let delete = pb::DeleteRangeRequest { key: text(key), ..Default::default() };
            let command = request::delete(delete.clone()).expect("it is a delete");
            let operation = pb::InternalRaftRequest { delete_range: Some(delete), ..none() };
            (Command::Delete(command), operation)
        }
        Call::Swap { key, from, to } => {
            let txn = swap(key, from.as_deref(), to);
            let command = request::txn(txn.clone(), TXN_OPS_MAX).expect("it is a transaction");
            (Command::Txn(command), pb::InternalRaftRequest { txn: Some(txn), ..none() })
        }
        Call::Both { key, value, other, past } => {
            let txn = both(key, value, other, *past);
            let command = request::txn(txn.clone(), TXN_OPS_MAX).expect("it is a transaction");
            (Command::Txn(command), pb::InternalRaftRequest { txn: Some(txn), ..none() })
        }
        Call::Grant { lease, ttl } => {
            let grant = pb::LeaseGrantRequest { id: lease.0, ttl: *ttl };
            let command = Command::Grant { lease: *lease, ttl: *ttl };
            (command, pb::InternalRaftRequest { lease_grant: Some(grant), ..none() })
        }
        Call::Compact { revision } => {
            let compaction = pb::CompactionRequest { revision: *revision, physical: false };
            let command = Command::Compact { revision: *revision, physical: false };
            (command, pb::InternalRaftRequest { compaction: Some(compaction), ..none() })
        }
    };
    let proposal: Proposal =
        propose(ticket, command, operation, REQUEST_BYTES_MAX).expect("it is small");
    Input::Propose { proposal }
}

/// A node's reply, as a client hears it.
fn outcome(call: &Call, reply: Result<Reply, Refusal>) -> Outcome {
    let wrote = |revision, changed| Outcome::Wrote { revision, changed };
    match (reply, call) {
        (Err(refusal), _) => Outcome::Refused { why: format!("{refusal:?}") },
        (Ok(Reply::Point(view)), Call::Get { key } | Call::Stale { key }) => read(&view.kv, key),
        (Ok(Reply::Put(put)), _) => wrote(put.revision, true),
        (Ok(Reply::Delete(delete)), _) => wrote(delete.revision, delete.deleted > 0),
        (Ok(Reply::Txn(txn)), _) => match txn.replies.first() {
            Some(OpReply::Range(range)) => Outcome::Read {
                revision: txn.revision,
                found: range.records.first().map(|record| found(record)),
            },
            _ => wrote(txn.revision, true),
        },
        (Ok(Reply::Grant { ttl, .. } | Reply::Renew { ttl, .. }), _) => Outcome::Lease { ttl },
        (Ok(_), _) => Outcome::Done,
    }
}

/// What a key holds in a view.
fn read(view: &mvcc::View, key: &str) -> Outcome {
    let found = view.get(key.as_bytes()).map(|record| found(&record));
    Outcome::Read { revision: view.revision(), found }
}

fn found(bytes: &[u8]) -> (String, i64) {
    let fields = record::fields(bytes);
    (String::from_utf8_lossy(fields.value).into_owned(), fields.modified)
}
