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
    #[serde(rename = "clientURLs", default, skip_serializing_if = "Option::is_none")]
    client_urls: Option<Vec<String>>,
    #[serde(rename = "isPromote", default, skip_serializing_if = "std::ops::Not::not")]
    promote: bool,
}

impl Record {
    fn of(id: NodeId, member: &Member) -> Record {
        // Go's empty lists are null.
        let urls = |urls: &Vec<String>| (!urls.is_empty()).then(|| urls.clone());
        Record {
            id: id.0,
            peer_urls: urls(&member.peer_urls),
            learner: member.learner,
            name: member.name.clone(),
            client_urls: urls(&member.client_urls),
            promote: false,
        }
    }

    fn member(self) -> (NodeId, Member) {
        let Record { id, peer_urls, learner, name, client_urls, .. } = self;
        let (peer_urls, client_urls) =
            (peer_urls.unwrap_or_default(), client_urls.unwrap_or_default());
        (NodeId(id), Member { name, peer_urls, client_urls, learner })
    }
}

/// JSON as etcd's language writes it: the same, but `<`, `>` and `&` are escaped.
pub(crate) fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("strings and numbers always become JSON");
    // None of the three can stand outside of a string.
    text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
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
    json(&Record { promote: true, ..Record::of(id, &Member::default()) })
}

/// Parses what [`list`] writes; `None` for anything else.
#[must_use]
pub fn parse_list(text: &[u8]) -> Option<BTreeMap<NodeId, Member>> {
    let records: Vec<Record> = serde_json::from_slice(text).ok()?;
    Some(records.into_iter().map(Record::member).collect())
}

/// Parses what [`one`] writes: who it is, the member, and whether it is promoted.
#[must_use]
pub fn parse(text: &[u8]) -> Option<(NodeId, Member, bool)> {
    let record: Record = serde_json::from_slice(text).ok()?;
    let promote = record.promote;
    let (id, member) = record.member();
    Some((id, member, promote))
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
        let promoted = parse(promotion(NodeId(5)).as_bytes());
        assert_eq!(promoted, Some((NodeId(5), Member::default(), true)));
        assert_eq!(parse(b""), None);
    }
}
