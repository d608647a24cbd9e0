//! What goes between members (surface §8).

use super::VALID;
use keel_core::NodeId;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

/// Counted by peer.
#[derive(Debug)]
pub(super) struct Peers {
    sent: IntCounterVec,
    received: IntCounterVec,
    sent_failures: IntCounterVec,
    active: IntGaugeVec,
    round_trips: HistogramVec,
}

impl Peers {
    pub(super) fn new(registry: &Registry) -> Peers {
        let counter = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label]).expect(VALID);
            registry.register(Box::new(counter.clone())).expect(VALID);
            counter
        };
        let active = Opts::new("etcd_network_active_peers", "Peers that are reached now.");
        let active = IntGaugeVec::new(active, &["Local", "Remote"]).expect(VALID);
        registry.register(Box::new(active.clone())).expect(VALID);
        let buckets = exponential_buckets(0.0001, 2.0, 16).expect("the buckets grow");
        let round_trips = HistogramOpts::new(
            "etcd_network_peer_round_trip_time_seconds",
            "How long a peer takes to answer a probe.",
        );
        let round_trips = HistogramVec::new(round_trips.buckets(buckets), &["To"]).expect(VALID);
        registry.register(Box::new(round_trips.clone())).expect(VALID);
        Peers {
            sent: counter("etcd_network_peer_sent_bytes_total", "Bytes to a peer.", "To"),
            received: counter(
                "etcd_network_peer_received_bytes_total",
                "Bytes from a peer.",
                "From",
            ),
            sent_failures: counter(
                "etcd_network_peer_sent_failures_total",
                "Messages to a peer that were lost.",
                "To",
            ),
            active,
            round_trips,
        }
    }
}

impl super::Metrics {
    /// The bytes that go to a peer.
    #[must_use]
    pub fn sent_to(&self, peer: NodeId) -> IntCounter {
        self.0.peers.sent.with_label_values(&[&peer.to_string()])
    }

    /// The bytes that come from a peer.
    #[must_use]
    pub fn received_from(&self, peer: NodeId) -> IntCounter {
        self.0.peers.received.with_label_values(&[&peer.to_string()])
    }

    /// A message to a peer was lost.
    pub fn lost(&self, peer: NodeId) {
        self.0.peers.sent_failures.with_label_values(&[&peer.to_string()]).inc();
    }

    /// A peer answered a probe.
    pub fn round_trip(&self, peer: NodeId, seconds: f64) {
        self.0.peers.round_trips.with_label_values(&[&peer.to_string()]).observe(seconds);
    }

    /// Whether a peer is reached now.
    pub fn reached(&self, me: NodeId, peer: NodeId, reached: bool) {
        let labels = [me.to_string(), peer.to_string()];
        self.0.peers.active.with_label_values(&labels).set(i64::from(reached));
    }
}
