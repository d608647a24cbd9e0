//! What a member goes on from: its own disk, or what others tell where there is none or where it
//! lies.

use super::Host;
use super::config::{Config, Initial};
use super::disk::Disk;
use super::failure::Failure;
use super::join;
use super::journal::Journal;
use super::recover::{Trouble, WAY_OUT, boot, recover};
use super::repair::repair;
use crate::convert::alone;
use keel_core::disk::File;
use keel_core::members::Cluster;
use keel_core::planner::Options;
use keel_core::{Boot, Planner};

/// What a member begins with.
pub struct Remembered {
    /// Who it is.
    pub mine: keel_core::Config,
    /// Members that it knows before its log names them.
    pub introduced: Cluster,
    /// The files.
    pub planner: Planner,
    /// What was in them.
    pub boot: Boot,
}

/// Reads the disk. Where it is damaged, and the operator said so, the other members' state takes
/// its place first.
pub async fn remember<H: Host, D: Disk>(
    config: &Config,
    host: &H,
    disk: &mut D,
    journal: &Journal,
) -> Result<Remembered, Failure> {
    if disk.is_unsettled() && !config.self_repair {
        let at = config.data_dir.display();
        return Err(Failure::new(format!("{at}: a repair was begun and did not end; {WAY_OUT}")));
    }
    if config.self_repair {
        let lost = disk.is_unsettled() || is_fresh(disk)? && join::has_run(host, config).await;
        if lost {
            repair(host, disk, config, journal).await?;
            return Ok(read(config, host, disk, journal).await?);
        }
    }
    match read(config, host, disk, journal).await {
        Ok(remembered) => {
            if !config.self_repair || !remembered.boot.is_corrupt(remembered.mine.id) {
                return Ok(remembered);
            }
            journal.warn("the cluster found this member's state corrupt", &[]);
        }
        Err(Trouble::Damage(failure)) if config.self_repair => {
            journal.warn("this member's data is damaged", &[("error", failure.to_string().into())]);
        }
        Err(trouble) => return Err(trouble.into()),
    }
    repair(host, disk, config, journal).await?;
    Ok(read(config, host, disk, journal).await?)
}

/// Whether nobody has lived here yet.
fn is_fresh<D: Disk>(disk: &mut D) -> Result<bool, Failure> {
    Ok(!disk.list()?.iter().any(|(file, _)| matches!(file, File::Segment(_))))
}

async fn read<H: Host, D: Disk>(
    config: &Config,
    host: &H,
    disk: &mut D,
    journal: &Journal,
) -> Result<Remembered, Trouble> {
    let mut mine = config.node.clone();
    let mut introduced = Cluster::default();
    let fresh = is_fresh(disk)?;
    if fresh && config.initial != Initial::Alone {
        join::check_advertised(host, config).await?;
    }
    match config.initial {
        Initial::New if fresh => join::check_new(host, config).await?,
        Initial::Existing if fresh => {
            (mine.id, introduced) = join::existing(host, config).await?;
            mine.cluster_id = introduced.id;
        }
        Initial::Alone if fresh => {
            return Err(Trouble::Other(Failure::new(format!(
                "--force-new-cluster: {} holds no member: name the directory of one, or leave the \
                 flag out",
                config.data_dir.display()
            ))));
        }
        Initial::Alone => {}
        Initial::New | Initial::Existing => introduced = config.cluster.clone(),
    }
    let options = Options { cluster: mine.cluster_id, node: mine.id, ..config.files };
    let (planner, recovered) = recover(disk, options, &config.data_dir).await?;
    if let Some(damage) = &recovered.passed_over {
        let fields = [
            ("file", damage.file.name().into()),
            ("offset", damage.at.into()),
            ("error", damage.why.into()),
        ];
        journal.warn("the newest snapshot is damaged; going on from an older one", &fields);
    }
    if let Some((cluster, node)) = recovered.owner {
        (mine.cluster_id, mine.id) = (cluster, node);
    }
    let mut boot = boot(recovered, config)?;
    if config.initial == Initial::Alone {
        boot = alone(boot, mine.id, &config.advertise_peer_urls);
    }
    Ok(Remembered { mine, introduced, planner, boot })
}
