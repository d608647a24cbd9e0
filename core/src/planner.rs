//! The planner of log and state files: the third machine.
//!
//! [`Output::Persist`](crate::Output) and [`Output::Store`](crate::Output) in, [`Plan`]s of
//! [`DiskOp`]s out. Its driver's duty: after each call poll both lanes, carry out each plan's
//! operations in their order, say [`Planner::done`], and end the process when one fails. Each
//! lane has one plan in flight; neither waits for the other. The log's plans are urgent. The
//! bulk lane's are small, and the driver pauses between them and starts the write-back of each:
//! a flush of much at once stalls every commit.

use crate::disk::{Damage, DiskOp, File, Lane};
use crate::entry::{HardState, RawEntry, Write};
use crate::limits::{GROUP_BYTES, PIECE_BYTES, SEGMENT_BYTES, STATE_BYTES};
use crate::state::image::Image;
use crate::state::{
    Checkpoint, Fed, Files, Read, RestoredImage, Scan, Slots, read_manifest, resume,
    settle_manifest,
};
use crate::types::{Index, Mark, NodeId, Term};
use crate::wal::{Log, MISSING, Replay, replay};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// How the files are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whose files they are: the cluster's id. Read back from the log where there is one.
    pub cluster: u64,
    /// And the member's.
    pub node: NodeId,
    /// Bytes of a log segment; one that must hold a larger batch is larger.
    pub segment_bytes: u64,
    /// Newest log segments that are kept although a checkpoint made them void: etcd's
    /// `--max-wals`. Zero keeps all.
    pub segments_kept: usize,
    /// Newest checkpoints that stay readable: etcd's `--max-snapshots`. Zero keeps all.
    pub checkpoints_kept: usize,
    /// Bytes of a state file; one that must hold a larger chunk is larger.
    pub state_bytes: u64,
    /// Bytes of one write on the bulk lane, at most. Whole sectors.
    pub piece_bytes: u64,
    /// Bytes of a group commit, unless a single write is larger.
    pub group_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cluster: 0,
            node: NodeId::NONE,
            segment_bytes: SEGMENT_BYTES,
            segments_kept: 5,
            checkpoints_kept: 1,
            state_bytes: STATE_BYTES,
            piece_bytes: PIECE_BYTES,
            group_bytes: GROUP_BYTES,
        }
    }
}

/// Operations to carry out in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To be named to [`Planner::done`].
    pub id: u64,
    /// Beside which others it may run.
    pub lane: Lane,
    /// What to do. It may be nothing: then it is done at once.
    pub ops: Vec<DiskOp>,
}

/// Where a chunk of the history lies now, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its number.
    pub number: u64,
    /// Which version of it.
    pub version: u64,
    /// In which file.
    pub file: File,
    /// At which offset.
    pub at: u64,
    /// How many bytes.
    pub len: u64,
}

/// What a plan's end means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Every write up to this mark is durable.
    pub persisted: Option<Mark>,
    /// The checkpoint of this mark and all before it are durable, and these chunks lie in files.
    /// The same mark comes again when chunks were moved to another file.
    pub stored: Option<(Mark, Vec<Placed>)>,
}

/// What the bulk lane is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bulk {
    Spare,
    State,
    Remove,
}

/// The planner. Its first file operations after a recovery are due before the node starts: poll
/// [`Lane::Log`] and carry out what it says, then build the node.
#[derive(Debug)]
pub struct Planner {
    log: Log,
    files: Files,
    /// Files that nothing names any more.
    removals: VecDeque<File>,
    /// Log segments that nothing needs any more since this start.
    spent: VecDeque<File>,
    next_id: u64,
    log_flight: Option<u64>,
    bulk_flight: Option<(u64, Bulk)>,
}

impl Planner {
    /// The planner of an empty directory.
    #[must_use]
    pub fn create(options: Options) -> Planner {
        let files = Files::create(options.clone());
        Planner::with(Log::create(options), files, VecDeque::new())
    }

    fn with(log: Log, files: Files, removals: VecDeque<File>) -> Planner {
        let spent = VecDeque::new();
        Planner { log, files, removals, spent, next_id: 1, log_flight: None, bulk_flight: None }
    }

    /// Stages a write on the log lane.
    pub fn persist(&mut self, mark: Mark, write: Write) {
        self.log.persist(mark, write);
    }

    /// Stages a checkpoint on the bulk lane. It takes the place of one that still waits.
    pub fn store(&mut self, mark: Mark, checkpoint: Arc<Checkpoint>) {
        self.store_image(mark, Image::of(&checkpoint));
    }

    /// The same, for a checkpoint that is bytes already.
    pub fn store_image(&mut self, mark: Mark, image: Image) {
        self.log.store(image.index, image.term);
        self.files.store(mark, image);
    }

