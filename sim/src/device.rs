//! A member's disk as a device of sectors: what a sync covered stays, and what it did not may come
//! back old, new, torn or as garbage after the power fails.
//!
//! It knows nothing of logs and states: it carries out the operations that the core's planner
//! asks for, and fails as real devices do.

use crate::random::Random;
use bytes::Bytes;
use keel_core::disk::{DiskOp, File};
use std::collections::{BTreeMap, BTreeSet};

/// What a torn write can damage at once.
const SECTOR: usize = keel_core::limits::SECTOR;

/// What may be the last that was written to a log.
const LATEST: usize = 8 << 10;

/// One file's bytes.
#[derive(Clone, Debug, Default)]
struct Image {
    /// What a power failure leaves, but for the dirty sectors.
    durable: Vec<u8>,
    /// What a reader sees.
    seen: Vec<u8>,
    /// Sectors in which the two may differ.
    dirty: BTreeSet<usize>,
}

impl Image {
    fn of_zeros(len: u64) -> Image {
        let zeros = vec![0; usize::try_from(len).expect("a simulated file fits into memory")];
        Image { durable: zeros.clone(), seen: zeros, dirty: BTreeSet::new() }
    }

    fn write(&mut self, at: u64, pieces: &[Bytes]) {
        let mut at = usize::try_from(at).expect("it is within the file");
        for piece in pieces {
            let end = at + piece.len();
            assert!(end <= self.seen.len(), "a write ends past the file's end");
            self.seen[at..end].copy_from_slice(piece);
            if !piece.is_empty() {
                self.dirty.extend(at / SECTOR..=(end - 1) / SECTOR);
            }
            at = end;
        }
    }

    fn write_back(&mut self, sector: usize) {
        let range = self.range(sector);
        self.durable[range.clone()].copy_from_slice(&self.seen[range]);
    }

    fn range(&self, sector: usize) -> std::ops::Range<usize> {
        sector * SECTOR..((sector + 1) * SECTOR).min(self.seen.len())
    }

    /// What is dirty is lost, and the cache has forgotten it, too.
    fn forget(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            let range = self.range(sector);
            self.seen[range.clone()].copy_from_slice(&self.durable[range]);
        }
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.write_back(sector);
        }
    }

    /// The power fails: each dirty sector for itself is old, new, torn or garbage.
    fn lose_power(&mut self, random: &mut Random) {
        for sector in std::mem::take(&mut self.dirty) {
            let range = self.range(sector);
            match random.below(8) {
                0..3 => {}
                3..6 => self.write_back(sector),
                6 => {
                    let torn = usize::try_from(random.below(range.len() as u64)).expect("small");
                    let part = range.start..range.start + torn;
                    self.durable[part.clone()].copy_from_slice(&self.seen[part]);
                }
                _ => self.durable[range].iter_mut().for_each(|byte| {
                    *byte = random.number().to_le_bytes()[0];
                }),
            }
        }
        self.seen.clone_from(&self.durable);
    }
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No space is left.
    Full,
    /// The device fails, now and for ever.
    Broken,
}

/// One member's disk.
#[derive(Clone, Debug, Default)]
pub struct Device {
    files: BTreeMap<File, Image>,
    /// Under their temporary names: gone with the process that made them.
    made: BTreeMap<File, Image>,
    /// Whether files can be made.
    pub full: bool,
    /// Whether syncs fail.
    pub broken: bool,
    /// Whether syncs do nothing and say that they did.
    pub lies: bool,
}

impl Device {
    /// An empty one in this one's place: as full as it was, so that a member may have to wait.
    #[must_use]
    pub fn emptied(&self) -> Device {
        Device { full: self.full, ..Device::default() }
    }

    /// Carries out one operation.
    ///
    /// # Errors
    ///
    /// The fault that was planted. What a failed sync covered is lost, in the cache, too: a kernel
    /// that keeps showing it is not modelled.
    pub fn carry_out(&mut self, op: &DiskOp) -> Result<(), Fault> {
        match op {
            DiskOp::Allocate { .. } if self.full => return Err(Fault::Full),
            DiskOp::Allocate { file, len } => {
                self.made.insert(*file, Image::of_zeros(*len));
            }
            DiskOp::Write { file, at, bytes } => self.image(*file).write(*at, bytes),
            DiskOp::Sync { file } if self.broken => {
                self.image(*file).forget();
                return Err(Fault::Broken);
            }
            DiskOp::Sync { .. } if self.lies => {}
            DiskOp::Sync { file } => self.image(*file).sync(),
            DiskOp::Publish { file } => {
                let image = self.made.remove(file).expect("published after it was made");
                self.files.insert(*file, image);
            }
            DiskOp::Remove { file } => {
                self.files.remove(file).expect("only what is there is removed");
            }
        }
        Ok(())
    }

    fn image(&mut self, file: File) -> &mut Image {
        self.files.get_mut(&file).or_else(|| self.made.get_mut(&file)).expect("it was made")
    }

    /// The process dies: the page cache lives on.
    pub fn lose_process(&mut self) {
        self.made.clear();
    }

