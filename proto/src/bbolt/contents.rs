//! What a member's state is in etcd's buckets (semantics §9b): what the writer takes in.

use super::backend::Auth;
use super::export::Bucket;
use super::values::{
    ConfState, Downgrade, alarm_key, json, lease_item, member_key, member_value, revision_key,
};
use bytes::Bytes;
use keel_core::command::AlarmKind;
use keel_core::members::Cluster;
use keel_core::state::{Checkpoint, LeaseRecord};
use keel_core::{Index, NodeId, Revision, Term, mvcc};
use std::sync::Arc;

/// The schema that these buckets have.
const STORAGE_VERSION: &str = "3.7.0";
/// The schema before, which has the same form.
const STORAGE_VERSION_BEFORE: &str = "3.6.0";

/// The schema that a cluster's state is kept in: its version's, as far as there is such a one.
#[must_use]
pub fn storage_version(cluster: &Cluster) -> &'static str {
    match cluster.version.as_str() {
        STORAGE_VERSION_BEFORE => STORAGE_VERSION_BEFORE,
        _ => STORAGE_VERSION,
    }
}

/// Items of a bucket, keys strictly rising.
pub type Items = Box<dyn Iterator<Item = (Bytes, Bytes)> + Send>;

/// A member's whole state, at one entry of the log.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The key space.
    pub kv: mvcc::View,
    /// The last entry that is in it.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// Who votes.
    pub conf_state: ConfState,
    /// The leases, in any order.
    pub leases: Vec<LeaseRecord>,
    /// The alarms that are raised.
    pub alarms: Arc<Vec<(NodeId, AlarmKind)>>,
    /// Who belongs to the cluster, and its version.
    pub cluster: Arc<Cluster>,
    /// Who belonged to it once and must never again.
    pub removed: Vec<NodeId>,
    /// A downgrade under way.
    pub downgrade: Option<Downgrade>,
    /// Users and roles.
    pub auth: Auth,
}

impl Contents {
    /// What a checkpoint holds. It knows of no user.
    #[must_use]
    pub fn of(checkpoint: &Checkpoint) -> Contents {
        Contents {
            kv: checkpoint.kv.clone(),
            index: checkpoint.index,
            term: checkpoint.term,
            conf_state: ConfState::of(&checkpoint.config),
            leases: checkpoint.leases.clone(),
            alarms: checkpoint.alarms.clone(),
            cluster: checkpoint.cluster.clone(),
            removed: checkpoint.cluster.removed.iter().copied().collect(),
            downgrade: checkpoint
                .cluster
                .downgrade
                .as_ref()
                .map(|target| Downgrade { target: target.clone(), enabled: !target.is_empty() }),
            auth: Auth::default(),
        }
    }

    /// All of etcd's buckets, by name. Each is there even where it is empty.
    #[must_use]
    pub fn into_buckets(self) -> Vec<Bucket> {
        let meta = self.meta();
        let alarms = self.alarms.iter().map(|(member, kind)| (alarm_key(*member, *kind), EMPTY));
        let members = self.cluster.members.iter();
        let members = members.map(|(id, member)| (member_key(*id), member_value(*id, member)));
        let removed = self.removed.iter().map(|id| (member_key(*id), REMOVED));
        vec![
            listed("alarm", alarms.collect()),
            listed("auth", auth(&self.auth)),
            listed("authRoles", self.auth.roles.clone()),
            listed("authUsers", self.auth.users.clone()),
            listed("cluster", cluster(&self.cluster.version, self.downgrade.as_ref())),
            history(self.kv),
            leases(self.leases),
            listed("members", members.collect()),
            listed("members_removed", removed.collect()),
            listed("meta", meta),
        ]
    }

    fn meta(&self) -> Vec<(Bytes, Bytes)> {
        let mut meta = vec![
            ("confState", json(&self.conf_state)),
            ("consistent_index", big_endian(self.index.0)),
            ("storageVersion", Bytes::from_static(storage_version(&self.cluster).as_bytes())),
            ("term", big_endian(self.term.0)),
        ];
        if self.kv.compacted() >= 0 {
            let at = Revision { main: self.kv.compacted(), sub: 0 };
            let at = revision_key(at, false);
            meta.push(("finishedCompactRev", at.clone()));
            meta.push(("scheduledCompactRev", at));
        }
        named(meta)
    }
}

const EMPTY: Bytes = Bytes::new();
const REMOVED: Bytes = Bytes::from_static(b"removed");

fn auth(auth: &Auth) -> Vec<(Bytes, Bytes)> {
    // A fresh etcd writes the revision and leaves the flag out until auth is enabled once.
    let mut items = vec![("authRevision", big_endian(auth.revision))];
    if let Some(enabled) = auth.enabled {
        items.push(("authEnabled", Bytes::copy_from_slice(&[u8::from(enabled)])));
    }
    named(items)
}

fn cluster(version: &str, downgrade: Option<&Downgrade>) -> Vec<(Bytes, Bytes)> {
    let mut items = Vec::new();
    if !version.is_empty() {
        items.push(("clusterVersion", Bytes::copy_from_slice(version.as_bytes())));
    }
    if let Some(downgrade) = downgrade {
        items.push(("downgrade", json(downgrade)));
    }
    named(items)
}

fn named(items: Vec<(&'static str, Bytes)>) -> Vec<(Bytes, Bytes)> {
    items.into_iter().map(|(key, value)| (Bytes::from_static(key.as_bytes()), value)).collect()
}

fn listed(name: &'static str, mut items: Vec<(Bytes, Bytes)>) -> Bucket {
    items.sort();
    let items: Arc<[(Bytes, Bytes)]> = items.into();
    let run = move || -> Items {
        let items = items.clone();
        Box::new((0..items.len()).map(move |i| items[i].clone()))
    };
    Bucket { name: Bytes::from_static(name.as_bytes()), items: Box::new(run) }
}

fn history(kv: mvcc::View) -> Bucket {
    let run = move || -> Items {
        let records = kv.records();
        Box::new(records.map(|one| (revision_key(one.revision, one.tombstone), one.record)))
    };
    Bucket { name: Bytes::from_static(b"key"), items: Box::new(run) }
}

fn leases(mut leases: Vec<LeaseRecord>) -> Bucket {
    // By the bytes of the key: a negative id comes last.
    leases.sort_by_key(|record| record.lease.0.to_be_bytes());
    let leases: Arc<[LeaseRecord]> = leases.into();
    let run = move || -> Items {
        let leases = leases.clone();
        Box::new((0..leases.len()).map(move |i| lease_item(&leases[i])))
    };
    Bucket { name: Bytes::from_static(b"lease"), items: Box::new(run) }
}

fn big_endian(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}
