//! Clients that read and write through gRPC: one operation at a time, at any member, with a deadline;
//! what can be asked again without harm is asked again elsewhere.

use super::line::Line;
use super::net::WorldNet;
use super::stage::Stage;
use crate::ask::{both, swap};
use crate::history::{Call, Outcome};
use crate::mind::Mind;
use bytes::Bytes;
use http::Uri;
use keel_proto::pb::etcdserverpb as pb;
use keel_proto::pb::mvccpb::KeyValue;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use prost::Message;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tonic::{Code, Request, Status};

/// Operations that each client must see answered in the quiet phase.
pub(super) const QUIET_SUCCESSES: u64 = 3;
/// Between two attempts at the same.
const PAUSE: Duration = Duration::from_millis(50);
/// How often somebody looks who has nothing to do.
const IDLE: Duration = Duration::from_millis(100);

/// One client, as its host has it.
pub(super) struct Client {
    pub(super) stage: Rc<Stage>,
    pub(super) net: WorldNet,
    pub(super) number: usize,
    pub(super) members: usize,
    /// How many operations were answered since the storm is over.
    pub(super) successes: Rc<Cell<u64>>,
}

impl Client {
    /// Asks for one thing after the other, for ever.
    pub(super) async fn live(self) {
        let mind = Mind::new(self.stage.knobs.seed, self.number as u64);
        let mind = RefCell::new(mind);
        let lines = RefCell::new(BTreeMap::new());
        let knobs = &self.stage.knobs;
        loop {
            let quiet = self.stage.quiet.get();
            if quiet && self.successes.get() >= QUIET_SUCCESSES {
                tokio::time::sleep(IDLE).await;
                continue;
            }
            let mut next_lease = self.stage.next_lease.get();
            let number = self.stage.history.borrow().0.len();
            let call = mind.borrow_mut().choose(knobs, number, quiet, &mut next_lease);
            self.stage.next_lease.set(next_lease);
            let operation = self.stage.begin(self.number, call.clone());
            let asked = self.ask(operation, &call, &mind, &lines);
            if let Ok(outcome) = tokio::time::timeout(knobs.patience, asked).await {
                mind.borrow_mut().heard(&call, &outcome);
                if self.stage.quiet.get() && !matches!(outcome, Outcome::Refused { .. }) {
                    self.successes.set(self.successes.get() + 1);
                }
                self.stage.end(operation, outcome);
            }
            let think = mind.borrow_mut().random.span(knobs.think);
            tokio::time::sleep(think).await;
        }
    }

    /// Asks members until one of them answers; what may have happened is not asked again.
    async fn ask(
        &self,
        operation: usize,
        call: &Call,
        mind: &RefCell<Mind>,
        lines: &RefCell<BTreeMap<usize, Line>>,
    ) -> Outcome {
        loop {
            let draw = mind.borrow_mut().random.below(self.members as u64);
            let member = usize::try_from(draw).expect("clusters are small");
            let kept = lines.borrow().get(&member).filter(|line| line.is_open()).cloned();
            let line = match kept {
                Some(line) => line,
                None => match Line::open(&self.net, member).await {
                    Ok(line) => line,
                    // Nobody has heard of it.
                    Err(_) => {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            lines.borrow_mut().insert(member, line.clone());
            self.stage.reaches(operation, member);
            match once(line, call, self.stage.knobs.patience).await {
                Ok(outcome) => return outcome,
                Err(status) => {
                    let reads = matches!(call, Call::Get { .. } | Call::Stale { .. });
                    if reads && status.code() == Code::Unavailable {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    return Outcome::Refused {
                        why: format!("{:?}: {}", status.code(), status.message()),
                    };
                }
            }
        }
    }
}

/// Asks one member, as long as that may take.
async fn once(line: Line, call: &Call, patience: Duration) -> Result<Outcome, Status> {
    let origin = Uri::from_static("http://keel");
    let mut kv = KvClient::with_origin(line.clone(), origin.clone());
    let mut lease = LeaseClient::with_origin(line, origin);
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Ok(match call {
        Call::Get { key } | Call::Stale { key } => {
            let serializable = matches!(call, Call::Stale { .. });
            let range = pb::RangeRequest { key: text(key), serializable, ..Default::default() };
            let range = kv.range(bounded(range, patience)).await?.into_inner();
            Outcome::Read { revision: revision(range.header), found: found(range.kvs.first()) }
        }
        Call::Put { key, value, lease } => {
            let put = pb::PutRequest {
                key: text(key),
                value: text(value),
                lease: lease.0,
                ..Default::default()
            };
            let put = kv.put(bounded(put, patience)).await?.into_inner();
            Outcome::Wrote { revision: revision(put.header), changed: true }
        }
        Call::Delete { key } => {
            let delete = pb::DeleteRangeRequest { key: text(key), ..Default::default() };
            let delete = kv.delete_range(bounded(delete, patience)).await?.into_inner();
            let changed = delete.deleted > 0;
            Outcome::Wrote { revision: revision(delete.header), changed }
        }
        Call::Swap { key, from, to } => {
            let txn = sent(&swap(key, from.as_deref(), to));
            let txn = kv.txn(bounded(txn, patience)).await?.into_inner();
            let revision = revision(txn.header);
            match txn.responses.into_iter().next().and_then(|op| op.response) {
                Some(pb::response_op::Response::ResponseRange(range)) => {
                    Outcome::Read { revision, found: found(range.kvs.first()) }
                }
                _ => Outcome::Wrote { revision, changed: true },
            }
        }
        Call::Both { key, value, other, past } => {
            let txn = sent(&both(key, value, other, *past));
            let txn = kv.txn(bounded(txn, patience)).await?.into_inner();
            Outcome::Wrote { revision: revision(txn.header), changed: true }
        }
        Call::Grant { lease: id, ttl } => {
            let grant = pb::LeaseGrantRequest { id: id.0, ttl: *ttl };
            let grant = lease.lease_grant(bounded(grant, patience)).await?.into_inner();
            Outcome::Lease { ttl: grant.ttl }
        }
        Call::Renew { lease: id } => {
            let ask = tokio_stream::iter([pb::LeaseKeepAliveRequest { id: id.0 }]);
            let answers = lease.lease_keep_alive(bounded(ask, patience)).await?;
            let answer = answers.into_inner().message().await?;
            let answer = answer.ok_or_else(|| Status::unknown("no answer"))?;
            Outcome::Lease { ttl: answer.ttl }
        }
        Call::Compact { revision } => {
            let compact = pb::CompactionRequest { revision: *revision, physical: false };
            kv.compact(bounded(compact, patience)).await?;
            Outcome::Done
        }
    })
}

/// A request that its server gives up in time, too.
pub(super) fn bounded<T>(request: T, patience: Duration) -> Request<T> {
    let mut request = Request::new(request);
    request.set_timeout(patience);
    request
}

/// A transaction as clients' types say it.
fn sent(txn: &impl Message) -> pb::TxnRequest {
    pb::TxnRequest::decode(txn.encode_to_vec().as_slice()).expect("both are etcd's")
}

fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

fn found(kv: Option<&KeyValue>) -> Option<(String, i64)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    kv.map(|kv| (text(&kv.value), kv.mod_revision))
}

/// Asks one member to compact, on the plan's own behalf.
pub(super) async fn compact(line: Line, revision: i64, patience: Duration) -> Outcome {
    let done = once(line, &Call::Compact { revision }, patience).await;
    done.unwrap_or_else(|status| Outcome::Refused { why: status.message().to_owned() })
}
