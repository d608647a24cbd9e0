//! The plan's actions, done to whom they mean.

use super::client::{bounded, compact};
use super::line::Line;
use super::net::WorldNet;
use super::seat::Seat;
use super::{STEP, World};
use crate::device::Device;
use crate::history::{Call, Outcome};
use crate::member::{id, name};
use crate::plan::{Action, Target};
use http::Uri;
use keel_proto::Handle;
use keel_proto::pb::etcdserverpb as pb;
use pb::maintenance_client::MaintenanceClient;
use std::rc::Rc;
use std::time::Duration;

impl World {
    pub(super) fn act(&mut self, action: &Action) {
        self.stage.tell(&self.told(action));
        match action.clone() {
            Action::Cut(these, those) => self.pairs(these, those, |world, a, b| {
                world.links.cut(&world.sim, a, b);
                world.links.cut(&world.sim, b, a);
            }),
            Action::Mute(these, those) => {
                self.pairs(these, those, |world, a, b| world.links.cut(&world.sim, a, b));
            }
            Action::Hold(these, those) => {
                self.pairs(these, those, |world, a, b| world.links.hold(&world.sim, a, b));
            }
            Action::Mend(these, those) => {
                self.pairs(these, those, |world, a, b| world.links.mend(&world.sim, a, b));
            }
            Action::Release => self.links.release(&self.sim),
            Action::Heal => self.heal(),
            Action::Hide(these) => self.each(these, |world, seat| {
                for client in world.clients() {
                    world.links.cut(&world.sim, &seat.name(), &client);
                    world.links.cut(&world.sim, &client, &seat.name());
                }
            }),
            Action::Abandon(these) => self.each(these, |world, seat| {
                let others = world.others(seat);
                world.links.abandon(&world.sim, &seat.name(), &others);
            }),
            Action::Drag(these, times) => self.each(these, |world, seat| world.drag(seat, times)),
            Action::Kill(these) => self.each(these, |world, seat| world.end_life(seat, false)),
            Action::PowerOff(these) => self.each(these, |world, seat| world.end_life(seat, true)),
            Action::Forget(these) => self.each(these, World::forget),
            Action::Start(these) => self.each(these, World::start),
            Action::Slow(these, long) => self.each(these, |_, seat| seat.slow.set(long)),
            Action::Break(these) => {
                self.each(these, |_, seat| seat.device.borrow_mut().broken = true)
            }
            Action::Fill(these) => self.each(these, |_, seat| seat.device.borrow_mut().full = true),
            Action::Free(these) => {
                self.each(these, |_, seat| seat.device.borrow_mut().full = false)
            }
            Action::Lie(these) => self.each(these, |_, seat| seat.device.borrow_mut().lies = true),
            Action::Trip(these, nth) => self.each(these, |_, seat| seat.trip.set(Some(nth))),
            Action::Rot(these) => self.each(these, World::rot),
            Action::Keep(these) => self.each(these, |_, seat| {
                let copy = seat.device.borrow().clone();
                seat.kept.replace(Some(copy));
            }),
            Action::Revert(these) => self.each(these, |world, seat| {
                world.end_life(seat, false);
                let copy = seat.kept.borrow().clone().unwrap_or_default();
                seat.device.replace(copy);
            }),
            Action::Transfer(this) => self.transfer(this),
            Action::Compact => self.compact(),
            Action::Pause(..)
            | Action::Doom(_)
            | Action::Spoil(_)
            | Action::Drift(..)
            | Action::Add(_)
            | Action::Teach(_)
            | Action::Promote(_)
            | Action::Remove(_) => unreachable!("a plan of the world has no {action}"),
        }
    }

    /// An action as the story tells it: whom it meant stands behind it.
    fn told(&self, action: &Action) -> String {
        match action.whom() {
            Some(these @ (Target::Leader | Target::Follower)) => {
                let names: Vec<String> = self.meant(these).into_iter().map(name).collect();
                format!("-- {action} ({})", names.join(" "))
            }
            _ => format!("-- {action}"),
        }
    }

    /// Whom an action means, now.
    fn meant(&self, target: Target) -> Vec<usize> {
        let all = 0..self.seats.len();
        let leader = self.leader();
        match target {
            Target::Leader => leader.into_iter().collect(),
            Target::Follower => {
                let lives = |at: &usize| self.seats[*at].handle.borrow().is_some();
                all.filter(|at| Some(*at) != leader).find(lives).into_iter().collect()
            }
            Target::Others => all.filter(|at| Some(*at) != leader).collect(),
            Target::All => all.collect(),
            Target::Member(number) => all.filter(|at| at + 1 == number).collect(),
        }
    }

    /// The member that leads in the highest term, if one does.
    fn leader(&self) -> Option<usize> {
        let term = |seat: &Rc<Seat>| {
            let status = seat.handle.borrow().as_ref()?.status();
            (status.leader == id(seat.at)).then_some((status.term, seat.at))
        };
        self.seats.iter().filter_map(term).max().map(|(_, at)| at)
    }

    fn each(&mut self, target: Target, act: impl Fn(&mut World, &Seat)) {
        for at in self.meant(target) {
            let seat = Rc::clone(&self.seats[at]);
            act(self, &seat);
        }
    }

    fn pairs(&mut self, these: Target, those: Target, act: impl Fn(&mut World, &str, &str)) {
        let those = self.meant(those);
        for a in self.meant(these) {
            for b in those.iter().copied().filter(|b| *b != a) {
                act(self, &name(a), &name(b));
            }
        }
    }

    /// The hosts of those who ask and those who watch.
    fn clients(&self) -> Vec<String> {
        let clients = (1..=self.successes.len()).map(|number| format!("c{number}"));
        clients.chain((1..=self.watchers.len()).map(|number| format!("w{number}"))).collect()
    }

