//! What reading and changing keys tells of how long it took.

use super::Desk;
use crate::metrics::Asked;
use crate::timing::{self, Said};
use crate::wire::etcdserverpb as pb;
use bytes::Bytes;
use keel_core::Instant;
use keel_core::command::Kind;
use prost::Message;
use tonic::Status;

impl Desk {
    /// A range was read, or could not be.
    pub(super) fn range_read(
        &self,
        request: &pb::RangeRequest,
        begun: Instant,
        answer: &Result<pb::RangeResponse, Status>,
    ) {
        let timing = &self.info.timing;
        let took = timing.since(begun);
        self.metrics.request(Asked::Range, answer.is_ok(), took);
        let slow = timing.read("read-only range ", took, || {
            let response = answer.as_ref().map(|answer| {
                let (count, size) = (answer.kvs.len(), answer.encoded_len());
                format!("range_response_count:{count} size:{size}")
            });
            (timing::range(request), response.unwrap_or_default(), why(answer))
        });
        if slow {
            self.metrics.slow_apply();
        }
        timing.request("/etcdserverpb.KV/Range", took, || {
            let answer = answer.as_ref().ok();
            Some(Said {
                request_count: 0,
                request_bytes: request.encoded_len(),
                response_count: answer.map_or(0, |answer| answer.count),
                response_bytes: answer.map_or(0, Message::encoded_len),
                content: timing::range(request),
            })
        });
    }

    /// A transaction that only reads was answered, or could not be.
    pub(super) fn txn_read(
        &self,
        request: &pb::TxnRequest,
        begun: Instant,
        answer: &Result<pb::TxnResponse, Status>,
    ) {
        let timing = &self.info.timing;
        let took = timing.since(begun);
        self.metrics.request(Asked::ReadonlyTxn, answer.is_ok(), took);
        let slow = timing.read("read-only txn ", took, || {
            let response = answer.as_ref().map(|answer| {
                let counts = answer.responses.iter().filter_map(|op| match &op.response {
                    Some(pb::response_op::Response::ResponseRange(range)) => {
                        Some(format!("range_response_count:{}", range.kvs.len()))
                    }
                    _ => None,
                });
                let counts = counts.collect::<Vec<_>>().join(" ");
                format!("responses:<{counts}> size:{}", answer.encoded_len())
            });
            (timing::txn(request), response.unwrap_or_default(), why(answer))
        });
        if slow {
            self.metrics.slow_apply();
        }
        timing.request("/etcdserverpb.KV/Txn", took, || {
            let ops = match answer.as_ref().is_ok_and(|answer| answer.succeeded) {
                true => &request.success,
                false => &request.failure,
            };
            Some(Said {
                request_count: i64::try_from(ops.len()).unwrap_or(i64::MAX),
                request_bytes: ops.iter().map(Message::encoded_len).sum(),
                response_count: 0,
                response_bytes: answer.as_ref().map_or(0, Message::encoded_len),
                content: timing::txn(request),
            })
        });
    }

    /// A change was applied, or could not be; `entry` is what stands in the log.
    pub(super) fn changed(&self, kind: Kind, entry: &Bytes, begun: Instant, success: bool) {
        let took = self.info.timing.since(begun);
        self.metrics.request(Asked::Change(kind), success, took);
        let method = match kind {
            Kind::Put => "/etcdserverpb.KV/Put",
            Kind::Delete => "/etcdserverpb.KV/DeleteRange",
            Kind::Txn => "/etcdserverpb.KV/Txn",
            Kind::Compact => "/etcdserverpb.KV/Compact",
            // Calls of the other services tell of themselves.
            _ => return,
        };
        self.info.timing.request(method, took, || timing::change(entry));
    }
}

fn why<T>(answer: &Result<T, Status>) -> String {
    answer.as_ref().err().map_or(String::new(), |status| status.message().to_owned())
}
