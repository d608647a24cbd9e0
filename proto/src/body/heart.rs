//! What a server has once: recovery, the node in its driver, and the way in to them.

use super::disk::Disk;
use super::driver::{Driver, End};
use super::links::Links;
use super::peers::Peers;
use super::slow::tell_slow;
use super::{
    Config, Failure, Front, Host, Journal, Notes, OpenTape, Recorded, Remembered, Stop, Time,
    banner, remember,
};
use crate::peer::Caller;
use crate::peer::headers::Identity;
use crate::{Desk, Handle, HubHandle, Info, Metrics, Shared, Timing};
use keel_core::{NodeId, Ticket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What is heard of peers and waits for the driver.
const HEARD: usize = 4096;
/// Questions to the leader that may wait to be asked.
const ASKS: usize = 4096;

/// The way to a driver.
#[derive(Debug)]
pub struct Heart {
    /// The way in.
    pub handle: Handle,
    /// Who the member is, and what it takes.
    pub info: Arc<Info>,
    /// Asks the driver for its last checkpoint and its end.
    pub finish: Stop,
}

impl Heart {
    /// Recovers what the disk holds and makes the driver: the caller runs it, on this thread.
    ///
    /// # Errors
    ///
    /// What is wrong with the disk, or with this member among the others.
    #[expect(clippy::too_many_arguments, reason = "they are what a server is made of")]
    pub async fn make<H: Host, D: Disk>(
        config: &Config,
        host: H,
        mut disk: D,
        seed: u64,
        journal: &Journal,
        metrics: Metrics,
        hubs: Vec<HubHandle>,
        stop: Stop,
        tape: OpenTape<'_>,
    ) -> Result<(Heart, Peers, Driver<H, D>), Failure> {
        let Remembered { mine, mut introduced, planner, boot } =
            remember(config, &host, &mut disk, journal).await?;
        let (now, unix) = (host.time().now(), host.time().unix());
        let first = first_id(unix, mine.id);
        let id = mine.id;
        let tape = tape(seed, unix.saturating_sub(Duration::from_nanos(now.0)))?;
        let node = Recorded::new(mine.clone(), boot, seed, now, tape);
        banner::recovered(journal, &mine, &node.view());
        let shared = Shared::new(node.view(), node.status(), first);
        let (sender, inbox) = mpsc::channel(config.limits.inbox);
        let (first, ahead) = mpsc::channel(config.limits.inbox);
        let handle = Handle::new(sender, first, Arc::clone(&shared));
        let finish = Stop::new();
        let (leader, asks) = Caller::new(ASKS);
        let time = host.time().clone();
        let (timing, slow) = Timing::new(move || time.now(), config.limits.slow);
        host.spawn(tell_slow(journal.clone(), host.time().clone(), slow));
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
            Links::new(host, me.clone(), heard.clone(), metrics.clone(), patience, urls.collect());
        let driver = Driver {
            front: Front::new(shared, node.status(), hubs),
            notes: Notes::new(journal.clone(), metrics, id).warning_from(config.limits.slow.apply),
            last: Ticket(handle.next_id()),
            finish: asked(finish.clone()),
            end: End::Far,
            cut_off: None,
            desk: Desk::new(),
            node,
            planner,
            disk,
            inbox,
            ahead,
            news,
            links,
            leave: stop,
            plans: 0,
            commit: now,
            bulk: now,
            stepped: Duration::ZERO,
        };
        let introduced = introduced.members.into_keys().collect();
        let peers = Peers { me, handle: handle.clone(), introduced, heard, asks };
        Ok((Heart { handle, info, finish }, peers, driver))
    }
}

fn asked(stop: Stop) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move { stop.asked().await })
}

/// The start of etcd's id generator: two bytes of the member's id, five of the time in
/// milliseconds, one of counter (semantics §4.1). A member that restarts goes on above all ids
/// that it gave before, unless it gave more than 256 a millisecond on average.
fn first_id(unix: Duration, member: NodeId) -> u64 {
    let millis = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
    (member.0 << 48) | ((millis & 0xff_ffff_ffff) << 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_holds_the_member_the_time_and_room_for_a_counter() {
        let unix = Duration::from_millis(0x0192_3456_789a);
        let id = first_id(unix, NodeId(0xdead_beef_0000_1234));
        assert_eq!(id, 0x1234_9234_5678_9a00);
    }
}
