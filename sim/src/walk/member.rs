//! One member: the core's machines, driven as a runtime drives them. Step, drain every output,
//! hand plans to the disk in order, report what is durable, stop when the disk fails.

use super::clock::Clock;
use super::repair::Repair;
use super::roster::Part;
use super::serve::Asked;
use super::tape::Taped;
use super::{Happening, World};
use crate::device::Device;
use crate::oracle::Broken;
use crate::oracle::promise::Promises;
use crate::oracle::quorum::Durable;
use crate::oracle::tickets::Owed;
use crate::plan::Knobs;
use crate::random::Random;
use crate::seen::Place;
use keel_core::disk::{DiskOp, Lane};
use keel_core::watch::{self, Hub, HubInput};
use keel_core::{Input, Instant, Node, NodeId, Note, Output, Planner};
use std::collections::VecDeque;
use std::time::Duration;

/// A member, alive or not.
pub(super) struct Member {
    pub(super) device: Device,
    /// A copy of it that somebody made.
    pub(super) kept: Option<Device>,
    pub(super) promises: Promises,
    /// What its disk holds for certain.
    pub(super) durable: Durable,
    pub(super) life: Option<Box<Life>>,
    /// How often it has started.
    pub(super) boot: u64,
    pub(super) part: Part,
    /// Nothing reaches it any more, until the end.
    pub(super) abandoned: bool,
    /// It stands still until then.
    pub(super) still: Instant,
    /// What each sync takes longer.
    pub(super) slow: Duration,
    /// Clients do not reach it.
    pub(super) hidden: bool,
    /// The power fails at the so many-th operation from now.
    pub(super) trip: Option<u64>,
    /// A bit turns before its next start.
    pub(super) rot_due: bool,
    /// One turned once, and may be found at any start.
    pub(super) rotten: bool,
    /// Its disk is damaged, and it is on its way back.
    pub(super) repair: Option<Repair>,
    pub(super) clock: Clock,
}

/// What a process has in memory.
pub(super) struct Life {
    pub(super) node: Taped,
    pub(super) hub: Hub,
    /// Who waits for which reply.
    pub(super) asked: Owed<Asked>,
    pub(super) planner: Planner,
    pub(super) log: Option<Flight>,
    pub(super) bulk: Option<Flight>,
    /// When the timer is set for.
    wake: Option<Instant>,
    /// Why it does not go on, once it does not.
    pub(super) end: Option<End>,
}

/// Why a life ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The power fails.
    Power,
    /// The cluster put it out.
    Leave,
}

/// A plan that the disk is at.
pub(super) struct Flight {
    pub(super) plan: u64,
    pub(super) ops: VecDeque<DiskOp>,
}

impl Life {
    pub(super) fn new(node: Taped, planner: Planner) -> Life {
        let hub = Hub::new(hub(), node.view());
        let (asked, log, bulk, wake, end) = (Owed::default(), None, None, None, None);
        Life { node, hub, asked, planner, log, bulk, wake, end }
    }