    /// All other hosts than a member's.
    fn others(&self, seat: &Seat) -> Vec<String> {
        let members = self.seats.iter().map(|seat| seat.name());
        members.chain(self.clients()).filter(|other| *other != seat.name()).collect()
    }

    /// Everything passes again, as fast as before.
    pub(super) fn heal(&mut self) {
        self.links.heal(&self.sim);
        for at in 0..self.seats.len() {
            let seat = Rc::clone(&self.seats[at]);
            if seat.dragged.replace(false) {
                self.slow_down(&seat, 1);
            }
        }
    }

    fn drag(&mut self, seat: &Seat, times: u64) {
        seat.dragged.set(true);
        self.slow_down(seat, times);
    }

    fn slow_down(&mut self, seat: &Seat, times: u64) {
        let takes = self.plan.knobs.delay * u32::try_from(times).unwrap_or(u32::MAX);
        for other in self.others(seat) {
            self.sim.set_link_latency(seat.name(), other, takes.max(STEP));
        }
    }

    /// A process dies: its machine goes on, and refuses who connects. Where the power fails nobody
    /// hears a last word, and nobody is refused.
    pub(super) fn end_life(&mut self, seat: &Seat, power: bool) {
        if !seat.runs.replace(false) && !power {
            return;
        }
        let others = self.others(seat);
        if power {
            for other in &others {
                self.sim.partition(seat.name(), other.as_str());
            }
        }
        self.sim.crash(seat.name());
        seat.loses(power);
        if power {
            for other in &others {
                self.links.settle(&self.sim, &seat.name(), other);
            }
        } else {
            self.sim.bounce(seat.name());
        }
    }

    /// A process starts, if it does not run. A broken disk was replaced by one with the same
    /// content, a full one stays full.
    pub(super) fn start(&mut self, seat: &Seat) {
        if seat.runs.get() {
            return;
        }
        if seat.lost.get() && !self.can_be_mended(seat) {
            return seat.due.set(true);
        }
        seat.due.set(false);
        seat.device.borrow_mut().broken = false;
        if seat.rot_due.take() {
            seat.chance(|random| seat.device.borrow_mut().rot_somewhere(random));
        }
        seat.runs.set(true);
        self.sim.bounce(seat.name());
    }

    /// Whether the others can bring a member's state back: all of them are asked for that, so two
    /// that have lost theirs at once are no fault that anybody survives.
    fn can_be_mended(&self, seat: &Seat) -> bool {
        let well = |other: &Rc<Seat>| {
            let reached = self.links.reach(&seat.name(), &other.name());
            // Whoever has not published itself yet nobody knows as one that ran.
            let knows = |handle: &Handle| {
                let cluster = handle.latest().cluster;
                cluster.members.get(&id(seat.at)).is_some_and(|me| !me.client_urls.is_empty())
            };
            reached && !other.rot_due.get() && other.handle.borrow().as_ref().is_some_and(knows)
        };
        let others = self.seats.iter().filter(|other| other.at != seat.at);
        others.clone().all(well) && others.count() >= 2
    }

    /// A bit turns on a disk, and is found at the next start.
    fn rot(&mut self, seat: &Seat) {
        seat.rot_due.set(self.can_be_mended(seat));
    }

    /// A disk is lost.
    fn forget(&mut self, seat: &Seat) {
        if self.can_be_mended(seat) {
            self.end_life(seat, false);
            seat.device.replace(Device::default());
            seat.lost.set(true);
        }
    }

    /// Whoever has lost a disk must hear from others that it ran before: where nobody answers it
    /// begins as a new member, as etcd's does, and a cluster may lose what it had acknowledged. An
    /// operator starts it while the others run, and so does this one.
    pub(super) fn tend(&mut self, seat: &Seat) {
        if seat.handle.borrow().is_some() {
            seat.lost.set(false);
        }
        if !seat.lost.get() {
            return;
        }
        let running = seat.runs.get();
        if running && !seat.mending.get() && !self.can_be_mended(seat) {
            self.end_life(seat, false);
            seat.due.set(true);
        } else if !running && seat.due.get() {
            self.start(seat);
        }
    }

    /// Somebody who runs the cluster asks one member for something.
    fn operate<F: Future<Output = ()> + 'static>(
        &mut self,
        member: usize,
        ask: impl FnOnce(Line, Duration) -> F + 'static,
    ) {
        self.operators += 1;
        let net = WorldNet { stage: Rc::clone(&self.stage), host: 300 + self.operators };
        let patience = self.plan.knobs.patience;
        self.sim.client(format!("o{}", self.operators), async move {
            if let Ok(line) = Line::open(&net, member).await {
                // What becomes of it the story tells.
                let _ = tokio::time::timeout(patience, ask(line, patience)).await;
            }
            Ok(())
        });
    }

    fn transfer(&mut self, to: Target) {
        let Some(to) = self.meant(to).first().copied() else { return };
        let Some(from) = self.leader() else { return };
        self.operate(from, move |line, patience| async move {
            let mut client = MaintenanceClient::with_origin(line, Uri::from_static("http://keel"));
            let request = pb::MoveLeaderRequest { target_id: id(to).0 };
            // It may fail: then nothing changes.
            let _ = client.move_leader(bounded(request, patience)).await;
        });
    }

    fn compact(&mut self) {
        let Some(leader) = self.leader() else { return };
        let stage = Rc::clone(&self.stage);
        let revision = stage.canon.borrow().head();
        self.operate(leader, move |line, patience| async move {
            // The plan itself is no client.
            let operation = stage.begin(usize::MAX, Call::Compact { revision });
            let outcome: Outcome = compact(line, revision, patience).await;
            stage.end(operation, outcome);
        });
    }
}
