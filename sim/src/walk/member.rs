//! One member: the core's machines, driven as a runtime drives them. Step, drain every output,
//! hand plans to the disk in order, report what is durable, stop when the disk fails.

use super::serve::Asked;
use super::tape::Taped;
use super::{CLUSTER, Happening, World};
use crate::device::{Device, Fault};
use crate::oracle::Broken;
use crate::oracle::promise::Promises;
use crate::plan::Knobs;
use keel_core::disk::{DiskOp, File, Lane};
use keel_core::entry::HardState;
use keel_core::mvcc::Chunk;
use keel_core::node::{AutoCompaction, Config};
use keel_core::planner::{Options, Placed, Recovered, Recovery};
use keel_core::watch::{self, Hub, HubInput};
use keel_core::{Boot, Input, Instant, NodeId, Note, Output, Planner, Ticket};
use keel_proto::bootstrap;
use keel_proto::convert::decode_entry;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A member, alive or not.
pub(super) struct Member {
    pub(super) device: Device,
    pub(super) promises: Promises,
    pub(super) life: Option<Life>,
    /// How often it has started.
    pub(super) boot: u64,
    /// It stands still until then.
    pub(super) still: Instant,
    /// What each sync takes longer.
    pub(super) slow: Duration,
    /// Clients do not reach it.
    pub(super) hidden: bool,
    /// How its clock runs, per mille.
    rate: u64,
}

/// What a process has in memory.
pub(super) struct Life {
    pub(super) node: Taped,
    pub(super) hub: Hub,
    /// Who waits for which reply.
    pub(super) asked: BTreeMap<Ticket, Asked>,
    planner: Planner,
    log: Option<Flight>,
    bulk: Option<Flight>,
    /// When the timer is set for.
    wake: Option<Instant>,
}

/// A plan that the disk is at.
struct Flight {
    plan: u64,
    ops: VecDeque<DiskOp>,
}

