//! What locks and elections share: a queue of keys below a name, one a lease, the oldest first
//! (surface §1.3).
//!
//! etcd answers these two services through a client inside the server, so whatever goes wrong
//! below reaches callers as an unknown error with the plain text ([`plain`]).

use super::Desk;
use crate::convert::{keys, propose};
use crate::wire::{Stored, etcdserverpb as pb};
use bytes::Bytes;
use keel_core::command::{Command, Delete};
use keel_core::mvcc::record::{self, Fields};
use keel_core::watch::{Answer, Watch};
use keel_core::{Event, Keys, Ticket};
use pb::kv_server::Kv;
use pb::lease_server::Lease;
use std::future::poll_fn;
use std::sync::Arc;
use tonic::{Request, Status};

/// How long the lease of a caller that brings none lives, in seconds. Nobody keeps it alive.
const SESSION_TTL: i64 = 60;

/// A caller's place in a queue.
pub(super) struct Place {
    pub(super) key: Bytes,
    /// The revision that made the key.
    pub(super) created: i64,
    /// Whether nobody stands before it.
    pub(super) first: bool,
    /// What the key held, where it was there before.
    pub(super) held: Option<Bytes>,
    pub(super) header: Option<pb::ResponseHeader>,
}

/// How a key is given up by a caller who goes away while it waits.
pub(super) enum Leave {
    /// It is deleted.
    Delete,
    /// It is deleted if it is still the one that this revision made.
    Resign(i64),
}

/// Gives a key up when dropped.
pub(super) struct Waiting<'a> {
    desk: &'a Desk,
    key: Bytes,
    leave: Option<Leave>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(desk: &'a Desk, key: Bytes, leave: Leave) -> Waiting<'a> {
        Waiting { desk, key, leave: Some(leave) }
    }

    /// The key stays.
    pub(super) fn stay(mut self) {
        self.leave = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        match self.leave.take() {
            Some(Leave::Delete) => self.desk.give_up(&self.key),
            Some(Leave::Resign(created)) => self.desk.give_up_if(&self.key, created),
            None => {}
        }
    }
}

impl Desk {
    /// The lease that a caller names, or a fresh one.
    pub(super) async fn session(&self, lease: i64) -> Result<i64, Status> {
        if lease != 0 {
            return Ok(lease);
        }
        let grant = pb::LeaseGrantRequest { ttl: SESSION_TTL, id: 0 };
        let granted = self.lease_grant(Request::new(grant)).await.map_err(plain)?;
        Ok(granted.into_inner().id)
    }

    /// Stands in a queue; who stands in it already keeps the place.
    pub(super) async fn enter(
        &self,
        queue: &Bytes,
        lease: i64,
        value: Bytes,
    ) -> Result<Place, Status> {
        let key = place_of(queue, lease);
        let mine = pb::RangeRequest { key: key.clone(), ..Default::default() };
        let put = pb::PutRequest { key: key.clone(), value, lease, ..Default::default() };
        let owner = read(oldest(queue.clone()));
        let txn = pb::TxnRequest {
            compare: vec![made_at(key.clone(), 0)],
            success: vec![write(put), owner.clone()],
            failure: vec![read(mine), owner],
        };
        let answer = self.transact(txn).await?;
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        let mut ranges = answer.responses.iter().filter_map(range_of);
        let before = if answer.succeeded { None } else { ranges.next().and_then(first_of) };
        let created = before.map_or(revision, |fields| fields.create);
        let owner = ranges.next().and_then(first_of);
        let first = owner.is_none_or(|owner| owner.create == created);
        let held = before.map(|fields| Bytes::copy_from_slice(fields.value));
        Ok(Place { key, created, first, held, header: answer.header })
    }

    /// Waits until everybody is gone who came before this revision.
    pub(super) async fn turn(&self, queue: &Bytes, created: i64) -> Result<(), Status> {
        loop {
            let before = pb::RangeRequest {
                sort_order: pb::range_request::SortOrder::Descend.into(),
                max_create_revision: created - 1,
                ..oldest(queue.clone())
            };
            let answer = self.look(before).await?;
            let Some(last) = answer.kvs.first() else { return Ok(()) };
            let revision = answer.header.as_ref().map_or(0, |header| header.revision);
            let mut following = self.follow(Keys::One(record::key(&last.0)), revision);
            while !following.next().await?.ok_or_else(lost)?.tombstone {}
        }
    }

    pub(super) async fn transact(&self, txn: pb::TxnRequest) -> Result<pb::TxnResponse, Status> {
        Ok(self.txn(Request::new(txn)).await.map_err(plain)?.into_inner())
    }

    pub(super) async fn look(&self, range: pb::RangeRequest) -> Result<pb::RangeResponse, Status> {
        Ok(self.range(Request::new(range)).await.map_err(plain)?.into_inner())
    }

    /// Follows keys from a revision on.
    pub(super) fn follow(&self, keys: Keys, start: i64) -> Following {
        let stream = self.hub.open();
        stream.create(Watch {
            id: 0,
            keys: Some(keys),
            start,
            progress: false,
            no_put: false,
            no_delete: false,
            prev_kv: false,
            fragment: false,
        });
        Following { stream, events: Arc::default(), seen: 0, revision: 0 }
    }

