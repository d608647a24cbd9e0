//! Entries of the raft log: what their bytes mean (semantics §8.5, §8.7).

use crate::convert::request;
use crate::member;
use crate::pb::etcdserverpb as pb;
use crate::pb::raftpb;
use bytes::Bytes;
use keel_core::entry::EntryKind;
use keel_core::raft::{Change, ChangeStep};
use keel_core::{Command, Entry, LeaseId, NodeId, Payload, Proposal, RawEntry, Ticket};
use prost::Message;
use std::fmt;
use std::sync::Arc;

/// Why an entry's bytes are none of etcd's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadEntry {
    /// They do not decode.
    Malformed(prost::DecodeError),
    /// They ask for what no member could have let into the log.
    Refused(crate::refusal::Bad),
    /// A change of the membership of a kind that etcd does not have.
    UnknownChange(i32),
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadEntry::Malformed(error) => write!(f, "{error}"),
            BadEntry::Refused(bad) => write!(f, "it asks for what is refused ({bad:?})"),
            BadEntry::UnknownChange(kind) => write!(f, "membership changes have no kind {kind}"),
        }
    }
}

impl std::error::Error for BadEntry {}

impl From<prost::DecodeError> for BadEntry {
    fn from(error: prost::DecodeError) -> BadEntry {
        BadEntry::Malformed(error)
    }
}

impl From<crate::refusal::Bad> for BadEntry {
    fn from(bad: crate::refusal::Bad) -> BadEntry {
        BadEntry::Refused(bad)
    }
}

/// Parses an entry that came from a disk or a peer. Keys and values are slices of its bytes.
pub fn decode_entry(raw: RawEntry) -> Result<Entry, BadEntry> {
    let RawEntry { term, index, kind, bytes } = raw;
    let payload = match kind {
        EntryKind::Normal if bytes.is_empty() => Payload::Empty,
        EntryKind::Normal => Payload::Command(decode_command(bytes)?),
        EntryKind::Change => change(bytes)?,
        EntryKind::ChangeV2 => change_v2(bytes)?,
    };
    Ok(Entry { term, index, payload })
}

/// Parses an `InternalRaftRequest`.
pub fn decode_command(bytes: Bytes) -> Result<Proposal, BadEntry> {
    let mut request = pb::InternalRaftRequest::decode(bytes.clone())?;
    let header = request.header.take().map_or(0, |header| header.id);
    let ticket = Ticket(if request.id == 0 { header } else { request.id });
    let command = Arc::new(command(request)?);
    Ok(Proposal { bytes, ticket, command })
}

/// The one operation that is set.
fn command(request: pb::InternalRaftRequest) -> Result<Command, BadEntry> {
    if let Some(put) = request.put {
        return Ok(Command::Put(request::put(put)?));
    }
    if let Some(txn) = request.txn {
        return Ok(Command::Txn(request::txn_unchecked(txn)?));
    }
    if let Some(delete) = request.delete_range {
        return Ok(Command::Delete(request::delete(delete)?));
    }
    if let Some(range) = request.range {
        return Ok(Command::Range(Box::new(request::range(range)?)));
    }
    if let Some(compact) = request.compaction {
        let pb::CompactionRequest { revision, physical } = compact;
        return Ok(Command::Compact { revision, physical });
    }
    if let Some(grant) = request.lease_grant {
        return Ok(Command::Grant { lease: LeaseId(grant.id), ttl: grant.ttl });
    }
    if let Some(revoke) = request.lease_revoke {
        return Ok(Command::Revoke { lease: LeaseId(revoke.id) });
    }
    if let Some(checkpoint) = request.lease_checkpoint {
        let leases = checkpoint.checkpoints.into_iter();
        return Ok(Command::Checkpoint(leases.map(|l| (LeaseId(l.id), l.remaining_ttl)).collect()));
    }
    if let Some(alarm) = request.alarm {
        return Ok(request::alarm(&alarm));
    }
    if let Some(version) = request.cluster_version_set {
        return Ok(Command::ClusterVersion(version.ver));
    }
    if let Some(publish) = request.cluster_member_attr_set {
        let member = NodeId(publish.member_id);
        let attributes = publish.member_attributes.unwrap_or_default();
        let (name, client_urls) = (attributes.name, attributes.client_urls);
        return Ok(Command::Publish { member, name, client_urls });
    }
    if request.downgrade_info_set.is_some() || request.downgrade_version_test.is_some() {
        return Ok(Command::Unsupported("downgrade"));
    }
    // What is left is auth, or an operation of a later etcd.
    Ok(Command::Unsupported("auth"))
}

fn change(bytes: Bytes) -> Result<Payload, BadEntry> {
    let decoded = raftpb::ConfChange::decode(bytes.clone())?;
    let step = step(decoded.r#type.unwrap_or_default(), decoded.node_id.unwrap_or_default())?;
    let member = told(&decoded.context);
    let change = Change { steps: vec![step], member, ..Change::default() };
    Ok(Payload::Change { bytes, change: Arc::new(change) })
}

fn change_v2(bytes: Bytes) -> Result<Payload, BadEntry> {
    use raftpb::ConfChangeTransition as Transition;
    let decoded = raftpb::ConfChangeV2::decode(bytes.clone())?;
    let steps = decoded.changes.iter();
    let steps =
        steps.map(|one| step(one.r#type.unwrap_or_default(), one.node_id.unwrap_or_default()));
    let transition = decoded.transition();
    let change = Change {
        v2: true,
        explicit: transition != Transition::Auto,
        auto_leave: transition != Transition::JointExplicit,
        steps: steps.collect::<Result<_, _>>()?,
        member: told(&decoded.context),
    };
    Ok(Payload::Change { bytes, change: Arc::new(change) })
}

/// The member that a change tells of, if it tells of one.
fn told(context: &Option<Bytes>) -> Option<keel_core::members::Member> {
    let context = context.as_ref().filter(|context| !context.is_empty())?;
    member::decode(context).map(|(_, member)| member)
}

fn step(kind: i32, id: u64) -> Result<ChangeStep, BadEntry> {
    use raftpb::ConfChangeType as Kind;
    let id = NodeId(id);
    match Kind::try_from(kind) {
        Ok(Kind::ConfChangeAddNode) => Ok(ChangeStep::AddVoter(id)),
        Ok(Kind::ConfChangeAddLearnerNode) => Ok(ChangeStep::AddLearner(id)),
        Ok(Kind::ConfChangeRemoveNode) => Ok(ChangeStep::Remove(id)),
        Ok(Kind::ConfChangeUpdateNode) => Ok(ChangeStep::Update(id)),
        Err(_) => Err(BadEntry::UnknownChange(kind)),
    }
}
