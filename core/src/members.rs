//! Who belongs to the cluster (semantics §7.2).

use crate::types::NodeId;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// The replicated membership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's id.
    pub id: u64,
    /// Its members, by id.
    pub members: BTreeMap<NodeId, Member>,
    /// Who was removed: such an id never comes back.
    pub removed: BTreeSet<NodeId>,
    /// The negotiated version, empty until the leader has set it.
    pub version: String,
    /// The version that the cluster goes back to, as `major.minor.0`: nothing where nobody ever
    /// asked, empty where that ended (semantics §7.9).
    pub downgrade: Option<String>,
}

crate::recording::code!(struct Cluster { id, members, removed, version, downgrade });

impl Cluster {
    /// The version that the cluster goes back to, while it does.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.downgrade.as_deref().filter(|target| !target.is_empty())
    }

    /// Who votes.
    pub fn voters(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members.iter().filter(|(_, member)| !member.learner).map(|(id, member)| (*id, member))
    }
}

/// `major` and `minor` of a version; nothing for what is none.
#[must_use]
pub fn minor(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name, empty until it has published itself.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it only learns and does not vote.
    pub learner: bool,
}

crate::recording::code!(struct Member { name, peer_urls, client_urls, learner });

impl Member {
    /// Whether it has ever run: it has published its name, or was there from the beginning.
    #[must_use]
    pub fn is_started(&self) -> bool {
        !self.name.is_empty()
    }
}
