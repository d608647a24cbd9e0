//! What a server has once: recovery, the node in its driver, and the way in to them.

use crate::banner;
use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::failure::Failure;
use crate::front::Front;
use crate::journal::Journal;
use crate::links::Links;
use crate::net::Net;
use crate::notes::Notes;
use crate::peers::Peers;
use crate::recorder::{Recorded, Recorder};
use crate::remember::{Remembered, remember};
use crate::slow::tell_slow;
use crate::stop::Stop;
use keel_core::Ticket;
use keel_proto::peer::Caller;
use keel_proto::peer::headers::Identity;
use keel_proto::{Desk, Handle, HubHandle, Info, Metrics, Shared, Timing};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What is heard of peers and waits for the driver.
const HEARD: usize = 4096;
/// Questions to the leader that may wait to be asked.
const ASKS: usize = 4096;

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
    #[expect(clippy::too_many_arguments, reason = "they are what a server is made of")]
    pub(crate) async fn start<N: Net, D: Disk>(
        config: &Config,
        net: N,
        mut disk: D,
        clock: Clock,
        seed: u64,
        journal: &Journal,
        metrics: Metrics,
        hubs: Vec<HubHandle>,
        stop: Stop,
    ) -> Result<(Heart, Peers), Failure> {
        let Remembered { mine, mut introduced, planner, boot } =
            remember(config, &net, &mut disk, journal).await?;
        let id = mine.id;
        let recorder = config.recording.as_ref().map(|told| {
            let now = Duration::from_nanos(clock.now().0);
            Recorder::open(told, seed, clock.unix().saturating_sub(now), journal)
        });
        let node = Recorded::new(mine.clone(), boot, seed, clock.now(), recorder.transpose()?);
        banner::recovered(journal, &mine, &node.view());
        let shared = Shared::new(node.view(), node.status(), clock.first_id(id));
        let (sender, inbox) = mpsc::channel(config.limits.inbox);
        let handle = Handle::new(sender, Arc::clone(&shared));
        let finish = Stop::new();
        let (leader, asks) = Caller::new(ASKS);
        let (timing, slow) = Timing::new(move || clock.now(), config.limits.slow);
        tokio::task::spawn_local(tell_slow(journal.clone(), clock, slow));
        if config.limits.extensive {
            metrics.extensive();
        }
        let info = Arc::new(Info {
            cluster_id: mine.cluster_id,
            member_id: id.0,
            request_bytes: config.limits.request_bytes,
            txn_ops: config.limits.txn_ops,
            quota_bytes: mine.quota_bytes,
            leader,
            timing,
        });
        let me = Identity {
            cluster: mine.cluster_id,
            member: id,
            peer_urls: config.advertise_peer_urls.clone().into(),
        };
        let (heard, news) = mpsc::channel(HEARD);
        introduced.members.remove(&id);
        let urls = introduced.members.iter().map(|(id, member)| (*id, member.peer_urls.clone()));
        let patience = mine.election + Duration::from_secs(1);
        let links =
            Links::new(net, me.clone(), heard.clone(), metrics.clone(), patience, urls.collect());
        let driver = Driver {
            front: Front::new(shared, node.status(), hubs),
            notes: Notes::new(journal.clone(), metrics, clock, id)
                .warning_from(config.limits.slow.apply),
            last: Ticket(handle.next_id()),
            finish: finish.clone(),
            desk: Desk::new(),
            node,
            planner,
            disk,
            clock,
            inbox,
            news,
            links,
            leave: stop,
            plans: 0,
            commit: clock.now(),
            bulk: clock.now(),
            stepped: Duration::ZERO,
        };
        let driver = tokio::task::spawn_local(driver.run());
        let introduced = introduced.members.into_keys().collect();
        let peers = Peers { me, handle: handle.clone(), introduced, heard, asks };
        Ok((Heart { handle, info, finish, driver }, peers))
    }
}
