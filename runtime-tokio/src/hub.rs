//! A shard's watch hub: one task that turns it whenever there is a reason.
//!
//! What a watcher hears is decided in the core's hub and said by `proto`'s runner of it; here
//! is only the loop: calls of the shard's streams, batches of the driver, and time.

use crate::clock::Clock;
use keel_core::Instant;
use std::pin::pin;
use tokio::sync::mpsc;

/// Why the hub is turned.
#[derive(Debug)]
pub(crate) enum Turn<B, C> {
    /// The state moved on.
    Applied(B),
    /// A stream wants something.
    Call(C),
    /// Only time passed.
    Tick,
}

/// Turns a hub until nobody can call it any more. `turn` takes the time and the reason, and
/// says when it is due again.
pub(crate) async fn run<B, C>(
    clock: Clock,
    mut batches: mpsc::UnboundedReceiver<B>,
    mut calls: mpsc::Receiver<C>,
    mut turn: impl FnMut(Instant, Turn<B, C>) -> Option<Instant>,
) {
    let mut due: Option<Instant> = None;
    let mut timer = pin!(tokio::time::sleep_until(clock.timer(clock.now())));
    loop {
        if let Some(due) = due.map(|due| clock.timer(due)).filter(|due| *due != timer.deadline()) {
            timer.as_mut().reset(due);
        }
        // Batches first: a watch that is created behind them begins where they end.
        let reason = tokio::select! {
            biased;
            Some(batch) = batches.recv() => Turn::Applied(batch),
            call = calls.recv() => match call {
                Some(call) => Turn::Call(call),
                None => return,
            },
            () = timer.as_mut(), if due.is_some() => Turn::Tick,
        };
        due = turn(clock.now(), reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Runs a hub that writes down its reasons; `drive` gets the ends of its inboxes.
    fn reasons<F: Future>(
        next: impl Fn(usize) -> Option<u64>,
        drive: impl FnOnce(mpsc::UnboundedSender<u32>, mpsc::Sender<u32>) -> F,
    ) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a test may have a runtime").block_on(async {
            let clock = Clock::simulated(Duration::ZERO);
            let (applied, batches) = mpsc::unbounded_channel();
            let (call, calls) = mpsc::channel(8);
            let mut seen = Vec::new();
            let hub = run(clock, batches, calls, |now, reason| {
                seen.push(match reason {
                    Turn::Applied(batch) => format!("applied {batch}"),
                    Turn::Call(call) => format!("call {call}"),
                    Turn::Tick => String::from("tick"),
                });
                next(seen.len()).map(|millis| now.after(Duration::from_millis(millis)))
            });
            tokio::join!(hub, drive(applied, call));
            seen
        })
    }

    #[test]
    fn batches_come_before_calls_and_the_last_call_is_heard() {
        let seen = reasons(
            |_| None,
            |applied, call| async move {
                call.send(1).await.expect("the hub runs");
                applied.send(7).expect("the hub runs");
                applied.send(8).expect("the hub runs");
                call.send(2).await.expect("the hub runs");
            },
        );
        assert_eq!(seen, ["applied 7", "applied 8", "call 1", "call 2"]);
    }

    #[test]
    fn a_hub_that_is_due_is_turned_without_another_reason() {
        let (ticked, wait) = tokio::sync::oneshot::channel();
        let ticked = std::cell::Cell::new(Some(ticked));
        let seen = reasons(
            |turns| {
                if turns == 3 {
                    let ticked = ticked.take().expect("the third turn comes once");
                    ticked.send(()).expect("the driver of this test waits for it");
                }
                (turns < 3).then_some(1)
            },
            |_applied, call| async move {
                call.send(1).await.expect("the hub runs");
                wait.await.expect("the hub ticks twice");
                call.send(2).await.expect("the hub runs");
            },
        );
        assert_eq!(seen, ["call 1", "tick", "tick", "call 2"]);
    }
}
