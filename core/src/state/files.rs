//! Checkpoints in, writes of state files and manifests out.
//!
//! A checkpoint is a job: append what is new, sync it, write a manifest that names it, sync
//! that. Rewriting a half-dead file is a job of the same shape, run after a checkpoint with the
//! same image. A file leaves the directory when a manifest without it is durable.

use super::frame::{Frame, Kind, encode_numbers};
use super::image::Image;
use super::kept::Kept;
use super::ledger::Ledger;
use super::manifest::{LISTED_BYTES, LISTED_MAX, MANIFEST_BYTES, Manifest, encode_list};
use crate::disk::{DiskOp, File};
use crate::limits::{PAGE, SECTOR};
use crate::planner::{Options, Placed};
use crate::types::{Index, Mark};
use crate::wal::round_up;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Numbers of dead chunks in one frame.
const GONE_MAX: usize = 8192;

/// The file that is appended to.
#[derive(Debug)]
struct Open {
    number: u64,
    len: u64,
    /// Where `pending` begins.
    written: u64,
    /// Framed bytes that no plan carries yet.
    pending: VecDeque<Bytes>,
    pending_bytes: u64,
}

/// A checkpoint or a rewriting under way.
#[derive(Debug)]
struct Job {
    mark: Mark,
    image: Image,
    todo: VecDeque<Frame>,
    /// Of a rewriting: the files that come after this one.
    victims: Option<Vec<u64>>,
    placed: Vec<Placed>,
    /// Files with bytes that are written and not synced.
    dirty: BTreeSet<u64>,
    /// Whether the frame that lists the files is appended, if one is needed.
    listed: bool,
}

/// What the bulk lane has in flight for the state files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    Append,
    Manifest,
}

/// A job's end.
#[derive(Debug)]
pub(crate) struct Stored {
    pub mark: Mark,
    pub index: Index,
    pub placed: Vec<Placed>,
    /// Files that nothing names any more.
    pub dropped: Vec<File>,
}

/// The planner of the state files.
#[derive(Debug)]
pub(crate) struct Files {
    options: Options,
    ledger: Ledger,
    open: Option<Open>,
    /// The number of the next file: above all that were ever seen.
    next_file: u64,
    /// Of the newest manifest; zero before the first.
    sequence: u64,
    manifest_made: bool,
    lineage: u64,
    staged: Option<(Mark, Image)>,
    /// The last checkpoint, and the files that were half dead when it was done.
    finished: Option<(Mark, Image, Vec<u64>)>,
    job: Option<Job>,
    flight: Option<Flight>,
    /// Of which nothing counts any more, unless an older checkpoint that stays names them.
    dropped: Vec<u64>,
    kept: Kept,
}

impl Files {
    /// No state yet.
    pub(crate) fn create(options: Options) -> Files {
        Files {
            kept: Kept::new(options.checkpoints_kept, Vec::new()),
            options,
            ledger: Ledger::default(),
            open: None,
            next_file: 1,
            sequence: 0,
            manifest_made: false,
            lineage: 0,
            staged: None,
            finished: None,
            job: None,
            flight: None,
            dropped: Vec::new(),
        }
    }

    /// No state yet in a directory that is not empty.
    pub(crate) fn empty(options: Options, manifest_made: bool, next_file: u64) -> Files {
        Files { manifest_made, next_file, ..Files::create(options) }
    }

    /// The state that was read back. The newest file is appended to if a length of it is given.
    pub(super) fn resume(
        options: Options,
        ledger: Ledger,
        sequence: u64,
        kept: Kept,
        next_file: u64,
        newest_len: Option<u64>,
    ) -> Files {
        let newest = ledger.files.last_key_value();
        let open = newest.zip(newest_len).map(|((&number, usage), len)| Open {
            number,
            len: len - len % SECTOR as u64,
            written: usage.end,
            pending: VecDeque::new(),
            pending_bytes: 0,
        });
        let manifest_made = true;
        let created = Files::create(options);
        Files { ledger, open, sequence, kept, manifest_made, next_file, ..created }
    }

