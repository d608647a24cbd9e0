//! What goes between members (surface §8).

use super::VALID;
use super::transfers::Transfers;
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
    received_failures: IntCounterVec,
    known: IntGaugeVec,
    active: IntGaugeVec,
    disconnected: IntCounterVec,
    round_trips: HistogramVec,
    pub(super) states_sent: Transfers,
    pub(super) states_received: Transfers,
}

impl Peers {
    pub(super) fn new(registry: &Registry) -> Peers {
        let counter = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label]).expect(VALID);
            registry.register(Box::new(counter.clone())).expect(VALID);
            counter
        };
        let pair = ["Local", "Remote"];
        let gauge = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &pair).expect(VALID);
            registry.register(Box::new(gauge.clone())).expect(VALID);
            gauge
        };
        let disconnected =
            Opts::new("etcd_network_disconnected_peers_total", "Peers that were lost.");
        let disconnected = IntCounterVec::new(disconnected, &pair).expect(VALID);
        registry.register(Box::new(disconnected.clone())).expect(VALID);
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
            received_failures: counter(
                "etcd_network_peer_received_failures_total",
                "Messages from a peer that could not be read.",
                "From",
            ),
            known: gauge("etcd_network_known_peers", "Peers that belong to the cluster."),
            active: gauge("etcd_network_active_peers", "Peers that are reached now."),
            disconnected,
            round_trips,
            states_sent: Transfers::new(registry, "send", "To"),
            states_received: Transfers::new(registry, "receive", "From"),
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

    /// A message of a peer could not be read.
    pub fn unreadable(&self, peer: NodeId) {
        self.0.peers.received_failures.with_label_values(&[&peer.to_string()]).inc();
    }

    /// Whether a peer belongs to the cluster.
    pub fn known(&self, me: NodeId, peer: NodeId, known: bool) {
        let labels = [me.to_string(), peer.to_string()];
        self.0.peers.known.with_label_values(&labels).set(i64::from(known));
    }

    /// Whether a peer is reached now.
    pub fn reached(&self, me: NodeId, peer: NodeId, reached: bool) {
        let labels = [me.to_string(), peer.to_string()];
        let active = self.0.peers.active.with_label_values(&labels);
        if active.get() > i64::from(reached) {
            self.0.peers.disconnected.with_label_values(&labels).inc();
        }
        active.set(i64::from(reached));
    }
}
