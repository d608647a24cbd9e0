//! What a member goes on from when it starts: its files, or nothing where it is new.

use super::World;
use super::member::Life;
use super::repair::Repair;
use super::tape::Taped;
use crate::member::{CLUSTER, config};
use crate::oracle::Broken;
use crate::oracle::quorum::Durable;
use crate::random::Random;
use crate::seen::Place;
use keel_core::disk::{Damage, File, Lane};
use keel_core::entry::HardState;
use keel_core::planner::{Options, Recovered, Recovery};
use keel_core::{Boot, NodeId, Planner};
use keel_proto::bootstrap;
use keel_proto::convert::decode_entry;

/// How reading a member's files ended.
enum Found {
    /// They are whole.
    Whole(Box<Planner>, Box<Recovered>),
    /// They are not what was written.
    Damaged(String),
    /// They could not be read to the end: the disk is full, or the power failed.
    Nothing(&'static str),
}

impl World {
    /// Starts a member on what its disk holds.
    pub(super) fn start(&mut self, at: usize) -> Result<(), Broken> {
        let name = World::name(at);
        if std::mem::take(&mut self.members[at].rot_due) {
            self.members[at].rotten |= self.members[at].device.rot_somewhere(&mut self.disks);
        }
        let read = match self.recover(at) {
            Found::Whole(planner, recovered) => {
                self.boot(at, *recovered).map(|boot| (planner, boot))
            }
            Found::Damaged(why) => Err(why),
            Found::Nothing(why) => {
                self.tell(&format!("{name} cannot start: {why}"));
                return Ok(());
            }
        };
        let (planner, boot) = match read {
            Ok(read) => read,
            Err(why) if self.members[at].rotten => {
                self.places.saw(Place::DamageFound);
                self.tell(&format!("{name} finds its disk damaged: {why}"));
                self.members[at].repair = Some(Repair::default());
                return self.repair(at);
            }
            Err(why) => return Err(Broken::new("recovery", format!("{name}: {why}"))),
        };
        let me = World::id(at);
        let member = &mut self.members[at];
        let base = boot.checkpoint.as_ref().map(|checkpoint| checkpoint.index);
        // What was just made up is written first, and is not durable yet.
        let held = if boot.unwritten.is_some() { &[][..] } else { &boot.entries[..] };
        member.durable = Durable::recovered(base.unwrap_or_default(), held);
        let last = boot.entries.last().map(|entry| entry.index);
        member.promises.came_back(me, boot.hard, last.or(base).unwrap_or_default())?;
        let member = &self.members[at];
        let knobs = &self.plan.knobs;
        let mut seed = Random::stream(knobs.seed, &format!("core {at} {}", member.boot));
        let now = member.clock.at(self.now);
        let node = Taped::new(config(at, knobs), boot, seed.number(), now, self.shelf.as_ref());
        let member = &mut self.members[at];
        member.life = Some(Box::new(Life::new(node, *planner)));
        member.boot += 1;
        self.turn(at, None)
    }

    /// Reads a member's files, and carries out what comes before everything else.
    fn recover(&mut self, at: usize) -> Found {
        let options = self.options(at);
        let member = &mut self.members[at];
        let files = member.device.list();
        let mut recovery = Recovery::new(options, files.clone());
        let damaged = |damage: Damage| {
            Found::Damaged(format!("{:?} at {}: {}", damage.file, damage.at, damage.why))
        };
        while let Some(wanted) = recovery.wants() {
            let (_, len) = files.iter().find(|(file, _)| *file == wanted).expect("it was listed");
            let bytes = member.device.read(wanted, 0, *len);
            if let Err(damage) = recovery.feed(wanted, bytes) {
                return damaged(damage);
            }
        }
        let (mut planner, recovered) = match recovery.finish() {
            Ok(read) => read,
            Err(damage) => return damaged(damage),
        };
        while let Some(plan) = planner.poll(Lane::Log) {
            for op in &plan.ops {
                if member.trips() {
                    self.places.saw(Place::PowerLostAtStart);
                    member.device.lose_power(std::slice::from_ref(op), &mut self.disks);
                    return Found::Nothing("the power fails");
                }
                if member.device.carry_out(op).is_err() {
                    member.device.lose_process();
                    return Found::Nothing("its disk is full");
                }
            }
            planner.done(plan.id);
        }
        Found::Whole(Box::new(planner), Box::new(recovered))
    }

    /// How a member's files are laid out. One that has none is told who it is.
    pub(super) fn options(&self, at: usize) -> Options {
        let files = self.members[at].device.list();
        let owned = files.iter().any(|(file, _)| matches!(file, File::Segment(_)));
        let (cluster, node) = if owned { (0, NodeId::NONE) } else { (CLUSTER, World::id(at)) };
        Options {
            cluster,
            node,
            segment_bytes: self.plan.knobs.segment,
            segments_kept: 2,
            state_bytes: 64 << 10,
            piece_bytes: 16 << 10,
            ..Options::default()
        }
    }

    /// What a member begins with.
    fn boot(&self, at: usize, recovered: Recovered) -> Result<Boot, String> {
        let blank = recovered.checkpoint.is_none() && recovered.entries.is_empty();
        if blank && recovered.hard == HardState::default() {
            // A crash may have come before its first entries were durable: it has promised
            // nothing. One that is added later begins with nothing, and hears from the leader.
            let first = at < self.first_members();
            return Ok(if first { bootstrap(&self.cluster()) } else { Boot::default() });
        }
        let entries = recovered.entries.iter().cloned().map(decode_entry);
        let entries = entries.collect::<Result<_, _>>().map_err(|why| why.0)?;
        Boot::recovered(recovered, entries).map_err(String::from)
    }
}
