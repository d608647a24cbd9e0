//! The quiet phase: nothing goes wrong any more, and the cluster must become live again.

use super::World;
use super::client::QUIET_SUCCESSES;
use crate::oracle::Broken;
use crate::seen::Place;
use keel_core::NodeId;
use keel_core::mvcc::View;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the cluster may take, in elections: etcd's own pace, and room for a bad draw.
const ELECTIONS: u32 = 20;
/// How long a lease may take, besides: its time, an election more, and the search for it.
const LEASES: Duration = Duration::from_secs(10);
/// How often we look.
const LOOK: Duration = Duration::from_millis(100);

impl World {
    /// Ends every fault, and waits for the cluster to be as it should.
    pub(super) fn calm_down(&mut self) -> Result<(), Broken> {
        self.quiet = true;
        self.doom = None;
        self.tell("-- quiet");
        self.heal();
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            member.trip = None;
            if member.abandoned {
                self.places.saw(Place::Abandoned);
                continue;
            }
            member.still = self.now;
            member.slow = Duration::ZERO;
            (member.device.full, member.device.broken) = (false, false);
            self.start_again(at)?;
        }
        let patience = self.plan.knobs.tick * 10 * ELECTIONS + LEASES + self.plan.knobs.patience;
        let end = self.now.after(patience);
        loop {
            let look = self.now.after(LOOK);
            self.run_until(look)?;
            let Err(missing) = self.settled() else { return Ok(()) };
            if self.now > end {
                return Err(Broken::new("liveness", missing));
            }
        }
    }

    /// Whether everything is as it should be; what is not.
    fn settled(&self) -> Result<(), String> {
        let counted = self.counted();
        if let Some(at) = counted.iter().find(|at| self.members[**at].life.is_none()) {
            let member = &self.members[*at];
            return Err(match &member.repair {
                Some(repair) => format!("{} does not come back: {repair}", World::name(*at)),
                None => format!("{} does not live", World::name(*at)),
            });
        }
        let lives: Vec<_> =
            counted.iter().filter_map(|at| self.members[*at].life.as_ref()).collect();
        if lives.is_empty() {
            return Err(String::from("nobody lives"));
        }
        let stands: Vec<_> = lives.iter().map(|life| life.node.status()).collect();
        let leaders: BTreeSet<NodeId> = stands.iter().map(|status| status.leader).collect();
        if leaders.len() != 1 || leaders.contains(&NodeId::NONE) {
            return Err(format!("members follow {leaders:?}"));
        }
        for (at, client) in self.clients.iter().enumerate() {
            if client.successes < QUIET_SUCCESSES {
                return Err(format!("client {at} is not served: it waits for {:?}", client.waits));
            }
        }
        let applied: BTreeSet<_> = stands.iter().map(|status| status.applied).collect();
        if applied.len() != 1 {
            return Err(format!("members have applied up to {applied:?}"));
        }
        if let Some(asked) = lives.iter().flat_map(|life| life.asked.open()).next() {
            return Err(format!("what was asked at {:?} is not answered", asked.since));
        }
        let state = self.canon.state();
        if let Some(key) = state.keys().find(|key| key.starts_with("leased")) {
            return Err(format!("{key:?} outlives its lease"));
        }
        for (number, watcher) in self.watchers.iter().enumerate() {
            if let Some(due) = watcher.ear.seen.lacks(&self.canon) {
                return Err(format!("watcher {number} has not heard of revision {due}"));
            }
        }
        Ok(())
    }

    /// What everybody holds in the end.
    pub(super) fn stores(&self) -> Vec<(String, View)> {
        let store = |at: usize| {
            let life = self.members[at].life.as_ref().expect("everybody lives in the end");
            (World::name(at), life.node.view().kv)
        };
        self.counted().into_iter().map(store).collect()
    }
}
