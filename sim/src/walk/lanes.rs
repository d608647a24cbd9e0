//! A member's disk at work: two lanes of plans, one operation after the other in each.

use super::member::{End, Flight, Life};
use super::{Happening, World};
use crate::device::Fault;
use crate::oracle::Broken;
use crate::seen::Place;
use keel_core::disk::{DiskOp, Lane};
use keel_core::mvcc::Chunk;
use keel_core::planner::Placed;
use keel_core::{Input, Instant};

impl World {
    /// Gives idle lanes their next plans; whether the node heard of one that ended at once.
    pub(super) fn hand_over(&mut self, at: usize, life: &mut Life, clock: Instant) -> bool {
        let mut heard = false;
        for lane in [Lane::Log, Lane::Bulk] {
            while let Some(plan) = life.planner.poll(lane) {
                *life.flight(lane) = Some(Flight { plan: plan.id, ops: plan.ops.into() });
                if !self.go_on(at, life, lane) {
                    break;
                }
                self.ended(at, life, lane, clock);
                heard = true;
            }
        }
        heard
    }

    /// Carries out what takes no time, and begins the next operation that does; whether there is
    /// none left.
    fn go_on(&mut self, at: usize, life: &mut Life, lane: Lane) -> bool {
        let member = &mut self.members[at];
        let flight = life.flight(lane).as_mut().expect("a plan is in flight");
        while let Some(op) = flight.ops.front() {
            if !matches!(op, DiskOp::Write { .. }) {
                let mut takes = self.disks.span(self.plan.knobs.sync);
                if matches!(op, DiskOp::Sync { .. }) {
                    takes += member.slow;
                    if self.disks.happens(self.plan.knobs.write_back) {
                        member.device.write_back_early(&mut self.disks);
                    }
                }
                let boot = member.boot;
                self.soon(takes, Happening::Disk { member: at, boot, lane });
                return false;
            }
            member.device.carry_out(op).expect("what is copied into memory does not fail");
            if member.trips() {
                life.end = Some(End::Power);
                return false;
            }
            flight.ops.pop_front();
        }
        true
    }

    /// A plan's operations are all done.
    fn ended(&mut self, at: usize, life: &mut Life, lane: Lane, clock: Instant) {
        let flight = life.flight(lane).take().expect("a plan is in flight");
        let done = life.planner.done(flight.plan);
        if let Some(mark) = done.persisted {
            self.members[at].durable.wrote(mark);
            life.node.step(clock, Input::Persisted { mark });
        }
        if let Some((mark, placed)) = done.stored {
            self.members[at].durable.stored(mark);
            let device = &self.members[at].device;
            let chunk = |placed: Placed| {
                let Placed { number, version, .. } = placed;
                let bytes = device.read(placed.file, placed.at, placed.len);
                Chunk { number, version, bytes }
            };
            let chunks = placed.into_iter().map(chunk).collect();
            life.node.step(clock, Input::Stored { mark, chunks });
        }
    }

    /// The operation at the head of a lane has taken its time.
    pub(super) fn disk_done(&mut self, at: usize, boot: u64, lane: Lane) -> Result<(), Broken> {
        let member = &mut self.members[at];
        let Some(mut life) = member.life.take_if(|_| member.boot == boot) else { return Ok(()) };
        if member.trips() {
            life.end = Some(End::Power);
            member.life = Some(life);
            return self.turn(at, None);
        }
        let flight = life.flight(lane).as_mut().expect("the disk is at a plan");
        let op = flight.ops.pop_front().expect("it was begun");
        if let Err(fault) = member.device.carry_out(&op) {
            member.device.lose_process();
            let (place, why) = match fault {
                Fault::Full => (Place::DiskFull, "its disk is full"),
                Fault::Broken => (Place::DiskFailed, "its disk fails"),
            };
            self.places.saw(place);
            self.tell(&format!("{} stops: {why}", World::name(at)));
            return Ok(());
        }
        if self.go_on(at, &mut life, lane) {
            let clock = self.members[at].clock.at(self.now);
            self.ended(at, &mut life, lane, clock);
        }
        self.members[at].life = Some(life);
        self.turn(at, None)
    }

    /// The process of a member ends, with what it had in memory.
    pub(super) fn stop(&mut self, at: usize, power: bool) -> bool {
        let Some(life) = self.members[at].life.take() else { return false };
        if power {
            self.lose_power(at, life);
        } else {
            self.members[at].device.lose_process();
        }
        true
    }

    /// The power fails in the middle of what the disk was at.
    pub(super) fn lose_power(&mut self, at: usize, life: Box<Life>) {
        let flights = [life.log, life.bulk].into_iter().flatten();
        let under_way: Vec<DiskOp> = flights.filter_map(|mut one| one.ops.pop_front()).collect();
        if !under_way.is_empty() {
            self.places.saw(Place::PowerLostAtWork);
        }
        self.members[at].device.lose_power(&under_way, &mut self.disks);
    }
}
