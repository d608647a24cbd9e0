//! A member in etcd's JSON: the context of membership changes, `/members`, the database
//! (semantics §7.2).

use keel_core::NodeId;
use keel_core::members::Member;
use serde::{Deserialize, Serialize};

/// The fields, in etcd's order.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Json {
    id: u64,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Option<Vec<String>>,
    #[serde(rename = "isLearner", default, skip_serializing_if = "is_false")]
    learner: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(rename = "clientURLs", default, skip_serializing_if = "is_empty")]
    client_urls: Option<Vec<String>>,
}

/// Writes a member down.
#[must_use]
pub fn encode(id: NodeId, member: &Member) -> String {
    let json = Json {
        id: id.0,
        peer_urls: Some(member.peer_urls.clone()),
        learner: member.learner,
        name: member.name.clone(),
        client_urls: Some(member.client_urls.clone()),
    };
    let text = serde_json::to_string(&json).expect("text and numbers can always be written");
    // Go escapes what could end a script in a web page.
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Reads a member. Fields that it does not know are etcd's own business.
#[must_use]
pub fn decode(text: &[u8]) -> Option<(NodeId, Member)> {
    let Json { id, peer_urls, learner, name, client_urls } = serde_json::from_slice(text).ok()?;
    let (peer_urls, client_urls) = (peer_urls.unwrap_or_default(), client_urls.unwrap_or_default());
    Some((NodeId(id), Member { name, peer_urls, client_urls, learner }))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_empty(urls: &Option<Vec<String>>) -> bool {
    urls.as_ref().is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_written_in_etcds_order_and_read_back() {
        let plain = Member { peer_urls: vec!["http://a:2380".into()], ..Member::default() };
        let full = Member {
            name: "<one>".into(),
            client_urls: vec!["http://a:2379".into()],
            learner: true,
            ..plain.clone()
        };
        let table = [
            (plain, r#"{"id":18446744073709551615,"peerURLs":["http://a:2380"]}"#),
            (
                full,
                r#"{"id":18446744073709551615,"peerURLs":["http://a:2380"],"isLearner":true,"name":"\u003cone\u003e","clientURLs":["http://a:2379"]}"#,
            ),
        ];
        for (member, text) in table {
            assert_eq!(encode(NodeId(u64::MAX), &member), text);
            assert_eq!(decode(text.as_bytes()), Some((NodeId(u64::MAX), member)));
        }
        let promoted = br#"{"id":3,"peerURLs":null,"isPromote":true}"#;
        assert_eq!(decode(promoted), Some((NodeId(3), Member::default())));
        assert_eq!(decode(b"no member"), None);
    }
}