    fn give_up(&self, key: &Bytes) {
        let delete = pb::DeleteRangeRequest { key: key.clone(), ..Default::default() };
        let command = Command::Delete(Delete { keys: Keys::One(key.clone()), prev_kv: false });
        self.tell(
            command,
            pb::InternalRaftRequest { delete_range: Some(delete), ..Default::default() },
        );
    }

    fn give_up_if(&self, key: &Bytes, created: i64) {
        let txn = resignation(key.clone(), created);
        match crate::convert::request::txn(txn.clone(), self.info.txn_ops) {
            Ok(command) => self.tell(
                Command::Txn(command),
                pb::InternalRaftRequest { txn: Some(txn), ..Default::default() },
            ),
            Err(bad) => unreachable!("a resignation is well formed, but {bad:?}"),
        }
    }

    /// Puts a command into the log for a caller who is not there any more. If there is no room
    /// for it now, the key goes with its lease.
    fn tell(&self, command: Command, operation: pb::InternalRaftRequest) {
        let ticket = Ticket(self.handle.next_id());
        if let Ok(proposal) = propose(ticket, command, operation, self.info.request_bytes) {
            self.handle.tell(proposal);
        }
    }
}

/// Changes of some keys, one after the other.
pub(super) struct Following {
    stream: crate::hub::Stream,
    events: Arc<[Event]>,
    /// How many of them were told.
    seen: usize,
    /// The revision that stood in the header of the newest events.
    pub(super) revision: i64,
}

impl Following {
    /// The next change; `None` when the watch is gone without a reason.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Status> {
        loop {
            if let Some(event) = self.events.get(self.seen) {
                self.seen += 1;
                return Ok(Some(event.clone()));
            }
            let Some(delivery) = poll_fn(|cx| self.stream.poll_delivery(cx)).await else {
                return Ok(None);
            };
            match delivery.answer {
                Answer::Events { events, .. } => {
                    self.revision = delivery.revision;
                    (self.events, self.seen) = (events, 0);
                }
                Answer::Canceled { compacted, .. } if compacted > 0 => {
                    return Err(plain(crate::refusal::status(keel_core::Refusal::Compacted)));
                }
                Answer::Canceled { reason, .. } | Answer::Refused { reason } => {
                    return Err(Status::unknown(reason));
                }
                Answer::Created | Answer::Progress => {}
            }
        }
    }
}

/// What a caller hears of an error below.
pub(super) fn plain(status: Status) -> Status {
    Status::unknown(status.message())
}

fn lost() -> Status {
    Status::unknown("lost watcher waiting for delete")
}

/// The queue below a name.
pub(super) fn queue_of(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// A lease's key in a queue, its id as Go writes it in hexadecimal.
fn place_of(queue: &[u8], lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    [queue, format!("{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into()
}

/// The keys of a queue.
pub(super) fn places(queue: Bytes) -> Keys {
    let end = behind(&queue);
    keys(queue, end)
}

/// The first key behind a queue's: it ends with a slash, and nothing lies between that and `0`.
fn behind(queue: &[u8]) -> Bytes {
    let name = queue.split_last().map_or(&[][..], |(_slash, name)| name);
    [name, b"0"].concat().into()
}

/// Asks for a queue's oldest key.
pub(super) fn oldest(queue: Bytes) -> pb::RangeRequest {
    pb::RangeRequest {
        range_end: behind(&queue),
        key: queue,
        limit: 1,
        sort_order: pb::range_request::SortOrder::Ascend.into(),
        sort_target: pb::range_request::SortTarget::Create.into(),
        ..Default::default()
    }
}

/// Whether a key is the one that this revision made; zero is one that does not exist.
pub(super) fn made_at(key: Bytes, created: i64) -> pb::Compare {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key,
        target_union: Some(TargetUnion::CreateRevision(created)),
        ..Default::default()
    }
}

/// Deletes a key if it is still the one that this revision made.
pub(super) fn resignation(key: Bytes, created: i64) -> pb::TxnRequest {
    let delete = pb::DeleteRangeRequest { key: key.clone(), ..Default::default() };
    let request = Some(pb::request_op::Request::RequestDeleteRange(delete));
    pb::TxnRequest {
        compare: vec![made_at(key, created)],
        success: vec![pb::RequestOp { request }],
        ..Default::default()
    }
}

pub(super) fn write(put: pb::PutRequest) -> pb::RequestOp {
    pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) }
}

fn read(range: pb::RangeRequest) -> pb::RequestOp {
    pb::RequestOp { request: Some(pb::request_op::Request::RequestRange(range)) }
}

fn range_of(op: &pb::ResponseOp) -> Option<&pb::RangeResponse> {
    match &op.response {
        Some(pb::response_op::Response::ResponseRange(range)) => Some(range),
        _ => None,
    }
}

fn first_of(range: &pb::RangeResponse) -> Option<Fields<'_>> {
    range.kvs.first().map(|Stored(bytes)| record::fields(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_as_go_names_it() {
        assert_eq!(place_of(&queue_of(b"a"), 0x1f), "a/1f");
        assert_eq!(place_of(&queue_of(b""), -0x1f), "/-1f");
        assert_eq!(behind(&queue_of(b"a\xff")), &b"a\xff0"[..]);
    }
}
