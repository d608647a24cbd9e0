//! Changes of the membership, as the log holds them (semantics §7.2, §8.7).

use super::entry::Undecodable;
use crate::peer::members;
use crate::wire::tree::raftpb;
use bytes::Bytes;
use keel_core::entry::{HardState, Write};
use keel_core::members::{Cluster, Member};
use keel_core::raft::{Change, ChangeStep, Config};
use keel_core::{Boot, Entry, Index, NodeId, Payload, Term, Ticket};
use prost::Message;
use std::sync::Arc;

/// The first entries of a new cluster: each initial member joins, in the order of ids. All
/// members make the same, so their logs agree (semantics §7.3.1).
#[must_use]
pub fn bootstrap(cluster: &Cluster) -> Boot {
    let entries: Vec<Entry> = cluster
        .members
        .iter()
        .zip(1..)
        .map(|((id, member), index)| {
            let change = raftpb::ConfChange {
                id: Some(0),
                r#type: Some(raftpb::ConfChangeType::ConfChangeAddNode.into()),
                node_id: Some(id.0),
                context: Some(members::one(*id, member).into()),
            };
            let parsed = Change {
                steps: vec![ChangeStep::AddVoter(*id)],
                member: Some(member.clone()),
                ..Change::default()
            };
            let bytes = Bytes::from(change.encode_to_vec());
            let payload = Payload::Change { bytes, change: Arc::new(parsed) };
            Entry { term: Term(1), index: Index(index), payload }
        })
        .collect();
    let commit = Index(entries.len() as u64);
    let hard = HardState { term: Term(1), vote: NodeId::NONE, commit };
    let write = Write { hard: Some(hard), cut_from: None, entries: entries.clone() };
    Boot { hard, checkpoint: None, entries, unwritten: Some(write) }
}

/// What a member remembers, as a cluster of itself alone (semantics §7.10): all others leave by
/// changes that nobody was asked about. For a cluster that has lost its majority for ever.
///
/// All that is in the log counts as committed. The commit index on the disk lags, and what was
/// acknowledged must not be lost; etcd cuts the log where that index stands.
#[must_use]
pub fn alone(mut boot: Boot, me: NodeId, peer_urls: &[String]) -> Boot {
    let (base, mut config) = match &boot.checkpoint {
        Some(checkpoint) => (checkpoint.index, checkpoint.config.clone()),
        None => (Index(0), Config::default()),
    };
    let last = boot.entries.last().map_or(base, |entry| entry.index);
    for entry in &boot.entries {
        if let Payload::Change { change, .. } = &entry.payload {
            config = config.after(change);
        }
    }
    let mut steps = Vec::new();
    if config.learners.contains(&me) {
        steps.push((ChangeStep::AddVoter(me), members::promotion(me)));
    } else if !config.votes(me) {
        let member = Member { peer_urls: peer_urls.to_vec(), ..Member::default() };
        steps.push((ChangeStep::AddVoter(me), members::one(me, &member)));
    }
    let others = config.everybody().into_iter().filter(|id| *id != me);
    steps.extend(others.map(|id| (ChangeStep::Remove(id), String::new())));
    let made: Vec<Entry> = steps
        .into_iter()
        .zip(last.0 + 1..)
        .map(|((step, context), index)| {
            let (bytes, change) = change(Ticket::default(), step, &context);
            let payload = Payload::Change { bytes, change };
            Entry { term: boot.hard.term, index: Index(index), payload }
        })
        .collect();
    boot.hard.commit = made.last().map_or(last, |entry| entry.index);
    boot.unwritten = Some(Write { hard: Some(boot.hard), cut_from: None, entries: made.clone() });
    boot.entries.extend(made);
    boot
}

/// A change on its way into the log: its bytes, and what they say.
#[must_use]
pub fn change(ticket: Ticket, step: ChangeStep, context: &str) -> (Bytes, Arc<Change>) {
    use raftpb::ConfChangeType as Kind;
    let (kind, id) = match step {
        ChangeStep::AddVoter(id) => (Kind::ConfChangeAddNode, id),
        ChangeStep::AddLearner(id) => (Kind::ConfChangeAddLearnerNode, id),
        ChangeStep::Remove(id) => (Kind::ConfChangeRemoveNode, id),
        ChangeStep::Update(id) => (Kind::ConfChangeUpdateNode, id),
    };
    let encoded = raftpb::ConfChange {
        id: Some(ticket.0),
        r#type: Some(kind.into()),
        node_id: Some(id.0),
        context: (!context.is_empty()).then(|| Bytes::copy_from_slice(context.as_bytes())),
    };
    let (member, promote) = told(context.as_bytes());
    let steps = vec![step];
    let parsed = Change { ticket, steps, member, promote, ..Change::default() };
    (Bytes::from(encoded.encode_to_vec()), Arc::new(parsed))
}

