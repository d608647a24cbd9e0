//! `--initial-cluster`: who begins a cluster, and where peers reach them (semantics §7.1).

use keel_core::NodeId;
use keel_core::members::{Cluster, Member};
use keel_proto::{ids, urls};
use std::collections::{BTreeMap, BTreeSet};

/// Members by name, each with its peer URLs in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Initial(BTreeMap<String, Vec<String>>);

impl Initial {
    /// Reads `name=url,name=url`; a name may come again with a further URL.
    ///
    /// # Errors
    ///
    /// In etcd's words, which URL is none.
    pub(crate) fn parse(written: &str) -> Result<Initial, String> {
        let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in written.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, url) = pair.split_once('=').unwrap_or((pair, ""));
            members.entry(name.to_owned()).or_default().push(urls::normal(url)?);
        }
        members.values_mut().for_each(|urls| urls.sort());
        Ok(Initial(members))
    }

    /// A member's peer URLs.
    ///
    /// # Errors
    ///
    /// In etcd's words, that nobody has that name.
    pub(crate) fn urls_of(&self, name: &str) -> Result<&[String], String> {
        let urls = self.0.get(name).map(Vec::as_slice);
        urls.ok_or_else(|| {
            format!("couldn't find local name {name:?} in the initial cluster configuration")
        })
    }

    /// The cluster that they begin. Ids are etcd's.
    ///
    /// # Errors
    ///
    /// In etcd's words, that a URL is there twice.
    pub(crate) fn cluster(&self, token: &str) -> Result<Cluster, String> {
        let all: Vec<&String> = self.0.values().flatten().collect();
        if all.iter().collect::<BTreeSet<_>>().len() != all.len() {
            return Err(format!("initial cluster {self} has duplicate url"));
        }
        let mut cluster = Cluster::default();
        for (name, peer_urls) in &self.0 {
            let member =
                Member { name: name.clone(), peer_urls: peer_urls.clone(), ..Member::default() };
            cluster.members.insert(id(peer_urls, token), member);
        }
        cluster.id = ids::cluster(cluster.members.keys().copied());
        Ok(cluster)
    }
}

/// The id of a member with these peer URLs.
pub(crate) fn id(peer_urls: &[String], token: &str) -> NodeId {
    ids::member(peer_urls, token)
}

impl std::fmt::Display for Initial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pair = |(name, urls): (&String, &Vec<String>)| {
            urls.iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>().join(",")
        };
        f.write_str(&self.0.iter().map(pair).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_with_all_their_urls() {
        let written = "b=http://b:1,a=http://a:2,,a=http://a:1";
        let initial = Initial::parse(written).expect("it is well written");
        assert_eq!(initial.to_string(), "a=http://a:1,a=http://a:2,b=http://b:1");
        assert_eq!(initial.urls_of("b").map(<[String]>::len), Ok(1));
        assert!(initial.urls_of("c").is_err());
        let cluster = initial.cluster("t").expect("no URL is there twice");
        assert_eq!(cluster.members.len(), 2);
        assert!(cluster.members.contains_key(&id(&["http://b:1".into()], "t")));
    }

    #[test]
    fn what_cannot_begin_a_cluster_is_refused_in_etcds_words() {
        let refused = Initial::parse("a").expect_err("it names no URL");
        assert_eq!(refused, "URL scheme must be http, https, unix, or unixs: ");
        let twice = Initial::parse("b=http://a:1,a=http://a:1").expect("they are URLs");
        let refused = twice.cluster("t").expect_err("a URL is there twice");
        assert_eq!(refused, "initial cluster a=http://a:1,b=http://a:1 has duplicate url");
    }
}
