//! Reading and changing keys.

use super::Desk;
use crate::convert::{propose, request};
use crate::refusal::{self, Bad};
use crate::wire::Stored;
use crate::wire::etcdserverpb as pb;
use crate::yielding::yield_now;
use bytes::Bytes;
use keel_core::command::{
    Command, DeleteReply, OpReply, PutReply, Range, RangeReply, SortOrder, SortTarget, Txn,
    TxnReply,
};

use keel_core::node::put_cost;
use keel_core::{Order, Proposal, Refusal, Reply, Ticket, View};
use pb::response_op::Response as Inner;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::{Request, Response, Status};

/// Keys of a stream's first piece.
const FIRST_KEYS: usize = 10;
/// Keys looked up between two chances for others: see `yielding`.
const KEYS_AT_ONCE: usize = 100;

#[tonic::async_trait]
impl pb::kv_server::Kv for Desk {
    async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        let request = request.into_inner();
        let range = request::range(request.clone())?;
        let begun = self.info.timing.now();
        let answer = self.read_range(request.serializable, &range).await;
        self.range_read(&request, begun, &answer);
        Ok(Response::new(answer?))
    }

    type RangeStreamStream = RangeStream;

    async fn range_stream(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<RangeStream>, Status> {
        let request = request.into_inner();
        let serializable = request.serializable;
        let range = request::range(request)?;
        // A target without an order passes, and changes nothing: so it does in etcd.
        if range.order != SortOrder::None && !is_plain(&range) {
            return Err(Bad::NoSortOrders.into());
        }
        if is_filtered(&range) {
            return Err(Bad::NoRevisionFilters.into());
        }
        let view = self.point(serializable).await?;
        Ok(Response::new(RangeStream::new(self.clone(), view, range)))
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let request = request.into_inner();
        let command = match request::put(request.clone()) {
            Ok(put) => Command::Put(put),
            Err(bad) => {
                let cost = put_cost(request.key.len(), request.value.len());
                return Err(self.refuse(cost, bad).await);
            }
        };
        let operation = pb::InternalRaftRequest { put: Some(request), ..Default::default() };
        match self.change(command, operation).await? {
            Reply::Put(reply) => {
                let header = self.header_now(reply.revision);
                Ok(Response::new(put_response(header, reply)))
            }
            other => unreachable!("a put is not answered with {other:?}"),
        }
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let request = request.into_inner();
        let command = Command::Delete(request::delete(request.clone())?);
        let operation =
            pb::InternalRaftRequest { delete_range: Some(request), ..Default::default() };
        match self.change(command, operation).await? {
            Reply::Delete(reply) => {
                let header = self.header_now(reply.revision);
                Ok(Response::new(delete_response(header, reply)))
            }
            other => unreachable!("a delete is not answered with {other:?}"),
        }
    }

    async fn txn(
        &self,
        request: Request<pb::TxnRequest>,
    ) -> Result<Response<pb::TxnResponse>, Status> {
        let request = request.into_inner();
        let read_only = request::is_read_only(&request);
        let serializable = request::is_serializable(&request);
        let txn = match request::txn(request.clone(), self.info.txn_ops) {
            Ok(txn) => txn,
            Err(bad) => return Err(self.refuse(txn_cost(&request), bad).await),
        };
        if read_only {
            let begun = self.info.timing.now();
            let answer = self.read_txn(serializable, &txn).await;
            self.txn_read(&request, begun, &answer);
            return Ok(Response::new(answer?));
        }
        let operation = pb::InternalRaftRequest { txn: Some(request), ..Default::default() };
        match self.change(Command::Txn(txn), operation).await? {
            Reply::Txn(reply) => {
                let header = self.header_now(reply.revision);
                Ok(Response::new(txn_response(header, reply)))
            }
            other => unreachable!("a transaction is not answered with {other:?}"),
        }
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let request = request.into_inner();
        let command = Command::Compact { revision: request.revision, physical: request.physical };
        let operation = pb::InternalRaftRequest { compaction: Some(request), ..Default::default() };
        self.change(command, operation).await?;
        Ok(Response::new(pb::CompactionResponse { header: self.header() }))
    }
}

impl Desk {
    /// The state to read: confirmed by a quorum round, or just the newest here.
    async fn point(&self, serializable: bool) -> Result<View, Status> {
        if !serializable && self.handle.is_learner() {
            return Err(refusal::Bad::NotForLearners.into());
        }
        if serializable {
            return Ok(self.handle.latest());
        }
        self.handle.read().await.map_err(|why| {
            self.metrics.read_index_failed();
            refusal::status(why)
        })
    }

