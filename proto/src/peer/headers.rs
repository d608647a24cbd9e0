//! Who speaks to whom: the headers of every request between members, and what they must say
//! (semantics §9e.1, §9e.2).

use crate::service::VERSION;
use http::{HeaderMap, HeaderValue, StatusCode};
use keel_core::NodeId;
use keel_core::members::minor;
use std::sync::Arc;

const CLUSTER: &str = "x-etcd-cluster-id";
const FROM: &str = "x-server-from";
const SERVER_VERSION: &str = "x-server-version";
const MIN_VERSION: &str = "x-min-cluster-version";
const TO: &str = "x-raft-to";
const PEER_URLS: &str = "x-peerurls";

/// The oldest cluster that this build can stand in.
const MIN_CLUSTER_VERSION: &str = "3.0.0";
/// What speaks no version speaks this one.
const BEFORE_VERSIONS: &str = "2.0.0";

/// Who this member is among its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: u64,
    /// The member's.
    pub member: NodeId,
    /// Where peers reach it.
    pub peer_urls: Arc<[String]>,
}

impl Identity {
    /// What a request to a peer carries.
    #[must_use]
    pub fn of_request(&self, to: NodeId) -> HeaderMap {
        let mut headers = self.of_response();
        let mut set = |name, text: String| {
            // Ids are hexadecimal, and URLs were checked when they were parsed.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        };
        set(FROM, self.member.to_string());
        set(MIN_VERSION, MIN_CLUSTER_VERSION.to_owned());
        set(TO, to.to_string());
        set(PEER_URLS, self.peer_urls.join(","));
        headers
    }

    /// What an answer to a peer carries.
    #[must_use]
    pub fn of_response(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(id) = HeaderValue::try_from(format!("{:x}", self.cluster)) {
            headers.insert(CLUSTER, id);
        }
        headers.insert(SERVER_VERSION, HeaderValue::from_static(VERSION));
        headers
    }

    /// Whether a request comes from a member of this cluster that this build can speak to.
    ///
    /// # Errors
    ///
    /// etcd's status and text.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        let version = |name| minor(text(headers, name).unwrap_or(BEFORE_VERSIONS));
        let (theirs, least) = (version(SERVER_VERSION), version(MIN_VERSION));
        let fits = theirs >= minor(MIN_CLUSTER_VERSION) && least <= minor(VERSION);
        if !fits {
            return Err((StatusCode::PRECONDITION_FAILED, "incompatible version"));
        }
        if cluster(headers) != Some(self.cluster) {
            return Err((StatusCode::PRECONDITION_FAILED, "cluster ID mismatch"));
        }
        Ok(())
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn id(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// The cluster that an answer or a request names.
#[must_use]
pub fn cluster(headers: &HeaderMap) -> Option<u64> {
    text(headers, CLUSTER).and_then(id)
}

/// Who sends.
#[must_use]
pub fn from(headers: &HeaderMap) -> Option<NodeId> {
    text(headers, FROM).and_then(id).map(NodeId)
}

/// Whom a stream's reader means.
#[must_use]
pub fn to(headers: &HeaderMap) -> Option<NodeId> {
    text(headers, TO).and_then(id).map(NodeId)
}

/// Which version the sender speaks.
#[must_use]
pub fn version(headers: &HeaderMap) -> Option<String> {
    text(headers, SERVER_VERSION).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Identity {
        let peer_urls = ["http://localhost:2380".to_owned()].into();
        Identity { cluster: 0xc, member: NodeId(0xa), peer_urls }
    }

    #[test]
    fn a_request_of_the_same_cluster_is_admitted() {
        let headers = me().of_request(NodeId(0xb));
        assert_eq!(me().admit(&headers), Ok(()));
        assert_eq!((from(&headers), to(&headers)), (Some(NodeId(0xa)), Some(NodeId(0xb))));
        assert_eq!(version(&headers).as_deref(), Some(VERSION));
    }

    #[test]
    fn strangers_and_the_future_are_refused_in_etcds_words() {
        let stranger = Identity { cluster: 0xd, ..me() }.of_request(NodeId(0xb));
        let refused = me().admit(&stranger).expect_err("another cluster");
        assert_eq!(refused, (StatusCode::PRECONDITION_FAILED, "cluster ID mismatch"));
        let mut future = me().of_request(NodeId(0xb));
        future.insert(MIN_VERSION, HeaderValue::from_static("4.0.0"));
        let refused = me().admit(&future).expect_err("a newer cluster");
        assert_eq!(refused, (StatusCode::PRECONDITION_FAILED, "incompatible version"));
        let refused = me().admit(&HeaderMap::new()).expect_err("etcd 2");
        assert_eq!(refused.1, "incompatible version");
    }
}
