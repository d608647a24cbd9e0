//! From the files of a data directory to a node that goes on where it stopped.

use crate::disk::Disk;
use crate::failure::Failure;
use keel_core::disk::{Damage, File, Lane};
use keel_core::planner::{Options, Recovered, Recovery};
use keel_core::{NodeId, Planner};
use std::path::Path;

/// Reads everything that the planner wants to see, and carries out what it wants done before
/// anything else. `options` names whose the files become where there are none; a directory that
/// has an owner keeps it.
pub(crate) async fn recover<D: Disk>(
    disk: &mut D,
    mut options: Options,
    dir: &Path,
) -> Result<(Planner, Recovered), Failure> {
    let files = disk.list()?;
    if files.iter().any(|(file, _)| matches!(file, File::Segment(_))) {
        (options.cluster, options.node) = (0, NodeId::NONE);
    }
    let mut recovery = Recovery::new(options, files.clone());
    while let Some(wanted) = recovery.wants() {
        let found = files.iter().find(|(file, _)| *file == wanted);
        let (_, len) = *found.expect("it wants only files that were listed");
        let bytes = disk.read(wanted, len)?;
        recovery.feed(wanted, bytes).map_err(|damage| damaged(dir, &damage))?;
    }
    let (mut planner, recovered) = recovery.finish().map_err(|damage| damaged(dir, &damage))?;
    while let Some(plan) = planner.poll(Lane::Log) {
        disk.submit(plan);
        let end = disk.done().await;
        end.result?;
        planner.done(end.plan);
    }
    Ok((planner, recovered))
}

/// What an operator does about a member whose disk lies.
const WAY_OUT: &str = "move the directory away, then restore a snapshot with etcdutl, or remove \
                       this member from its cluster and add it again with an empty directory";

/// The operator's line about damage.
fn damaged(dir: &Path, damage: &Damage) -> Failure {
    let Damage { file, at, why } = damage;
    let file = dir.join(file.name());
    Failure::new(format!("{}: damaged at offset {at}: {why}; {WAY_OUT}", file.display()))
}

#[cfg(test)]
mod tests;
