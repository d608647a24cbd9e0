//! States on their way between members.

use super::{Metrics, VALID};
use keel_core::NodeId;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, exponential_buckets,
};

/// Those of one direction, by peer.
#[derive(Debug)]
pub(super) struct Transfers {
    under_way: IntGaugeVec,
    arrived: IntCounterVec,
    failed: IntCounterVec,
    seconds: HistogramVec,
}

impl Transfers {
    pub(super) fn new(registry: &Registry, way: &str, label: &str) -> Transfers {
        let named =
            |what: &str, help: &str| Opts::new(format!("etcd_network_snapshot_{way}_{what}"), help);
        let under_way = named("inflights_total", "States that are under way.");
        let arrived = named("success", "States that arrived.");
        let failed = named("failures", "States that did not arrive.");
        let seconds = HistogramOpts::new(
            format!("etcd_network_snapshot_{way}_total_duration_seconds"),
            "How long states that arrived were under way.",
        );
        let buckets = exponential_buckets(0.1, 2.0, 10).expect("the buckets grow");
        let transfers = Transfers {
            under_way: IntGaugeVec::new(under_way, &[label]).expect(VALID),
            arrived: IntCounterVec::new(arrived, &[label]).expect(VALID),
            failed: IntCounterVec::new(failed, &[label]).expect(VALID),
            seconds: HistogramVec::new(seconds.buckets(buckets), &[label]).expect(VALID),
        };
        registry.register(Box::new(transfers.under_way.clone())).expect(VALID);
        registry.register(Box::new(transfers.arrived.clone())).expect(VALID);
        registry.register(Box::new(transfers.failed.clone())).expect(VALID);
        registry.register(Box::new(transfers.seconds.clone())).expect(VALID);
        transfers
    }

    fn begin(&self, peer: NodeId) -> Transfer {
        let peer = peer.to_string();
        let under_way = self.under_way.with_label_values(&[&peer]);
        under_way.inc();
        Transfer {
            under_way,
            arrived: self.arrived.with_label_values(&[&peer]),
            failed: self.failed.with_label_values(&[&peer]),
            seconds: self.seconds.with_label_values(&[&peer]),
            took: None,
        }
    }
}

/// A state under way; one that is dropped before it arrived has failed.
#[derive(Debug)]
pub struct Transfer {
    under_way: IntGauge,
    arrived: IntCounter,
    failed: IntCounter,
    seconds: Histogram,
    took: Option<f64>,
}

impl Transfer {
    /// It is there; it took so many seconds.
    pub fn arrived(mut self, seconds: f64) {
        self.took = Some(seconds);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.under_way.dec();
        match self.took {
            Some(seconds) => {
                self.arrived.inc();
                self.seconds.observe(seconds);
            }
            None => self.failed.inc(),
        }
    }
}

impl Metrics {
    /// A state sets out to a peer.
    #[must_use]
    pub fn sends_state(&self, peer: NodeId) -> Transfer {
        self.0.peers.states_sent.begin(peer)
    }

    /// A peer's state begins to come in.
    #[must_use]
    pub fn receives_state(&self, peer: NodeId) -> Transfer {
        self.0.peers.states_received.begin(peer)
    }
}
