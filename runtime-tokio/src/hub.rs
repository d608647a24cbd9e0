//! A shard's watch hub: one task that turns it whenever there is a reason.
//!
//! What a watcher hears is decided in the core's hub and said by `proto`'s runner of it; here
//! is only the loop: calls of the shard's streams, batches of the driver, and time.

use crate::clock::{Clock, passed};
use keel_core::Instant;
use keel_proto::body::Stop;
use std::pin::pin;
use tokio::sync::mpsc;

/// Why the hub is turned.
#[derive(Debug)]
pub(crate) enum Turn<C> {
    /// Somebody says something: a stream, or the driver.
    Call(C),
    /// Only time passed.
    Tick,
}

/// Turns a hub until asked to stop: its streams then end, and their connections can. `turn`
/// takes the time and the reason, and says when it is due again.
pub(crate) async fn run<C>(
    clock: Clock,
    stop: Stop,
    mut calls: mpsc::UnboundedReceiver<C>,
    mut turn: impl FnMut(Instant, Turn<C>) -> Option<Instant>,
) {
    let mut due: Option<tokio::time::Instant> = None;
    let mut timer = pin!(tokio::time::sleep_until(clock.timer(clock.now())));
    let mut stop = pin!(stop.asked());
    loop {
        if let Some(due) = due.filter(|due| *due != timer.deadline()) {
            timer.as_mut().reset(due);
        }
        let reason = tokio::select! {
            biased;
            () = stop.as_mut() => return,
            call = calls.recv() => match call {
                Some(call) => Turn::Call(call),
                None => return,
            },
            () = passed(timer.as_mut(), due), if due.is_some() => Turn::Tick,
        };
        due = turn(clock.now(), reason).map(|due| clock.timer(due));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;
    use tokio::sync::oneshot;

    /// Runs a hub that writes down its reasons; `drive` says things to it.
    fn reasons<F: Future>(
        next: impl Fn(usize) -> Option<u64>,
        drive: impl FnOnce(mpsc::UnboundedSender<u32>, Stop) -> F,
    ) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a test may have a runtime").block_on(async {
            let clock = Clock::simulated(Duration::ZERO);
            let (call, calls) = mpsc::unbounded_channel();
            let stop = Stop::new();
            let mut seen = Vec::new();
            let hub = run(clock, stop.clone(), calls, |now, reason| {
                seen.push(match reason {
                    Turn::Call(call) => format!("call {call}"),
                    Turn::Tick => String::from("tick"),
                });
                next(seen.len()).map(|millis| now.after(Duration::from_millis(millis)))
            });
            tokio::join!(hub, drive(call, stop));
            seen
        })
    }

    #[test]
    fn a_hub_hears_every_call_before_it_ends() {
        let seen = reasons(
            |_| None,
            |call, _stop| async move {
                for number in 1..=3 {
                    call.send(number).expect("the hub runs");
                }
            },
        );
        assert_eq!(seen, ["call 1", "call 2", "call 3"]);
    }

    #[test]
    fn a_hub_that_is_due_is_turned_without_another_reason() {
        // Due at once first, then after a while, then not at all.
        let (ticked, wait) = oneshot::channel();
        let ticked = Cell::new(Some(ticked));
        let seen = reasons(
            |turns| {
                if turns == 3 {
                    let ticked = ticked.take().expect("the third turn comes once");
                    ticked.send(()).expect("the driver of this test waits for it");
                }
                [Some(0), Some(1)].get(turns - 1).copied().flatten()
            },
            |call, stop| async move {
                call.send(1).expect("the hub runs");
                wait.await.expect("the hub ticks twice");
                stop.ask();
            },
        );
        assert_eq!(seen, ["call 1", "tick", "tick"]);
    }
}
