//! The small values of etcd's buckets: integers, revisions, two messages, a little JSON.

use super::Damage;
use crate::pb::etcdserverpb::{AlarmMember, AlarmType};
use crate::pb::leasepb::Lease;
use crate::peer::members;
use bytes::{BufMut, Bytes, BytesMut};
use keel_core::command::AlarmKind;
use keel_core::members::Member;
use keel_core::raft::Config;
use keel_core::state::LeaseRecord;
use keel_core::{LeaseId, NodeId, Revision};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A revision's key without and with the mark of a tombstone.
const REVISION_LEN: usize = 17;
const TOMBSTONE_LEN: usize = 18;
const SEPARATOR: u8 = b'_';
const TOMBSTONE: u8 = b't';

/// Where the schema's version stands in the bucket `meta`.
pub(super) const STORAGE_VERSION: &[u8] = b"storageVersion";

/// A revision as a key of the bucket `key`.
pub(super) fn revision_key(revision: Revision, tombstone: bool) -> Bytes {
    let mut key = BytesMut::with_capacity(TOMBSTONE_LEN);
    key.put_i64(revision.main);
    key.put_u8(SEPARATOR);
    key.put_i64(revision.sub);
    if tombstone {
        key.put_u8(TOMBSTONE);
    }
    key.freeze()
}

/// Reads a key of the bucket `key`.
pub(super) fn read_revision(key: &[u8]) -> Option<(Revision, bool)> {
    let tombstone = match (key.len(), key.last()) {
        (REVISION_LEN, _) => false,
        (TOMBSTONE_LEN, Some(&TOMBSTONE)) => true,
        _ => return None,
    };
    let main = i64::from_be_bytes(*key.first_chunk()?);
    let sub = i64::from_be_bytes(*key.get(9..)?.first_chunk()?);
    let sound = key[8] == SEPARATOR && main >= 0 && sub >= 0;
    sound.then_some((Revision { main, sub }, tombstone))
}

/// A lease as an item of the bucket `lease`.
pub(super) fn lease_item(record: &LeaseRecord) -> (Bytes, Bytes) {
    let key = Bytes::copy_from_slice(&record.lease.0.to_be_bytes());
    let lease = Lease { id: record.lease.0, ttl: record.ttl, remaining_ttl: record.remaining };
    (key, lease.encode_to_vec().into())
}

/// Reads a value of the bucket `lease`.
pub(super) fn read_lease(value: &[u8]) -> Option<LeaseRecord> {
    let lease = Lease::decode(value).ok()?;
    Some(LeaseRecord { lease: LeaseId(lease.id), ttl: lease.ttl, remaining: lease.remaining_ttl })
}

/// An alarm as a key of the bucket `alarm`.
pub(super) fn alarm_key(member: NodeId, kind: AlarmKind) -> Bytes {
    let alarm = match kind {
        AlarmKind::NoSpace => AlarmType::Nospace,
        AlarmKind::Corrupt => AlarmType::Corrupt,
    };
    AlarmMember { member_id: member.0, alarm: alarm.into() }.encode_to_vec().into()
}

/// Reads a key of the bucket `alarm`. etcd may raise an alarm of no kind; it says nothing, and
/// that is the inner `None`.
pub(super) fn read_alarm(key: &[u8]) -> Option<Option<(NodeId, AlarmKind)>> {
    let alarm = AlarmMember::decode(key).ok()?;
    let member = NodeId(alarm.member_id);
    match AlarmType::try_from(alarm.alarm).ok()? {
        AlarmType::None => Some(None),
        AlarmType::Nospace => Some(Some((member, AlarmKind::NoSpace))),
        AlarmType::Corrupt => Some(Some((member, AlarmKind::Corrupt))),
    }
}

/// Who votes, as etcd remembers it beside the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfState {
    /// The voters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voters: Vec<u64>,
    /// The learners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learners: Vec<u64>,
    /// The voters before a change that is under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voters_outgoing: Vec<u64>,
    /// Who becomes a learner once it is through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learners_next: Vec<u64>,
    /// Whether the leader ends the change by itself.
    #[serde(default)]
    pub auto_leave: bool,
}

impl ConfState {
    /// A configuration as etcd writes it.
    pub(super) fn of(config: &Config) -> ConfState {
        let ids = |ids: &BTreeSet<NodeId>| ids.iter().map(|id| id.0).collect();
        ConfState {
            voters: ids(&config.voters),
            learners: ids(&config.learners),
            voters_outgoing: ids(&config.outgoing),
            learners_next: ids(&config.learners_next),
            auto_leave: config.auto_leave,
        }
    }

    /// The configuration that it says.
    #[must_use]
    pub fn config(&self) -> Config {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
        Config {
            voters: ids(&self.voters),
            learners: ids(&self.learners),
            outgoing: ids(&self.voters_outgoing),
            learners_next: ids(&self.learners_next),
            auto_leave: self.auto_leave,
        }
    }
}

/// A downgrade that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downgrade {
    /// The version to go to.
    #[serde(rename = "target-version", default)]
    pub target: String,
    /// Whether it is allowed.
    #[serde(default)]
    pub enabled: bool,
}

/// A member's id as a key of `members` and `members_removed`.
pub(super) fn member_key(id: NodeId) -> Bytes {
    id.to_string().into()
}

/// Reads a member's id.
pub(super) fn read_member_key(key: &[u8]) -> Option<NodeId> {
    u64::from_str_radix(std::str::from_utf8(key).ok()?, 16).ok().map(NodeId)
}

/// A member as a value of the bucket `members`.
pub(super) fn member_value(id: NodeId, member: &Member) -> Bytes {
    members::one(id, member).into()
}

/// Reads a value of the bucket `members`.
pub(super) fn read_member(value: &[u8]) -> Option<(NodeId, Member)> {
    members::parse(value).map(|(id, member, _)| (id, member))
}

/// JSON as etcd's language writes it.
pub(super) fn json(value: &impl Serialize) -> Bytes {
    members::json(value).into()
}

/// A big-endian number.
pub(super) fn read_u64(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

/// A value that must be readable.
pub(super) fn sound<T>(value: Option<T>, at: u64, why: &'static str) -> Result<T, Damage> {
    value.ok_or(Damage { at, why })
}
