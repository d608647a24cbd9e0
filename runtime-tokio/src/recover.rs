//! From the files of a data directory to a node that goes on where it stopped.

use crate::disk::Disk;
use crate::failure::Failure;
use keel_core::Boot;
use keel_core::disk::Damage;
use keel_core::planner::{Options, Planner, Recovery};
use keel_proto::convert::decode_entry;
use std::path::Path;

/// Reads everything that the planner wants to see. Blocks; a server does nothing else yet.
pub(crate) fn recover<D: Disk>(
    disk: &mut D,
    options: Options,
    dir: &Path,
) -> Result<(Planner, Boot), Failure> {
    let read = |failure: crate::disk::DiskFailure| Failure::new(failure.to_string());
    let damaged = |damage: Damage| damaged(dir, &damage);
    let files = disk.list().map_err(read)?;
    let mut recovery = Recovery::new(options, files).map_err(damaged)?;
    while let Some((file, len)) = recovery.wants() {
        let bytes = disk.read(file, len).map_err(read)?;
        recovery.feed(file, bytes).map_err(damaged)?;
    }
    let (planner, recovered) = recovery.finish().map_err(damaged)?;
    let entries = recovered.entries.into_iter().map(|raw| {
        let index = raw.index.0;
        decode_entry(raw).map_err(|why| {
            Failure::new(format!(
                "{}: the log's entry {index} is not one of etcd's: {why}; {WAY_OUT}",
                dir.display()
            ))
        })
    });
    let entries = entries.collect::<Result<_, _>>()?;
    Ok((planner, Boot { hard: recovered.hard, checkpoint: recovered.checkpoint, entries }))
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
