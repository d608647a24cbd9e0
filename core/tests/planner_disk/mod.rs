//! A disk that keeps what it promised and nothing more: sectors that no sync covered may come
//! back old, new, torn or as garbage after a crash.

#![allow(dead_code, reason = "each test file uses its part")]

use bytes::Bytes;
use keel_core::disk::{Damage, DiskOp, File, Lane};
use keel_core::planner::{Done, Options, Plan, Planner, Recovered, Recovery};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const SECTOR: usize = 512;

/// A small generator with a fixed seed: the tests' only randomness.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

/// What becomes of a sector that was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Old,
    New,
    /// The first so many as they were written, the rest as they were before.
    First(usize),
    /// Each sector for itself: old, new, torn, garbage.
    Any,
}

#[derive(Clone, Debug, Default)]
struct Image {
    /// What a crash leaves.
    durable: Vec<u8>,
    /// What a reader sees.
    seen: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<File, Image>,
    made: BTreeMap<File, Image>,
}

impl Disk {
    pub(crate) fn carry_out(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Allocate { file, len } => {
                let zeros = vec![0; *len as usize];
                let image = Image { durable: zeros.clone(), seen: zeros, dirty: BTreeSet::new() };
                self.made.insert(*file, image);
            }
            DiskOp::Publish { file } => {
                let image = self.made.remove(file).expect("published after it was made");
                self.files.insert(*file, image);
            }
            DiskOp::Remove { file } => {
                self.files.remove(file).expect("only what is there is removed");
            }
            DiskOp::Sync { file } => {
                let image = self.files.get_mut(file).expect("only what is there is synced");
                for &sector in &image.dirty {
                    let range = sector * SECTOR..(sector + 1) * SECTOR;
                    image.durable[range.clone()].copy_from_slice(&image.seen[range]);
                }
                image.dirty.clear();
            }
            DiskOp::Write { file, at, bytes } => {
                let image = self.files.get_mut(file).expect("only what is there is written");
                let bytes: Vec<u8> = bytes.concat();
                let at = *at as usize;
                assert!(at.is_multiple_of(SECTOR), "{file:?}: a write begins on a sector");
                assert!(bytes.len().is_multiple_of(SECTOR), "{file:?}: a write ends on a sector");
                assert!(at + bytes.len() <= image.seen.len(), "{file:?}: written past its end");
                image.seen[at..at + bytes.len()].copy_from_slice(&bytes);
                image.dirty.extend(at / SECTOR..(at + bytes.len()) / SECTOR);
            }
        }
    }

    /// The power fails.
    pub(crate) fn crash(&mut self, keep: Keep, dice: &mut Dice) {
        self.made.clear();
        let mut seen = 0;
        for image in self.files.values_mut() {
            for &sector in &image.dirty {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                let how = match keep {
                    Keep::Old => 0,
                    Keep::New => 1,
                    Keep::First(count) => u64::from(seen < count),
                    Keep::Any => dice.below(4),
                };
                seen += 1;
                let cut = match how {
                    0 => 0,
                    1 => SECTOR,
                    _ => dice.below(SECTOR as u64) as usize,
                };
                let (from, to) = (range.start, range.start + cut);
                image.durable[from..to].copy_from_slice(&image.seen[from..to]);
                if how == 3 {
                    image.durable[to..range.end].fill_with(|| dice.roll() as u8);
                }
            }
            image.dirty.clear();
            image.seen = image.durable.clone();
        }
    }

    /// The process dies and the machine goes on: all that was written is still seen.
    pub(crate) fn kill(&mut self) {
        self.made.clear();
    }

    pub(crate) fn files(&self) -> Vec<(File, u64)> {
        self.files.iter().map(|(&file, image)| (file, image.seen.len() as u64)).collect()
    }

    pub(crate) fn read(&self, file: File) -> Bytes {
        Bytes::from(self.files[&file].seen.clone())
    }

    pub(crate) fn flip(&mut self, file: File, at: usize, bit: u8) {
        let image = self.files.get_mut(&file).expect("there");
        image.seen[at] ^= 1 << bit;
        image.durable[at] ^= 1 << bit;
    }

    /// Puts other bytes into a file.
    pub(crate) fn replace(&mut self, file: File, bytes: Vec<u8>) {
        let image = Image { durable: bytes.clone(), seen: bytes, dirty: BTreeSet::new() };
        self.files.insert(file, image);
    }

    pub(crate) fn remove(&mut self, file: File) {
        self.files.remove(&file);
    }
}

/// Reads a disk back.
pub(crate) fn recover(disk: &Disk, options: &Options) -> Result<(Planner, Recovered), Damage> {
    let mut recovery = Recovery::new(options.clone(), disk.files());
    while let Some(file) = recovery.wants() {
        recovery.feed(file, disk.read(file))?;
    }
    recovery.finish()
}

/// A planner, its disk, and one cursor into a plan for each lane: operations of the two lanes
/// interleave in any order, and a crash can come between any two.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) planner: Planner,
    pub(crate) disk: Disk,
    flights: [Option<(Plan, usize)>; 2],
    /// Operations carried out so far.
    pub(crate) steps: usize,
}

impl Runner {
    pub(crate) fn new(planner: Planner, disk: Disk) -> Runner {
        Runner { planner, disk, flights: [None, None], steps: 0 }
    }

    /// Carries out the lane's next operation; says what was done when that ended its plan.
    /// `None` if the lane has nothing to do.
    pub(crate) fn step(&mut self, lane: Lane) -> Option<Done> {
        let at = if lane == Lane::Log { 0 } else { 1 };
        if self.flights[at].is_none() {
            self.flights[at] = Some((self.planner.poll(lane)?, 0));
        }
        let (plan, next) = self.flights[at].as_mut().expect("just filled");
        if let Some(op) = plan.ops.get(*next) {
            self.disk.carry_out(op);
            self.steps += 1;
            *next += 1;
        }
        if *next < plan.ops.len() {
            return Some(Done::default());
        }
        let id = plan.id;
        self.flights[at] = None;
        Some(self.planner.done(id))
    }

    /// Runs a lane until it has nothing to do.
    pub(crate) fn drain(&mut self, lane: Lane) -> Vec<Done> {
        let mut all = Vec::new();
        while let Some(done) = self.step(lane) {
            if done != Done::default() {
                all.push(done);
            }
        }
        all
    }
}
