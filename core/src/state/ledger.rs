//! What lies where in the state files, and what of it still counts.
//!
//! Kept alike by the planner, which appends frames, and by recovery, which reads them: of the
//! frames with one chunk's number the last counts, and a chunk's death is a frame as well.

use super::frame::{Frame, Kind, decode_numbers};
use super::manifest::Listed;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes that a dead chunk's number counts for.
const NUMBER_BYTES: u64 = 8;

/// Where a live chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub version: u64,
    pub file: u64,
    pub at: u64,
    pub len: u64,
    /// Bytes of its frame.
    bytes: u64,
    /// Frames with its number, this one and older ones.
    copies: u32,
}

/// A dead chunk of which frames are left.
#[derive(Clone, Copy, Debug)]
struct Dead {
    /// Where its death is noted.
    file: u64,
    copies: u32,
}

/// The newest of a frame that there is only one of.
#[derive(Clone, Debug)]
struct Single {
    file: u64,
    body: Bytes,
}

/// What is known of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    /// Where its frames end.
    pub end: u64,
    pub chain: u32,
    /// Bytes of it that count.
    live: u64,
    /// The numbers of all chunks in it.
    chunks: Vec<u64>,
}

/// The whole of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub files: BTreeMap<u64, Usage>,
    live: BTreeMap<u64, Place>,
    dead: BTreeMap<u64, Dead>,
    singles: BTreeMap<Kind, Single>,
}

impl Ledger {
    /// Notes a frame of `file` whose body lies at `at`. `None` if it makes no sense.
    pub(super) fn note(&mut self, file: u64, frame: &Frame, at: u64) -> Option<()> {
        match frame.kind {
            Kind::Head | Kind::Listing => {}
            Kind::Chunk => self.note_chunk(file, frame, at),
            Kind::Gone => {
                for number in decode_numbers(&frame.body)? {
                    self.note_gone(file, number);
                }
            }
            Kind::Tail
            | Kind::Dead
            | Kind::Leases
            | Kind::Alarms
            | Kind::Cluster
            | Kind::Config => {
                let single = Single { file, body: frame.body.clone() };
                self.usage(file).live += frame.bytes();
                if let Some(old) = self.singles.insert(frame.kind, single) {
                    let bytes = Frame::single(frame.kind, old.body).bytes();
                    self.usage(old.file).live -= bytes;
                }
            }
        }
        Some(())
    }

    fn usage(&mut self, file: u64) -> &mut Usage {
        self.files.entry(file).or_default()
    }

    fn note_chunk(&mut self, file: u64, frame: &Frame, at: u64) {
        let mut copies = 1;
        if let Some(old) = self.live.get(&frame.number).copied() {
            copies += old.copies;
            self.usage(old.file).live -= old.bytes;
        }
        if let Some(dead) = self.dead.remove(&frame.number) {
            copies += dead.copies;
            self.usage(dead.file).live -= NUMBER_BYTES;
        }
        let len = frame.body.len() as u64;
        let bytes = frame.bytes();
        let place = Place { version: frame.version, file, at, len, bytes, copies };
        self.live.insert(frame.number, place);
        let usage = self.usage(file);
        usage.live += bytes;
        usage.chunks.push(frame.number);
    }

    fn note_gone(&mut self, file: u64, number: u64) {
        let copies = if let Some(place) = self.live.remove(&number) {
            self.usage(place.file).live -= place.bytes;
            place.copies
        } else if let Some(dead) = self.dead.get(&number).copied() {
            self.usage(dead.file).live -= NUMBER_BYTES;
            dead.copies
        } else {
            return; // All its frames are gone already.
        };
        self.dead.insert(number, Dead { file, copies });
        self.usage(file).live += NUMBER_BYTES;
    }

    /// Where the frames of a file that was read end.
    pub(super) fn close(&mut self, file: Listed) {
        let usage = self.usage(file.number);
        usage.end = file.len;
        usage.chain = file.chain;
    }

    /// The live chunks, by number.
    pub(super) fn live(&self) -> impl Iterator<Item = (u64, &Place)> {
        self.live.iter().map(|(&number, place)| (number, place))
    }

    /// Where a live chunk lies.
    pub(super) fn place(&self, number: u64) -> Option<&Place> {
        self.live.get(&number)
    }

    /// The newest frame of a kind that there is only one of.
    pub(super) fn single(&self, kind: Kind) -> Option<&Bytes> {
        self.singles.get(&kind).map(|single| &single.body)
    }

    /// What of `file` must stand elsewhere before it may go, besides its live chunks.
    pub(super) fn rest_of(&self, file: u64) -> (Vec<u64>, Vec<Frame>) {
        let dead = self.dead.iter().filter(|(_, dead)| dead.file == file);
        let singles = self.singles.iter().filter(|(_, single)| single.file == file);
        let frames = singles.map(|(&kind, single)| Frame::single(kind, single.body.clone()));
        (dead.map(|(&number, _)| number).collect(), frames.collect())
    }

    /// Drops the files of which nothing counts, but never `current`.
    pub(super) fn drop_dead(&mut self, current: u64) -> Vec<u64> {
        let mut dropped = Vec::new();
        // One file's end may make a death in another pointless.
        while let Some(file) = self.dead_file(current) {
            let usage = self.files.remove(&file).expect("it was just found");
            for number in usage.chunks {
                self.forget_copy(number);
            }
            dropped.push(file);
        }
        dropped
    }

    fn dead_file(&self, current: u64) -> Option<u64> {
        let dead = |usage: &Usage| {
            usage.live == 0 || mutant!(HalfDeadIsDead) && usage.live * 2 < usage.end
        };
        let mut files = self.files.iter();
        files.find(|&(&file, usage)| file != current && dead(usage)).map(|(&file, _)| file)
    }

    fn forget_copy(&mut self, number: u64) {
        if let Some(place) = self.live.get_mut(&number) {
            place.copies -= 1;
            assert!(place.copies > 0, "a live chunk's own frame counts");
            return;
        }
        let dead = self.dead.get_mut(&number).expect("a chunk with frames lives or is noted dead");
        dead.copies -= 1;
        if dead.copies == 0 {
            let file = dead.file;
            self.dead.remove(&number);
            if let Some(usage) = self.files.get_mut(&file) {
                usage.live -= NUMBER_BYTES;
            }
        }
    }

    /// The files less than half alive, the emptiest last. Never `current`.
    pub(super) fn half_dead(&self, current: Option<u64>) -> Vec<u64> {
        let files = self.files.iter().filter(|&(&file, _)| Some(file) != current);
        let half_dead = files.filter(|(_, usage)| usage.live * 2 < usage.end);
        let mut by_life: Vec<_> = half_dead.map(|(&file, usage)| (usage.live, file)).collect();
        by_life.sort_unstable_by(|a, b| b.cmp(a));
        by_life.into_iter().map(|(_, file)| file).collect()
    }

    /// The files, as a manifest lists them.
    pub(super) fn listed(&self) -> Vec<Listed> {
        let listed = |(&number, usage): (&u64, &Usage)| Listed {
            number,
            len: usage.end,
            chain: usage.chain,
        };
        self.files.iter().map(listed).collect()
    }
}
