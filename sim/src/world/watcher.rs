//! Clients that watch through gRPC, over streams that break and go on elsewhere.

use super::line::Line;
use super::net::WorldNet;
use super::stage::Stage;
use crate::ear::Ear;
use crate::oracle::Broken;
use crate::oracle::canon::Change;
use crate::oracle::watch::Heard;
use crate::seen::Place;
use bytes::Bytes;
use http::Uri;
use keel_core::LeaseId;
use keel_core::command::Keys;
use keel_proto::pb::etcdserverpb as pb;
use keel_proto::pb::mvccpb;
use pb::watch_client::WatchClient;
use pb::watch_create_request::FilterType;
use pb::watch_request::RequestUnion;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::Status;

/// Between two streams.
const PAUSE: Duration = Duration::from_millis(200);
/// A stream that is silent for so long is broken: signs of progress come more often.
const SILENCE: Duration = Duration::from_secs(3);

/// One watcher, as its host has it.
pub(super) struct Watcher {
    pub(super) stage: Rc<Stage>,
    pub(super) net: WorldNet,
    pub(super) number: usize,
    pub(super) members: usize,
    pub(super) ear: Rc<RefCell<Ear>>,
}

impl Watcher {
    /// Opens one stream after the other, for ever.
    pub(super) async fn live(self) {
        loop {
            let draw = self.ear.borrow_mut().random.below(self.members as u64);
            let member = usize::try_from(draw).expect("clusters are small");
            if let Ok(line) = Line::open(&self.net, member).await {
                // Why it ended does not matter: the next one goes on where it stopped.
                let _ = self.stream(line).await;
            }
            self.broke();
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The stream is no more; now and then it wants something else then.
    fn broke(&self) {
        let ear = &mut *self.ear.borrow_mut();
        ear.seen.broke();
        if !self.stage.quiet.get() && self.number > 0 && ear.random.happens(100) {
            ear.begin_anew();
        }
    }

    /// One stream, until it breaks, or until this watcher moves on.
    async fn stream(&self, line: Line) -> Result<(), Status> {
        let mut client = WatchClient::with_origin(line, Uri::from_static("http://keel"));
        let (ask, asks) = mpsc::channel(4);
        let tell = async |union| {
            let request = pb::WatchRequest { request_union: Some(union) };
            ask.send(request).await.map_err(|_| Status::unavailable("the stream is gone"))
        };
        tell(RequestUnion::CreateRequest(self.wish())).await?;
        let asks = tokio_stream::wrappers::ReceiverStream::new(asks);
        let opened = tokio::time::timeout(SILENCE, client.watch(asks)).await;
        let mut answers = opened.map_err(|_| Status::unavailable("silent"))??.into_inner();
        loop {
            let next = tokio::time::timeout(SILENCE, answers.next()).await;
            let next = next.map_err(|_| Status::unavailable("silent"))?;
            let answer = next.ok_or_else(|| Status::unavailable("ended"))??;
            if !self.take(answer) {
                return Ok(());
            }
            let quiet = self.stage.quiet.get();
            // Now and then it moves on by itself: a connection may break at any time.
            if !quiet && self.happens(5) {
                return Ok(());
            }
            if self.happens(20) {
                tell(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})).await?;
            }
            let linger = self.stage.knobs.linger;
            if !quiet && !linger.is_zero() {
                let takes = self.ear.borrow_mut().random.span(linger);
                tokio::time::sleep(takes).await;
            }
        }
    }

    fn happens(&self, per_mille: u64) -> bool {
        self.ear.borrow_mut().random.happens(per_mille)
    }

    fn wish(&self) -> pb::WatchCreateRequest {
        let ear = &mut *self.ear.borrow_mut();
        if ear.seen.told > 1 {
            self.stage.saw(Place::WatchMoved);
        }
        if ear.seen.next() > self.stage.canon.borrow().head() + 1 {
            self.stage.saw(Place::WatchFuture);
        }
        ear.seen.opens();
        let wish = &ear.seen.wish;
        let end = Bytes::from_static(b"\0");
        let (key, range_end) = match wish.keys.clone() {
            Keys::One(key) => (key, Bytes::new()),
            Keys::Span { from, to } => (from, to),
            Keys::From(from) => (from, end),
            Keys::All => (end.clone(), end),
        };
        let mut filters = Vec::new();
        if wish.no_put {
            filters.push(FilterType::Noput.into());
        }
        if wish.no_delete {
            filters.push(FilterType::Nodelete.into());
        }
        pb::WatchCreateRequest {
            key,
            range_end,
            start_revision: ear.seen.next(),
            progress_notify: true,
            filters,
            prev_kv: wish.prev_kv,
            watch_id: 0,
            fragment: wish.fragment,
        }
    }

    /// Hears an answer; `false` ends the stream.
    fn take(&self, answer: pb::WatchResponse) -> bool {
        let ear = &mut *self.ear.borrow_mut();
        if answer.compact_revision > 0 {
            // What was forgotten can be told by nobody: it begins anew behind it.
            self.stage.saw(Place::WatchCompacted);
            ear.seen.forgot(answer.compact_revision);
            return false;
        }
        if answer.created || answer.canceled {
            return !answer.canceled;
        }
        let heard = if answer.events.is_empty() {
            self.stage.saw(Place::WatchProgress);
            ear.seen.progressed(answer.header.map_or(0, |header| header.revision))
        } else {
            if answer.fragment {
                self.stage.saw(Place::WatchPieces);
            }
            let changes: Result<Vec<Heard>, Broken> =
                answer.events.iter().map(|event| self.heard(event)).collect();
            changes.and_then(|changes| ear.seen.heard(changes, answer.fragment))
        };
        if let Err(broken) = heard {
            self.stage.broke(broken);
        }
        true
    }

    /// An event as the oracle knows it: where it stands in its revision only the canon tells.
    fn heard(&self, event: &mvccpb::Event) -> Result<Heard, Broken> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let kv = event.kv.clone().unwrap_or_default();
        let (key, main) = (text(&kv.key), kv.mod_revision);
        let deleted = event.r#type == mvccpb::event::EventType::Delete as i32;
        let place = self.stage.canon.borrow().place(&key, main);
        let sub = place.ok_or_else(|| {
            Broken::new("watch", format!("{key} at {main} is heard, and nobody has applied it"))
        })?;
        let change = Change {
            key,
            value: (!deleted).then(|| text(&kv.value)),
            lease: if deleted { LeaseId::NONE } else { LeaseId(kv.lease) },
        };
        let prev = event.prev_kv.as_ref().map(|prev| (text(&prev.value), prev.mod_revision));
        Ok(Heard { at: (main, sub), change, prev })
    }
}
