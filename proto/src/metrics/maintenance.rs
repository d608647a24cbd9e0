//! How long work on the whole state takes.

use prometheus::{Histogram, HistogramOpts, IntGauge, Opts, Registry, exponential_buckets};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Maintenance {
    revision_hash: Histogram,
    hash: Histogram,
    compaction: Histogram,
    last_compaction: IntGauge,
}

impl Maintenance {
    pub(super) fn new(registry: &Registry) -> Maintenance {
        let histogram = |name: &str, help: &str, start: f64, count: usize| {
            let buckets = exponential_buckets(start, 2.0, count).expect("the buckets grow");
            let histogram = HistogramOpts::new(name, help).buckets(buckets);
            let histogram = Histogram::with_opts(histogram).expect(super::VALID);
            registry.register(Box::new(histogram.clone())).expect(super::VALID);
            histogram
        };
        Maintenance {
            revision_hash: histogram(
                "etcd_mvcc_hash_rev_duration_seconds",
                "How long a hash over the history takes.",
                0.01,
                15,
            ),
            hash: histogram(
                "etcd_mvcc_hash_duration_seconds",
                "How long a hash over the whole database takes.",
                0.01,
                15,
            ),
            compaction: histogram(
                "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
                "How long a compaction takes.",
                100.0,
                14,
            ),
            last_compaction: metric!(
                registry,
                IntGauge,
                "etcd_debugging_mvcc_db_compaction_last",
                "When the last compaction was over, seconds since 1970."
            ),
        }
    }

    pub(super) fn hash_of_revision(&self, took: Duration) {
        self.revision_hash.observe(took.as_secs_f64());
    }

    pub(super) fn hash_of_all(&self, took: Duration) {
        self.hash.observe(took.as_secs_f64());
    }

    pub(super) fn compacted(&self, unix: Duration, took: Duration) {
        self.compaction.observe(took.as_secs_f64() * 1000.0);
        self.last_compaction.set(i64::try_from(unix.as_secs()).unwrap_or(i64::MAX));
    }
}
