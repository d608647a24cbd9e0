//! The quiet phase: nothing goes wrong any more, and the cluster must become live again.

use super::World;
use super::client::QUIET_SUCCESSES;
use super::seat::Seat;
use crate::oracle::Broken;
use crate::seen::Place;
use keel_core::NodeId;
use keel_core::mvcc::View;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// How long the cluster may take, in elections: etcd's own pace, and room for a bad draw.
const ELECTIONS: u32 = 20;
/// How long a lease may take, besides: its time, an election more, and the search for it.
const LEASES: Duration = Duration::from_secs(10);
/// How long a connection may be silent before its ends know that it is dead, and the next one.
const CONNECTIONS: Duration = Duration::from_secs(15);
/// How often we look.
const LOOK: Duration = Duration::from_millis(100);

impl World {
    /// Ends every fault, and waits for the cluster to be as it should.
    pub(super) fn calm_down(&mut self) -> Result<(), Broken> {
        self.stage.quiet.set(true);
        self.stage.tell("-- quiet");
        self.heal();
        for at in 0..self.seats.len() {
            let seat = Rc::clone(&self.seats[at]);
            seat.trip.set(None);
            if self.links.is_abandoned(&seat.name()) {
                self.stage.saw(Place::Abandoned);
                continue;
            }
            seat.slow.set(Duration::ZERO);
            let mut device = seat.device.borrow_mut();
            (device.full, device.broken) = (false, false);
            drop(device);
            self.start(&seat);
        }
        let knobs = &self.plan.knobs;
        let patience = knobs.tick * 10 * ELECTIONS + LEASES + CONNECTIONS + knobs.patience;
        let end = self.stage.now.get().after(patience);
        loop {
            self.run_until(self.stage.now.get().after(LOOK))?;
            let Err(missing) = self.settled() else { return Ok(()) };
            if self.stage.now.get() > end {
                return Err(Broken::new("liveness", missing));
            }
        }
    }

    /// Members that must be well in the end.
    fn counted(&self) -> impl Iterator<Item = &Rc<Seat>> {
        self.seats.iter().filter(|seat| !self.links.is_abandoned(&seat.name()))
    }

    /// Whether everything is as it should be; what is not.
    fn settled(&self) -> Result<(), String> {
        let handles = self.counted().map(|seat| seat.handle.borrow().clone());
        let handles: Option<Vec<_>> = handles.collect();
        let handles = handles.ok_or("a member does not live")?;
        let stands: Vec<_> = handles.iter().map(keel_proto::Handle::status).collect();
        let leaders: BTreeSet<NodeId> = stands.iter().map(|status| status.leader).collect();
        if leaders.len() != 1 || leaders.contains(&NodeId::NONE) {
            return Err(format!("members follow {leaders:?}"));
        }
        for (at, successes) in self.successes.iter().enumerate() {
            if successes.get() < QUIET_SUCCESSES {
                return Err(format!("client {at} is not served"));
            }
        }
        let applied: BTreeSet<_> = stands.iter().map(|status| status.applied).collect();
        if applied.len() != 1 {
            return Err(format!("members have applied up to {applied:?}"));
        }
        let canon = self.stage.canon.borrow();
        if let Some(key) = canon.state().keys().find(|key| key.starts_with("leased")) {
            return Err(format!("{key:?} outlives its lease"));
        }
        for (number, ear) in self.watchers.iter().enumerate() {
            if let Some(due) = ear.borrow().seen.lacks(&canon) {
                return Err(format!("watcher {number} has not heard of revision {due}"));
            }
        }
        Ok(())
    }

    /// What everybody holds in the end.
    pub(super) fn stores(&self) -> Vec<(String, View)> {
        let store = |seat: &Rc<Seat>| {
            let handle = seat.handle.borrow();
            let handle = handle.as_ref().expect("everybody lives in the end");
            (seat.name(), handle.latest().kv)
        };
        self.counted().map(store).collect()
    }
}
