//! From the files of a data directory to a node that goes on where it stopped.

use super::config::{Config, Initial};
use super::disk::Disk;
use super::failure::Failure;
use crate::bootstrap;
use crate::convert::decode_entry;
use keel_core::disk::{Damage, File, Lane};
use keel_core::entry::HardState;
use keel_core::planner::{Options, Recovered, Recovery};
use keel_core::{Boot, NodeId, Planner};
use std::path::Path;

/// Reads everything that the planner wants to see, and carries out what it wants done before
/// anything else. `options` names whose the files become where there are none; a directory that
/// has an owner keeps it.
pub async fn recover<D: Disk>(
    disk: &mut D,
    mut options: Options,
    dir: &Path,
) -> Result<(Planner, Recovered), Trouble> {
    let files = disk.list().map_err(Failure::from)?;
    if files.iter().any(|(file, _)| matches!(file, File::Segment(_))) {
        (options.cluster, options.node) = (0, NodeId::NONE);
    }
    let mut recovery = Recovery::new(options, files.clone());
    while let Some(wanted) = recovery.wants() {
        let found = files.iter().find(|(file, _)| *file == wanted);
        let (_, len) = *found.expect("it wants only files that were listed");
        let bytes = disk.read(wanted, len).map_err(Failure::from)?;
        recovery.feed(wanted, bytes).map_err(|damage| damaged(dir, &damage))?;
    }
    let (mut planner, recovered) = recovery.finish().map_err(|damage| damaged(dir, &damage))?;
    while let Some(plan) = planner.poll(Lane::Log) {
        disk.submit(plan);
        let end = disk.done().await;
        end.result.map_err(Failure::from)?;
        planner.done(end.plan);
    }
    Ok((planner, recovered))
}

/// What a node begins with: what it remembers, or the first entries of a new cluster.
pub(super) fn boot(recovered: Recovered, config: &Config) -> Result<Boot, Trouble> {
    // A crash may have come between the first file and the first entries in it.
    let blank = recovered.checkpoint.is_none() && recovered.entries.is_empty();
    if blank && recovered.hard == HardState::default() {
        return Ok(match config.initial {
            Initial::New => bootstrap(&config.cluster),
            Initial::Existing | Initial::Alone => Boot::default(),
        });
    }
    let at = config.data_dir.display();
    let entries = recovered.entries.iter().cloned().map(|raw| {
        let index = raw.index.0;
        decode_entry(raw).map_err(|why| {
            Trouble::Damage(Failure::new(format!(
                "{at}: entry {index} of the log is not etcd's: {}; {WAY_OUT}",
                why.0
            )))
        })
    });
    let entries = entries.collect::<Result<_, _>>()?;
    Boot::recovered(recovered, entries).map_err(|why| {
        Trouble::Damage(Failure::new(format!("{at}: the state is damaged: {why}; {WAY_OUT}")))
    })
}

/// What an operator does about a member whose disk lies.
pub const WAY_OUT: &str = "start it with --self-repair, and it takes its state from the \
                                  other members; one that has none goes on from a snapshot that \
                                  etcdutl restores into another directory";

/// Why a start cannot go on.
#[derive(Debug)]
pub enum Trouble {
    /// What is there is not what was written: others may know better.
    Damage(Failure),
    /// Anything else.
    Other(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Other(failure)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Damage(failure) | Trouble::Other(failure) => failure,
        }
    }
}

/// The operator's line about damage.
#[must_use]
pub fn damaged(dir: &Path, damage: &Damage) -> Trouble {
    let Damage { file, at, why } = damage;
    let file = dir.join(file.name());
    let line = format!("{}: damaged at offset {at}: {why}; {WAY_OUT}", file.display());
    Trouble::Damage(Failure::new(line))
}
