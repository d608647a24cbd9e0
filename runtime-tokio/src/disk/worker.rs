//! A lane's helper thread: the blocking calls, one plan after the other.

use super::{Completion, DiskFailure, LogFiles, LogLane, after_a_failure};
use keel_core::disk::{DiskOp, Lane};
use std::sync::Arc;
use std::sync::mpsc as queue;
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc;

/// What the thread is given: a plan's name and what is left of it, or why it failed already.
type Job = (u64, Result<Vec<DiskOp>, DiskFailure>);

/// One thread and the plans that wait for it.
#[derive(Debug)]
pub(super) struct Worker {
    plans: Option<queue::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn start(
        name: &str,
        lane: Lane,
        files: Arc<dyn LogFiles>,
        report: mpsc::UnboundedSender<Completion>,
    ) -> Result<Worker, DiskFailure> {
        let (plans, inbox) = queue::channel();
        let body = move || work(lane, &*files, &inbox, &report);
        let thread = thread::Builder::new().name(String::from(name)).spawn(body);
        let fail =
            |source| DiskFailure { action: "start", path: format!("the thread {name}"), source };
        Ok(Worker { plans: Some(plans), thread: Some(thread.map_err(fail)?) })
    }
}

impl LogLane for Worker {
    fn submit(&mut self, plan: u64, rest: Result<Vec<DiskOp>, DiskFailure>) {
        let plans = self.plans.as_ref().expect("it is taken only by drop");
        plans.send((plan, rest)).expect("the thread ends only when this end is gone");
    }
}

impl Drop for Worker {
    /// Lets the thread finish what it was given.
    fn drop(&mut self) {
        drop(self.plans.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            // The panic was printed where it happened; the completions it owed never come.
            debug_assert!(thread::panicking(), "a disk thread panicked");
        }
    }
}

/// Carries out plans until nobody can send one. After a failure every later plan fails, too:
/// what a disk has lost once must not look stored because a later call went well.
fn work(
    lane: Lane,
    files: &dyn LogFiles,
    inbox: &queue::Receiver<Job>,
    report: &mpsc::UnboundedSender<Completion>,
) {
    let mut failed = false;
    while let Ok((plan, ops)) = inbox.recv() {
        let result = if failed {
            Err(after_a_failure())
        } else {
            ops.and_then(|ops| ops.iter().try_for_each(|op| files.carry_out(lane, op)))
        };
        failed |= result.is_err();
        if report.send(Completion { plan, lane, result }).is_err() {
            return;
        }
    }
}