impl Life {
    fn flight(&mut self, lane: Lane) -> &mut Option<Flight> {
        match lane {
            Lane::Log => &mut self.log,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

impl Member {
    pub(super) fn new(at: usize, knobs: &Knobs) -> Member {
        let mut clocks = crate::random::Random::stream(knobs.seed, &format!("clock {at}"));
        Member {
            device: Device::default(),
            promises: Promises::default(),
            life: None,
            boot: 0,
            still: Instant(0),
            slow: Duration::ZERO,
            hidden: false,
            rate: clocks.between(1000 - knobs.skew, 1000 + knobs.skew),
        }
    }

    /// What its own clock says.
    pub(super) fn clock(&self, now: Instant) -> Instant {
        Instant(now.0 / 1000 * self.rate + now.0 % 1000 * self.rate / 1000)
    }

    /// When its own clock will say this.
    fn when(&self, clock: Instant) -> Instant {
        Instant(clock.0 / self.rate * 1000 + (clock.0 % self.rate * 1000).div_ceil(self.rate) + 1)
    }
}

impl World {
    /// Starts a member on what its disk holds.
    pub(super) fn start(&mut self, at: usize) -> Result<(), Broken> {
        let Some((planner, recovered)) = self.recover(at)? else {
            self.tell(&format!("{} cannot start: its disk is full", World::name(at)));
            return Ok(());
        };
        let me = World::id(at);
        let member = &self.members[at];
        let boot = boot(recovered, self)
            .map_err(|why| Broken::new("recovery", format!("{}: {why}", World::name(at))))?;
        let last = boot.entries.last().map(|entry| entry.index);
        let last = last.or(boot.checkpoint.as_ref().map(|checkpoint| checkpoint.index));
        member.promises.came_back(me, boot.hard, last.unwrap_or_default())?;
        let knobs = &self.plan.knobs;
        let seed = crate::random::Random::stream(knobs.seed, &format!("core {at} {}", member.boot));
        let now = member.clock(self.now);
        let seed = seed.clone().number();
        let node = Taped::new(config(me, knobs), boot, seed, now, self.shelf.as_ref());
        let hub = Hub::new(watch::Config::default(), node.view());
        let (asked, log, bulk, wake) = (BTreeMap::new(), None, None, None);
        let life = Life { node, hub, asked, planner, log, bulk, wake };
        let member = &mut self.members[at];
        member.life = Some(life);
        member.boot += 1;
        self.turn(at, None)
    }

    /// Reads a member's files, and carries out what comes before everything else; nothing where
    /// the disk is too full for it.
    fn recover(&mut self, at: usize) -> Result<Option<(Planner, Recovered)>, Broken> {
        let name = World::name(at);
        let device = &mut self.members[at].device;
        let files = device.list();
        let owned = files.iter().any(|(file, _)| matches!(file, File::Segment(_)));
        let (cluster, node) = if owned { (0, NodeId::NONE) } else { (CLUSTER, World::id(at)) };
        let options = Options {
            cluster,
            node,
            segment_bytes: self.plan.knobs.segment,
            segments_kept: 2,
            state_bytes: 64 << 10,
            piece_bytes: 16 << 10,
            ..Options::default()
        };
        let mut recovery = Recovery::new(options, files.clone());
        let damaged = |damage: keel_core::disk::Damage| {
            let what =
                format!("{name} finds {:?} damaged at {}: {}", damage.file, damage.at, damage.why);
            Broken::new("recovery", what)
        };
        while let Some(wanted) = recovery.wants() {
            let (_, len) = files.iter().find(|(file, _)| *file == wanted).expect("it was listed");
            let bytes = device.read(wanted, 0, *len);
            recovery.feed(wanted, bytes).map_err(damaged)?;
        }
        let (mut planner, recovered) = recovery.finish().map_err(damaged)?;
        while let Some(plan) = planner.poll(Lane::Log) {
            for op in &plan.ops {
                if device.carry_out(op).is_err() {
                    device.lose_process();
                    return Ok(None);
                }
            }
            planner.done(plan.id);
        }
        Ok(Some((planner, recovered)))
    }

    /// Gives a member an input, if one is there, and carries out all that follows.
    pub(super) fn turn(&mut self, at: usize, input: Option<Input>) -> Result<(), Broken> {
        let clock = self.members[at].clock(self.now);
        let Some(mut life) = self.members[at].life.take() else { return Ok(()) };
        if let Some(input) = input {
            life.node.step(clock, input);
        }
        loop {
            while let Some(output) = life.node.poll() {
                self.carry_out(at, &mut life, clock, output)?;
            }
            if !self.hand_over(at, &mut life, clock) {
                break;
            }
        }
        self.mark(life.node.digest());
        self.set_timer(at, &mut life);
        self.members[at].life = Some(life);
        Ok(())
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
                life.planner.persist(mark, write);
            }
            Output::Store { mark, checkpoint } => life.planner.store(mark, checkpoint),
            Output::Applied(batch) => {
                self.canon.applied(World::id(at), &batch, self.now)?;
                self.versions.applied(&batch.events);
                life.hub.step(clock, HubInput::Applied(batch));
                self.deliver(at, life)?;
            }
            Output::Reply { ticket, reply } => self.reply(at, life, ticket, reply)?,
            Output::Note(note) => self.note(at, &note)?,
            // The walk's membership stays as it is.
            Output::Members(_) | Output::Leave => {}
        }
        Ok(())
    }

    fn note(&mut self, at: usize, note: &Note) -> Result<(), Broken> {
        match note {
            Note::BecameCandidate { term } => self.leaders.campaigns(*term),
            Note::BecameLeader { term } => {
                self.leaders.leads(World::id(at), *term)?;
                self.tell(&format!("{} leads in term {}", World::name(at), term.0));
                self.elected(at);
            }
            Note::StateInstalled { from, .. } => {
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

    /// Gives idle lanes their next plans; whether the node heard of one that ended at once.
    fn hand_over(&mut self, at: usize, life: &mut Life, clock: Instant) -> bool {
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
            flight.ops.pop_front();
        }
        true
    }

    /// A plan's operations are all done.
    fn ended(&mut self, at: usize, life: &mut Life, lane: Lane, clock: Instant) {
        let flight = life.flight(lane).take().expect("a plan is in flight");
        let done = life.planner.done(flight.plan);
        if let Some(mark) = done.persisted {
            life.node.step(clock, Input::Persisted { mark });
        }
        if let Some((mark, placed)) = done.stored {
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
        let flight = life.flight(lane).as_mut().expect("the disk is at a plan");
        let op = flight.ops.pop_front().expect("it was begun");
        if let Err(fault) = member.device.carry_out(&op) {
            member.device.lose_process();
            let why = match fault {
                Fault::Full => "its disk is full",
                Fault::Broken => "its disk fails",
            };
            self.tell(&format!("{} stops: {why}", World::name(at)));
            return Ok(());
        }
        if self.go_on(at, &mut life, lane) {
            let clock = self.members[at].clock(self.now);
            self.ended(at, &mut life, lane, clock);
        }
        self.members[at].life = Some(life);
        self.turn(at, None)
    }

    /// Sets a member's timer, if it is due before the one that is set.
    fn set_timer(&mut self, at: usize, life: &mut Life) {
        let due = [life.node.deadline(), life.hub.deadline()].into_iter().flatten().min();
        let Some(due) = due.map(|due| self.members[at].when(due)) else { return };
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
        let clock = member.clock(now);
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

    /// The process of a member ends, with what it had in memory.
    pub(super) fn stop(&mut self, at: usize, power: bool) -> bool {
        let member = &mut self.members[at];
        let Some(life) = member.life.take() else {
            return false;
        };
        if power {
            let flights = [life.log, life.bulk].into_iter().flatten();
            let under_way: Vec<DiskOp> =
                flights.filter_map(|mut one| one.ops.pop_front()).collect();
            member.device.lose_power(&under_way, &mut self.disks);
        } else {
            member.device.lose_process();
        }
        true
    }
}

/// What a member begins with.
fn boot(recovered: Recovered, world: &World) -> Result<Boot, String> {
    let blank = recovered.checkpoint.is_none() && recovered.entries.is_empty();
    if blank && recovered.hard == HardState::default() {
        // A crash may have come before its first entries were durable: it has promised nothing.
        return Ok(bootstrap(&world.cluster()));
    }
    let entries = recovered.entries.iter().cloned().map(decode_entry);
    let entries = entries.collect::<Result<_, _>>().map_err(|why| why.0)?;
    Boot::recovered(recovered, entries).map_err(String::from)
}

fn config(id: NodeId, knobs: &Knobs) -> Config {
    Config {
        id,
        cluster_id: CLUSTER,
        name: World::name(World::place(id)),
        client_urls: vec![format!("http://{}:2379", World::name(World::place(id)))],
        version: String::from("3.7.0"),
        heartbeat: knobs.tick,
        election: knobs.tick * 10,
        pre_vote: knobs.pre_vote > 0,
        snapshot_count: knobs.checkpoint,
        catch_up_entries: knobs.catch_up,
        lease_checkpoint: false,
        quota_bytes: 0,
        strict_reconfig: true,
        learners_max: 1,
        auto_compaction: AutoCompaction::Off,
    }
}