    /// The power fails in the middle of these operations.
    pub fn lose_power(&mut self, under_way: &[DiskOp], random: &mut Random) {
        // A name that is being changed is the old one or the new one.
        let renames = |op: &&DiskOp| matches!(op, DiskOp::Publish { .. } | DiskOp::Remove { .. });
        for op in under_way.iter().filter(renames) {
            if random.happens(500) {
                self.carry_out(op).expect("names change even on a device that fails");
            }
        }
        self.made.clear();
        for image in self.files.values_mut() {
            image.lose_power(random);
        }
    }

    /// The device writes a dirty sector back by itself, as any may at any time.
    pub fn write_back_early(&mut self, random: &mut Random) {
        let dirty = self.files.values_mut().filter(|image| !image.dirty.is_empty());
        for image in dirty {
            let sectors: Vec<usize> = image.dirty.iter().copied().collect();
            image.write_back(*random.pick(&sectors));
        }
    }

    /// One bit turns of what lies there since long; false where nothing does. The last that was
    /// written is left alone: a log that ends there may as well have been torn.
    pub fn rot_somewhere(&mut self, random: &mut Random) -> bool {
        let old = |(file, image): (&File, &Image)| {
            let end = image.seen.iter().rposition(|byte| *byte != 0)?;
            Some((*file, end.checked_sub(LATEST).filter(|end| *end > 0)?))
        };
        let files: Vec<(File, usize)> = self.files.iter().filter_map(old).collect();
        if files.is_empty() {
            return false;
        }
        let (file, end) = *random.pick(&files);
        let at = usize::try_from(random.below(end as u64)).expect("it is within the file");
        self.rot(file, at, random.number().to_le_bytes()[0] % 8)
    }

    /// One bit of a file that nobody writes any more turns; false where there is none.
    pub fn rot(&mut self, file: File, at: usize, bit: u8) -> bool {
        let Some(image) = self.files.get_mut(&file) else { return false };
        let Some(byte) = image.seen.get_mut(at) else { return false };
        *byte ^= 1 << bit;
        image.durable[at] = *byte;
        true
    }

    /// The published files and their lengths.
    #[must_use]
    pub fn list(&self) -> Vec<(File, u64)> {
        self.files.iter().map(|(file, image)| (*file, image.seen.len() as u64)).collect()
    }

    /// What a reader sees of a published file.
    ///
    /// # Panics
    ///
    /// Where nothing is there: who reads has listed.
    #[must_use]
    pub fn read(&self, file: File, from: u64, len: u64) -> Bytes {
        let image = &self.files[&file];
        let from = usize::try_from(from).expect("it is within the file");
        let end = from + usize::try_from(len).expect("it is within the file");
        Bytes::copy_from_slice(&image.seen[from..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: File = File::Segment(1);

    fn device(len: u64) -> Device {
        let mut device = Device::default();
        for op in [DiskOp::Allocate { file: LOG, len }, DiskOp::Publish { file: LOG }] {
            device.carry_out(&op).expect("nothing is planted");
        }
        device
    }

    fn write(at: u64, byte: u8) -> DiskOp {
        DiskOp::Write { file: LOG, at, bytes: vec![Bytes::from(vec![byte; SECTOR])] }
    }

    #[test]
    fn what_was_synced_outlives_the_power_and_what_was_not_may_be_anything() {
        let mut fates = BTreeSet::new();
        for seed in 0..200 {
            let mut device = device(2 * SECTOR as u64);
            device.carry_out(&write(0, 1)).expect("ok");
            device.carry_out(&DiskOp::Sync { file: LOG }).expect("ok");
            device.carry_out(&write(SECTOR as u64, 2)).expect("ok");
            device.lose_power(&[], &mut Random::stream(seed, "disk"));
            let bytes = device.read(LOG, 0, 2 * SECTOR as u64);
            assert!(bytes[..SECTOR].iter().all(|byte| *byte == 1), "it was durable");
            let (first, last) = (bytes[SECTOR], bytes[2 * SECTOR - 1]);
            fates.insert(match (first, last) {
                (0, 0) => "old",
                (2, 2) => "new",
                (2, 0) => "torn",
                _ => "garbage",
            });
        }
        assert_eq!(fates, ["garbage", "new", "old", "torn"].into());
    }

    #[test]
    fn the_page_cache_outlives_the_process_but_not_the_power() {
        let mut device = device(SECTOR as u64);
        device.carry_out(&write(0, 3)).expect("ok");
        device.lose_process();
        assert_eq!(device.read(LOG, 0, 1)[0], 3);
        let lost = (0..100).any(|seed| {
            let mut device = device.clone();
            device.lose_power(&[], &mut Random::stream(seed, "disk"));
            device.read(LOG, 0, 1)[0] != 3
        });
        assert!(lost, "it was never synced");
    }

    #[test]
    fn a_failed_sync_loses_what_it_covered_and_a_full_disk_makes_no_file() {
        let mut device = device(SECTOR as u64);
        device.carry_out(&write(0, 3)).expect("ok");
        device.broken = true;
        assert_eq!(device.carry_out(&DiskOp::Sync { file: LOG }), Err(Fault::Broken));
        device.lose_power(&[], &mut Random::stream(1, "disk"));
        assert_eq!(device.read(LOG, 0, 1)[0], 0);
        device.full = true;
        let more = DiskOp::Allocate { file: File::Segment(2), len: 1 };
        assert_eq!(device.carry_out(&more), Err(Fault::Full));
    }
}