    /// The lane's next plan; `None` while one is in flight or there is nothing to do.
    pub fn poll(&mut self, lane: Lane) -> Option<Plan> {
        let id = self.next_id;
        let ops = match lane {
            Lane::Log if self.log_flight.is_some() => return None,
            Lane::Bulk if self.bulk_flight.is_some() => return None,
            Lane::Log => {
                let ops = self.log.poll()?;
                self.log_flight = Some(id);
                ops
            }
            Lane::Bulk => {
                let (bulk, ops) = self.poll_bulk()?;
                self.bulk_flight = Some((id, bulk));
                ops
            }
        };
        self.next_id += 1;
        Some(Plan { id, lane, ops })
    }

    /// The next segment first, since commits may come to wait for it, and before it only what a start
    /// left over: it is quick and makes room, and the life may be short.
    fn poll_bulk(&mut self) -> Option<(Bulk, Vec<DiskOp>)> {
        let remove = |file| (Bulk::Remove, vec![DiskOp::Remove { file }]);
        if let Some(file) = self.spent.pop_front() {
            return Some(remove(file));
        }
        if let Some(ops) = self.log.poll_spare() {
            return Some((Bulk::Spare, ops));
        }
        if let Some(file) = self.removals.pop_front() {
            return Some(remove(file));
        }
        Some((Bulk::State, self.files.poll()?))
    }

    /// A plan's operations are all done, and its syncs succeeded.
    pub fn done(&mut self, id: u64) -> Done {
        if self.log_flight == Some(id) {
            self.log_flight = None;
            let (persisted, spent) = self.log.done();
            self.spent.extend(spent);
            return Done { persisted, stored: None };
        }
        let bulk = self.bulk_flight.take_if(|(flight, _)| *flight == id);
        let (_, bulk) = bulk.expect("only a plan in flight is done");
        match bulk {
            Bulk::Spare => self.log.spare_done(),
            Bulk::Remove => {}
            Bulk::State => return self.state_done(),
        }
        Done::default()
    }

    fn state_done(&mut self) -> Done {
        let Some(stored) = self.files.done() else {
            return Done::default();
        };
        self.removals.extend(stored.dropped);
        self.removals.extend(self.log.release(stored.index));
        Done { persisted: None, stored: Some((stored.mark, stored.placed)) }
    }
}

/// What a directory held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Whose files they are, cluster and member, if there is a log.
    pub owner: Option<(u64, NodeId)>,
    /// The hard state.
    pub hard: HardState,
    /// The newest checkpoint, or the newest that is whole.
    pub checkpoint: Option<RestoredImage>,
    /// Why there is no newer one. The log held what lies between.
    pub passed_over: Option<Damage>,
    /// The log behind it, without a gap.
    pub entries: Vec<RawEntry>,
}

/// Reads a data directory back. Before it lists the directory a runtime unlinks what
/// [`File::is_temporary`] names and syncs `member/log` and `member/state`: a rename that is seen
/// may not be durable.
#[derive(Debug)]
pub struct Recovery {
    options: Options,
    files: BTreeMap<File, u64>,
    manifest: Option<Slots>,
    /// What brings the manifest to rest.
    settle: Vec<DiskOp>,
    states: Fed,
    segments: BTreeMap<u64, Bytes>,
}

impl Recovery {
    /// `files` is what the directory holds, with lengths in bytes.
    #[must_use]
    pub fn new(options: Options, files: Vec<(File, u64)>) -> Recovery {
        let files = files.into_iter().collect();
        let (manifest, settle) = (None, Vec::new());
        let (states, segments) = Default::default();
        Recovery { options, files, manifest, settle, states, segments }
    }

    /// The next file to feed, or `None` when nothing more is needed.
    #[must_use]
    pub fn wants(&self) -> Option<File> {
        if self.manifest.is_none() && self.files.contains_key(&File::Manifest) {
            return Some(File::Manifest);
        }
        if let Some(Slots::Good(scans)) = &self.manifest {
            let there = |number| self.files.contains_key(&File::State(number));
            let wanted = scans.iter().find_map(|scan| scan.wants(&self.states, there));
            if let Some(number) = wanted {
                return Some(File::State(number));
            }
        }
        let unfed = |file: &&File| match file {
            File::Segment(number) => !self.segments.contains_key(number),
            _ => false,
        };
        self.files.keys().find(unfed).copied()
    }

    /// Takes a whole file. What is recovered is slices of it.
    pub fn feed(&mut self, file: File, bytes: Bytes) -> Result<(), Damage> {
        match file {
            File::Manifest => {
                self.manifest = Some(read_manifest(&bytes, self.options.checkpoints_kept)?);
                self.settle = settle_manifest(&bytes);
            }
            File::State(number) => {
                self.states.insert(number, bytes);
            }
            File::Segment(number) => {
                self.segments.insert(number, bytes);
            }
        }
        Ok(())
    }

