//! The disk: carries out plans and says when each is done. It names nothing and decides nothing.
//!
//! ```text
//!   driver ──submit(plan)──► Log:  copy into the mapped tail ─► helper thread: fdatasync ─┐
//!                            Bulk: helper thread: paced pieces, rename, unlink, sync ─────┤
//!   driver ◄──────────────────────────── done() ◄─────────────────────────────────────────┘
//! ```
//!
//! The rules and why, from measurements (DESIGN.md, Storage): a commit's bytes are copied on the
//! driver's thread, since a batch never touches a page that a sync in flight covers; only the
//! sync leaves the thread; everything that no commit waits for goes out in paced pieces, since
//! one bulk flush delays commits by a factor of 20; a failed operation is never tried again.

mod files;
mod map;
mod worker;

use crate::config::Backend;
use crate::data_dir::DataDir;
use bytes::Bytes;
use files::Files;
use keel_core::Plan;
use keel_core::disk::{DiskOp, File, Lane};
use keel_proto::peer::{Memory, Spill};
use map::Tail;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;
use worker::Worker;

/// The end of a plan.
#[derive(Debug)]
pub struct Completion {
    /// Which.
    pub plan: u64,
    /// In which lane it stood.
    pub lane: Lane,
    /// Whether every operation of it succeeded.
    pub result: Result<(), DiskFailure>,
}

/// A disk that a server can live on. [`MapDisk`] is the real one; the simulator has another.
///
/// A disk keeps these promises, which tests/disk.rs checks:
/// plans of one lane are done in the order of their submission, and the lanes don't wait for
/// each other; a plan is done once its last operation is; after a failed operation nothing
/// later in that lane succeeds.
pub trait Disk: 'static {
    /// The published files and their lengths, ascending. What was never published is gone.
    ///
    /// # Errors
    ///
    /// Names the directory that cannot be read.
    fn list(&mut self) -> Result<Vec<(File, u64)>, DiskFailure>;

    /// A file's first `len` bytes, which nobody may change from now on.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read, or that is shorter.
    fn read(&mut self, file: File, len: u64) -> Result<Bytes, DiskFailure>;

    /// Begins a plan. Returns at once: what can block is done elsewhere.
    fn submit(&mut self, plan: Plan);

    /// A place for bytes that come and go.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn spill(&mut self) -> io::Result<Box<dyn Spill>> {
        Ok(Box::new(Memory::default()))
    }

    /// Puts everything that is there aside, where nothing looks for it, and remembers durably that
    /// the disk is not settled. Gives back where it lies now. No plan is in flight.
    ///
    /// # Errors
    ///
    /// Names what cannot be moved.
    fn set_aside(&mut self) -> Result<String, DiskFailure> {
        let source = io::ErrorKind::Unsupported.into();
        Err(DiskFailure { action: "set aside", path: String::from("everything"), source })
    }

    /// Whether something was set aside and nothing whole came in its place.
    fn is_unsettled(&self) -> bool {
        false
    }

    /// What is there is whole again, and durable.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn settled(&mut self) -> Result<(), DiskFailure> {
        Ok(())
    }

    /// Waits for the next end of a plan; dropping the future loses nothing.
    fn done(&mut self) -> impl Future<Output = Completion>;
}

/// An operation that failed: prints as the operator's one line.
#[derive(Debug)]
pub struct DiskFailure {
    /// What was tried.
    pub action: &'static str,
    /// On which file or directory.
    pub path: String,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for DiskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => {
                "free space on that disk, then start the member again"
            }
            Some(rustix::io::Errno::IO) => {
                "the disk is failing: replace it, then let the member take its state from its peers or a backup"
            }
            Some(rustix::io::Errno::ROFS) => {
                "the file system is read-only: check it, then start the member again"
            }
            Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
                "give this user the right to it, then start the member again"
            }
            _ => "check the disk, then start the member again",
        };
        write!(f, "cannot {} {}: {}; {advice}", self.action, self.path, self.source)
    }
}

impl std::error::Error for DiskFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The real disk: a directory, two helper threads, and the log's tail in memory.
#[derive(Debug)]
pub struct MapDisk {
    files: Arc<Files>,
    backend: Backend,
    tail: Option<Tail>,
    /// One mapping a state file, grown by mapping it anew: slices of it are chunks of the history.
    mapped: BTreeMap<File, Bytes>,
    log: Worker,
    bulk: Worker,
    ends: mpsc::UnboundedReceiver<Completion>,
    /// Plans of the log lane that have not ended.
    commits: usize,
    /// The one among them that ended where it was submitted.
    copied: Option<Completion>,
}

impl MapDisk {
    /// A disk in a directory that this process holds the lock of.
    ///
    /// # Errors
    ///
    /// Names what cannot be made or opened.
    pub fn open(dir: DataDir, backend: Backend) -> Result<MapDisk, DiskFailure> {
        let files = Arc::new(Files::open(dir, backend)?);
        let (report, ends) = mpsc::unbounded_channel();
        let log = Worker::start("keel-log", Lane::Log, Arc::clone(&files), report.clone())?;
        let bulk = Worker::start("keel-bulk", Lane::Bulk, Arc::clone(&files), report)?;
        let mapped = BTreeMap::new();
        Ok(MapDisk {
            files,
            backend,
            tail: None,
            mapped,
            log,
            bulk,
            ends,
            commits: 0,
            copied: None,
        })
    }