    async fn read_range(
        &self,
        serializable: bool,
        range: &Range,
    ) -> Result<pb::RangeResponse, Status> {
        let view = self.point(serializable).await?;
        let begun = self.info.timing.now();
        let reply = whole_range(&view, range).await;
        self.metrics.range(reply.is_ok(), self.info.timing.since(begun));
        let reply = reply.map_err(refusal::status)?;
        let header = self.header_at(&view, reply.revision);
        Ok(range_response(header, reply))
    }

    async fn read_txn(&self, serializable: bool, txn: &Txn) -> Result<pb::TxnResponse, Status> {
        let view = self.point(serializable).await?;
        let reply = view.kv.txn(txn).map_err(refusal::status)?;
        let header = self.header_at(&view, reply.revision);
        Ok(txn_response(header, reply))
    }

    /// What a bad request hears: where it would not fit the quota either, that comes first.
    async fn refuse(&self, cost: i64, bad: Bad) -> Status {
        match self.handle.admin(Order::Room { bytes: cost }).await {
            Err(Refusal::NoSpace) => refusal::status(Refusal::NoSpace),
            _ => bad.into(),
        }
    }

    /// Puts a command into the log and waits for its answer.
    pub(crate) async fn change(
        &self,
        command: Command,
        operation: pb::InternalRaftRequest,
    ) -> Result<Reply, Status> {
        let ticket = Ticket(self.handle.next_id());
        let begun = self.info.timing.now();
        let kind = command.kind();
        let proposal: Proposal = propose(ticket, command, operation, self.info.request_bytes)?;
        let entry = proposal.bytes.clone();
        let _pending = self.metrics.proposal();
        let reply = self.handle.propose(proposal).await;
        self.changed(kind, &entry, begun, reply.is_ok());
        if let Err(refusal) = &reply
            && is_lost(*refusal)
        {
            self.metrics.proposal_failed();
        }
        reply.map_err(refusal::status)
    }
}

/// What a transaction may add to the database, whatever else is wrong with it: the dearer of its
/// two lists.
fn txn_cost(txn: &pb::TxnRequest) -> i64 {
    use pb::request_op::Request as Inside;
    let list = |ops: &[pb::RequestOp]| {
        ops.iter().fold(0_i64, |sum, op| {
            sum.saturating_add(match &op.request {
                Some(Inside::RequestPut(put)) => put_cost(put.key.len(), put.value.len()),
                Some(Inside::RequestTxn(inner)) => txn_cost(inner),
                _ => 0,
            })
        })
    };
    list(&txn.success).max(list(&txn.failure))
}

/// Whether a proposal got no answer of the state's, as far as this member knows.
fn is_lost(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Timeout
            | Refusal::TimeoutLeaderFailure
            | Refusal::TimeoutConnectionLost
            | Refusal::TimeoutWaitApplied
            | Refusal::DeadlineExceeded
            | Refusal::ProposalDropped
            | Refusal::NoLeader
            | Refusal::Stopped
    )
}

fn txn_response(header: Option<pb::ResponseHeader>, reply: TxnReply) -> pb::TxnResponse {
    let inside = |revision| Some(pb::ResponseHeader { revision, ..Default::default() });
    let responses = reply.replies.into_iter().map(|reply| {
        let response = match reply {
            OpReply::Range(reply) => {
                Inner::ResponseRange(range_response(inside(reply.revision), reply))
            }
            OpReply::Put(reply) => Inner::ResponsePut(put_response(inside(reply.revision), reply)),
            OpReply::Delete(reply) => {
                Inner::ResponseDeleteRange(delete_response(inside(reply.revision), reply))
            }
            // etcd leaves the header of an inner transaction empty, but there.
            OpReply::Txn(reply) => Inner::ResponseTxn(txn_response(inside(0), reply)),
        };
        pb::ResponseOp { response: Some(response) }
    });
    pb::TxnResponse { header, succeeded: reply.succeeded, responses: responses.collect() }
}

fn range_response(header: Option<pb::ResponseHeader>, reply: RangeReply) -> pb::RangeResponse {
    let kvs = reply.records.into_iter().map(Stored).collect();
    pb::RangeResponse { header, kvs, more: reply.more, count: reply.count }
}

fn put_response(header: Option<pb::ResponseHeader>, reply: PutReply) -> pb::PutResponse {
    pb::PutResponse { header, prev_kv: reply.prev.map(Stored) }
}