    /// Stages a checkpoint. One that still waits is superseded: this one holds all it held.
    pub(crate) fn store(&mut self, mark: Mark, image: Image) {
        let ascending = image.chunks.is_sorted_by(|a, b| a.number < b.number);
        assert!(ascending, "a checkpoint's chunks ascend");
        self.staged = Some((mark, image));
        self.finished = None;
    }

    /// The next bounded piece of work.
    pub(crate) fn poll(&mut self) -> Option<Vec<DiskOp>> {
        assert!(self.flight.is_none(), "the bulk lane has one plan in flight");
        if self.job.is_none() {
            self.begin_job()?;
        }
        self.append()
    }

    fn begin_job(&mut self) -> Option<()> {
        if let Some((mark, image)) = self.staged.take() {
            let todo = self.news(&image);
            self.lineage = image.lineage;
            self.begin(mark, image, todo, None);
            return Some(());
        }
        let (mark, image, mut victims) = self.finished.take()?;
        let victim = loop {
            let victim = victims.pop()?;
            if self.ledger.files.contains_key(&victim) {
                break victim;
            }
        };
        let todo = self.rewriting(&image, victim);
        self.begin(mark, image, todo, Some(victims));
        Some(())
    }

    fn begin(
        &mut self,
        mark: Mark,
        image: Image,
        todo: VecDeque<Frame>,
        victims: Option<Vec<u64>>,
    ) {
        let (placed, dirty) = (Vec::new(), BTreeSet::new());
        self.job = Some(Job { mark, image, todo, victims, placed, dirty, listed: false });
    }

    /// What of an image is not in the files yet.
    fn news(&self, image: &Image) -> VecDeque<Frame> {
        let replaced = image.lineage != self.lineage && !mutant!(OldLineageStays);
        let mut todo = VecDeque::new();
        let mut gone = Vec::new();
        let mut live = self.ledger.live().peekable();
        for chunk in &image.chunks {
            while let Some((number, _)) = live.next_if(|&(number, _)| number < chunk.number) {
                gone.push(number);
            }
            let known = live.next_if(|&(number, _)| number == chunk.number);
            let anew = |version| version != chunk.version && !mutant!(ThinnedChunkStays);
            if replaced || known.is_none_or(|(_, place)| anew(place.version)) {
                let (number, version) = (chunk.number, chunk.version);
                let body = chunk.bytes.clone();
                todo.push_back(Frame { kind: Kind::Chunk, number, version, body });
            }
        }
        gone.extend(live.map(|(number, _)| number));
        push_gone(&mut todo, &gone);
        let singles = [
            (Kind::Tail, &image.tail),
            (Kind::Dead, &image.dead),
            (Kind::Leases, &image.leases),
            (Kind::Alarms, &image.alarms),
            (Kind::Cluster, &image.cluster),
            (Kind::Config, &image.config),
        ];
        for (kind, body) in singles {
            if self.ledger.single(kind) != Some(body) {
                todo.push_back(Frame::single(kind, body.clone()));
            }
        }
        todo
    }

    /// What of a file still counts, to be written again.
    fn rewriting(&self, image: &Image, victim: u64) -> VecDeque<Frame> {
        let mut todo = VecDeque::new();
        for chunk in &image.chunks {
            let place = self.ledger.place(chunk.number);
            let place = place.expect("a finished checkpoint's chunks are all in the files");
            assert_eq!(place.version, chunk.version, "the files hold what the checkpoint holds");
            if place.file == victim {
                let (number, version) = (chunk.number, chunk.version);
                let body = chunk.bytes.clone();
                todo.push_back(Frame { kind: Kind::Chunk, number, version, body });
            }
        }
        let (gone, singles) = self.ledger.rest_of(victim);
        push_gone(&mut todo, &gone);
        todo.extend(singles);
        todo
    }