    /// What the directory held, and the planner that goes on from it in a fresh segment.
    pub fn finish(self) -> Result<(Planner, Recovered), Damage> {
        let Recovery { mut options, files, manifest, settle, states, segments } = self;
        if matches!(manifest, Some(Slots::Good(_))) && segments.is_empty() {
            // The log comes before the first checkpoint and never ends: with it went votes, and
            // entries that were acknowledged.
            return Err(Damage { file: File::Manifest, at: 0, why: "its log is gone" });
        }
        let made = manifest.is_some();
        // A log that does not reach back to its beginning has given that up for a checkpoint.
        let lost = match &manifest {
            Some(Slots::Torn) => {
                Some("the only slot ever written is bad, and the log does not hold everything")
            }
            None if files.keys().any(|file| matches!(file, File::State(_))) => {
                Some("it is gone, and the log does not hold everything")
            }
            _ => None,
        };
        let scans = match manifest {
            Some(Slots::Good(scans)) => scans,
            Some(Slots::Empty | Slots::Torn) | None => Vec::new(),
        };
        let newest = scans.first();
        let stored = newest.map_or((Index(0), Term(0)), Scan::stored);
        let mut log = replay(&segments, stored).map_err(|damage| match lost {
            Some(why) if damage.why == MISSING => Damage { file: File::Manifest, at: 0, why },
            _ => damage,
        })?;
        let owner = log.owner.or(newest.map(Scan::owner));
        check_owner(&mut options, owner, &log, newest)?;
        let next_file = next_file(&files);
        let (mut checkpoint, mut named, mut passed_over) = (None, Vec::new(), None);
        let mut state = Files::empty(options.clone(), made, next_file);
        if let Some(newest) = newest {
            let (nth, read) = match newest.read(&states) {
                Ok(read) => (0, read),
                Err(damage) => {
                    passed_over = Some(damage.clone());
                    let older = older(&scans, &states, &segments, &log).ok_or(damage)?;
                    log = older.1;
                    (older.0, older.2)
                }
            };
            let (image, files, stay) =
                resume(&scans, nth, read, &states, options.clone(), next_file);
            (checkpoint, state, named) = (Some(image), files, stay);
        }
        let mut removals: VecDeque<File> = log.leftover.iter().copied().collect();
        let unnamed = |file: &&File| matches!(file, File::State(_)) && !named.contains(file);
        removals.extend(files.keys().filter(unnamed));
        let stored = checkpoint.as_ref().map_or(Index(0), |image| image.index);
        let resumed = Log::resume(options, &log, stored, settle);
        let (hard, entries) = (log.hard, log.entries.into());
        let recovered = Recovered { owner, hard, checkpoint, passed_over, entries };
        Ok((Planner::with(resumed, state, removals), recovered))
    }
}

/// The newest whole checkpoint behind the first, which is damaged, with the log from there on. It
/// serves only if the log holds every entry between the two, and `log`, which begins at the
/// first, goes on from them.
fn older(
    scans: &[Scan],
    states: &Fed,
    segments: &BTreeMap<u64, Bytes>,
    log: &Replay,
) -> Option<(usize, Replay, Read)> {
    let (index, term) = scans.first()?.stored();
    let mut older = scans.iter().enumerate().skip(1);
    older.find_map(|(nth, scan)| {
        let longer = replay(segments, scan.stored()).ok()?;
        let between = index.0.checked_sub(longer.base.0 + 1)?;
        let last = longer.entries.get(usize::try_from(between).ok()?)?;
        let same = last.index == index && last.term == term && longer.last() == log.last();
        let read = scan.read(states).ok()?;
        (same && !longer.anew && !log.anew).then_some((nth, longer, read))
    })
}

/// A number above every state file of the directory.
fn next_file(files: &BTreeMap<File, u64>) -> u64 {
    let number = |file: &File| match file {
        File::State(number) => Some(*number),
        File::Segment(_) | File::Manifest => None,
    };
    files.keys().filter_map(number).max().map_or(1, |number| number.saturating_add(1))
}

/// All files are one member's, and if the options name one, that one's.
fn check_owner(
    options: &mut Options,
    owner: Option<(u64, NodeId)>,
    log: &Replay,
    scan: Option<&Scan>,
) -> Result<(), Damage> {
    let Some(owner) = owner else {
        return Ok(());
    };
    let why = "the file belongs to another member";
    if scan.is_some_and(|scan| scan.owner() != owner) {
        return Err(Damage { file: File::Manifest, at: 0, why });
    }
    if options.node != NodeId::NONE && (options.cluster, options.node) != owner {
        let file = log.segments.back().map_or(File::Manifest, |last| File::Segment(last.number));
        return Err(Damage { file, at: 0, why });
    }
    (options.cluster, options.node) = owner;
    Ok(())
}
