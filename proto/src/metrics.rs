//! etcd's metrics, under etcd's names (surface §8).
//!
//! What the state itself knows is read when somebody scrapes; the rest is counted as it happens.

// What follows can use it because it stands first.
macro_rules! metric {
    ($registry:ident, $kind:ident, $name:literal, $help:literal) => {{
        let metric = $kind::with_opts(Opts::new($name, $help)).expect(crate::metrics::VALID);
        $registry.register(Box::new(metric.clone())).expect(crate::metrics::VALID);
        metric
    }};
    ($registry:ident, $kind:ident, $name:literal, $help:literal, $labels:expr) => {{
        let metric = $kind::new(Opts::new($name, $help), &$labels).expect(crate::metrics::VALID);
        $registry.register(Box::new(metric.clone())).expect(crate::metrics::VALID);
        metric
    }};
}

mod calls;
mod durations;
mod gauges;
mod maintenance;
mod peers;
mod transfers;
mod watches;

pub use calls::Call;
pub(crate) use durations::Asked;
pub use transfers::Transfer;
pub use watches::HubCounts;

use crate::timing::Timing;
use calls::Calls;
use durations::Durations;
use gauges::Gauges;
use keel_core::command::Kind;
use keel_core::note::Work;
use keel_core::{Status as NodeStatus, View};
use maintenance::Maintenance;
use peers::Peers;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry, TextEncoder,
    exponential_buckets,
};
use std::sync::Arc;
use std::time::Duration;
use watches::Watches;

/// The classic text format, which every scraper reads.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All of a member's metrics; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<All>);

#[derive(Debug)]
struct All {
    registry: Registry,
    calls: Calls,
    health_success: IntCounter,
    health_failures: IntCounter,
    puts: IntCounter,
    deletes: IntCounter,
    ranges: IntCounter,
    txns: IntCounter,
    fsync: Histogram,
    backend_commit: Histogram,
    leader_changes: IntCounter,
    lease_expired: IntCounter,
    lease_granted: IntCounter,
    lease_revoked: IntCounter,
    lease_renewed: IntCounter,
    read_indexes_failed: IntCounter,
    learners_promoted: IntCounter,
    pending: IntGauge,
    failed: IntCounter,
    received: IntCounter,
    sent: IntCounter,
    durations: Durations,
    maintenance: Maintenance,
    watches: Watches,
    peers: Peers,
    gauges: Gauges,
}

