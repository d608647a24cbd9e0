//! Taking a lost state from the other members (core/src/node/repair.rs says why this is safe).
//!
//! ```text
//!   who is who ─► a source commits an entry ─► its state, not older ─► every voter's term
//!     ▲                                                                      │
//!     └──────────── again after a pause, until all of them answer ◄──────────┤
//!                                                                            ▼
//!                       what was there goes aside ─► the state is written ─► an ordinary start
//! ```

use super::config::Config;
use super::disk::{Disk, carry_out};
use super::failure::Failure;
use super::join::{self, Told};
use super::journal::Journal;
use super::links::{Grpc, http1};
use super::{Host, Time};
use crate::pb::etcdserverpb as pb;
use crate::peer::Spill;
use crate::peer::state::snapshot;
use crate::service::vars;
use keel_core::members::Member;
use keel_core::node::{Named, Restored, repaired};
use keel_core::planner::Options;
use keel_core::{Index, Mark, NodeId, Planner};
use pb::maintenance_client::MaintenanceClient;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A page's answer, at most.
const PAGE_MAX: usize = 1024 * 1024;

/// Why an attempt came to nothing.
enum Miss {
    /// Another one may do.
    Yet(String),
    /// No other one will.
    Ever(Failure),
}

/// What the others told.
struct Found {
    cluster: u64,
    me: NodeId,
    state: Restored,
    named: Named,
}

/// Asks the other members until they have told everything, then makes the disk what an ordinary
/// start finds after it. What was there before is kept beside it.
pub(crate) async fn repair<H: Host, D: Disk>(
    host: &H,
    disk: &mut D,
    config: &Config,
    journal: &Journal,
) -> Result<(), Failure> {
    journal.warn("taking the state from the other members", &[]);
    let found = loop {
        match attempt(host, disk, config).await {
            Ok(found) => break found,
            Err(Miss::Ever(failure)) => return Err(failure),
            Err(Miss::Yet(why)) => {
                let fields = [("error", why.into())];
                journal.warn("the other members cannot give their state yet", &fields);
                host.time().sleep(PAUSE).await;
            }
        }
    };
    let Found { cluster, me, state, named } = found;
    let index = state.index;
    let (write, checkpoint) = repaired(me, state, &named).map_err(Failure::new)?;
    let aside = disk.set_aside()?;
    let options = Options { cluster, node: me, ..config.files };
    let mut planner = Planner::create(options);
    planner.persist(Mark(1), write);
    planner.store(Mark(1), checkpoint);
    carry_out(disk, &mut planner).await?;
    disk.settled()?;
    let fields = [("index", index.0.into()), ("damaged-data", aside.into())];
    journal.info("took the state from the other members", &fields);
    Ok(())
}

async fn attempt<H: Host, D: Disk>(host: &H, disk: &mut D, config: &Config) -> Result<Found, Miss> {
    if config.cluster.members.len() < 2 {
        return Err(Miss::Ever(Failure::new(
            "--self-repair: --initial-cluster names no other member to take the state from",
        )));
    }
    let told = join::ask(host, config, PATIENCE).await;
    let told = told.ok_or_else(|| Miss::Yet("no other initial member answers".into()))?;
    let me = find_me(&told, config)?;
    let mut state = None;
    for (id, member) in &told.members {
        if *id == me || member.learner {
            continue;
        }
        for url in &member.client_urls {
            match take(host, disk, told.cluster, url).await {
                Ok(taken) => state = Some(Ok(taken)),
                Err(why) => {
                    state.get_or_insert_with(|| Err(format!("{url}: {why}")));
                }
            }
            if let Some(Ok(_)) = state {
                break;
            }
        }
        if let Some(Ok(_)) = state {
            break;
        }
    }
    let state = match state {
        Some(Ok(state)) => state,
        Some(Err(why)) => return Err(Miss::Yet(why)),
        None => return Err(Miss::Yet("no other member serves clients".into())),
    };
    // Who votes is what the state says: the list may have come from a member that lags.
    let mut named = Named::default();
    for (id, member) in state.cluster.voters().filter(|(id, _)| *id != me) {
        if !hear(host, member, &mut named).await {
            let why = format!("member {id} does not tell its term: start it, or remove it");
            return Err(Miss::Yet(why));
        }
    }
    Ok(Found { cluster: told.cluster, me, state, named })
}

/// This member, by its peer URLs.
fn find_me(told: &Told, config: &Config) -> Result<NodeId, Miss> {
    let mine: BTreeSet<&String> = config.advertise_peer_urls.iter().collect();
    let me = |member: &Member| member.peer_urls.iter().collect::<BTreeSet<_>>() == mine;
    let found = told.members.iter().find(|(_, member)| me(member));
    found.map(|(id, _)| *id).ok_or_else(|| {
        Miss::Ever(Failure::new(format!(
            "--self-repair: the cluster has no member with the peer URLs {mine:?}: add it with \
             `etcdctl member add`, and start it with an empty directory"
        )))
    })
}

/// Asks a member for its term of now.
async fn hear<H: Host>(host: &H, member: &Member, named: &mut Named) -> bool {
    for url in &member.client_urls {
        if let Ok((_, page)) = http1::get(host, url, vars::PATH, PAGE_MAX, PATIENCE).await
            && let Some(term) = vars::term(&page)
        {
            named.hear(term);
            return true;
        }
    }
    false
}

/// A member's state, with everything in it that any majority had committed before now.
async fn take<H: Host, D: Disk>(
    host: &H,
    disk: &mut D,
    cluster: u64,
    url: &str,
) -> Result<Restored, String> {
    let said = |error: tonic::Status| error.message().to_owned();
    let grpc = host.time().within(PATIENCE, Grpc::open(host, url)).await;
    let grpc = grpc.map_err(|_| "no answer")?.map_err(|error| error.to_string())?;
    let origin = url.parse().map_err(|_| "not a URL")?;
    let mut client = MaintenanceClient::with_origin(grpc, origin);
    // Asking for alarms goes through the log and changes nothing: a fresh entry that a majority
    // commits.
    let ask = client.alarm(pb::AlarmRequest::default());
    host.time().within(PATIENCE, ask).await.map_err(|_| "no majority answers")?.map_err(said)?;
    let status = host.time().within(PATIENCE, client.status(pb::StatusRequest::default())).await;
    let committed = status.map_err(|_| "no answer")?.map_err(said)?.into_inner().raft_index;
    let mut spill = disk.spill().map_err(|error| error.to_string())?;
    let pieces = client.snapshot(pb::SnapshotRequest::default());
    let pieces =
        host.time().within(PATIENCE, pieces).await.map_err(|_| "no answer")?.map_err(said)?;
    receive(host, pieces.into_inner(), &mut *spill).await?;
    let file = spill.share().map_err(|error: io::Error| error.to_string())?;
    let state = snapshot(cluster, &file, &mut *spill).await?;
    if state.index < Index(committed) {
        return Err(format!("its state ends at {}, before {committed}", state.index.0));
    }
    Ok(state)
}

async fn receive<H: Host>(
    host: &H,
    mut pieces: tonic::Streaming<pb::SnapshotResponse>,
    spill: &mut dyn Spill,
) -> Result<(), String> {
    loop {
        let piece =
            host.time().within(PATIENCE, pieces.message()).await.map_err(|_| "it fell silent")?;
        let Some(piece) = piece.map_err(|error| error.message().to_owned())? else {
            return Ok(());
        };
        spill.append(&piece.blob).map_err(|error| error.to_string())?;
    }
}
