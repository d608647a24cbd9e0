//! Leases.

use super::Desk;
use super::leaderless::Leaving;
use crate::peer::Said;
use crate::refusal;
use crate::wire::etcdserverpb as pb;
use crate::wire::tree::leasepb;
use http::StatusCode;
use keel_core::command::Command;
use keel_core::{LeaseId, Order, Refusal, Reply};
use prost::Message;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

type Renewing = Pin<Box<dyn Future<Output = Result<pb::LeaseKeepAliveResponse, Status>> + Send>>;

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
        Ok(Response::new(KeepAlives { desk, requests, leaving, renewing: None }))
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
    renewing: Option<Renewing>,
}

async fn renew(desk: Desk, id: i64) -> Result<pb::LeaseKeepAliveResponse, Status> {
    loop {
        match desk.handle.renew(LeaseId(id)).await {
            Ok(Reply::Renew { ttl, revision, .. }) => {
                if ttl > 0 {
                    desk.metrics.lease_renewed();
                }
                let header = desk.header_now(revision);
                return Ok(pb::LeaseKeepAliveResponse { header, id, ttl });
            }
            Ok(other) => unreachable!("a renewal is not answered with {other:?}"),
            Err(Refusal::LeaseNotFound) => {
                return Ok(pb::LeaseKeepAliveResponse { header: desk.header(), id, ttl: 0 });
            }
            Err(Refusal::NotPrimary) => {}
            Err(refusal) => return Err(refusal::status(refusal)),
        }
        if let Some(response) = ask_renewal(&desk, id).await? {
            return Ok(response);
        }
    }
}

/// Only the leader counts time: it is asked on the client's behalf. Nothing where that is this
/// member itself, which may have been elected and not be sure of it yet.
async fn ask_renewal(desk: &Desk, id: i64) -> Result<Option<pb::LeaseKeepAliveResponse>, Status> {
    let body = pb::LeaseKeepAliveRequest { id }.encode_to_vec();
    let renewed = |ttl| Some(pb::LeaseKeepAliveResponse { header: desk.header(), id, ttl });
    match desk.info.leader.ask("/leases", body).await.map_err(refusal::status)? {
        Said::Mine => Ok(None),
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
        Said::Mine => Err(refusal::status(Refusal::LeaderChanged)),
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
        loop {
            if let Some(renewing) = &mut self.renewing {
                let Poll::Ready(response) = renewing.as_mut().poll(cx) else {
                    return Poll::Pending;
                };
                self.renewing = None;
                return Poll::Ready(Some(response));
            }
            match Pin::new(&mut self.requests).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                Poll::Ready(Some(Ok(request))) => {
                    self.renewing = Some(Box::pin(renew(self.desk.clone(), request.id)));
                }
            }
        }
    }
}
