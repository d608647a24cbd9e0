//! The loop: what the driver decides and carries out is in `proto`; here it sleeps until the next
//! reason.

use crate::clock::{Clock, passed};
use crate::net::{Net, TokioHost};
use keel_proto::body::Failure;
use keel_proto::body::disk::Disk;
use keel_proto::body::driver::{Driver, Wake};
use std::ops::ControlFlow;
use std::pin::pin;
use tokio::time::{Instant, sleep_until};

/// Runs until asked to finish and the disk has everything, or until the disk fails.
pub(crate) async fn run<N: Net, D: Disk>(
    mut driver: Driver<TokioHost<N>, D>,
    clock: Clock,
) -> Result<(), Failure> {
    let mut timer = pin!(sleep_until(Instant::now()));
    while let ControlFlow::Continue(due) = driver.settle() {
        let due = due.map(|at| clock.timer(at));
        if let Some(due) = due.filter(|due| *due != timer.deadline()) {
            timer.as_mut().reset(due);
        }
        let wake = tokio::select! {
            biased;
            wake = driver.wake() => wake,
            () = passed(timer.as_mut(), due), if due.is_some() => Wake::Time,
        };
        driver.turn(wake)?;
    }
    Ok(())
}