    fn append(&mut self) -> Option<Vec<DiskOp>> {
        loop {
            let piece = self.options.piece_bytes;
            if self.open.as_ref().is_some_and(|open| open.pending_bytes >= piece) {
                return Some(self.write(piece));
            }
            let job = self.job.as_mut()?;
            let Some(frame) = job.todo.front() else {
                if self.list_files() {
                    continue;
                }
                return Some(self.finish());
            };
            let needed = frame.bytes();
            match &self.open {
                Some(open) if open.written + open.pending_bytes + needed <= open.len => {
                    let mut frame = job.todo.pop_front().expect("it was just seen");
                    if frame.kind == Kind::Listing {
                        frame = self.listing();
                    }
                    self.frame(&frame);
                }
                Some(open) if open.pending_bytes > 0 => return Some(self.write_rest()),
                _ => return Some(self.open_file(needed)),
            }
        }
    }

    /// Appends a frame to the open file, in memory.
    fn frame(&mut self, frame: &Frame) {
        let open = self.open.as_mut().expect("a file is open");
        let at = open.written + open.pending_bytes + super::frame::FRAME_BYTES as u64;
        let file = open.number;
        self.ledger.note(file, frame, at).expect("the planner's own frames make sense");
        let usage = self.ledger.files.entry(file).or_default();
        let (pieces, chain) = frame.encode(usage.chain);
        usage.chain = chain;
        open.pending_bytes += frame.bytes();
        usage.end = open.written + open.pending_bytes;
        open.pending.extend(pieces.into_iter().filter(|piece| !piece.is_empty()));
        let job = self.job.as_mut().expect("frames belong to a job");
        job.dirty.insert(file);
        if frame.kind == Kind::Chunk {
            let (number, len) = (frame.number, frame.body.len() as u64);
            job.placed.push(Placed {
                number,
                version: frame.version,
                file: File::State(file),
                at,
                len,
            });
        }
    }

    /// Writes everything framed, to the end of a sector.
    fn write_rest(&mut self) -> Vec<DiskOp> {
        let open = self.open.as_mut().expect("something is pending in a file");
        let fill = round_up(open.pending_bytes, SECTOR) - open.pending_bytes;
        open.pending.push_back(Bytes::from_static(&[0; SECTOR]).slice(..fill as usize));
        open.pending_bytes += fill;
        let usage = self.ledger.files.entry(open.number).or_default();
        usage.end = open.written + open.pending_bytes;
        let all = open.pending_bytes;
        self.write(all)
    }

    fn write(&mut self, count: u64) -> Vec<DiskOp> {
        let open = self.open.as_mut().expect("something is pending in a file");
        let (file, at) = (File::State(open.number), open.written);
        let mut bytes = Vec::new();
        let mut left = count;
        while left > 0 {
            let mut piece = open.pending.pop_front().expect("as many bytes are pending");
            if piece.len() as u64 > left {
                open.pending.push_front(piece.split_off(left as usize));
            }
            left -= piece.len() as u64;
            bytes.push(piece);
        }
        bytes.retain(|piece| !piece.is_empty());
        open.pending_bytes -= count;
        open.written += count;
        self.flight = Some(Flight::Append);
        vec![DiskOp::Write { file, at, bytes }]
    }

    /// Begins the next file, long enough for a frame of `needed` bytes.
    fn open_file(&mut self, needed: u64) -> Vec<DiskOp> {
        let number = self.next_file;
        self.next_file += 1;
        let head = Frame::head(number, self.options.cluster, self.options.node.0);
        let needed = round_up(needed + head.bytes(), PAGE);
        let len = round_up(self.options.state_bytes, PAGE).max(needed);
        let pending = VecDeque::new();
        self.open = Some(Open { number, len, written: 0, pending, pending_bytes: 0 });
        self.frame(&head);
        self.flight = Some(Flight::Append);
        let file = File::State(number);
        vec![DiskOp::Allocate { file, len }, DiskOp::Publish { file }]
    }

