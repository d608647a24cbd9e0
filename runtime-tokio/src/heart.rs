//! What a server has once: recovery, the node in its driver, and the way in to them.

use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::failure::Failure;
use crate::front::Front;
use crate::journal::Journal;
use crate::notes::Notes;
use crate::pending::boot;
use crate::recover::recover;
use crate::stop::Stop;
use keel_core::output::Batch;
use keel_core::planner::Options;
use keel_core::{Node, Ticket};
use keel_proto::{Desk, Handle, Shared};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A driver that runs beside the caller.
pub(crate) struct Heart {
    /// The way in.
    pub(crate) handle: Handle,
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
        hubs: Vec<mpsc::UnboundedSender<Arc<Batch>>>,
    ) -> Result<Heart, Failure> {
        let mut mine = config.node.clone();
        mine.cluster = config.cluster.clone();
        let options = Options { cluster: mine.cluster.id, node: mine.id, ..Options::default() };
        let (planner, recovered) = recover(&mut disk, options, &config.data_dir).await?;
        if let Some((cluster, node)) = recovered.owner {
            (mine.cluster.id, mine.id) = (cluster, node);
        }
        let boot = boot(recovered)?;
        let node = Node::new(mine, boot, seed, clock.now());
        let id = node.status().id;
        let shared = Shared::new(node.view(), node.status(), clock.first_id(id));
        let (sender, inbox) = mpsc::channel(config.limits.inbox);
        let handle = Handle::new(sender, Arc::clone(&shared));
        let finish = Stop::new();
        let driver = Driver {
            front: Front::new(shared, node.status(), hubs),
            notes: Notes::new(journal.clone(), clock, id),
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
        Ok(Heart { handle, finish, driver })
    }
}