/// Names and labels stand in these files, and a test makes them all.
const VALID: &str = "a metric is valid and stands once";

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let disk = |name: &str, help: &str| {
            let buckets = exponential_buckets(0.001, 2.0, 14).expect("the buckets grow");
            let histogram = HistogramOpts::new(name, help).buckets(buckets);
            let histogram = Histogram::with_opts(histogram).expect(VALID);
            registry.register(Box::new(histogram.clone())).expect(VALID);
            histogram
        };
        let fsync =
            disk("etcd_disk_wal_fsync_duration_seconds", "How long making the log durable takes.");
        let backend_commit = disk(
            "etcd_disk_backend_commit_duration_seconds",
            "How long a piece of the state takes to the disk.",
        );
        let gauges = Gauges::new(&registry);
        Metrics(Arc::new(All {
            calls: Calls::new(&registry),
            health_success: metric!(
                registry,
                IntCounter,
                "etcd_server_health_success",
                "Looks at /health that found the member well."
            ),
            health_failures: metric!(
                registry,
                IntCounter,
                "etcd_server_health_failures",
                "Looks at /health that found the member unwell."
            ),
            puts: metric!(registry, IntCounter, "etcd_mvcc_put_total", "Puts seen here."),
            deletes: metric!(registry, IntCounter, "etcd_mvcc_delete_total", "Deletes seen here."),
            ranges: metric!(registry, IntCounter, "etcd_mvcc_range_total", "Ranges seen here."),
            txns: metric!(registry, IntCounter, "etcd_mvcc_txn_total", "Transactions seen here."),
            leader_changes: metric!(
                registry,
                IntCounter,
                "etcd_server_leader_changes_seen_total",
                "Leaders that became known here."
            ),
            lease_expired: metric!(
                registry,
                IntCounter,
                "etcd_debugging_server_lease_expired_total",
                "Leases that ran out here."
            ),
            lease_granted: metric!(
                registry,
                IntCounter,
                "etcd_debugging_lease_granted_total",
                "Leases that were granted."
            ),
            lease_revoked: metric!(
                registry,
                IntCounter,
                "etcd_debugging_lease_revoked_total",
                "Leases that were ended."
            ),
            lease_renewed: metric!(
                registry,
                IntCounter,
                "etcd_debugging_lease_renewed_total",
                "Renewals of leases that this member answered as leader."
            ),
            read_indexes_failed: metric!(
                registry,
                IntCounter,
                "etcd_server_read_indexes_failed_total",
                "Reads that nobody confirmed."
            ),
            learners_promoted: metric!(
                registry,
                IntCounter,
                "etcd_server_learner_promote_successes",
                "Learners that became voters by this member's word."
            ),
            pending: metric!(
                registry,
                IntGauge,
                "etcd_server_proposals_pending",
                "Proposals that wait for their answer."
            ),
            failed: metric!(
                registry,
                IntCounter,
                "etcd_server_proposals_failed_total",
                "Proposals that were not applied in time, or not at all."
            ),
            received: metric!(
                registry,
                IntCounter,
                "etcd_network_client_grpc_received_bytes_total",
                "Bytes that came from clients."
            ),
            sent: metric!(
                registry,
                IntCounter,
                "etcd_network_client_grpc_sent_bytes_total",
                "Bytes that went to clients."
            ),
            fsync,
            backend_commit,
            durations: Durations::new(&registry),
            maintenance: Maintenance::new(&registry),
            watches: Watches::new(&registry),
            peers: Peers::new(&registry),
            gauges,
            registry,
        }))
    }

    /// A call begins.
    #[must_use]
    pub fn begin(&self, service: &str, method: &str, timing: &Timing) -> Call {
        match method {
            "Put" => self.0.puts.inc(),
            "DeleteRange" => self.0.deletes.inc(),
            "Range" | "RangeStream" => self.0.ranges.inc(),
            "Txn" => self.0.txns.inc(),
            _ => {}
        }
        self.0.calls.begin(service, method, timing)
    }

    /// Keeps how long each method takes, too: etcd's `--metrics=extensive`.
    pub fn extensive(&self) {
        self.0.calls.extensive(&self.0.registry);
    }

    /// A request was answered, or refused by the state.
    pub(crate) fn request(&self, asked: Asked, success: bool, took: Duration) {
        self.0.durations.request(asked, success, took.as_secs_f64());
    }

    /// A range was read.
    pub(crate) fn range(&self, success: bool, took: Duration) {
        self.0.durations.range(success, took.as_secs_f64());
    }

    /// Changes were applied, all of them in this time.
    pub fn applied(&self, work: Work, took: Duration) {
        let each = took.as_secs_f64() / f64::from(work.total().max(1));
        for (kind, success, count) in work.iter() {
            self.0.durations.apply(kind, success, count, each);
            match kind {
                Kind::Grant if success => self.0.lease_granted.inc_by(count.into()),
                Kind::Revoke if success => self.0.lease_revoked.inc_by(count.into()),
                _ => {}
            }
        }
    }

    /// A lease was kept alive here.
    pub(crate) fn lease_renewed(&self) {
        self.0.lease_renewed.inc();
    }

    /// Nobody confirmed that the state may be read.
    pub(crate) fn read_index_failed(&self) {
        self.0.read_indexes_failed.inc();
    }

    /// A learner became a voter by this member's word.
    pub(crate) fn learner_promoted(&self) {
        self.0.learners_promoted.inc();
    }

    /// A hash over the history was taken.
    pub(crate) fn hash_of_revision(&self, took: Duration) {
        self.0.maintenance.hash_of_revision(took);
    }

    /// A hash over the whole database was taken.
    pub(crate) fn hash_of_all(&self, took: Duration) {
        self.0.maintenance.hash_of_all(took);
    }

    /// A compaction is over: when, since 1970, and how long it took.
    pub fn compacted(&self, unix: Duration, took: Duration) {
        self.0.maintenance.compacted(unix, took);
    }

    /// The gauges of a hub of watches.
    #[must_use]
    pub fn hub(&self) -> HubCounts {
        self.0.watches.hub()
    }

    /// A read or a change took too long.
    pub fn slow_apply(&self) {
        self.0.durations.slow_apply();
    }

    /// A proposal waits for its answer until what this gives is dropped.
    #[must_use]
    pub fn proposal(&self) -> Pending {
        self.0.pending.inc();
        Pending(self.clone())
    }

    /// A proposal was not applied in time, or not at all.
    pub fn proposal_failed(&self) {
        self.0.failed.inc();
    }

    /// The counters of bytes that come from clients and go to them.
    #[must_use]
    pub fn traffic(&self) -> (IntCounter, IntCounter) {
        (self.0.received.clone(), self.0.sent.clone())
    }

    /// Takes in what somebody else measures: the process, for one.
    ///
    /// # Panics
    ///
    /// Where a metric of that name is there already.
    pub fn register(&self, collector: impl prometheus::core::Collector + 'static) {
        self.0.registry.register(Box::new(collector)).expect(VALID);
    }

    /// A look at `/health`.
    pub fn health(&self, well: bool) {
        if well {
            self.0.health_success.inc();
        } else {
            self.0.health_failures.inc();
        }
    }

    /// The log was made durable.
    pub fn fsync(&self, seconds: f64) {
        self.0.fsync.observe(seconds);
    }

    /// A piece of the state was written.
    pub fn backend_commit(&self, seconds: f64) {
        self.0.backend_commit.observe(seconds);
    }

    /// A leader became known.
    pub fn leader_changed(&self) {
        self.0.leader_changes.inc();
    }

    /// A lease ran out.
    pub fn lease_expired(&self) {
        self.0.lease_expired.inc();
    }

    /// All of them, as text.
    #[must_use]
    pub fn exposition(&self, view: &View, status: &NodeStatus, quota: i64) -> String {
        self.0.gauges.set(view, status, quota);
        TextEncoder::new().encode_to_string(&self.0.registry.gather()).unwrap_or_default()
    }
}

/// A proposal under way.
#[derive(Debug)]
pub struct Pending(Metrics);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.0.pending.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    #[test]
    fn names_come_out_as_etcd_writes_them() {
        let metrics = Metrics::new();
        let call = metrics.begin("etcdserverpb.KV", "Put", &Timing::still());
        call.end(&Status::ok(""));
        let text = TextEncoder::new().encode_to_string(&metrics.0.registry.gather());
        let text = text.expect("text");
        assert!(text.contains("# TYPE etcd_mvcc_put_total counter\netcd_mvcc_put_total 1\n"));
        assert!(text.contains(
            "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",\
             grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1"
        ));
    }
}
