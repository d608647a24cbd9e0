//! The requests that a node proposes by itself, as etcd's bytes.
//!
//! All others reach the node encoded, from `proto`. These few are small enough to be written
//! here by hand, so that the core needs no protobuf library: an `InternalRaftRequest`
//! (surface §1.8) with its header and one operation.

use crate::command::{AlarmAction, AlarmKind, Command};
use crate::entry::Proposal;
use crate::types::Ticket;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// Field numbers of `InternalRaftRequest`.
mod field {
    pub(super) const COMPACTION: u32 = 7;
    pub(super) const LEASE_REVOKE: u32 = 9;
    pub(super) const ALARM: u32 = 10;
    pub(super) const LEASE_CHECKPOINT: u32 = 11;
    pub(super) const HEADER: u32 = 100;
    pub(super) const CLUSTER_VERSION_SET: u32 = 1300;
    pub(super) const CLUSTER_MEMBER_ATTR_SET: u32 = 1301;
    pub(super) const DOWNGRADE_INFO_SET: u32 = 1302;
}

/// Makes a proposal of a command that a node may propose by itself.
pub(super) fn proposal(ticket: Ticket, command: Command) -> Proposal {
    let (number, body) = operation(&command);
    let mut header = Vec::new();
    uint(&mut header, 1, ticket.0);
    let mut bytes = Vec::with_capacity(body.len() + 24);
    // Field order is free on the wire; etcd's encoder goes by number, so do we.
    if number < field::HEADER {
        message(&mut bytes, number, &body);
        message(&mut bytes, field::HEADER, &header);
    } else {
        message(&mut bytes, field::HEADER, &header);
        message(&mut bytes, number, &body);
    }
    Proposal { bytes: Bytes::from(bytes), ticket, command: Arc::new(command) }
}

fn operation(command: &Command) -> (u32, Vec<u8>) {
    let mut body = Vec::new();
    let number = match command {
        Command::Compact { revision, physical } => {
            uint(&mut body, 1, revision.cast_unsigned());
            uint(&mut body, 2, u64::from(*physical));
            field::COMPACTION
        }
        Command::Revoke { lease } => {
            uint(&mut body, 1, lease.0.cast_unsigned());
            field::LEASE_REVOKE
        }
        Command::Alarm { action, member, kind } => {
            uint(&mut body, 1, alarm_action(*action));
            uint(&mut body, 2, member.0);
            uint(&mut body, 3, alarm_kind(*kind));
            field::ALARM
        }
        Command::Checkpoint(leases) => {
            for (lease, remaining) in leases {
                let mut one = Vec::new();
                uint(&mut one, 1, lease.0.cast_unsigned());
                uint(&mut one, 2, remaining.cast_unsigned());
                message(&mut body, 1, &one);
            }
            field::LEASE_CHECKPOINT
        }
        Command::ClusterVersion(version) => {
            message(&mut body, 1, version.as_bytes());
            field::CLUSTER_VERSION_SET
        }
        Command::Downgrade { target } => {
            uint(&mut body, 1, u64::from(!target.is_empty()));
            message(&mut body, 2, target.as_bytes());
            field::DOWNGRADE_INFO_SET
        }
        Command::Publish { member, name, client_urls } => {
            let mut attributes = Vec::new();
            message(&mut attributes, 1, name.as_bytes());
            for url in client_urls {
                message(&mut attributes, 2, url.as_bytes());
            }
            uint(&mut body, 1, member.0);
            message(&mut body, 2, &attributes);
            field::CLUSTER_MEMBER_ATTR_SET
        }
        other => unreachable!("a node does not propose {other:?} by itself"),
    };
    (number, body)
}

fn alarm_action(action: AlarmAction) -> u64 {
    match action {
        AlarmAction::Get => 0,
        AlarmAction::Activate => 1,
        AlarmAction::Deactivate => 2,
    }
}

fn alarm_kind(kind: Option<AlarmKind>) -> u64 {
    match kind {
        None => 0,
        Some(AlarmKind::NoSpace) => 1,
        Some(AlarmKind::Corrupt) => 2,
    }
}

/// A varint field, left out when zero.
fn uint(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        varint(out, u64::from(number) << 3);
        varint(out, value);
    }
}

/// A length-delimited field.
fn message(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    varint(out, u64::from(number) << 3 | 2);
    varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LeaseId, NodeId};

    #[test]
    fn a_revoke_is_the_bytes_that_etcd_writes() {
        let made = proposal(Ticket(300), Command::Revoke { lease: LeaseId(7) });
        let expected = [0x4a, 2, 0x08, 7, 0xa2, 0x06, 3, 0x08, 0xac, 0x02];
        assert_eq!(made.bytes[..], expected);
    }

    #[test]
    fn a_version_stands_behind_the_header() {
        let made = proposal(Ticket(1), Command::ClusterVersion("3.7.0".into()));
        let expected =
            [0xa2, 0x06, 2, 0x08, 1, 0xa2, 0x51, 7, 0x0a, 5, b'3', b'.', b'7', b'.', b'0'];
        assert_eq!(made.bytes[..], expected);
    }

    #[test]
    fn an_alarm_carries_its_member() {
        let alarm = Command::Alarm {
            action: AlarmAction::Activate,
            member: NodeId(5),
            kind: Some(AlarmKind::NoSpace),
        };
        let made = proposal(Ticket(1), alarm);
        assert_eq!(made.bytes[..8], [0x52, 6, 0x08, 1, 0x10, 5, 0x18, 1]);
    }
}