/// What a change's context says: the member, and whether it is promoted.
fn told(context: &[u8]) -> (Option<Member>, bool) {
    match members::parse(context) {
        Some((_, member, promote)) => (Some(member), promote),
        None => (None, false),
    }
}

/// Parses a `ConfChange`, or a `ConfChangeV2`, with the member in its context.
pub fn decode_change(bytes: &Bytes, v2: bool) -> Result<Change, Undecodable> {
    let (steps, context, transition, ticket) = if v2 {
        let change = raftpb::ConfChangeV2::decode(bytes.clone())?;
        let steps: Result<Vec<_>, _> =
            change.changes.iter().map(|one| step(one.r#type(), one.node_id())).collect();
        (steps?, change.context().to_vec(), change.transition(), 0)
    } else {
        let change = raftpb::ConfChange::decode(bytes.clone())?;
        let steps = vec![step(change.r#type(), change.node_id())?];
        let simple = raftpb::ConfChangeTransition::Auto;
        (steps, change.context().to_vec(), simple, change.id())
    };
    use raftpb::ConfChangeTransition as Transition;
    let (member, promote) = told(&context);
    Ok(Change {
        v2,
        explicit: transition != Transition::Auto,
        auto_leave: v2 && transition != Transition::JointExplicit,
        ticket: Ticket(ticket),
        promote,
        member,
        steps,
    })
}

fn step(kind: raftpb::ConfChangeType, id: u64) -> Result<ChangeStep, Undecodable> {
    use raftpb::ConfChangeType as Kind;
    let id = NodeId(id);
    Ok(match kind {
        Kind::ConfChangeAddNode => ChangeStep::AddVoter(id),
        Kind::ConfChangeRemoveNode => ChangeStep::Remove(id),
        Kind::ConfChangeUpdateNode => ChangeStep::Update(id),
        Kind::ConfChangeAddLearnerNode => ChangeStep::AddLearner(id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_entry_reads_back_as_what_it_says() {
        let member = Member {
            name: "default".into(),
            peer_urls: vec!["http://localhost:2380".into()],
            ..Member::default()
        };
        let mut cluster = Cluster::default();
        cluster.members.insert(NodeId(7), member.clone());
        let boot = bootstrap(&cluster);
        assert_eq!((boot.hard.term, boot.hard.commit), (Term(1), Index(1)));
        assert_eq!(boot.unwritten.as_ref().map(|write| &write.entries), Some(&boot.entries));
        let Payload::Change { bytes, change } = &boot.entries[0].payload else {
            panic!("a bootstrap entry changes the membership");
        };
        assert_eq!(&decode_change(bytes, false).map(Arc::new).expect("a change"), change);
        assert_eq!(bytes[..6], [0x08, 0, 0x10, 0, 0x18, 7], "etcd writes zeros here, too");
    }

    #[test]
    fn alone_keeps_everything_and_removes_the_others() {
        let mut cluster = Cluster::default();
        for id in [1, 2, 3] {
            let peer_urls = vec![format!("http://m{id}:2380")];
            let member = Member { name: format!("m{id}"), peer_urls, ..Member::default() };
            cluster.members.insert(NodeId(id), member);
        }
        let mut boot = bootstrap(&cluster);
        boot.unwritten = None;
        boot.hard.term = Term(7);
        // Nobody told this member that it is committed, and it may be.
        let last = Entry { term: Term(7), index: Index(4), payload: Payload::Empty };
        boot.entries.push(last);
        let boot = alone(boot, NodeId(2), &[]);
        let write = boot.unwritten.expect("it must be written");
        assert_eq!(write.cut_from, None);
        assert_eq!((boot.hard.commit, boot.hard.term), (Index(6), Term(7)));
        let steps = write.entries.iter().map(|entry| match &entry.payload {
            Payload::Change { change, .. } => (entry.index, change.steps.clone()),
            other => panic!("{other:?}"),
        });
        let expected = [
            (Index(5), vec![ChangeStep::Remove(NodeId(1))]),
            (Index(6), vec![ChangeStep::Remove(NodeId(3))]),
        ];
        assert_eq!(steps.collect::<Vec<_>>(), expected);
        assert_eq!(boot.entries.len(), 6);
    }
}
