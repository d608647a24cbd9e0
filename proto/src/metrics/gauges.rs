//! What the state itself knows, set when somebody scrapes.

use keel_core::command::AlarmKind;
use keel_core::{NodeId, Status as NodeStatus, View};
use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};

/// What is set when somebody scrapes.
#[derive(Debug)]
pub(super) struct Gauges {
    has_leader: IntGauge,
    is_leader: IntGauge,
    is_learner: IntGauge,
    committed: IntGauge,
    applied: IntGauge,
    quota: IntGauge,
    revision: IntGauge,
    compacted: IntGauge,
    keys: IntGauge,
    size: IntGauge,
    in_use: IntGauge,
    cluster_version: GaugeVec,
    alarms: IntGaugeVec,
    id: GaugeVec,
    version: GaugeVec,
}

impl Gauges {
    pub(super) fn new(registry: &Registry) -> Gauges {
        Gauges {
            has_leader: metric!(
                registry,
                IntGauge,
                "etcd_server_has_leader",
                "Whether a leader is known."
            ),
            is_leader: metric!(
                registry,
                IntGauge,
                "etcd_server_is_leader",
                "Whether this member leads."
            ),
            is_learner: metric!(
                registry,
                IntGauge,
                "etcd_server_is_learner",
                "Whether this member learns."
            ),
            committed: metric!(
                registry,
                IntGauge,
                "etcd_server_proposals_committed_total",
                "The commit index."
            ),
            applied: metric!(
                registry,
                IntGauge,
                "etcd_server_proposals_applied_total",
                "The applied index."
            ),
            quota: metric!(
                registry,
                IntGauge,
                "etcd_server_quota_backend_bytes",
                "The quota, bytes."
            ),
            revision: metric!(
                registry,
                IntGauge,
                "etcd_debugging_mvcc_current_revision",
                "The newest revision."
            ),
            compacted: metric!(
                registry,
                IntGauge,
                "etcd_debugging_mvcc_compact_revision",
                "The last compacted revision."
            ),
            keys: metric!(registry, IntGauge, "etcd_debugging_mvcc_keys_total", "Keys that exist."),
            size: metric!(
                registry,
                IntGauge,
                "etcd_mvcc_db_total_size_in_bytes",
                "Bytes of all versions that are held."
            ),
            in_use: metric!(
                registry,
                IntGauge,
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "Bytes of the versions that can be read."
            ),
            cluster_version: metric!(
                registry,
                GaugeVec,
                "etcd_cluster_version",
                "1 for the cluster's version.",
                ["cluster_version"]
            ),
            alarms: metric!(
                registry,
                IntGaugeVec,
                "etcd_debugging_server_alarms",
                "1 for each alarm that is raised.",
                ["server_id", "alarm_type"]
            ),
            id: metric!(
                registry,
                GaugeVec,
                "etcd_server_id",
                "1 for this member's id.",
                ["server_id"]
            ),
            version: metric!(
                registry,
                GaugeVec,
                "etcd_server_version",
                "1 for the version that is served.",
                ["server_version"]
            ),
        }
    }

    pub(super) fn set(&self, view: &View, status: &NodeStatus, quota: i64) {
        let index = |index: u64| i64::try_from(index).unwrap_or(i64::MAX);
        let one = |gauge: Gauge| gauge.set(1.0);
        let usage = view.kv.usage();
        let learner = view.cluster.members.get(&status.id).is_some_and(|member| member.learner);
        self.has_leader.set(i64::from(status.leader != NodeId::NONE));
        self.is_leader.set(i64::from(status.leader == status.id));
        self.is_learner.set(i64::from(learner));
        self.committed.set(index(status.commit.0));
        self.applied.set(index(status.applied.0));
        self.quota.set(quota);
        self.revision.set(view.kv.revision());
        self.compacted.set(view.kv.compacted());
        self.keys.set(index(usage.keys));
        self.size.set(usage.total);
        self.in_use.set(usage.in_use);
        self.cluster_version.reset();
        if let Some((version, _patch)) = view.cluster.version.rsplit_once('.') {
            one(self.cluster_version.with_label_values(&[version]));
        }
        self.alarms.reset();
        for (member, kind) in view.alarms.iter() {
            let name = match kind {
                AlarmKind::NoSpace => "NOSPACE",
                AlarmKind::Corrupt => "CORRUPT",
            };
            self.alarms.with_label_values(&[member.to_string().as_str(), name]).set(1);
        }
        one(self.id.with_label_values(&[status.id.to_string().as_str()]));
        one(self.version.with_label_values(&[crate::service::VERSION]));
    }
}
