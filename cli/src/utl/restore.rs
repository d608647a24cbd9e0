//! `snapshot restore`: a snapshot of either project becomes the data directory of a member of ours.

use super::args::Restore;
use super::source::{Source, Watched, damaged, plain};
use super::{Common, go};
use crate::ctl::Failed;
use crate::initial::{self, Initial};
use keel_core::NodeId;
use keel_core::members::{Cluster, minor};
use keel_core::node::reborn;
use keel_core::planner::Options;
use keel_proto::bbolt::Backend;
use keel_proto::peer::state::whole;
use keel_proto::service::VERSION;
use keel_proto::urls;
use keel_runtime_tokio::offline::{Made, advertised_as_listed};
use std::fs;
use std::path::{Path, PathBuf};

/// What is to be made of which file.
struct Plan {
    snapshot: String,
    data_dir: PathBuf,
    wal_dir: Option<PathBuf>,
    cluster: Cluster,
    me: NodeId,
    skip_hash_check: bool,
    memory_map: u64,
    raise: u64,
}

pub(super) async fn run(common: &Common, restore: Restore) -> Result<(), Failed> {
    let plan = plan(restore).await?;
    let log = |msg: &str| {
        let logs = plan.wal_dir.clone().unwrap_or_else(|| plan.data_dir.join("member/log"));
        let shown = |path: &Path| path.display().to_string().into();
        let fields = [
            ("path", plan.snapshot.as_str().into()),
            ("wal-dir", shown(&logs)),
            ("data-dir", shown(&plan.data_dir)),
            ("snap-dir", shown(&plan.data_dir.join("member/state"))),
            ("initial-memory-map-size", plan.memory_map.into()),
        ];
        common.journal.info(msg, &fields);
    };
    log("restoring snapshot");
    let snapshot = Source::snapshot(common, &plan.snapshot, plan.skip_hash_check)?;
    let there = plan.data_dir.exists();
    if let Err(failed) = write(common, &plan, &snapshot).await {
        // Half a directory is of no use to anybody. What was there before it was empty.
        let _ = fs::remove_dir_all(plan.data_dir.join("member"));
        if !there {
            let _ = fs::remove_dir(&plan.data_dir);
        }
        if let Some(logs) = &plan.wal_dir {
            let _ = fs::remove_dir_all(logs);
        }
        return Err(failed);
    }
    log("restored snapshot");
    Ok(())
}

/// Reads the flags, with etcd's checks in etcd's order.
async fn plan(restore: Restore) -> Result<Plan, Failed> {
    let (raise, mark_compacted) = (restore.bump_revision, restore.mark_compacted);
    let [snapshot] = restore.words.as_slice() else {
        return Err(Failed::arguments("snapshot restore requires exactly one argument"));
    };
    if (raise > 0) != mark_compacted {
        return Err(Failed::arguments("--mark-compacted required if --revision-bump > 0"));
    }
    let name = &restore.name;
    let advertised = restore.initial_advertise_peer_urls.split(',').map(urls::normal);
    let mut advertised = advertised.collect::<Result<Vec<_>, _>>().map_err(Failed::plain)?;
    advertised.sort();
    let initial = Initial::parse(&restore.initial_cluster).map_err(Failed::plain)?;
    let listed = initial.urls_of(name).map_err(Failed::plain)?;
    advertised_as_listed(name, &advertised, listed).await.map_err(plain)?;
    let token = &restore.initial_cluster_token;
    let cluster = initial.cluster(token).map_err(Failed::plain)?;
    let data_dir = match restore.data_dir.as_str() {
        "" => PathBuf::from(format!("{name}.etcd")),
        dir => PathBuf::from(dir),
    };
    let mut entries = fs::read_dir(&data_dir);
    if data_dir.exists() && !entries.as_mut().is_ok_and(|entries| entries.next().is_none()) {
        let shown = data_dir.display().to_string();
        return Err(Failed::plain(format!("data-dir {shown:?} not empty or could not be read")));
    }
    let wal_dir = Some(&restore.wal_dir).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    if let Some(dir) = wal_dir.as_ref().filter(|dir| dir.exists()) {
        let shown = dir.display().to_string();
        return Err(Failed::plain(format!("wal-dir {shown:?} exists")));
    }
    Ok(Plan {
        snapshot: snapshot.clone(),
        data_dir,
        wal_dir,
        me: initial::id(listed, token),
        cluster,
        skip_hash_check: restore.skip_hash_check,
        memory_map: restore.initial_memory_map_size,
        raise,
    })
}

async fn write(common: &Common, plan: &Plan, snapshot: &[u8]) -> Result<(), Failed> {
    let backend = Backend::open(snapshot).map_err(damaged)?;
    let version = backend.storage_version().map_err(damaged)?;
    if let Some(version) = version.filter(|version| minor(version) > minor(VERSION)) {
        return Err(Failed::plain(format!("version {version:?} is not supported")));
    }
    let auth = backend.auth().map_err(damaged)?;
    if auth.enabled != Some(true) && !(auth.users.is_empty() && auth.roles.is_empty()) {
        let (users, roles) = (auth.users.len(), auth.roles.len());
        let fields = [("users", users.into()), ("roles", roles.into())];
        common.journal.warn("users and roles are left out: authentication is not enabled", &fields);
    }
    let mut made = Made::begin(&plan.data_dir, plan.wal_dir.as_deref()).map_err(plain)?;
    let spill = made
        .spill()
        .map_err(|error| go::path("write", &plan.data_dir.display().to_string(), &error))?;
    let mut spill = Watched::new(spill, snapshot.len());
    let cluster = plan.cluster.clone();
    let id = cluster.id;
    let state = whole(id, snapshot, plan.raise, &mut spill).await.map_err(Failed::plain)?;
    drop(spill);
    if plan.raise > 0 {
        let (by, to) = (plan.raise, state.store.revision());
        let fields = [("bump-amount", by.into()), ("latest-revision", to.into())];
        common.journal.info("bumping latest revision", &fields);
        common.journal.info("marking revision compacted", &[("revision", to.into())]);
    }
    let (write, checkpoint) = reborn(state, cluster);
    for (member, of) in &checkpoint.cluster.members {
        common.journal.info(
            "added member",
            &[
                ("cluster-id", format!("{id:x}").into()),
                ("local-member-id", "0".into()),
                ("added-peer-id", member.to_string().into()),
                ("added-peer-peer-urls", of.peer_urls.clone().into()),
                ("added-peer-is-learner", false.into()),
            ],
        );
    }
    let options = Options { cluster: id, node: plan.me, ..Options::default() };
    made.finish(options, write, Some(checkpoint)).await.map_err(plain)
}
