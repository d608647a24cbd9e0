//! Leases.

use super::Desk;
use super::leaderless::Leaving;
use crate::handle::Waiting;
use crate::peer::Said;
use crate::refusal;
use crate::wire::etcdserverpb as pb;
use crate::wire::tree::leasepb;
use http::StatusCode;
use keel_core::command::Command;
use keel_core::{Input, LeaseId, Order, Refusal, Reply, Ticket};
use prost::Message;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

type Elsewhere = Pin<Box<dyn Future<Output = Result<pb::LeaseKeepAliveResponse, Status>> + Send>>;

#[tonic::async_trait]
impl pb::lease_server::Lease for Desk {
    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        let mut request = request.into_inner();
        while request.id == 0 {
            // etcd's generator without its top bit.
            request.id = (self.handle.next_id() & (u64::MAX >> 1)).cast_signed();
        }
        let command = Command::Grant { lease: LeaseId(request.id), ttl: request.ttl };
        let operation =
            pb::InternalRaftRequest { lease_grant: Some(request), ..Default::default() };
        match self.change(command, operation).await? {
            Reply::Grant { lease, ttl, revision } => {
                let header = self.header_now(revision);
                let error = String::new();
                Ok(Response::new(pb::LeaseGrantResponse { header, id: lease.0, ttl, error }))
            }
            other => unreachable!("a grant is not answered with {other:?}"),
        }
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        let request = request.into_inner();
        let command = Command::Revoke { lease: LeaseId(request.id) };
        let operation =
            pb::InternalRaftRequest { lease_revoke: Some(request), ..Default::default() };
        match self.change(command, operation).await? {
            Reply::Revoke { revision } => {
                let header = self.header_now(revision);
                Ok(Response::new(pb::LeaseRevokeResponse { header }))
            }
            other => unreachable!("a revoke is not answered with {other:?}"),
        }
    }

    type LeaseKeepAliveStream = KeepAlives;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<KeepAlives>, Status> {
        let leaving = self.leaderless.end_of(request.metadata());
        let requests = request.into_inner();
        let desk = self.clone();
        Ok(Response::new(KeepAlives { desk, requests, leaving, now: Now::Idle }))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let request = request.into_inner();
        let order = Order::TimeToLive { lease: LeaseId(request.id), keys: request.keys };
        let life = match self.handle.admin(order).await {
            Ok(Reply::TimeToLive(life)) => life,
            Err(Refusal::NotLeader) => match ask_time_to_live(self, request).await? {
                Some(response) => return Ok(Response::new(response)),
                None => None,
            },
            Ok(other) => unreachable!("a time to live is not answered with {other:?}"),
            Err(why) => return Err(refusal::status(why)),
        };
        let mut response = pb::LeaseTimeToLiveResponse {
            header: self.header(),
            id: request.id,
            ttl: -1,
            ..Default::default()
        };
        if let Some(life) = life {
            response.ttl = life.remaining;
            response.granted_ttl = life.granted;
            response.keys = life.keys;
        }
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        _request: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        let leases = match self.handle.admin(Order::Leases).await.map_err(refusal::status)? {
            Reply::Leases(leases) => leases,
            other => unreachable!("a list of leases is not answered with {other:?}"),
        };
        let leases = leases.into_iter().map(|lease| pb::LeaseStatus { id: lease.0 }).collect();
        Ok(Response::new(pb::LeaseLeasesResponse { header: self.header(), leases }))
    }
}

/// A client's keep-alives, one after the other.
pub(crate) struct KeepAlives {
    desk: Desk,
    requests: Streaming<pb::LeaseKeepAliveRequest>,
    leaving: Leaving,
    now: Now,
}

/// What such a stream is at.
enum Now {
    /// It waits for the client.
    Idle,
    /// This member's node is asked.
    Here(i64, Waiting),
    /// Whoever leads is asked.
    Elsewhere(Elsewhere),
}

impl Desk {
    /// Asks the node, where it may lead.
    fn begin_renewal(&self, id: i64) -> Result<Now, Status> {
        let status = self.handle.status();
        if status.leader != status.id {
            return Ok(Now::Elsewhere(Box::pin(renew(self.clone(), id))));
        }
        let ticket = Ticket(self.handle.next_id());
        let begun = self.handle.begin(ticket, Input::Renew { ticket, lease: LeaseId(id) });
        Ok(Now::Here(id, begun.map_err(refusal::status)?))
    }

