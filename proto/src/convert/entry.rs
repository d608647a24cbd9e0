//! Entries of the raft log: built from requests, parsed when they come back.

use super::change::decode_change;
use super::request;
use crate::refusal::Bad;
use crate::wire::etcdserverpb as pb;
use keel_core::command::Command;
use keel_core::entry::{Entry, EntryKind, Payload, RawEntry};
use keel_core::{LeaseId, NodeId, Proposal, Ticket};
use prost::Message;
use std::sync::Arc;

/// Bytes of the log that are no entry of etcd's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable(pub String);

impl From<prost::DecodeError> for Undecodable {
    fn from(error: prost::DecodeError) -> Undecodable {
        Undecodable(error.to_string())
    }
}

impl From<Bad> for Undecodable {
    fn from(bad: Bad) -> Undecodable {
        Undecodable(bad.status().message().to_owned())
    }
}

/// Makes a proposal of a command and the one operation that says it.
///
/// # Errors
///
/// A request whose entry is beyond `bytes_max`.
pub fn propose(
    ticket: Ticket,
    command: Command,
    mut operation: pb::InternalRaftRequest,
    bytes_max: usize,
) -> Result<Proposal, Bad> {
    operation.header = Some(pb::RequestHeader { id: ticket.0, ..Default::default() });
    if operation.encoded_len() > bytes_max {
        return Err(Bad::RequestTooLarge);
    }
    let bytes = operation.encode_to_vec().into();
    Ok(Proposal { bytes, ticket, command: Arc::new(command) })
}

/// Parses an entry that comes off the disk or from a peer.
///
/// # Errors
///
/// Bytes that no etcd member writes.
pub fn decode_entry(raw: RawEntry) -> Result<Entry, Undecodable> {
    let RawEntry { term, index, kind, bytes } = raw;
    let payload = match kind {
        EntryKind::Normal if bytes.is_empty() => Payload::Empty,
        EntryKind::Normal => {
            let request = pb::InternalRaftRequest::decode(bytes.clone())?;
            let header = request.header.as_ref().map_or(0, |header| header.id);
            let ticket = Ticket(if request.id == 0 { header } else { request.id });
            let command = Arc::new(command(request)?);
            Payload::Command(Proposal { bytes, ticket, command })
        }
        EntryKind::Change | EntryKind::ChangeV2 => {
            let change = decode_change(&bytes, kind == EntryKind::ChangeV2)?;
            Payload::Change { bytes, change: Arc::new(change) }
        }
    };
    Ok(Entry { term, index, payload })
}

/// The command that an entry holds. It was checked by the member that proposed it.
fn command(request: pb::InternalRaftRequest) -> Result<Command, Undecodable> {
    if let Some(put) = request.put {
        return Ok(Command::Put(request::put(put)?));
    }
    if let Some(delete) = request.delete_range {
        return Ok(Command::Delete(request::delete(delete)?));
    }
    if let Some(txn) = request.txn {
        return Ok(Command::Txn(request::txn_unchecked(txn)?));
    }
    if let Some(compaction) = request.compaction {
        let pb::CompactionRequest { revision, physical } = compaction;
        return Ok(Command::Compact { revision, physical });
    }
    if let Some(grant) = request.lease_grant {
        return Ok(Command::Grant { lease: LeaseId(grant.id), ttl: grant.ttl });
    }
    if let Some(revoke) = request.lease_revoke {
        return Ok(Command::Revoke { lease: LeaseId(revoke.id) });
    }
    if let Some(checkpoint) = request.lease_checkpoint {
        let left = checkpoint.checkpoints.iter();
        return Ok(Command::Checkpoint(
            left.map(|one| (LeaseId(one.id), one.remaining_ttl)).collect(),
        ));
    }
    if let Some(alarm) = request.alarm {
        return Ok(request::alarm(&alarm));
    }
    if let Some(version) = request.cluster_version_set {
        return Ok(Command::ClusterVersion(version.ver));
    }
    if let Some(downgrade) = request.downgrade_info_set {
        let target = if downgrade.enabled { downgrade.ver } else { String::new() };
        return Ok(Command::Downgrade { target });
    }
    if let Some(publish) = request.cluster_member_attr_set {
        let attributes = publish.member_attributes.unwrap_or_default();
        return Ok(Command::Publish {
            member: NodeId(publish.member_id),
            name: attributes.name,
            client_urls: attributes.client_urls,
        });
    }
    if let Some(range) = request.range {
        let keys = super::keys(range.key, range.range_end);
        return Ok(Command::Range(Box::new(keel_core::command::Range::of(keys))));
    }
    // The others apply it: whoever passed over it would not be like them any more.
    Err(Undecodable(String::from(
        "an entry holds an operation that this build does not know: authentication",
    )))
}
