//! A beat, so that no executor sleeps on work for long.
//!
//! glommio 0.9 looks whether a turn's time is over before it runs the turn's first task. Where it is
//! over already, since the thread had no core for that long, it takes the turn for an idle one and
//! sleeps until something comes from outside, with tasks that are ready. Whoever waits for a time
//! ends that sleep, so here somebody always does. But a wait that has come is one of the tasks that
//! are slept on: so behind the next beat there are always later ones, each twice as far away, which
//! only come where the ones before them were slept on. A thread that had no core for a second is
//! awake a few seconds later at the worst; with one beat alone, one start in a thousand beside
//! busy programs never came to its end.
//!
//! The first turn of all has nobody who waits: until it has run, a thread beside it interrupts its
//! sleep with a signal that means nothing.

use crate::rouse;
use glommio::LocalExecutor;
use glommio::timer::Timer;
use keel_proto::body::Failure;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long work that is ready may be slept on.
pub(crate) const BEAT: Duration = Duration::from_millis(10);

/// How many waits there are; the last one is for eleven minutes.
const WAITS: u32 = 17;

/// Runs a life to its end on an executor that wakes up by itself.
///
/// # Errors
///
/// What keeps its first turn from being watched over, or what ended the life.
pub(crate) fn run<T>(
    executor: &LocalExecutor,
    life: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let watch = rouse::until_awake()?;
    executor.run(async {
        // They wait from now on: glommio polls what is spawned at once.
        glommio::spawn_local(beat()).detach();
        drop(watch);
        life.await
    })
}

async fn beat() {
    let mut waits: Vec<Wait> = (0..WAITS).map(Wait::nth).collect();
    let mut timers: Vec<Timer> = waits.iter().map(|wait| Timer::new(wait.span)).collect();
    poll_fn::<(), _>(|cx| {
        let now = Instant::now();
        for (wait, timer) in waits.iter_mut().zip(&mut timers) {
            if wait.renew(now) {
                *timer = Timer::new(wait.span);
                if Pin::new(timer).poll(cx).is_ready() {
                    // The thread had no core for so long right here.
                    wait.since = None;
                    cx.waker().wake_by_ref();
                }
            }
        }
        Poll::Pending
    })
    .await;
}

/// A wait that does not come to its end while it is looked at often enough.
struct Wait {
    span: Duration,
    since: Option<Instant>,
}

impl Wait {
    fn nth(nth: u32) -> Wait {
        Wait { span: BEAT * 2_u32.pow(nth), since: None }
    }

    /// Whether it begins anew now: half of its time is over.
    fn renew(&mut self, now: Instant) -> bool {
        let due = self.since.is_none_or(|since| now - since >= self.span / 2);
        if due {
            self.since = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All waits that came while the thread had no core may be lost at once.
    #[test]
    fn after_any_time_without_a_core_a_wait_is_left_that_comes_soon() {
        let begun = Instant::now();
        let mut waits: Vec<Wait> = (0..WAITS).map(Wait::nth).collect();
        for beats in 0..2000 {
            let now = begun + BEAT * beats;
            for wait in &mut waits {
                wait.renew(now);
            }
            let ends: Vec<Duration> =
                waits.iter().map(|wait| wait.since.expect("it began") + wait.span - now).collect();
            for starved in [1, 10, 15, 100, 1_000, 9_999, 60_000].map(Duration::from_millis) {
                let left = ends.iter().filter(|end| **end > starved).min();
                let left = *left.expect("one is left");
                assert!(left <= 4 * starved.max(BEAT), "{beats}: {left:?} after {starved:?}");
            }
        }
    }
}
