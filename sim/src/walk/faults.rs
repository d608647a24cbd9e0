//! The plan's actions, done to whom they mean.

use super::bus::leader;
use super::roster::{Part, Wish};
use super::serve::Whose;
use super::{Happening, World};
use crate::device::Device;
use crate::history::Call;
use crate::oracle::Broken;
use crate::plan::{Action, Target};
use keel_core::{Input, Order, Ticket};
use std::time::Duration;

impl World {
    pub(super) fn act_on(&mut self, number: usize) -> Result<(), Broken> {
        let action = self.plan.actions[number].1.clone();
        self.tell(&self.told(&action));
        match action {
            Action::Cut(these, those) => self.pairs(these, those, |world, a, b| {
                world.bus.cut(a, b);
                world.bus.cut(b, a);
            }),
            Action::Mute(these, those) => {
                self.pairs(these, those, |world, a, b| world.bus.cut(a, b));
            }
            Action::Hold(these, those) => self.pairs(these, those, |world, a, b| {
                world.bus.hold(a, b);
                world.bus.hold(b, a);
            }),
            Action::Release => self.release(),
            Action::Heal => self.heal(),
            Action::Hide(these) => self.each(these, |world, at| world.members[at].hidden = true),
            Action::Kill(these) => self.each(these, |world, at| world.end_life(at, false)),
            Action::PowerOff(these) => self.each(these, |world, at| world.end_life(at, true)),
            Action::Forget(these) => self.each(these, |world, at| {
                world.end_life(at, false);
                world.members[at].device = Device::default();
            }),
            Action::Start(these) => {
                for at in self.meant(these) {
                    self.start_again(at)?;
                }
            }
            Action::Pause(these, long) => self.each(these, |world, at| {
                world.members[at].still = world.now.after(long);
            }),
            Action::Slow(these, long) => {
                self.each(these, |world, at| world.members[at].slow = long)
            }
            Action::Break(these) => {
                self.each(these, |world, at| world.members[at].device.broken = true);
            }
            Action::Fill(these) => {
                self.each(these, |world, at| world.members[at].device.full = true);
            }
            Action::Free(these) => {
                self.each(these, |world, at| world.members[at].device.full = false);
            }
            Action::Transfer(this) => return self.transfer(this),
            Action::Doom(soon) => self.doom = Some(soon),
            Action::Compact => self.compact(),
            Action::Abandon(these) => self.each(these, |world, at| {
                world.members[at].abandoned = true;
                world.members[at].hidden = true;
                world.bus.abandon(at);
            }),
            Action::Drag(these, times) => self.each(these, |world, at| world.bus.drag(at, times)),
            Action::Drift(these, rate) => {
                for at in self.meant(these) {
                    self.members[at].clock.drift(self.now, rate);
                    // What is due may be due earlier now.
                    self.turn(at, None)?;
                }
            }
            Action::Trip(these, nth) => {
                self.each(these, |world, at| world.members[at].trip = Some(nth));
            }
            Action::Rot(these) => self.each(these, World::rot),
            Action::Spoil(these) => self.each(these, |world, at| {
                world.members[at].device.rot_somewhere(&mut world.disks);
            }),
            Action::Keep(these) => self.each(these, |world, at| {
                let member = &mut world.members[at];
                member.kept = Some(member.device.clone());
            }),
            Action::Revert(these) => self.each(these, |world, at| {
                world.end_life(at, false);
                let member = &mut world.members[at];
                member.device = member.kept.clone().unwrap_or_default();
            }),
            Action::Lie(these) => self.each(these, |world, at| {
                world.members[at].device.lies = true;
            }),
            Action::Mend(these, those) => self.pairs(these, those, |world, a, b| {
                world.bus.mend(a, b);
                world.bus.mend(b, a);
            }),
            Action::Add(this) => return self.reconfigure(this, Wish::Add),
            Action::Teach(this) => return self.reconfigure(this, Wish::Teach),
            Action::Promote(this) => return self.reconfigure(this, Wish::Promote),
            Action::Remove(this) => return self.reconfigure(this, Wish::Remove),
        }
        Ok(())
    }

