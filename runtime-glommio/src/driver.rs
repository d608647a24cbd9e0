//! The loop: what the driver decides and carries out is in `proto`; here it sleeps until the next
//! reason.

use crate::clock::Alarm;
use crate::net::Ring;
use keel_proto::body::disk::Disk;
use keel_proto::body::driver::{Driver, Wake};
use keel_proto::body::{Failure, yield_now};
use std::ops::ControlFlow;

/// Turns after which the other tasks of the thread get theirs, whatever waits here: this executor
/// has no budget that would end a loop whose channels are never empty.
const TURNS_MAX: u32 = 16;

/// Runs until asked to finish and the disk has everything, or until the disk fails.
pub(crate) async fn run<D: Disk>(mut driver: Driver<Ring, D>, ring: Ring) -> Result<(), Failure> {
    let mut alarm = Alarm::new(ring.clock);
    let mut turns = 0;
    while let ControlFlow::Continue(due) = driver.settle() {
        alarm.set(due);
        let wake = tokio::select! {
            biased;
            wake = driver.wake() => wake,
            () = alarm.comes() => Wake::Time,
        };
        driver.turn(wake)?;
        turns += 1;
        if turns == TURNS_MAX {
            turns = 0;
            yield_now().await;
        }
    }
    Ok(())
}
