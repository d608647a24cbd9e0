//! Runs a shard's watch hub: streams come and go, batches come in, answers go out.
//!
//! The runtime gives every call to [`HubRunner::turn`] and sleeps until what it says; nothing
//! here waits or knows the time.

use crate::metrics::{HubCounts, Metrics};
use keel_core::output::Batch;
use keel_core::watch::{Answer, Config, Delivery, Hub, HubInput, StreamId, Watch};
use keel_core::{Instant, View};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Bytes of answers that a stream may have under way.
const WINDOW: usize = 1024 * 1024;

/// What travels to a hub.
#[derive(Debug)]
pub enum HubCall {
    /// Only time passed.
    Tick,
    /// The state moved on.
    Applied(Arc<Batch>),
    /// A client began a stream; its answers go there.
    Open(StreamId, mpsc::UnboundedSender<Delivery>),
    /// A client's word.
    Say(HubInput),
}

/// The way to a shard's hub.
#[derive(Clone, Debug)]
pub struct HubHandle {
    calls: mpsc::UnboundedSender<HubCall>,
    streams: Arc<AtomicU64>,
}

impl HubHandle {
    /// A handle, and where its calls come out.
    #[must_use]
    pub fn new() -> (HubHandle, mpsc::UnboundedReceiver<HubCall>) {
        let (calls, out) = mpsc::unbounded_channel();
        (HubHandle { calls, streams: Arc::default() }, out)
    }

    /// Begins a stream. Dropping it ends it.
    #[must_use]
    pub fn open(&self) -> Stream {
        let id = StreamId(self.streams.fetch_add(1, Ordering::Relaxed));
        // The hub's own window bounds what can gather here.
        let (answers, deliveries) = mpsc::unbounded_channel();
        let stream = Stream { id, hub: self.clone(), deliveries };
        self.call(HubCall::Open(id, answers));
        stream
    }

    /// Says that the state moved on.
    pub fn applied(&self, batch: Arc<Batch>) {
        self.call(HubCall::Applied(batch));
    }

    fn call(&self, call: HubCall) {
        // A hub that is gone serves nobody, and its streams end by themselves.
        let _ = self.calls.send(call);
    }
}

/// One client's watch stream.
#[derive(Debug)]
pub struct Stream {
    id: StreamId,
    hub: HubHandle,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
}

impl Stream {
    /// Asks for a watch.
    pub fn create(&self, watch: Watch) {
        self.say(HubInput::Create { stream: self.id, watch });
    }

    /// Gives a watch up.
    pub fn cancel(&self, id: i64) {
        self.say(HubInput::Cancel { stream: self.id, id });
    }

    /// Asks for a sign of progress.
    pub fn progress(&self) {
        self.say(HubInput::Progress { stream: self.id });
    }

    /// What came, if anything; taking it gives its credit back.
    pub fn poll_delivery(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Delivery>> {
        let polled = self.deliveries.poll_recv(cx);
        if let std::task::Poll::Ready(Some(delivery)) = &polled
            && delivery.cost > 0
        {
            self.say(HubInput::Credit { stream: self.id, bytes: delivery.cost });
        }
        polled
    }

    fn say(&self, input: HubInput) {
        self.hub.call(HubCall::Say(input));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.say(HubInput::Close { stream: self.id });
    }
}

/// A hub and where its streams' answers go.
#[derive(Debug)]
pub struct HubRunner {
    hub: Hub,
    streams: BTreeMap<StreamId, mpsc::UnboundedSender<Delivery>>,
    counts: Option<HubCounts>,
}

impl HubRunner {
    /// A hub that begins at this state.
    #[must_use]
    pub fn new(config: Config, view: View) -> HubRunner {
        HubRunner { hub: Hub::new(config, view), streams: BTreeMap::new(), counts: None }
    }

    /// The same, with its streams and watches counted.
    #[must_use]
    pub fn counted(self, metrics: &Metrics) -> HubRunner {
        HubRunner { counts: Some(metrics.hub()), ..self }
    }

    /// Takes one call; [`settle`](HubRunner::settle) hands out what follows from it.
    pub fn turn(&mut self, now: Instant, call: HubCall) {
        let input = match call {
            HubCall::Tick => HubInput::Tick,
            HubCall::Applied(batch) => HubInput::Applied(batch),
            HubCall::Open(stream, answers) => {
                self.streams.insert(stream, answers);
                self.hub.step(now, HubInput::Open { stream });
                HubInput::Credit { stream, bytes: WINDOW }
            }
            HubCall::Say(input) => {
                if let HubInput::Close { stream } = input {
                    self.streams.remove(&stream);
                }
                input
            }
        };
        self.hub.step(now, input);
    }

    /// Hands out every answer; says when it wants a [`HubCall::Tick`] at the latest.
    pub fn settle(&mut self) -> Option<Instant> {
        let mut told = 0;
        while let Some(delivery) = self.hub.poll() {
            if let Answer::Events { events, .. } = &delivery.answer {
                told += events.len();
            }
            if let Some(answers) = self.streams.get(&delivery.stream) {
                // A stream whose client is gone is closed by its own drop.
                let _ = answers.send(delivery);
            }
        }
        if let Some(counts) = &mut self.counts {
            counts.stand(self.hub.size(), told);
        }
        self.hub.deadline()
    }
}
