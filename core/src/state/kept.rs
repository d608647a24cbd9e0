//! Which checkpoints stay readable, and where the next manifest may stand.
//!
//! etcd's `--max-snapshots`: of the newest so many checkpoints all files stay, so that a member
//! whose newest one is damaged goes on from one before it, if the log still holds what came
//! between. What a rewriting publishes takes the place of the checkpoint that it rewrote.

use crate::types::Index;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// The place of the first manifest ever: a bad slot there, alone, is a first one cut short.
pub(super) const FIRST_PLACE: u64 = 1;

/// A checkpoint that stays.
#[derive(Clone, Debug)]
pub(super) struct Stays {
    /// Where its manifest stands.
    pub place: u64,
    /// The last entry in it.
    pub index: Index,
    /// The files that it names.
    pub files: BTreeSet<u64>,
}

/// Those that stay.
#[derive(Debug)]
pub(super) struct Kept {
    /// At most so many; zero is all.
    most: usize,
    /// Oldest first.
    stay: Vec<Stays>,
}

impl Kept {
    /// These stay, oldest first.
    pub(super) fn new(most: usize, stay: Vec<Stays>) -> Kept {
        Kept { most, stay }
    }

    /// Where the next manifest is written: over none that stays.
    pub(super) fn place(&self) -> u64 {
        if mutant!(OneSlot) {
            return 0;
        }
        if self.stay.is_empty() {
            return FIRST_PLACE;
        }
        let taken: BTreeSet<u64> = self.stay.iter().map(|stays| stays.place).collect();
        (0..).find(|place| !taken.contains(place)).expect("places do not end")
    }

    /// The manifest at [`Kept::place`] is durable.
    pub(super) fn add(&mut self, index: Index, files: BTreeSet<u64>) {
        let place = self.place();
        self.stay.retain(|stays| stays.index != index);
        self.stay.push(Stays { place, index, files });
        if self.most > 0 {
            self.stay.drain(..self.stay.len().saturating_sub(self.most));
        }
    }

    /// Whether a checkpoint that stays names this file.
    pub(super) fn names(&self, file: u64) -> bool {
        self.stay.iter().any(|stays| stays.files.contains(&file))
    }
}
