//! A core's message as `raftpb.Message`, there and back (semantics §8.8).

use crate::convert::{Undecodable, decode_entry};
use crate::wire::tree::raftpb;
use bytes::Bytes;
use keel_core::entry::{Entry, EntryKind, Payload, RawEntry};
use keel_core::raft::{Body, Config, Hint, Message};
use keel_core::{Index, NodeId, Term};
use raftpb::MessageType as Kind;

/// What a candidate's vote request carries when its leader told it to campaign.
const TRANSFER: &[u8] = b"CampaignTransfer";

/// A message on its way.
#[must_use]
pub fn encode(from: NodeId, to: NodeId, message: &Message) -> raftpb::Message {
    let mut out = raftpb::Message {
        to: Some(to.0),
        from: Some(from.0),
        term: Some(message.term.0),
        ..raftpb::Message::default()
    };
    let kind = match &message.body {
        Body::Append { prev, prev_term, entries, commit } => {
            position(&mut out, *prev, *prev_term);
            out.entries = entries.iter().map(entry).collect();
            out.commit = Some(commit.0);
            Kind::MsgApp
        }
        Body::AppendAck { index, reject } => {
            position(&mut out, *index, Term::default());
            if let Some(hint) = reject {
                out.reject = Some(true);
                out.reject_hint = Some(hint.index.0);
                out.log_term = Some(hint.term.0);
            }
            Kind::MsgAppResp
        }
        Body::Vote { pre, last, last_term, transfer } => {
            position(&mut out, *last, *last_term);
            out.context = transfer.then(|| Bytes::from_static(TRANSFER));
            if *pre { Kind::MsgPreVote } else { Kind::MsgVote }
        }
        Body::VoteReply { pre, reject } => {
            out.reject = Some(*reject);
            if *pre { Kind::MsgPreVoteResp } else { Kind::MsgVoteResp }
        }
        Body::Heartbeat { commit, context } => {
            out.commit = Some(commit.0);
            out.context = Some(context.clone());
            Kind::MsgHeartbeat
        }
        Body::HeartbeatAck { context } => {
            out.context = Some(context.clone());
            Kind::MsgHeartbeatResp
        }
        Body::Snapshot { index, term, config } => {
            out.snapshot = Some(snapshot(*index, *term, config));
            Kind::MsgSnap
        }
        Body::Propose { payloads } => {
            out.entries = payloads.iter().map(payload).collect();
            Kind::MsgProp
        }
        Body::ReadIndex { context } => {
            out.entries = vec![context_entry(context)];
            Kind::MsgReadIndex
        }
        Body::ReadReply { index, context } => {
            position(&mut out, *index, Term::default());
            out.entries = vec![context_entry(context)];
            Kind::MsgReadIndexResp
        }
        Body::Transfer { to } => {
            // Whoever is to lead stands where the sender would.
            out.from = Some(to.0);
            Kind::MsgTransferLeader
        }
        Body::TimeoutNow => Kind::MsgTimeoutNow,
    };
    out.r#type = Some(kind.into());
    out
}

/// The bytes of a message that travels by itself.
#[must_use]
pub fn bytes(from: NodeId, to: NodeId, message: &Message) -> Bytes {
    prost::Message::encode_to_vec(&encode(from, to, message)).into()
}

fn position(out: &mut raftpb::Message, index: Index, term: Term) {
    out.index = Some(index.0);
    out.log_term = Some(term.0);
}

/// An entry as it stands in an append.
#[must_use]
pub fn entry(entry: &Entry) -> raftpb::Entry {
    raftpb::Entry {
        term: Some(entry.term.0),
        index: Some(entry.index.0),
        ..payload(&entry.payload)
    }
}

