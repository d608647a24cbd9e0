//! Commits on the ring: the lane that makes the log of a disk durable.
//!
//! ```text
//!   disk ──submit(plan)──► one task: the ring's fdatasync ─────────────────────────┐
//!                                    what else blocks: the executor's pool thread ─┤
//!   disk ◄──────────────────────── report ◄────────────────────────────────────────┘
//! ```
//!
//! The disk itself (names, pages, background writing) belongs to no executor and is lent by
//! whoever starts the server. Here nobody waits for the device: the kernel tells the ring when a
//! sync is done. What blocks and has no place on the ring in this runtime (a new segment where
//! none was made ahead, writes around the page cache) goes to a thread.

use crate::net::plain;
use glommio::io::BufferedFile;
use keel_core::disk::{DiskOp, File, Lane};
use keel_proto::body::disk::{Completion, DiskFailure, LogFiles, LogLane, after_a_failure};
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// What is left of a plan after its writes, or why it failed already.
type Rest = Result<Vec<DiskOp>, DiskFailure>;

/// A lane on the ring of the executor that calls; it ends when the disk lets go of it. It is a
/// [`MakeLane`](keel_proto::body::disk::MakeLane).
///
/// # Errors
///
/// None.
pub fn ring_lane(
    files: Arc<dyn LogFiles>,
    report: mpsc::UnboundedSender<Completion>,
) -> Result<Box<dyn LogLane>, DiskFailure> {
    let (plans, inbox) = mpsc::unbounded_channel();
    glommio::spawn_local(Commits::default().work(Arc::downgrade(&files), inbox, report)).detach();
    Ok(Box::new(Ring { plans }))
}

/// The way to the lane's task.
#[derive(Debug)]
struct Ring {
    plans: mpsc::UnboundedSender<(u64, Rest)>,
}

impl LogLane for Ring {
    fn submit(&mut self, plan: u64, rest: Rest) {
        self.plans.send((plan, rest)).expect("the task ends only when this end is gone");
    }
}

/// Carries out plans of the log, one at a time.
#[derive(Default)]
struct Commits {
    /// The file that was synced last, and the same as the ring has it.
    synced: Option<(Arc<fs::File>, BufferedFile)>,
}

impl Commits {
    /// Carries out plans until nobody can send one. After a failure every later one fails, too.
    /// Between plans the disk is the only one who holds its files, and the lock that is in them.
    async fn work(
        mut self,
        files: Weak<dyn LogFiles>,
        mut inbox: mpsc::UnboundedReceiver<(u64, Rest)>,
        report: mpsc::UnboundedSender<Completion>,
    ) {
        let mut failed = false;
        while let Some((plan, rest)) = inbox.recv().await {
            let Some(files) = files.upgrade() else { return };
            let result = match rest {
                _ if failed => Err(after_a_failure()),
                Ok(ops) => self.carry_out(&files, ops).await,
                Err(failure) => Err(failure),
            };
            failed |= result.is_err();
            if report.send(Completion { plan, lane: Lane::Log, result }).is_err() {
                return;
            }
        }
    }

    /// Carries out a plan's operations in their order.
    async fn carry_out(
        &mut self,
        files: &Arc<dyn LogFiles>,
        ops: Vec<DiskOp>,
    ) -> Result<(), DiskFailure> {
        let mut slow = Vec::new();
        for op in ops {
            match op {
                DiskOp::Sync { file } => {
                    wait_for(files, std::mem::take(&mut slow)).await?;
                    self.sync(&**files, file).await?;
                }
                op => slow.push(op),
            }
        }
        wait_for(files, slow).await
    }

    /// Makes what was written to a file durable: the ring asks the kernel, nobody waits in it.
    async fn sync(&mut self, files: &dyn LogFiles, file: File) -> Result<(), DiskFailure> {
        let fail = |error| files.failure("fdatasync", file, error);
        let handle = files.handle(file)?;
        let known = self.synced.take().filter(|(known, _)| Arc::ptr_eq(known, &handle));
        let (_, ring) = match known {
            Some(known) => self.synced.insert(known),
            None => {
                let ring = on_the_ring(&handle).map_err(fail)?;
                self.synced.insert((handle, ring))
            }
        };
        ring.fdatasync().await.map_err(plain).map_err(fail)?;
        files.committed();
        Ok(())
    }
}

/// Has a thread carry out what blocks.
async fn wait_for(files: &Arc<dyn LogFiles>, ops: Vec<DiskOp>) -> Result<(), DiskFailure> {
    if ops.is_empty() {
        return Ok(());
    }
    let files = Arc::clone(files);
    let work = move || ops.iter().try_for_each(|op| files.carry_out(Lane::Log, op));
    glommio::executor().spawn_blocking(work).await
}

/// An open file once more, as the ring takes it.
fn on_the_ring(handle: &fs::File) -> io::Result<BufferedFile> {
    let twin = handle.try_clone()?;
    // SAFETY: the descriptor is a file's, doubled just now, and `into_raw_fd` gave up its only
    // owner: the ring's file is the new one, and closes it.
    Ok(unsafe { BufferedFile::from_raw_fd(twin.into_raw_fd()) })
}
