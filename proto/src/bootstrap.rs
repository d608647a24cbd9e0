//! The first entries of a new cluster: each member writes them for itself, and all the same
//! (semantics §7.3.1).

use crate::member;
use crate::pb::raftpb::{ConfChange, ConfChangeType};
use bytes::Bytes;
use keel_core::members::{Cluster, Member};
use keel_core::raft::{Change, ChangeStep};
use keel_core::{Boot, Entry, HardState, Index, NodeId, Payload, Term};
use prost::Message;
use std::sync::Arc;

/// What a member of a new cluster begins with: one change for each initial member, in the order
/// of their ids, in term 1 and already committed.
#[must_use]
pub fn bootstrap(cluster: &Cluster) -> Boot {
    let changes = cluster.members.iter().map(|(id, member)| payload(*id, member));
    let entries = changes.zip(1..).map(|(payload, index)| Entry {
        term: Term(1),
        index: Index(index),
        payload,
    });
    let entries: Vec<Entry> = entries.collect();
    let commit = entries.last().map_or(Index(0), |entry| entry.index);
    let hard = HardState { term: Term(1), vote: NodeId::NONE, commit };
    Boot { hard, checkpoint: None, entries, fresh: true }
}

/// The change that a voter joins by.
fn payload(id: NodeId, member: &Member) -> Payload {
    // Client URLs are published later, through the log.
    let member = Member { client_urls: Vec::new(), learner: false, ..member.clone() };
    let context = member::encode(id, &member);
    let change = ConfChange {
        r#type: Some(ConfChangeType::ConfChangeAddNode.into()),
        node_id: Some(id.0),
        context: Some(Bytes::from(context)),
        id: None,
    };
    let steps = vec![ChangeStep::AddVoter(id)];
    let bytes = Bytes::from(change.encode_to_vec());
    let change = Change { steps, member: Some(member), ..Change::default() };
    Payload::Change { bytes, change: Arc::new(change) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_one_change_in_the_order_of_ids() {
        let member = |name: &str, url: &str| Member {
            name: name.into(),
            peer_urls: vec![url.into()],
            client_urls: vec!["http://not.told:2379".into()],
            learner: false,
        };
        let members = [
            (NodeId(0xb), member("two", "http://b:2380")),
            (NodeId(0xa), member("<one>", "http://a:2380")),
        ];
        let cluster = Cluster { id: 0xc, members: members.into(), version: String::new() };
        let boot = bootstrap(&cluster);
        assert!(boot.fresh);
        assert_eq!((boot.hard.term, boot.hard.commit), (Term(1), Index(2)));
        let contexts = boot.entries.iter().map(|entry| {
            let change = ConfChange::decode(entry.payload.bytes()).expect("it was just encoded");
            let context = change.context.expect("a change has a context");
            (change.node_id, String::from_utf8(context.to_vec()).expect("JSON is text"))
        });
        let expected = [
            (
                Some(0xa),
                r#"{"id":10,"peerURLs":["http://a:2380"],"name":"\u003cone\u003e"}"#.into(),
            ),
            (Some(0xb), r#"{"id":11,"peerURLs":["http://b:2380"],"name":"two"}"#.into()),
        ];
        assert_eq!(contexts.collect::<Vec<_>>(), expected);
        for (entry, index) in boot.entries.iter().zip(1..) {
            assert_eq!((entry.term, entry.index), (Term(1), Index(index)));
            let Payload::Change { change, .. } = &entry.payload else { panic!("it is a change") };
            assert!(change.member.as_ref().is_some_and(|member| member.client_urls.is_empty()));
        }
    }
}
