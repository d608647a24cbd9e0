//! etcd's JSON of members, as peers and operators read it (semantics §7.2).

use keel_core::NodeId;
use keel_core::members::{Cluster, Member};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One member, fields in etcd's order.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    id: u64,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Option<Vec<String>>,
    #[serde(rename = "isLearner", default, skip_serializing_if = "std::ops::Not::not")]
    learner: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(rename = "clientURLs", default, skip_serializing_if = "Vec::is_empty")]
    client_urls: Vec<String>,
    #[serde(rename = "isPromote", default, skip_serializing_if = "std::ops::Not::not")]
    promote: bool,
}

impl Record {
    fn of(id: NodeId, member: &Member) -> Record {
        Record {
            id: id.0,
            peer_urls: Some(member.peer_urls.clone()),
            learner: member.learner,
            name: member.name.clone(),
            client_urls: member.client_urls.clone(),
            promote: false,
        }
    }

    fn member(self) -> (NodeId, Member) {
        let Record { id, peer_urls, learner, name, client_urls, .. } = self;
        let peer_urls = peer_urls.unwrap_or_default();
        (NodeId(id), Member { name, peer_urls, client_urls, learner })
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are JSON")
}

/// All members, by id.
#[must_use]
pub fn list(cluster: &Cluster) -> String {
    let records: Vec<Record> =
        cluster.members.iter().map(|(id, member)| Record::of(*id, member)).collect();
    json(&records)
}

/// One member, as a change of the membership carries it.
#[must_use]
pub fn one(id: NodeId, member: &Member) -> String {
    json(&Record::of(id, member))
}

/// What a promotion carries.
#[must_use]
pub fn promotion(id: NodeId) -> String {
    let (peer_urls, name, client_urls) = (None, String::new(), Vec::new());
    json(&Record { id: id.0, peer_urls, learner: false, name, client_urls, promote: true })
}

/// Parses what [`list`] writes; `None` for anything else.
#[must_use]
pub fn parse_list(text: &[u8]) -> Option<BTreeMap<NodeId, Member>> {
    let records: Vec<Record> = serde_json::from_slice(text).ok()?;
    Some(records.into_iter().map(Record::member).collect())
}

/// Parses what a change carries: the member, and whether it is promoted.
#[must_use]
pub fn parse_one(text: &[u8]) -> Option<(Member, bool)> {
    let record: Record = serde_json::from_slice(text).ok()?;
    let promote = record.promote;
    Some((record.member().1, promote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_as_etcd_writes_them() {
        let learner =
            Member { peer_urls: vec!["http://a:2380".into()], learner: true, ..Member::default() };
        let started = Member {
            name: "b".into(),
            peer_urls: vec!["http://b:2380".into()],
            client_urls: vec!["http://b:2379".into()],
            learner: false,
        };
        let members = BTreeMap::from([(NodeId(u64::MAX), learner), (NodeId(7), started)]);
        let cluster = Cluster { members: members.clone(), ..Cluster::default() };
        let text = list(&cluster);
        assert_eq!(
            text,
            r#"[{"id":7,"peerURLs":["http://b:2380"],"name":"b","clientURLs":["http://b:2379"]},{"id":18446744073709551615,"peerURLs":["http://a:2380"],"isLearner":true}]"#
        );
        assert_eq!(parse_list(text.as_bytes()), Some(members));
        assert_eq!(promotion(NodeId(5)), r#"{"id":5,"peerURLs":null,"isPromote":true}"#);
        assert_eq!(parse_one(promotion(NodeId(5)).as_bytes()), Some((Member::default(), true)));
        assert_eq!(parse_one(b""), None);
    }
}
