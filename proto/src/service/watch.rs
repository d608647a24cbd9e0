//! Watching keys: one hub stream a client stream.

use super::Desk;
use super::leaderless::Leaving;
use crate::convert::keys;
use crate::hub;
use crate::wire::Change;
use crate::wire::etcdserverpb as pb;
use keel_core::Event;
use keel_core::watch::{Answer, Delivery, Watch};
use pb::watch_request::RequestUnion;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl pb::watch_server::Watch for Desk {
    type WatchStream = WatchStream;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<WatchStream>, Status> {
        let stream = self.hub.open();
        let leaving = self.leaderless.end_of(request.metadata());
        let requests = Some(request.into_inner());
        let desk = self.clone();
        Ok(Response::new(WatchStream { desk, requests, leaving, stream, encoded: None }))
    }
}

/// A client's stream: its requests go to the hub, the hub's answers go out.
#[derive(Debug)]
pub(crate) struct WatchStream {
    desk: Desk,
    /// `None` once the client has said its last word.
    requests: Option<Streaming<pb::WatchRequest>>,
    leaving: Leaving,
    stream: hub::Stream,
    /// The newest changes, encoded: many watches hear the same.
    encoded: Option<Encoded>,
}

#[derive(Debug)]
struct Encoded {
    events: Arc<[Event]>,
    prev_kv: bool,
    changes: Vec<Change>,
}

impl WatchStream {
    /// Passes on what the client asks for.
    fn hear(&self, request: pb::WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.stream.create(watch(create)),
            Some(RequestUnion::CancelRequest(cancel)) => self.stream.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.stream.progress(),
            // etcd passes over what says nothing.
            None => {}
        }
    }

    fn answer(&mut self, delivery: Delivery) -> pb::WatchResponse {
        let mut response = pb::WatchResponse {
            header: self.desk.header_now(delivery.revision),
            watch_id: delivery.id,
            ..Default::default()
        };
        match delivery.answer {
            Answer::Created => response.created = true,
            Answer::Refused { reason } => {
                response.created = true;
                response.canceled = true;
                response.cancel_reason = reason;
            }
            Answer::Canceled { compacted, reason } => {
                response.canceled = true;
                response.compact_revision = compacted;
                response.cancel_reason = reason;
            }
            Answer::Events { events, prev_kv, fragment } => {
                response.events = self.changes(events, prev_kv);
                response.fragment = fragment;
            }
            Answer::Progress => {}
        }
        response
    }

    /// Encodes changes once for all watches that hear them together.
    fn changes(&mut self, events: Arc<[Event]>, prev_kv: bool) -> Vec<Change> {
        if let Some(encoded) = &self.encoded
            && Arc::ptr_eq(&encoded.events, &events)
            && encoded.prev_kv == prev_kv
        {
            return encoded.changes.clone();
        }
        let changes: Vec<Change> = events.iter().map(|event| Change::of(event, prev_kv)).collect();
        self.encoded = Some(Encoded { events, prev_kv, changes: changes.clone() });
        changes
    }
}

fn watch(create: pb::WatchCreateRequest) -> Watch {
    use pb::watch_create_request::FilterType;
    let filtered = |wanted: FilterType| create.filters.contains(&i32::from(wanted));
    Watch {
        id: create.watch_id,
        start: create.start_revision,
        progress: create.progress_notify,
        no_put: filtered(FilterType::Noput),
        no_delete: filtered(FilterType::Nodelete),
        prev_kv: create.prev_kv,
        fragment: create.fragment,
        keys: meant(create.key, create.range_end),
    }
}

/// The keys that a watch means: no key is the first one, and an end that is not behind it is
/// refused (semantics §3.1).
fn meant(key: bytes::Bytes, range_end: bytes::Bytes) -> Option<keel_core::Keys> {
    let key = if key.is_empty() { bytes::Bytes::from_static(&[0]) } else { key };
    let keys = keys(key, range_end);
    match &keys {
        keel_core::Keys::Span { from, to } if to <= from => None,
        _ => Some(keys),
    }
}

impl Stream for WatchStream {
    type Item = Result<pb::WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Some(requests) = &mut self.requests {
            match Pin::new(requests).poll_next(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(request))) => self.hear(request),
                // The client has said its last word: etcd ends the stream with it.
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(status))) => {
                    self.requests = None;
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
        if self.requests.is_none() {
            return Poll::Ready(None);
        }
        if let Some(status) = self.leaving.poll(cx) {
            self.requests = None;
            return Poll::Ready(Some(Err(status)));
        }
        match self.stream.poll_delivery(cx) {
            Poll::Ready(Some(delivery)) => Poll::Ready(Some(Ok(self.answer(delivery)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
