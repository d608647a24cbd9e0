//! Elections: who is first in a name's queue leads, and says with its key's value what it wants.

use super::Desk;
use super::leaderless::Leaving;
use super::queue::{
    Following, Leave, Waiting, made_at, oldest, places, queue_of, resignation, write,
};
use crate::wire::tree::v3electionpb as election;
use crate::wire::{Stored, etcdserverpb as pb};
use bytes::Bytes;
use election::election_server::Election;
use keel_core::Keys;
use keel_core::mvcc::record;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

const NO_LEADER_KEY: &str = "\"leader\" field must be provided";

#[tonic::async_trait]
impl Election for Desk {
    async fn campaign(
        &self,
        request: Request<election::CampaignRequest>,
    ) -> Result<Response<election::CampaignResponse>, Status> {
        let election::CampaignRequest { name, lease, value } = request.into_inner();
        let lease = self.session(lease).await?;
        let queue = queue_of(&name);
        let place = self.enter(&queue, lease, value.clone()).await?;
        let (key, rev) = (place.key, place.created);
        if place.held.is_some_and(|held| held != value)
            && let Err(why) = self.announce(&key, rev, lease, value).await
        {
            // What the caller hears is why it could not stand; giving the place up is all that
            // is left to do.
            let _ = self.transact(resignation(key, rev)).await;
            return Err(why);
        }
        let waiting = Waiting::new(self, key.clone(), Leave::Resign(rev));
        let turn = self.turn(&queue, rev).await;
        waiting.stay();
        turn?;
        let leader = Some(election::LeaderKey { name, key, rev, lease });
        Ok(Response::new(election::CampaignResponse { header: place.header, leader }))
    }

    async fn proclaim(
        &self,
        request: Request<election::ProclaimRequest>,
    ) -> Result<Response<election::ProclaimResponse>, Status> {
        let election::ProclaimRequest { leader, value } = request.into_inner();
        let leader = leader.ok_or_else(|| Status::unknown(NO_LEADER_KEY))?;
        let lease = self.session(leader.lease).await?;
        let header = self.announce(&leader.key, leader.rev, lease, value).await?;
        Ok(Response::new(election::ProclaimResponse { header }))
    }

    async fn leader(
        &self,
        request: Request<election::LeaderRequest>,
    ) -> Result<Response<election::LeaderResponse>, Status> {
        let queue = queue_of(&request.into_inner().name);
        let mut answer = self.look(oldest(queue)).await?;
        match answer.kvs.pop() {
            Some(kv) => Ok(Response::new(told(answer.header, kv.0))),
            None => Err(Status::unknown("election: no leader")),
        }
    }

    type ObserveStream = Observation;

    async fn observe(
        &self,
        request: Request<election::LeaderRequest>,
    ) -> Result<Response<Observation>, Status> {
        let leaving = self.leaderless.end_of(request.metadata());
        let queue = queue_of(&request.into_inner().name);
        let observer = Observer { desk: self.clone(), queue, following: None };
        let next = Some(Box::pin(observer.next()) as Next);
        Ok(Response::new(Observation { leaving, next }))
    }

    async fn resign(
        &self,
        request: Request<election::ResignRequest>,
    ) -> Result<Response<election::ResignResponse>, Status> {
        let leader = request.into_inner().leader;
        let leader = leader.ok_or_else(|| Status::unknown(NO_LEADER_KEY))?;
        // etcd grants a lease here, too, where none is named.
        self.session(leader.lease).await?;
        let answer = self.transact(resignation(leader.key, leader.rev)).await?;
        Ok(Response::new(election::ResignResponse { header: answer.header }))
    }
}

impl Desk {
    /// Puts a leader's value, if it still is the one.
    async fn announce(
        &self,
        key: &Bytes,
        created: i64,
        lease: i64,
        value: Bytes,
    ) -> Result<Option<pb::ResponseHeader>, Status> {
        let put = pb::PutRequest { key: key.clone(), value, lease, ..Default::default() };
        let txn = pb::TxnRequest {
            compare: vec![made_at(key.clone(), created)],
            success: vec![write(put)],
            ..Default::default()
        };
        let answer = self.transact(txn).await?;
        if !answer.succeeded {
            return Err(Status::unknown("election: not leader"));
        }
        Ok(answer.header)
    }
}

fn told(header: Option<pb::ResponseHeader>, kv: Bytes) -> election::LeaderResponse {
    election::LeaderResponse { header, kv: Some(Stored(kv)) }
}

type Next = Pin<Box<dyn Future<Output = Option<(election::LeaderResponse, Observer)>> + Send>>;

/// A stream of leaders and of what they say. It ends without an error whatever ends it, but for
/// a client that wants a leader of the cluster.
pub(crate) struct Observation {
    leaving: Leaving,
    next: Option<Next>,
}

impl Stream for Observation {
    type Item = Result<election::LeaderResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let polled = next.as_mut().poll(cx);
        match polled {
            Poll::Ready(Some((answer, observer))) => {
                self.next = Some(Box::pin(observer.next()));
                Poll::Ready(Some(Ok(answer)))
            }
            Poll::Ready(None) => {
                self.next = None;
                Poll::Ready(None)
            }
            Poll::Pending => match self.leaving.poll(cx) {
                Some(status) => {
                    self.next = None;
                    Poll::Ready(Some(Err(status)))
                }
                None => Poll::Pending,
            },
        }
    }
}

struct Observer {
    desk: Desk,
    queue: Bytes,
    /// The leader's key, while there is one.
    following: Option<Following>,
}

impl Observer {
    /// The next thing to tell, and who will tell what follows.
    async fn next(mut self) -> Option<(election::LeaderResponse, Observer)> {
        if let Some(mut following) = self.following.take() {
            let event = following.next().await.ok()??;
            if !event.tombstone {
                let header = self.desk.header_now(following.revision);
                self.following = Some(following);
                return Some((told(header, event.record), self));
            }
        }
        let mut answer = self.desk.look(oldest(self.queue.clone())).await.ok()?;
        let (header, kv) = match answer.kvs.pop() {
            Some(kv) => (answer.header, kv.0),
            None => self.first_after(answer.header?.revision).await?,
        };
        let from = header.as_ref()?.revision + 1;
        self.following = Some(self.desk.follow(Keys::One(record::key(&kv)), from));
        Some((told(header, kv), self))
    }

    /// Waits for the first key of the queue; the header stands at its revision.
    async fn first_after(&self, revision: i64) -> Option<(Option<pb::ResponseHeader>, Bytes)> {
        let mut following = self.desk.follow(places(self.queue.clone()), revision);
        loop {
            let event = following.next().await.ok()??;
            if !event.tombstone {
                return Some((self.desk.header_now(event.revision.main), event.record));
            }
        }
    }
}
