//! Leases.

use super::Desk;
use crate::refusal;
use crate::wire::etcdserverpb as pb;
use keel_core::command::Command;
use keel_core::{LeaseId, Order, Refusal, Reply};
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
        let requests = request.into_inner();
        Ok(Response::new(KeepAlives { desk: self.clone(), requests, renewing: None }))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let request = request.into_inner();
        let order = Order::TimeToLive { lease: LeaseId(request.id), keys: request.keys };
        let life = match self.handle.admin(order).await.map_err(refusal::status)? {
            Reply::TimeToLive(life) => life,
            other => unreachable!("a time to live is not answered with {other:?}"),
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
    renewing: Option<Renewing>,
}

async fn renew(desk: Desk, id: i64) -> Result<pb::LeaseKeepAliveResponse, Status> {
    match desk.handle.renew(LeaseId(id)).await {
        Ok(Reply::Renew { ttl, revision, .. }) => {
            let header = desk.header_now(revision);
            Ok(pb::LeaseKeepAliveResponse { header, id, ttl })
        }
        Ok(other) => unreachable!("a renewal is not answered with {other:?}"),
        Err(Refusal::LeaseNotFound) => {
            Ok(pb::LeaseKeepAliveResponse { header: desk.header(), id, ttl: 0 })
        }
        Err(refusal) => Err(refusal::status(refusal)),
    }
}

impl Stream for KeepAlives {
    type Item = Result<pb::LeaseKeepAliveResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
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