    pub(super) fn flight(&mut self, lane: Lane) -> &mut Option<Flight> {
        match lane {
            Lane::Log => &mut self.log,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

impl Member {
    pub(super) fn new(at: usize, knobs: &Knobs) -> Member {
        let mut clocks = Random::stream(knobs.seed, &format!("clock {at}"));
        Member {
            device: Device::default(),
            kept: None,
            promises: Promises::default(),
            durable: Durable::default(),
            life: None,
            boot: 0,
            part: if (at as u64) < knobs.members { Part::In } else { Part::Apart },
            abandoned: false,
            still: Instant(0),
            slow: Duration::ZERO,
            hidden: false,
            trip: None,
            rot_due: false,
            rotten: false,
            repair: None,
            clock: Clock::new(clocks.between(1000 - knobs.skew, 1000 + knobs.skew)),
        }
    }

    /// The disk begins an operation; whether the power fails in it.
    pub(super) fn trips(&mut self) -> bool {
        let Some(left) = &mut self.trip else { return false };
        *left -= 1;
        self.trip.take_if(|left| *left == 0).is_some()
    }
}

/// A hub with narrow bounds: what is cut up, caught up on or made to wait in a large store is here,
/// too.
fn hub() -> watch::Config {
    watch::Config {
        progress_interval: Duration::from_millis(500),
        fragment_bytes: 64,
        answer_bytes: 512,
        scan_max: 8,
        catch_up_max: 2,
        ..watch::Config::default()
    }
}

impl World {
    /// Gives a member an input, if one is there, and carries out all that follows.
    pub(super) fn turn(&mut self, at: usize, input: Option<Input>) -> Result<(), Broken> {
        let clock = self.members[at].clock.at(self.now);
        let Some(mut life) = self.members[at].life.take() else { return Ok(()) };
        if let Some(input) = input {
            life.node.step(clock, input);
        }
        loop {
            if life.end == Some(End::Power) {
                self.tell(&format!("{} loses its power", World::name(at)));
                self.lose_power(at, life);
                self.links(at, false);
                return Ok(());
            }
            while let Some(output) = life.node.poll() {
                self.carry_out(at, &mut life, clock, output)?;
            }
            if !self.hand_over(at, &mut life, clock) && life.end != Some(End::Power) {
                break;
            }
        }
        self.fingerprint(&life.node);
        if life.end == Some(End::Leave) {
            if life.node.status().leader == World::id(at) {
                self.places.saw(Place::LeaderLeft);
            }
            self.leave(at);
            return Ok(());
        }
        self.set_timer(at, &mut life);
        self.members[at].life = Some(life);
        Ok(())
    }

    /// Feeds the trace with how a node stands: a little at each turn, everything now and then.
    fn fingerprint(&mut self, node: &Node) {
        let status = node.status();
        self.mark(status.term.0 << 32 ^ status.commit.0 << 16 ^ status.applied.0);
        if self.events.0.is_multiple_of(64) {
            self.mark(node.digest());
        }
    }

    fn carry_out(
        &mut self,
        at: usize,
        life: &mut Life,
        clock: Instant,
        output: Output,
    ) -> Result<(), Broken> {
        match output {
            Output::Send { to, message } => {
                self.members[at].promises.sent(to, &message);
                self.leaders.speaks(World::id(at), &message)?;
                self.send(at, World::place(to), message);
            }
            Output::SendState { to, state, message } => {
                self.send_state(at, World::place(to), message.term, &state);
            }
            Output::Persist { mark, write } => {
                self.members[at].promises.wrote(&write);
                if write.cut_from.is_some() {
                    self.places.saw(Place::LogCut);
                }
                self.members[at].durable.writes(mark, &write);
                life.planner.persist(mark, write);
            }
            Output::Store { mark, checkpoint } => {
                self.members[at].durable.stores(mark, checkpoint.index);
                life.planner.store(mark, checkpoint);
            }
            Output::Applied(batch) => {
                if self.canon.applied(World::id(at), &batch, self.now)? {
                    let disk = |id: NodeId| {
                        self.members.get(World::place(id)).map(|member| &member.durable)
                    };
                    let view = &batch.view;
                    self.quorum.applied(view.index, view.term, &view.cluster, disk)?;
                }
                self.versions.applied(&batch.events);
                life.hub.step(clock, HubInput::Applied(batch));
                self.deliver(at, life)?;
            }
            Output::Reply { ticket, reply } => self.reply(at, life, ticket, reply)?,
            Output::Note(note) => self.note(at, &note)?,
            Output::Leave => life.end = Some(End::Leave),
            // Everybody knows the way to everybody.
            Output::Members(_) => {}
        }
        Ok(())
    }

    fn note(&mut self, at: usize, note: &Note) -> Result<(), Broken> {
        match note {
            Note::BecameCandidate { term } => self.leaders.campaigns(*term),
            Note::BecameLeader { term } => {
                self.leaders.leads(World::id(at), *term)?;
                self.places.saw(Place::Elected);
                self.tell(&format!("{} leads in term {}", World::name(at), term.0));
                self.elected(at);
            }
            Note::CheckpointFinished { .. } => self.places.saw(Place::Checkpoint),
            Note::CompactionFinished { .. } => self.places.saw(Place::Compacted),
            Note::LeaseExpired { .. } => self.places.saw(Place::LeaseExpired),
            Note::StateInstalled { from, .. } => {
                self.places.saw(Place::StateTaken);
                let from = World::name(World::place(*from));
                self.tell(&format!("{} takes its state from {from}", World::name(at)));
            }
            Note::PeerRefused { peer, why } => {
                return Err(Broken::new("refused", format!("{peer} broke a rule: {why}")));
            }
            _ => {}
        }
        Ok(())
    }

    /// Sets a member's timer, if it is due before the one that is set.
    fn set_timer(&mut self, at: usize, life: &mut Life) {
        let due = [life.node.deadline(), life.hub.deadline()].into_iter().flatten().min();
        let Some(due) = due.map(|due| self.members[at].clock.when(due)) else { return };
        let due = due.max(self.now);
        if life.wake.is_none_or(|set| due < set) {
            life.wake = Some(due);
            let boot = self.members[at].boot;
            self.at(due, Happening::Wake { member: at, boot });
        }
    }

    pub(super) fn woken(&mut self, at: usize, boot: u64) -> Result<(), Broken> {
        let member = &mut self.members[at];
        let (still, now) = (member.still, self.now);
        let clock = member.clock.at(now);
        let Some(life) = member.life.as_mut().filter(|_| member.boot == boot) else {
            return Ok(());
        };
        // Another timer was set before this one.
        if life.wake != Some(now) {
            return Ok(());
        }
        if still > now {
            life.wake = Some(still);
            self.at(still, Happening::Wake { member: at, boot });
            return Ok(());
        }
        life.wake = None;
        if life.hub.deadline().is_some_and(|due| due <= clock) {
            let mut life = member.life.take().expect("it lives");
            life.hub.step(clock, HubInput::Tick);
            self.deliver(at, &mut life)?;
            self.members[at].life = Some(life);
        }
        self.turn(at, Some(Input::Tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn a_member_that_refuses_another_ones_word_is_seen() {
        let mut world = World::new(Plan::calm(Knobs::default()));
        let note = Note::PeerRefused { peer: NodeId(2), why: "it cuts what is committed" };
        assert!(world.note(0, &note).is_err());
    }
}
