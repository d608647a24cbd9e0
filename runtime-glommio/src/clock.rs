//! Time: the one file that asks what time it is, and waits.

use glommio::timer::Timer;
use keel_core::Instant;
use keel_proto::body::Time;
use send_wrapper::SendWrapper;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The machine's time, from a moment on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: std::time::Instant,
}

impl Clock {
    /// From now on.
    pub(crate) fn machine() -> Clock {
        Clock { epoch: std::time::Instant::now() }
    }
}

impl Time for Clock {
    type Sleep = Wait;

    fn now(&self) -> Instant {
        Instant(0).after(self.epoch.elapsed())
    }

    fn unix(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep_until(&self, at: Instant) -> Wait {
        Wait::of(at.since(self.now()))
    }
}

/// A wait on the executor that made it. It is `Send` because hyper and tonic ask for that; polled
/// or dropped on another thread it panics, and nothing here moves between threads.
#[derive(Debug)]
pub(crate) struct Wait(SendWrapper<Timer>);

impl Wait {
    fn of(span: Duration) -> Wait {
        Wait(SendWrapper::new(Timer::new(span)))
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *self.0).poll(cx).map(drop)
    }
}

impl hyper::rt::Sleep for Wait {}

/// The timers of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers;

impl hyper::rt::Timer for Timers {
    fn sleep(&self, span: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Wait::of(span))
    }

    fn sleep_until(&self, at: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(at.saturating_duration_since(std::time::Instant::now()))
    }
}

/// A wait whose end moves. Polled again and again by one task, it is known to the executor once,
/// and anew only where its end has moved.
#[derive(Debug)]
pub(crate) struct Alarm {
    clock: Clock,
    due: Option<Instant>,
    wait: Option<Wait>,
}

impl Alarm {
    /// One that never comes.
    pub(crate) fn new(clock: Clock) -> Alarm {
        Alarm { clock, due: None, wait: None }
    }

    /// It comes then, or not at all.
    pub(crate) fn set(&mut self, due: Option<Instant>) {
        if due != self.due {
            (self.due, self.wait) = (due, None);
        }
    }

    /// Waits until it comes; then it is as if it had never been set.
    pub(crate) async fn comes(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        if due > self.clock.now() {
            if self.wait.is_some() {
                return Poll::Pending;
            }
            let mut wait = self.clock.sleep_until(due);
            if Pin::new(&mut wait).poll(cx).is_pending() {
                self.wait = Some(wait);
                return Poll::Pending;
            }
        }
        self.set(None);
        Poll::Ready(())
    }
}