    /// Copies the writes at the head of a log plan, here and now. Gives back how many operations
    /// that were.
    fn copy(&mut self, ops: &[DiskOp]) -> Result<usize, DiskFailure> {
        for (at, op) in ops.iter().enumerate() {
            let DiskOp::Write { file, at: offset, bytes } = op else { return Ok(at) };
            match self.backend {
                Backend::Map => self.tail(*file)?.write(*offset, bytes),
                Backend::Pwrite => self.files.write(*file, *offset, bytes)?,
                // It waits for the device: the helper thread's work.
                Backend::Direct => return Ok(0),
            }
        }
        Ok(ops.len())
    }

    /// The mapped tail. Only one file is the tail: naming another one moves it.
    fn tail(&mut self, file: File) -> Result<&mut Tail, DiskFailure> {
        let stale = self.tail.as_ref().is_none_or(|tail| tail.file() != file);
        if stale {
            let handle = self.files.handle(file)?;
            let tail = Tail::map(file, &handle).map_err(|e| self.files.failure("map", file, e))?;
            self.tail = Some(tail);
        }
        Ok(self.tail.as_mut().expect("it was mapped above"))
    }
}

/// A whole file that a lock keeps others from writing, which lives as long as any slice of it.
pub(crate) fn map_locked(file: std::fs::File) -> io::Result<Bytes> {
    map::whole(file)
}

/// A place for bytes that come and go, in a directory that need not be a member's.
pub(crate) fn unnamed(dir: &std::path::Path) -> io::Result<Box<dyn Spill>> {
    Ok(Box::new(Unnamed { file: files::unnamed(dir)?, len: 0, shared: 0 }))
}

/// A file without a name: nothing of it is left when it is closed and no part of it is in use,
/// however that comes.
struct Unnamed {
    file: std::fs::File,
    len: u64,
    /// Up to here it was shared, and is not changed any more.
    shared: u64,
}

impl Spill for Unnamed {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        io::Write::write_all(&mut self.file, bytes)
    }

    fn share(&mut self) -> io::Result<Bytes> {
        let from = std::mem::replace(&mut self.shared, self.len);
        map::read(&self.file, from..self.len)
    }
}

impl Disk for MapDisk {
    fn list(&mut self) -> Result<Vec<(File, u64)>, DiskFailure> {
        self.files.list()
    }

    fn read(&mut self, file: File, len: u64) -> Result<Bytes, DiskFailure> {
        if let Some(bytes) = self.mapped.get(&file)
            && bytes.len() as u64 >= len
        {
            return Ok(bytes.slice(..usize::try_from(len).expect("it is within a slice's length")));
        }
        let handle = self.files.handle(file)?;
        let bytes = map::read(&handle, 0..len).map_err(|e| self.files.failure("map", file, e))?;
        if matches!(file, File::State(_)) {
            self.mapped.insert(file, bytes.clone());
        }
        Ok(bytes)
    }

    fn submit(&mut self, mut plan: Plan) {
        for op in &plan.ops {
            if let DiskOp::Remove { file } = op {
                // Slices that are still in use keep the mapping alive, and the mapping the bytes.
                self.mapped.remove(file);
            }
        }
        if plan.lane == Lane::Bulk {
            return self.bulk.submit(plan.id, Ok(plan.ops));
        }
        // Behind another plan nothing may be copied yet: it may have files to publish first.
        let first = self.commits == 0;
        self.commits += 1;
        let copied = if first { self.copy(&plan.ops) } else { Ok(0) };
        match copied.map(|copied| plan.ops.split_off(copied)) {
            // What needs no sync needs no other thread.
            Ok(rest) if first && rest.is_empty() => {
                self.copied = Some(Completion { plan: plan.id, lane: Lane::Log, result: Ok(()) });
            }
            rest => self.log.submit(plan.id, rest),
        }
    }

    fn spill(&mut self) -> io::Result<Box<dyn Spill>> {
        Ok(Box::new(Unnamed { file: self.files.unnamed()?, len: 0, shared: 0 }))
    }

    fn set_aside(&mut self) -> Result<String, DiskFailure> {
        assert_eq!(self.commits, 0, "a disk at work is not set aside");
        self.tail = None;
        self.mapped.clear();
        self.files.set_aside()
    }

    fn is_unsettled(&self) -> bool {
        self.files.is_unsettled()
    }

    fn settled(&mut self) -> Result<(), DiskFailure> {
        self.files.settled()
    }

    async fn done(&mut self) -> Completion {
        let end = match self.copied.take() {
            Some(end) => end,
            None => self.ends.recv().await.expect("a disk's threads live as long as it"),
        };
        // A failed plan stays counted: then nothing is first any more, and the helper thread
        // refuses whatever comes.
        if end.lane == Lane::Log && end.result.is_ok() {
            self.commits -= 1;
        }
        end
    }
}
