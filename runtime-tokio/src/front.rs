//! What the driver shows to everybody: the newest state, and batches to the hubs.

use keel_core::Status;
use keel_core::output::Batch;
use keel_proto::Shared;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The driver's side of it.
#[derive(Debug)]
pub(crate) struct Front {
    shared: Arc<Shared>,
    status: Status,
    hubs: Vec<mpsc::UnboundedSender<Arc<Batch>>>,
}

impl Front {
    /// A front whose shards listen on the other ends of `hubs`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        status: Status,
        hubs: Vec<mpsc::UnboundedSender<Arc<Batch>>>,
    ) -> Front {
        Front { shared, status, hubs }
    }

    /// The state moved on.
    pub(crate) fn publish(&mut self, batch: &Arc<Batch>, status: Status) {
        self.status = status;
        let before = self.shared.publish(batch.view.clone(), status);
        drop(before);
        for hub in &self.hubs {
            // A shard that has stopped has no watchers left.
            let _ = hub.send(Arc::clone(batch));
        }
    }

    /// Only the node's standing may have moved.
    pub(crate) fn stand(&mut self, status: Status) {
        if status != self.status {
            self.status = status;
            self.shared.publish_status(status);
        }
    }
}
