//! A lease that is kept alive, and a place in a queue of keys that hangs on it: what locks and
//! elections are made of.

use super::Failed;
use super::client::Client;
use super::watcher::Watcher;
use keel_proto::pb::{etcdserverpb as pb, mvccpb};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// How long to wait before a broken stream is opened again.
const PAUSE: Duration = Duration::from_millis(500);

/// A lease that is kept alive as long as this lives.
pub(super) struct Session {
    pub(super) lease: i64,
    lost: oneshot::Receiver<()>,
}

impl Session {
    /// Takes a lease of so many seconds.
    pub(super) async fn open(client: &Client, ttl: i64) -> Result<Session, Failed> {
        let grant = pb::LeaseGrantRequest { ttl, id: 0 };
        let granted = client.lease().lease_grant(grant).await?.into_inner();
        let (mut end, lost) = oneshot::channel();
        let (client, lease) = (client.clone(), granted.id);
        tokio::spawn(async move {
            tokio::select! {
                () = end.closed() => {}
                _ = keep_alive(&client, lease, |_| Ok(())) => {}
            }
            // Nobody may care any more.
            let _ = end.send(());
        });
        Ok(Session { lease, lost })
    }

    /// Waits until the lease is gone.
    pub(super) async fn lost(&mut self) {
        // It is told, or its teller is gone: both ways nobody keeps the lease alive.
        let _ = (&mut self.lost).await;
    }
}

/// Renews a lease three times in its life and tells each time, until it is gone or could not be
/// renewed in time.
///
/// # Errors
///
/// What telling answered.
pub(super) async fn keep_alive(
    client: &Client,
    lease: i64,
    mut tell: impl FnMut(&pb::LeaseKeepAliveResponse) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let mut end = Instant::now() + client.dial + Duration::from_secs(1);
    while Instant::now() < end {
        let (ask, requests) = mpsc::unbounded_channel();
        let ask = || ask.send(pb::LeaseKeepAliveRequest { id: lease }).is_ok();
        ask();
        let requests = UnboundedReceiverStream::new(requests);
        if let Ok(answers) = client.lease().lease_keep_alive(requests).await {
            let mut answers = answers.into_inner();
            while let Ok(Some(answer)) = answers.message().await {
                if answer.ttl <= 0 {
                    return Ok(());
                }
                tell(&answer)?;
                let life = Duration::from_secs(answer.ttl.unsigned_abs());
                end = Instant::now() + life;
                tokio::time::sleep(life / 3).await;
                ask();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// A place in the queue below a name.
pub(super) struct Place {
    queue: Vec<u8>,
    pub(super) key: Vec<u8>,
    /// The revision that made the key.
    pub(super) created: i64,
    /// The revision that the store had when it was taken.
    pub(super) revision: i64,
    /// Whether nobody stands before it.
    pub(super) first: bool,
}

impl Place {
    /// Stands in the queue.
    pub(super) async fn take(
        client: &Client,
        session: &Session,
        name: &str,
        value: &str,
    ) -> Result<Place, Failed> {
        let queue = queue_of(name);
        let key = [&queue[..], format!("{:x}", session.lease).as_bytes()].concat();
        let put = pb::PutRequest {
            key: key.clone().into(),
            value: value.to_owned().into(),
            lease: session.lease,
            ..Default::default()
        };
        let owner = pb::request_op::Request::RequestRange(oldest(&queue));
        let success = [pb::request_op::Request::RequestPut(put), owner];
        let success = success.map(|one| pb::RequestOp { request: Some(one) }).to_vec();
        let txn = pb::TxnRequest { compare: vec![made_at(&key, 0)], success, failure: Vec::new() };
        let answer = client.kv().txn(txn).await?.into_inner();
        if !answer.succeeded {
            // The lease is fresh, and nobody else stands on it.
            return Err(Failed::plain("the place in the queue is taken"));
        }
        let revision = answer.header.unwrap_or_default().revision;
        let owner = answer.responses.into_iter().find_map(|op| match op.response {
            Some(pb::response_op::Response::ResponseRange(range)) => range.kvs.into_iter().next(),
            _ => None,
        });
        let first = owner.is_none_or(|owner| owner.create_revision == revision);
        Ok(Place { queue, key, created: revision, revision, first })
    }

    /// Waits until nobody stands before it.
    pub(super) async fn turn(&mut self, client: &Client) -> Result<(), Failed> {
        while !self.first {
            let before = pb::RangeRequest {
                sort_order: pb::range_request::SortOrder::Descend.into(),
                max_create_revision: self.created - 1,
                ..oldest(&self.queue)
            };
            let answer = client.kv().range(before).await?.into_inner();
            let revision = answer.header.unwrap_or_default().revision;
            match answer.kvs.into_iter().next() {
                Some(last) => deleted(client, last.key.into(), revision).await?,
                None => self.first = true,
            }
        }
        Ok(())
    }

    /// Reads the key.
    pub(super) async fn read(&self, client: &Client) -> Result<pb::RangeResponse, Failed> {
        let range = pb::RangeRequest { key: self.key.clone().into(), ..Default::default() };
        Ok(client.kv().range(range).await?.into_inner())
    }

    /// Leaves the queue, if the key is still its own.
    pub(super) async fn leave(&self, client: &Client) -> Result<(), Failed> {
        let delete = pb::DeleteRangeRequest { key: self.key.clone().into(), ..Default::default() };
        let request = Some(pb::request_op::Request::RequestDeleteRange(delete));
        let txn = pb::TxnRequest {
            compare: vec![made_at(&self.key, self.created)],
            success: vec![pb::RequestOp { request }],
            failure: Vec::new(),
        };
        client.kv().txn(txn).await?;
        Ok(())
    }
}

/// Waits until a key is deleted.
async fn deleted(client: &Client, key: Vec<u8>, from: i64) -> Result<(), Failed> {
    let request =
        pb::WatchCreateRequest { key: key.into(), start_revision: from, ..Default::default() };
    let mut watcher = Watcher::on(client, request);
    loop {
        let answer = watcher.next().await?.answer;
        if answer.events.iter().any(|event| event.r#type() == mvccpb::event::EventType::Delete) {
            return Ok(());
        }
        if answer.canceled {
            return Err(Failed::plain(super::watch::reason(&answer)));
        }
    }
}

/// The queue below a name.
pub(super) fn queue_of(name: &str) -> Vec<u8> {
    format!("{name}/").into_bytes()
}

/// Asks for a queue's oldest key.
pub(super) fn oldest(queue: &[u8]) -> pb::RangeRequest {
    pb::RangeRequest {
        key: queue.to_vec().into(),
        range_end: super::keys::behind_prefix(queue).into(),
        limit: 1,
        sort_order: pb::range_request::SortOrder::Ascend.into(),
        sort_target: pb::range_request::SortTarget::Create.into(),
        ..Default::default()
    }
}

/// Whether a key is the one that this revision made; zero is one that does not exist.
fn made_at(key: &[u8], created: i64) -> pb::Compare {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key: key.to_vec().into(),
        target_union: Some(TargetUnion::CreateRevision(created)),
        ..Default::default()
    }
}
