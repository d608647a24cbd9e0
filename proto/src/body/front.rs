//! What the driver shows to everybody: the newest state, and batches to the hubs.

use crate::{HubHandle, Shared};
use keel_core::Status;
use keel_core::output::Batch;
use std::sync::Arc;

/// The driver's side of it.
#[derive(Debug)]
pub struct Front {
    shared: Arc<Shared>,
    status: Status,
    hubs: Vec<HubHandle>,
}

impl Front {
    /// A front whose shards listen on the other ends of `hubs`.
    pub fn new(shared: Arc<Shared>, status: Status, hubs: Vec<HubHandle>) -> Front {
        Front { shared, status, hubs }
    }

    /// The state moved on.
    pub fn publish(&mut self, batch: &Arc<Batch>, status: Status) {
        self.status = status;
        // What only the view before still held goes here and now: the nodes that this batch
        // copied. That was measured at a hundredth of an apply, so no other thread is asked.
        drop(self.shared.publish(batch.view.clone(), status));
        for hub in &self.hubs {
            hub.applied(Arc::clone(batch));
        }
    }

    /// Only the node's standing may have moved.
    pub fn stand(&mut self, status: Status) {
        if status != self.status {
            self.status = status;
            self.shared.publish_status(status);
        }
    }
}