fn payload(payload: &Payload) -> raftpb::Entry {
    let (kind, data) = match payload {
        Payload::Empty => (raftpb::EntryType::EntryNormal, None),
        Payload::Command(proposal) => {
            (raftpb::EntryType::EntryNormal, Some(proposal.bytes.clone()))
        }
        Payload::Change { bytes, .. } => {
            let kind = match payload.kind() {
                EntryKind::ChangeV2 => raftpb::EntryType::EntryConfChangeV2,
                _ => raftpb::EntryType::EntryConfChange,
            };
            (kind, Some(bytes.clone()))
        }
    };
    raftpb::Entry { r#type: Some(kind.into()), data, ..raftpb::Entry::default() }
}

fn context_entry(context: &Bytes) -> raftpb::Entry {
    raftpb::Entry { data: Some(context.clone()), ..raftpb::Entry::default() }
}

/// What a state on its way is announced with.
#[must_use]
pub fn snapshot(index: Index, term: Term, config: &Config) -> raftpb::Snapshot {
    let metadata = raftpb::SnapshotMetadata {
        conf_state: Some(conf_state(config)),
        index: Some(index.0),
        term: Some(term.0),
    };
    raftpb::Snapshot { data: None, metadata: Some(metadata) }
}

/// A configuration as messages and etcd's log have it.
pub(crate) fn conf_state(config: &Config) -> raftpb::ConfState {
    let ids = |set: &std::collections::BTreeSet<NodeId>| set.iter().map(|id| id.0).collect();
    raftpb::ConfState {
        voters: ids(&config.voters),
        learners: ids(&config.learners),
        voters_outgoing: ids(&config.outgoing),
        learners_next: ids(&config.learners_next),
        auto_leave: Some(config.auto_leave),
    }
}

/// And back.
pub(crate) fn config(state: &raftpb::ConfState) -> Config {
    let ids = |ids: &[u64]| ids.iter().map(|id| NodeId(*id)).collect();
    Config {
        voters: ids(&state.voters),
        outgoing: ids(&state.voters_outgoing),
        learners: ids(&state.learners),
        learners_next: ids(&state.learners_next),
        auto_leave: state.auto_leave(),
    }
}

/// A message that came.
///
/// # Errors
///
/// Bytes that no etcd member sends, and the kinds that never leave a member.
pub fn decode(raw: raftpb::Message) -> Result<Message, Undecodable> {
    let term = Term(raw.term());
    let (index, log_term) = (Index(raw.index()), Term(raw.log_term()));
    let body = match raw.r#type() {
        Kind::MsgApp => Body::Append {
            prev: index,
            prev_term: log_term,
            commit: Index(raw.commit()),
            entries: raw.entries.into_iter().map(read_entry).collect::<Result<_, _>>()?,
        },
        Kind::MsgAppResp => {
            let hint = Hint { index: Index(raw.reject_hint()), term: log_term };
            Body::AppendAck { index, reject: raw.reject().then_some(hint) }
        }
        kind @ (Kind::MsgVote | Kind::MsgPreVote) => Body::Vote {
            pre: kind == Kind::MsgPreVote,
            last: index,
            last_term: log_term,
            transfer: raw.context() == TRANSFER,
        },
        kind @ (Kind::MsgVoteResp | Kind::MsgPreVoteResp) => {
            Body::VoteReply { pre: kind == Kind::MsgPreVoteResp, reject: raw.reject() }
        }
        Kind::MsgHeartbeat => Body::Heartbeat {
            commit: Index(raw.commit()),
            context: raw.context.unwrap_or_default(),
        },
        Kind::MsgHeartbeatResp => Body::HeartbeatAck { context: raw.context.unwrap_or_default() },
        Kind::MsgSnap => {
            let metadata = raw.snapshot.and_then(|snapshot| snapshot.metadata).unwrap_or_default();
            Body::Snapshot {
                index: Index(metadata.index()),
                term: Term(metadata.term()),
                config: metadata.conf_state.as_ref().map(config).unwrap_or_default(),
            }
        }
        Kind::MsgProp => {
            let payloads = raw.entries.into_iter().map(read_entry).map(|entry| Ok(entry?.payload));
            Body::Propose { payloads: payloads.collect::<Result<_, Undecodable>>()? }
        }
        Kind::MsgReadIndex => Body::ReadIndex { context: first_data(raw.entries) },
        Kind::MsgReadIndexResp => Body::ReadReply { index, context: first_data(raw.entries) },
        Kind::MsgTransferLeader => Body::Transfer { to: NodeId(raw.from()) },
        Kind::MsgTimeoutNow => Body::TimeoutNow,
        kind => {
            return Err(Undecodable(format!("{} never leaves a member", kind.as_str_name())));
        }
    };
    Ok(Message { term, body })
}

fn first_data(entries: Vec<raftpb::Entry>) -> Bytes {
    entries.into_iter().next().and_then(|entry| entry.data).unwrap_or_default()
}

/// An entry that came.
///
/// # Errors
///
/// Bytes that no etcd member sends.
pub fn read_entry(raw: raftpb::Entry) -> Result<Entry, Undecodable> {
    decode_entry(RawEntry {
        term: Term(raw.term()),
        index: Index(raw.index()),
        kind: match raw.r#type() {
            raftpb::EntryType::EntryNormal => EntryKind::Normal,
            raftpb::EntryType::EntryConfChange => EntryKind::Change,
            raftpb::EntryType::EntryConfChangeV2 => EntryKind::ChangeV2,
        },
        bytes: raw.data.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    fn there_and_back(body: Body) {
        let message = Message { term: Term(7), body };
        let bytes = encode(NodeId(1), NodeId(2), &message).encode_to_vec();
        let raw = raftpb::Message::decode(&bytes[..]).expect("what was encoded");
        assert_eq!(decode(raw).expect("a message"), message);
    }

    #[test]
    fn every_kind_of_message_comes_back_as_it_went() {
        let empty = Entry { term: Term(7), index: Index(4), payload: Payload::Empty };
        let context = Bytes::from_static(b"12345678");
        let config = Config { voters: [NodeId(1), NodeId(2)].into(), ..Config::default() };
        for body in [
            Body::Append {
                prev: Index(3),
                prev_term: Term(6),
                entries: vec![empty],
                commit: Index(2),
            },
            Body::AppendAck { index: Index(3), reject: None },
            Body::AppendAck {
                index: Index(3),
                reject: Some(Hint { index: Index(2), term: Term(5) }),
            },
            Body::Vote { pre: true, last: Index(3), last_term: Term(6), transfer: false },
            Body::Vote { pre: false, last: Index(3), last_term: Term(6), transfer: true },
            Body::VoteReply { pre: true, reject: true },
            Body::VoteReply { pre: false, reject: false },
            Body::Heartbeat { commit: Index(3), context: context.clone() },
            Body::HeartbeatAck { context: context.clone() },
            Body::Snapshot { index: Index(3), term: Term(6), config },
            Body::Propose { payloads: vec![Payload::Empty] },
            Body::ReadIndex { context: context.clone() },
            Body::ReadReply { index: Index(3), context },
            Body::Transfer { to: NodeId(9) },
            Body::TimeoutNow,
        ] {
            there_and_back(body);
        }
    }

    #[test]
    fn what_never_leaves_a_member_is_refused() {
        let raw = raftpb::Message { r#type: Some(Kind::MsgHup.into()), ..Default::default() };
        let why = decode(raw).expect_err("a local message");
        assert_eq!(why.0, "MsgHup never leaves a member");
    }
}
