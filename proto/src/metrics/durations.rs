//! How long requests and their application take, by kind and outcome. As in etcd, a row appears
//! with its first measurement.

use keel_core::command::Kind;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, Opts, Registry, exponential_buckets,
};
use std::sync::OnceLock;

/// What a client's request is, for its duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A range.
    Range,
    /// A transaction that only reads.
    ReadonlyTxn,
    /// A change, by its command.
    Change(Kind),
}

/// The histograms.
#[derive(Debug)]
pub(super) struct Durations {
    requests: Family<{ Kind::ALL.len() + 1 }>,
    applies: Family<{ Kind::ALL.len() }>,
    ranges: Family<1>,
    slow_applies: IntCounter,
}

/// One histogram a row, by a place and an outcome.
#[derive(Debug)]
struct Family<const N: usize> {
    rows: HistogramVec,
    places: [[OnceLock<Histogram>; 2]; N],
}

impl<const N: usize> Family<N> {
    fn new(registry: &Registry, options: HistogramOpts, labels: &[&str]) -> Family<N> {
        let rows = HistogramVec::new(options, labels).expect(super::VALID);
        registry.register(Box::new(rows.clone())).expect(super::VALID);
        Family { rows, places: std::array::from_fn(|_| Default::default()) }
    }

    fn observe(&self, place: usize, success: bool, labels: &[&str], seconds: f64) {
        let row = &self.places[place][usize::from(success)];
        row.get_or_init(|| self.rows.with_label_values(labels)).observe(seconds);
    }
}

impl Durations {
    pub(super) fn new(registry: &Registry) -> Durations {
        let options = |name: &str, help: &str, start: f64, count: usize| {
            let buckets = exponential_buckets(start, 2.0, count).expect("the buckets grow");
            HistogramOpts::new(name, help).buckets(buckets)
        };
        let slow = Opts::new("etcd_server_slow_apply_total", "Reads and changes that took long.");
        let slow_applies = IntCounter::with_opts(slow).expect(super::VALID);
        registry.register(Box::new(slow_applies.clone())).expect(super::VALID);
        Durations {
            requests: Family::new(
                registry,
                options(
                    "etcd_server_request_duration_seconds",
                    "How long requests take until they are answered.",
                    0.001,
                    14,
                ),
                &["type", "success"],
            ),
            applies: Family::new(
                registry,
                options(
                    "etcd_server_apply_duration_seconds",
                    "How long applying a change takes: the mean of those applied together.",
                    0.0001,
                    20,
                ),
                &["version", "op", "success"],
            ),
            ranges: Family::new(
                registry,
                options(
                    "etcd_server_range_duration_seconds",
                    "How long reading a range takes.",
                    0.0001,
                    20,
                ),
                &["success"],
            ),
            slow_applies,
        }
    }

    pub(super) fn request(&self, asked: Asked, success: bool, seconds: f64) {
        let (place, name) = match asked {
            Asked::Range => (Kind::Range as usize, "Range"),
            Asked::ReadonlyTxn => (Kind::ALL.len(), "ReadonlyTxn"),
            Asked::Change(kind) => (kind as usize, name(kind)),
        };
        self.requests.observe(place, success, &[name, truth(success)], seconds);
    }

    pub(super) fn apply(&self, kind: Kind, success: bool, count: u16, seconds: f64) {
        for _ in 0..count {
            let labels = ["v3", name(kind), truth(success)];
            self.applies.observe(kind as usize, success, &labels, seconds);
        }
    }

    pub(super) fn range(&self, success: bool, seconds: f64) {
        self.ranges.observe(0, success, &[truth(success)], seconds);
    }

    pub(super) fn slow_apply(&self) {
        self.slow_applies.inc();
    }
}

fn truth(success: bool) -> &'static str {
    if success { "true" } else { "false" }
}

/// etcd's name of a kind.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Put => "Put",
        Kind::Delete => "DeleteRange",
        Kind::Txn => "Txn",
        Kind::Compact => "Compaction",
        Kind::Grant => "LeaseGrant",
        Kind::Revoke => "LeaseRevoke",
        Kind::Checkpoint => "LeaseCheckpoint",
        Kind::Alarm => "Alarm",
        Kind::Publish => "ClusterMemberAttrSet",
        Kind::ClusterVersion => "ClusterVersionSet",
        Kind::Downgrade => "DowngradeInfoSet",
        Kind::Range => "Range",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_appear_with_their_first_measurement() {
        let registry = Registry::new();
        let durations = Durations::new(&registry);
        let text = || {
            let encoder = prometheus::TextEncoder::new();
            encoder.encode_to_string(&registry.gather()).expect("text")
        };
        assert!(!text().contains("etcd_server_apply_duration_seconds"));
        durations.apply(Kind::Put, true, 2, 0.0001);
        durations.request(Asked::ReadonlyTxn, false, 0.1);
        let shown = text();
        for line in [
            "etcd_server_apply_duration_seconds_bucket{op=\"Put\",success=\"true\",version=\"v3\",le=\"0.0001\"} 2",
            "etcd_server_request_duration_seconds_count{success=\"false\",type=\"ReadonlyTxn\"} 1",
            "etcd_server_slow_apply_total 0",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
    }
}
