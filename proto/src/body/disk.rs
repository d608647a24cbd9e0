//! The disk, as far as a server sees it: it carries out plans and says when each is done.

use crate::peer::{Memory, Spill};
use bytes::Bytes;
use keel_core::disk::{DiskOp, File, Lane};
use keel_core::{Plan, Planner};
use std::fmt;
use std::fs;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The system's number for a device that failed, which has no kind of its own.
const EIO: i32 = 5;

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

/// A disk that a server can live on: the machine's, or a simulator's.
///
/// A disk keeps these promises, which the runtimes' tests/disk.rs check:
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

/// Carries out plans until both lanes are idle.
///
/// # Errors
///
/// The first failure.
pub async fn carry_out<D: Disk>(disk: &mut D, planner: &mut Planner) -> Result<(), DiskFailure> {
    let mut plans = 0;
    loop {
        for lane in [Lane::Log, Lane::Bulk] {
            while let Some(plan) = planner.poll(lane) {
                disk.submit(plan);
                plans += 1;
            }
        }
        if plans == 0 {
            return Ok(());
        }
        let end = disk.done().await;
        end.result?;
        plans -= 1;
        planner.done(end.plan);
    }
}

/// What becomes of the log's plans on a real disk: a runtime may have its own way to wait for a
/// device. Plans are carried out one after the other, in the order of their submission.
pub trait LogLane: fmt::Debug {
    /// Puts in line what is left of a plan, or why it failed already.
    fn submit(&mut self, plan: u64, rest: Result<Vec<DiskOp>, DiskFailure>);
}

/// Makes the lane for the log of a disk; what it carries out it reports.
pub type MakeLane = fn(
    Arc<dyn LogFiles>,
    mpsc::UnboundedSender<Completion>,
) -> Result<Box<dyn LogLane>, DiskFailure>;

/// A real disk's files, as its log's lane sees them. Any thread may use them.
pub trait LogFiles: Send + Sync {
    /// Carries out one operation as its lane wants it; blocks until the device has done it.
    ///
    /// # Errors
    ///
    /// What was tried, on which file.
    fn carry_out(&self, lane: Lane, op: &DiskOp) -> Result<(), DiskFailure>;

    /// An open file. It is the same one until the file is removed or set aside.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be opened.
    fn handle(&self, file: File) -> Result<Arc<fs::File>, DiskFailure>;

    /// A failure on one of the files.
    fn failure(&self, action: &'static str, file: File, source: io::Error) -> DiskFailure;

    /// A commit is durable: background writes give way to the next one.
    fn committed(&self);
}

/// What a disk has lost once must not look stored because a later call went well.
#[must_use]
pub fn after_a_failure() -> DiskFailure {
    let source = io::Error::other("an earlier operation failed");
    DiskFailure { action: "go on with", path: String::from("a plan"), source }
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
        let advice = match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free space on that disk, then start the member again"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "the file system is read-only: check it, then start the member again"
            }
            io::ErrorKind::PermissionDenied => {
                "give this user the right to it, then start the member again"
            }
            _ if self.source.raw_os_error() == Some(EIO) => {
                "the disk is failing: replace it, then let the member take its state from its peers or a backup"
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