    /// What the client hears of the node's reply; nothing where another member leads.
    fn renewed(
        &self,
        id: i64,
        reply: Result<Reply, Refusal>,
    ) -> Result<Option<pb::LeaseKeepAliveResponse>, Status> {
        match reply {
            Ok(Reply::Renew { ttl, revision, .. }) => {
                if ttl > 0 {
                    self.metrics.lease_renewed();
                }
                let header = self.header_now(revision);
                Ok(Some(pb::LeaseKeepAliveResponse { header, id, ttl }))
            }
            Ok(other) => unreachable!("a renewal is not answered with {other:?}"),
            Err(Refusal::LeaseNotFound) => {
                Ok(Some(pb::LeaseKeepAliveResponse { header: self.header(), id, ttl: 0 }))
            }
            Err(Refusal::NotPrimary) => Ok(None),
            Err(refusal) => Err(refusal::status(refusal)),
        }
    }
}

/// Asks whoever leads, this member where it comes to lead, until somebody answers.
async fn renew(desk: Desk, id: i64) -> Result<pb::LeaseKeepAliveResponse, Status> {
    loop {
        if let Some(response) = ask_renewal(&desk, id).await? {
            return Ok(response);
        }
        let reply = desk.handle.renew(LeaseId(id)).await;
        if let Some(response) = desk.renewed(id, reply)? {
            return Ok(response);
        }
    }
}

/// Only the leader counts time: it is asked on the client's behalf. Nothing where that is this
/// member itself, which may have been elected and not be sure of it yet.
async fn ask_renewal(desk: &Desk, id: i64) -> Result<Option<pb::LeaseKeepAliveResponse>, Status> {
    let renewed = |ttl| Some(pb::LeaseKeepAliveResponse { header: desk.header(), id, ttl });
    match desk.info.leader.renew(id).await.map_err(refusal::status)? {
        Said::Mine => Ok(None),
        Said::Renewed(ttl) => Ok(renewed(ttl)),
        Said::Page(StatusCode::OK, body) => {
            let said = pb::LeaseKeepAliveResponse::decode(body).map_err(undecodable)?;
            Ok(renewed(said.ttl))
        }
        Said::Page(StatusCode::NOT_FOUND, _) => Ok(renewed(0)),
        Said::Page(status, body) => Err(refused_by_leader(status, &body)),
    }
}

/// The same for how long a lease has left; nothing where the leader does not know it.
async fn ask_time_to_live(
    desk: &Desk,
    request: pb::LeaseTimeToLiveRequest,
) -> Result<Option<pb::LeaseTimeToLiveResponse>, Status> {
    let request = leasepb::LeaseInternalRequest { lease_time_to_live_request: Some(request) };
    let body = request.encode_to_vec();
    match desk.info.leader.ask("/leases/internal", body).await.map_err(refusal::status)? {
        // This member has come to lead while it asked.
        Said::Mine | Said::Renewed(_) => Err(refusal::status(Refusal::LeaderChanged)),
        Said::Page(StatusCode::OK, body) => {
            let said = leasepb::LeaseInternalResponse::decode(body).map_err(undecodable)?;
            let response = said.lease_time_to_live_response.unwrap_or_default();
            Ok(Some(pb::LeaseTimeToLiveResponse { header: desk.header(), ..response }))
        }
        Said::Page(StatusCode::NOT_FOUND, _) => Ok(None),
        Said::Page(status, body) => Err(refused_by_leader(status, &body)),
    }
}

fn undecodable(error: prost::DecodeError) -> Status {
    Status::unknown(error.to_string())
}

fn refused_by_leader(status: StatusCode, body: &[u8]) -> Status {
    if status == StatusCode::REQUEST_TIMEOUT {
        return refusal::status(Refusal::TimeoutWaitApplied);
    }
    Status::unknown(String::from_utf8_lossy(body).trim_end().to_owned())
}

impl Stream for KeepAlives {
    type Item = Result<pb::LeaseKeepAliveResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(status) = self.leaving.poll(cx) {
            return Poll::Ready(Some(Err(status)));
        }
        let this = &mut *self;
        loop {
            match &mut this.now {
                Now::Idle => {}
                Now::Here(id, waiting) => {
                    let (id, reply) = (*id, ready!(Pin::new(waiting).poll(cx)));
                    match this.desk.renewed(id, reply).transpose() {
                        Some(response) => {
                            this.now = Now::Idle;
                            return Poll::Ready(Some(response));
                        }
                        None => {
                            this.now = Now::Elsewhere(Box::pin(renew(this.desk.clone(), id)));
                            continue;
                        }
                    }
                }
                Now::Elsewhere(elsewhere) => {
                    let response = ready!(elsewhere.as_mut().poll(cx));
                    this.now = Now::Idle;
                    return Poll::Ready(Some(response));
                }
            }
            match ready!(Pin::new(&mut this.requests).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                Some(Ok(request)) => match this.desk.begin_renewal(request.id) {
                    Ok(now) => this.now = now,
                    Err(status) => return Poll::Ready(Some(Err(status))),
                },
            }
        }
    }
}