    /// An action as the story tells it: whom it meant stands behind it.
    fn told(&self, action: &Action) -> String {
        let Some(these) = action.whom() else { return format!("-- {action}") };
        match these {
            Target::Leader | Target::Follower => {
                let names: Vec<String> = self.meant(these).into_iter().map(World::name).collect();
                format!("-- {action} ({})", names.join(" "))
            }
            _ => format!("-- {action}"),
        }
    }

    /// Whom an action means, now.
    pub(super) fn meant(&self, target: Target) -> Vec<usize> {
        let all = 0..self.members.len();
        let leader = leader(self);
        match target {
            Target::Leader => leader.into_iter().collect(),
            Target::Follower => {
                let lives = |at: &usize| self.members[*at].life.is_some();
                all.filter(|at| Some(*at) != leader).find(lives).into_iter().collect()
            }
            Target::Others => all.filter(|at| Some(*at) != leader).collect(),
            Target::All => all.collect(),
            Target::Member(number) => all.filter(|at| at + 1 == number).collect(),
        }
    }

    fn each(&mut self, target: Target, act: impl Fn(&mut World, usize)) {
        for at in self.meant(target) {
            act(self, at);
        }
    }

    fn pairs(&mut self, these: Target, those: Target, act: impl Fn(&mut World, usize, usize)) {
        let those = self.meant(those);
        for a in self.meant(these) {
            for b in those.iter().copied().filter(|b| *b != a) {
                act(self, a, b);
            }
        }
    }

    /// A member was elected: what is planned for that begins.
    pub(super) fn elected(&mut self, at: usize) {
        match self.doom.take() {
            // Not even what it says first is heard.
            Some(Duration::ZERO) => self.silence(at),
            Some(soon) => self.soon(soon, Happening::Silence { member: at }),
            None => {}
        }
    }

    /// Nobody hears a member any more.
    pub(super) fn silence(&mut self, at: usize) {
        self.tell(&format!("{} is not heard any more", World::name(at)));
        for other in 0..self.members.len() {
            self.bus.cut(at, other);
        }
    }

    pub(super) fn end_life(&mut self, at: usize, power: bool) {
        if self.stop(at, power) {
            self.links(at, false);
        }
    }

    pub(super) fn start_again(&mut self, at: usize) -> Result<(), Broken> {
        if self.members[at].life.is_some() || self.members[at].part != Part::In {
            return Ok(());
        }
        if self.members[at].repair.is_some() {
            return Ok(());
        }
        // A broken disk was replaced by one with the same content, a full one stays full.
        self.members[at].device.broken = false;
        self.start(at)?;
        if self.members[at].life.is_some() {
            self.links(at, true);
        }
        Ok(())
    }

    /// A bit turns on a disk: one at a time, where the others can bring it back. Two damaged disks
    /// of three are no fault that anybody survives.
    fn rot(&mut self, at: usize) {
        let alone = !self.is_damaged();
        self.members[at].rot_due =
            alone && self.newest().is_some_and(|now| now.voters().count() > 2);
    }

    fn transfer(&mut self, to: Target) -> Result<(), Broken> {
        let Some(to) = self.meant(to).first().copied() else { return Ok(()) };
        let Some(from) = leader(self) else { return Ok(()) };
        let ticket = self.ticket();
        let order = Order::MoveLeader { to: World::id(to) };
        self.admit(from, ticket, Whose::Plan, Input::Admin { ticket, order })
    }

    fn compact(&mut self) {
        let revision = self.canon.head();
        // Nobody is client number 0 of the plan's own.
        let operation = self.history.begin(usize::MAX, Call::Compact { revision }, self.now);
        let Some(member) = leader(self) else { return };
        let request = Happening::Request { client: usize::MAX, operation, member };
        self.soon(Duration::from_millis(1), request);
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }
}
