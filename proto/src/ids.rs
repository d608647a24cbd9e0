//! Identities, as etcd computes them (semantics §7.1).

use keel_core::NodeId;
use sha1::{Digest, Sha1};

/// A bootstrap member's id: from its peer URLs and the cluster's token.
#[must_use]
pub fn member(peer_urls: &[String], token: &str) -> NodeId {
    let mut urls: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    urls.sort_unstable();
    let mut hash = Sha1::new();
    for url in urls {
        hash.update(url);
    }
    hash.update(token);
    NodeId(head(hash))
}

/// A cluster's id: from its first members' ids, in any order.
#[must_use]
pub fn cluster(members: impl IntoIterator<Item = NodeId>) -> u64 {
    let mut ids: Vec<u64> = members.into_iter().map(|id| id.0).collect();
    ids.sort_unstable();
    let mut hash = Sha1::new();
    for id in ids {
        hash.update(id.to_be_bytes());
    }
    head(hash)
}

fn head(hash: Sha1) -> u64 {
    let digest = hash.finalize();
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_etcds() {
        let one = member(&["http://localhost:2380".into()], "etcd-cluster");
        assert_eq!(one.to_string(), "8e9e05c52164694d");
        assert_eq!(format!("{:x}", cluster([one])), "cdf818194e3a8c32");
        let three = ["10", "11", "12"]
            .map(|n| member(&[format!("http://10.0.1.{n}:2380")], "etcd-cluster-1"));
        assert_eq!(
            three.map(|id| id.to_string()),
            ["140fedbeeb74765d", "d5dc5f8d75d04e29", "8a0a11c6194fc77"]
        );
        assert_eq!(format!("{:x}", cluster(three)), "acccc8912db0cd57");
    }
}
