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

use crate::data_dir::DataDir;
use bytes::Bytes;
use files::Files;
use keel_core::Plan;
use keel_core::disk::{DiskOp, File, Lane};
use keel_proto::body::config::Backend;
pub use keel_proto::body::disk::{Completion, Disk, DiskFailure};
use keel_proto::body::disk::{LogFiles, LogLane, MakeLane, after_a_failure};
use keel_proto::peer::Spill;
use map::Tail;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;
use worker::Worker;

/// The real disk: a directory, helper threads, and the log's tail in memory. It knows no executor:
/// another runtime may lend the lane that makes commits durable.
#[derive(Debug)]
pub struct MapDisk {
    files: Arc<Files>,
    backend: Backend,
    tail: Option<Tail>,
    /// One mapping a state file, grown by mapping it anew: slices of it are chunks of the history.
    mapped: BTreeMap<File, Bytes>,
    log: Box<dyn LogLane>,
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
        MapDisk::with_lane(dir, backend, |files, report| {
            Ok(Box::new(Worker::start("keel-log", Lane::Log, files, report)?))
        })
    }

    /// The same with a lane for the log that `lane` makes.
    ///
    /// # Errors
    ///
    /// As those of [`MapDisk::open`], and what `lane` says.
    pub fn with_lane(
        dir: DataDir,
        backend: Backend,
        lane: MakeLane,
    ) -> Result<MapDisk, DiskFailure> {
        let files = Arc::new(Files::open(dir, backend)?);
        let (report, ends) = mpsc::unbounded_channel();
        let shared: Arc<dyn LogFiles> = Arc::clone(&files) as _;
        let log = lane(Arc::clone(&shared), report.clone())?;
        let bulk = Worker::start("keel-bulk", Lane::Bulk, shared, report)?;
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
