//! What a member must hear from others before its first life (semantics §7.3).

use super::Host;
use super::config::Config;
use super::failure::Failure;
use super::links::http1;
use super::same::same;
use crate::peer::{headers, members};
use keel_core::NodeId;
use keel_core::members::{Cluster, Member};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long one member may take to answer, as in etcd.
const PATIENCE: Duration = Duration::from_secs(10);
/// A list of members, at most.
const LIST_MAX: usize = 4 * 1024 * 1024;

/// What another member says of the cluster.
pub(crate) struct Told {
    pub(crate) cluster: u64,
    pub(crate) members: BTreeMap<NodeId, Member>,
}

/// Asks the other initial members, one after the other, until one answers.
pub(crate) async fn ask<H: Host>(host: &H, config: &Config, patience: Duration) -> Option<Told> {
    let mine: BTreeSet<&String> = config.advertise_peer_urls.iter().collect();
    let all = config.cluster.members.values().flat_map(|member| &member.peer_urls);
    let others: BTreeSet<&String> = all.filter(|url| !mine.contains(url)).collect();
    for url in others {
        let Ok((headers, body)) = http1::get(host, url, "/members", LIST_MAX, patience).await
        else {
            continue;
        };
        if let (Some(cluster), Some(members)) =
            (headers::cluster(&headers), members::parse_list(&body))
        {
            return Some(Told { cluster, members });
        }
    }
    None
}

/// Whether the others know this member as one that ran before.
pub(crate) async fn has_run<H: Host>(host: &H, config: &Config) -> bool {
    let patience = config.node.election + Duration::from_secs(1);
    let Some(told) = ask(host, config, patience).await else { return false };
    let mine: BTreeSet<&String> = config.advertise_peer_urls.iter().collect();
    let mut members = told.members.values();
    let me = members.find(|member| member.peer_urls.iter().collect::<BTreeSet<_>>() == mine);
    me.is_some_and(|member| !member.client_urls.is_empty())
}

/// What this member tells others of itself must be what `--initial-cluster` says of it.
pub(crate) async fn check_advertised<H: Host>(host: &H, config: &Config) -> Result<(), Failure> {
    let Some(listed) = config.cluster.members.get(&config.node.id) else { return Ok(()) };
    advertised_as_listed(host, &config.node.name, &config.advertise_peer_urls, &listed.peer_urls)
        .await
}

/// The same for any member, by its name.
///
/// # Errors
///
/// In etcd's words, how they differ.
pub async fn advertised_as_listed<H: Host>(
    host: &H,
    name: &str,
    advertised: &[String],
    listed: &[String],
) -> Result<(), Failure> {
    let Err(why) = same(host, advertised, listed).await else { return Ok(()) };
    let mut missing = listed.iter().filter(|url| !advertised.contains(url)).peekable();
    if missing.peek().is_some() {
        let missing: Vec<String> = missing.map(|url| format!("{name}={url}")).collect();
        return Err(Failure::new(format!(
            "--initial-cluster has {} but missing from --initial-advertise-peer-urls={} ({why})",
            missing.join(","),
            advertised.join(",")
        )));
    }
    let extra = advertised.iter().filter(|url| !listed.contains(url)).cloned();
    let listed: Vec<String> = listed.iter().map(|url| format!("{name}={url}")).collect();
    Err(Failure::new(format!(
        "--initial-advertise-peer-urls has {} but missing from --initial-cluster={} ({why})",
        extra.collect::<Vec<_>>().join(","),
        listed.join(",")
    )))
}

/// A new cluster: refused where the others know this member as one that ran before, since its
/// votes are lost with its disk.
pub(crate) async fn check_new<H: Host>(host: &H, config: &Config) -> Result<(), Failure> {
    let patience = config.node.election + Duration::from_secs(1);
    let Some(told) = ask(host, config, patience).await else { return Ok(()) };
    // One that has not come to serve may be the one that is wrong.
    let serves = told.members.values().any(|member| !member.client_urls.is_empty());
    if serves && told.cluster != config.cluster.id {
        return Err(Failure::new(format!(
            "the members at the URLs of --initial-cluster belong to cluster {:x}, but \
             --initial-cluster and --initial-cluster-token say {:x}: both must be the same on all \
             members; use --initial-cluster-state=existing for a cluster that was changed since",
            told.cluster, config.cluster.id
        )));
    }
    let me = config.node.id;
    let ran = told.members.get(&me).is_some_and(|member| !member.client_urls.is_empty());
    if ran {
        return Err(Failure::new(format!(
            "member {me} has already been bootstrapped: its cluster knows it, but the data \
             directory {} is empty; start it with --self-repair, and it takes its state from \
             the other members, or remove the member and add it again with \
             --initial-cluster-state=existing",
            config.data_dir.display()
        )));
    }
    Ok(())
}

/// A cluster that exists: its id, and who is who in it. This member was added to it before, so
/// it finds itself by its peer URLs.
pub(crate) async fn existing<H: Host>(
    host: &H,
    config: &Config,
) -> Result<(NodeId, Cluster), Failure> {
    let Some(told) = ask(host, config, PATIENCE).await else {
        return Err(Failure::new(
            "cannot fetch cluster info from peer urls: no other member of --initial-cluster \
             answers; start them, or use --initial-cluster-state=new for a new cluster",
        ));
    };
    if told.members.len() != config.cluster.members.len() {
        return Err(Failure::new(format!(
            "error validating peerURLs: --initial-cluster names {} members, but the cluster has \
             {}; add this member with `etcdctl member add` first, and use the list that it prints",
            config.cluster.members.len(),
            told.members.len()
        )));
    }
    let mut cluster = Cluster { id: told.cluster, ..Cluster::default() };
    let mut me = None;
    for (id, member) in told.members {
        let Some(meant) = meant(host, config, &member).await else {
            return Err(Failure::new(format!(
                "error validating peerURLs: member {id} of the cluster has the peer URLs {:?}, \
                 which --initial-cluster does not list",
                member.peer_urls
            )));
        };
        if meant.name == config.node.name {
            me = Some(id);
        }
        cluster.members.insert(id, member);
    }
    let Some(me) = me else {
        return Err(Failure::new(format!(
            "couldn't find local name {:?} in the initial cluster configuration",
            config.node.name
        )));
    };
    Ok((me, cluster))
}

/// The member that `--initial-cluster` means by one of the cluster: as it is written, else by
/// where its names lead.
async fn meant<'a, H: Host>(host: &H, config: &'a Config, told: &Member) -> Option<&'a Member> {
    let urls: BTreeSet<&String> = told.peer_urls.iter().collect();
    let listed = config.cluster.members.values();
    for member in listed.clone() {
        if member.peer_urls.iter().collect::<BTreeSet<_>>() == urls {
            return Some(member);
        }
    }
    for member in listed {
        if same(host, &told.peer_urls, &member.peer_urls).await.is_ok() {
            return Some(member);
        }
    }
    None
}