fn delete_response(
    header: Option<pb::ResponseHeader>,
    reply: DeleteReply,
) -> pb::DeleteRangeResponse {
    let prev_kvs = reply.prevs.into_iter().map(Stored).collect();
    pb::DeleteRangeResponse { header, deleted: reply.deleted, prev_kvs }
}

fn is_plain(range: &Range) -> bool {
    range.target == SortTarget::Key && range.order != SortOrder::Descend
}

fn is_filtered(range: &Range) -> bool {
    [range.min_mod, range.max_mod, range.min_create, range.max_create].iter().any(|f| *f != 0)
}

/// Answers a range without holding the shard: a large one in pieces, with chances for others
/// between them.
async fn whole_range(view: &View, range: &Range) -> Result<RangeReply, Refusal> {
    let simple = is_plain(range) && !is_filtered(range) && !range.count_only;
    let small = range.limit > 0 && range.limit <= KEYS_AT_ONCE as i64;
    let one = matches!(range.keys, keel_core::Keys::One(_));
    if !simple || small || one {
        return view.kv.range(range);
    }
    let limit = if range.limit > 0 { usize::try_from(range.limit).ok() } else { None };
    let mut reply = RangeReply { revision: view.kv.revision(), ..RangeReply::default() };
    let mut after: Option<Bytes> = None;
    loop {
        let left =
            limit.map_or(KEYS_AT_ONCE, |limit| (limit - reply.records.len()).min(KEYS_AT_ONCE));
        let page = view.kv.page(range, after.as_deref(), left)?;
        reply.records.extend(page.records);
        let full = limit.is_some_and(|limit| reply.records.len() >= limit);
        reply.more = page.last.is_some() && full;
        after = page.last;
        if full || after.is_none() {
            break;
        }
        yield_now().await;
    }
    reply.count = if reply.more {
        view.kv.count(&range.keys, range.revision)?
    } else {
        i64::try_from(reply.records.len()).unwrap_or(i64::MAX)
    };
    Ok(reply)
}

/// A range in pieces, at one pinned revision (semantics §1.3).
pub(crate) struct RangeStream {
    desk: Desk,
    view: View,
    range: Range,
    after: Option<Bytes>,
    /// Keys of the next piece.
    keys: usize,
    sent: i64,
    done: bool,
    /// Whether others had their chance since the last piece.
    rested: bool,
}

impl RangeStream {
    fn new(desk: Desk, view: View, range: Range) -> RangeStream {
        let (keys, sent) = (FIRST_KEYS, 0);
        RangeStream { desk, view, range, after: None, keys, sent, done: false, rested: true }
    }

    fn piece(&mut self) -> Result<pb::RangeStreamResponse, Refusal> {
        if self.range.count_only {
            self.done = true;
            let count = self.view.kv.count(&self.range.keys, self.range.revision)?;
            let response = pb::RangeResponse { header: self.header(), count, ..Default::default() };
            return Ok(pb::RangeStreamResponse { range_response: Some(response) });
        }
        let left = match self.range.limit {
            limit if limit > 0 => usize::try_from(limit - self.sent).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let wanted = self.keys.min(left);
        let page = self.view.kv.page(&self.range, self.after.as_deref(), wanted)?;
        let bytes: usize = page.records.iter().map(Bytes::len).sum();
        self.adapt(bytes);
        self.sent += i64::try_from(page.records.len()).unwrap_or(0);
        let limited = wanted == left && page.last.is_some();
        self.done = page.last.is_none() || limited;
        let mut response = pb::RangeResponse {
            kvs: page.records.into_iter().map(Stored).collect(),
            ..Default::default()
        };
        if self.done {
            response.header = self.header();
            response.more = limited;
            response.count = if limited {
                self.view.kv.count(&self.range.keys, self.range.revision)?
            } else {
                self.sent
            };
        }
        self.after = page.last;
        Ok(pb::RangeStreamResponse { range_response: Some(response) })
    }

    /// Pieces grow while they are small and shrink when they are large.
    fn adapt(&mut self, bytes: usize) {
        let aim = self.desk.info.request_bytes;
        if bytes < aim / 2 {
            self.keys = self.keys.saturating_mul(2);
        } else if bytes > aim.saturating_mul(2) {
            self.keys = (self.keys / 2).max(1);
        }
    }

    fn header(&self) -> Option<pb::ResponseHeader> {
        self.desk.header_at(&self.view, self.view.kv.revision())
    }
}

impl tokio_stream::Stream for RangeStream {
    type Item = Result<pb::RangeStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        self.rested = !self.rested;
        if self.rested {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = self.piece().map_err(refusal::status);
        self.done |= piece.is_err();
        Poll::Ready(Some(piece))
    }
}