    /// Gives up files of which nothing counts. Where the manifest has no room for the others,
    /// stages the frame that lists them, and says so.
    fn list_files(&mut self) -> bool {
        let job = self.job.as_mut().expect("a job is at its end");
        if let Some(open) = &self.open {
            let dropped = self.ledger.drop_dead(open.number);
            self.dropped.extend(dropped);
        }
        let files = self.ledger.files.len();
        if job.listed || files <= LISTED_MAX {
            return false;
        }
        // The list is written when its place is known; one more file may be opened for it.
        let room = Bytes::from(vec![0; (files + 1) * LISTED_BYTES]);
        job.listed = true;
        job.todo.push_back(Frame::single(Kind::Listing, room));
        true
    }

    /// The frame that lists all files but the open one.
    fn listing(&self) -> Frame {
        let mut files = self.ledger.listed();
        files.pop();
        Frame::single(Kind::Listing, encode_list(&files))
    }

    /// Writes what is left, syncs it, and publishes a manifest that names it.
    fn finish(&mut self) -> Vec<DiskOp> {
        let mut ops = Vec::new();
        if self.open.as_ref().is_some_and(|open| open.pending_bytes > 0) {
            ops = self.write_rest();
        }
        let job = self.job.as_ref().expect("a job is at its end");
        let dirty = job.dirty.iter().filter(|_| !mutant!(StateUnsynced));
        ops.extend(dirty.map(|&number| DiskOp::Sync { file: File::State(number) }));
        if !self.manifest_made {
            // Where all checkpoints stay, it grows.
            let len = MANIFEST_BYTES.max((self.options.checkpoints_kept as u64 + 1) * PAGE as u64);
            ops.push(DiskOp::Allocate { file: File::Manifest, len });
            ops.push(DiskOp::Publish { file: File::Manifest });
            self.manifest_made = true;
        }
        self.sequence += 1;
        let mut files = self.ledger.listed();
        if job.listed {
            files.drain(..files.len() - 1);
        }
        let manifest = Manifest {
            sequence: self.sequence,
            cluster: self.options.cluster,
            node: self.options.node,
            index: job.image.index,
            term: job.image.term,
            revision: job.image.revision,
            compacted: job.image.compacted,
            listing: job.listed,
            files,
        };
        let bytes = vec![manifest.encode()];
        let at = self.kept.place() * PAGE as u64;
        ops.push(DiskOp::Write { file: File::Manifest, at, bytes });
        ops.push(DiskOp::Sync { file: File::Manifest });
        self.flight = Some(Flight::Manifest);
        ops
    }

    /// The plan in flight is done; with it a job, if it was its last.
    pub(crate) fn done(&mut self) -> Option<Stored> {
        let flight = self.flight.take().expect("the planner knows what is in flight");
        if flight == Flight::Append {
            return None;
        }
        let job = self.job.take().expect("a manifest ends a job");
        let (mark, index) = (job.mark, job.image.index);
        let victims = match job.victims {
            Some(victims) => victims,
            None => self.ledger.half_dead(self.open.as_ref().map(|open| open.number)),
        };
        if self.staged.is_none() && !victims.is_empty() {
            self.finished = Some((mark, job.image, victims));
        }
        self.kept.add(index, self.ledger.files.keys().copied().collect());
        let dropped = self.dropped.extract_if(.., |file| !self.kept.names(*file));
        let dropped = dropped.map(File::State).collect();
        Some(Stored { mark, index, placed: job.placed, dropped })
    }
}

fn push_gone(todo: &mut VecDeque<Frame>, numbers: &[u64]) {
    for numbers in numbers.chunks(GONE_MAX) {
        todo.push_back(Frame::single(Kind::Gone, encode_numbers(numbers)));
    }
}
