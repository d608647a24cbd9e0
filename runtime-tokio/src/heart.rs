//! What a server has once: recovery, the node in its driver, and the way in to them.

use crate::banner;
use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::failure::Failure;
use crate::front::Front;
use crate::journal::Journal;
use crate::notes::Notes;
use crate::recover::{boot, recover};
use crate::stop::Stop;
use keel_core::planner::Options;
use keel_core::{Node, Ticket};
use keel_proto::{Desk, Handle, HubHandle, Info, Metrics, Shared};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A driver that runs beside the caller.
pub(crate) struct Heart {
    /// The way in.
    pub(crate) handle: Handle,
    /// Who the member is, and what it takes.
    pub(crate) info: Arc<Info>,
    /// Asks the driver for its last checkpoint and its end.
    pub(crate) finish: Stop,
    /// The driver's end: early only where the disk failed.
    pub(crate) driver: JoinHandle<Result<(), Failure>>,
}

impl Heart {
    /// Recovers what the disk holds and starts the driver on the current thread.
    pub(crate) async fn start<D: Disk>(
        config: &Config,
        mut disk: D,
        clock: Clock,
        seed: u64,
        journal: &Journal,
        metrics: Metrics,
        hubs: Vec<HubHandle>,
    ) -> Result<Heart, Failure> {
        let mut mine = config.node.clone();
        let options = Options {
            cluster: config.cluster.id,
            node: mine.id,
            segments_kept: config.segments_kept,
            ..Options::default()
        };
        let (planner, recovered) = recover(&mut disk, options, &config.data_dir).await?;
        if let Some((cluster, node)) = recovered.owner {
            (mine.cluster_id, mine.id) = (cluster, node);
        }
        let boot = boot(recovered, &config.cluster, &config.data_dir)?;
        let id = mine.id;
        let node = Node::new(mine.clone(), boot, seed, clock.now());
        banner::recovered(journal, &mine, &node.view());
        let shared = Shared::new(node.view(), node.status(), clock.first_id(id));
        let (sender, inbox) = mpsc::channel(config.limits.inbox);
        let handle = Handle::new(sender, Arc::clone(&shared));
        let finish = Stop::new();
        let info = Arc::new(Info {
            cluster_id: mine.cluster_id,
            member_id: id.0,
            request_bytes: config.limits.request_bytes,
            txn_ops: config.limits.txn_ops,
            quota_bytes: mine.quota_bytes,
        });
        let driver = Driver {
            front: Front::new(shared, node.status(), hubs),
            notes: Notes::new(journal.clone(), metrics, clock, id),
            last: Ticket(handle.next_id()),
            finish: finish.clone(),
            desk: Desk::new(),
            node,
            planner,
            disk,
            clock,
            inbox,
            plans: 0,
            commit: clock.now(),
        };
        let driver = tokio::task::spawn_local(driver.run());
        Ok(Heart { handle, info, finish, driver })
    }
}
