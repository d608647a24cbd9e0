//! What a runtime lends: connections, time and tasks.

use hyper::rt::{Executor, Read, Write};
use keel_core::Instant;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::oneshot;

/// How a runtime tells and waits for time.
pub trait Time: Clone + Send + Sync + Unpin + 'static {
    /// A wait.
    type Sleep: Future<Output = ()> + Send + 'static;

    /// Now, as the core counts.
    fn now(&self) -> Instant;

    /// The time since 1970; zero where the date lies before.
    fn unix(&self) -> Duration;

    /// Waits until then.
    fn sleep_until(&self, at: Instant) -> Self::Sleep;

    /// Waits for so long.
    fn sleep(&self, span: Duration) -> Self::Sleep {
        self.sleep_until(self.now().after(span))
    }

    /// What a future gives within a time.
    ///
    /// # Errors
    ///
    /// The time is over; the future is dropped.
    fn within<F: Future>(
        &self,
        span: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Over>> {
        async move {
            let (future, sleep) = (pin!(future), pin!(self.sleep(span)));
            tokio::select! {
                biased;
                output = future => Ok(output),
                () = sleep => Err(Over),
            }
        }
    }
}

/// A time that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over;

impl From<Over> for io::Error {
    fn from(_: Over) -> io::Error {
        io::ErrorKind::TimedOut.into()
    }
}

/// A runtime, as seen from a task on one of its threads. Its futures stay on that thread.
pub trait Host: Clone + 'static {
    /// A connection that this side opened.
    type Stream: Read + Write + Unpin + 'static;
    /// Its clock.
    type Time: Time;

    /// Its clock.
    fn time(&self) -> &Self::Time;

    /// Connects to `host:port`.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn connect(&self, to: &str) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Where a `host:port` is.
    ///
    /// # Errors
    ///
    /// Where there is no such host.
    fn look_up(&self, place: &str) -> impl Future<Output = io::Result<SocketAddr>>;

    /// Runs a task beside the caller, on the same thread. Whoever waits for what it gives has another
    /// way to it.
    fn spawn(&self, task: impl Future<Output: 'static> + 'static);

    /// The same, but the task ends with what is given back.
    fn spawn_tied(&self, task: impl Future<Output = ()> + 'static) -> Leash {
        let (leash, gone) = oneshot::channel::<()>();
        self.spawn(async move {
            tokio::select! {
                biased;
                _ = gone => {}
                () = task => {}
            }
        });
        Leash(leash)
    }
}

/// Ends its task when it is dropped.
#[derive(Debug)]
pub struct Leash(#[expect(dead_code, reason = "it acts by being dropped")] oneshot::Sender<()>);

/// Runs hyper's tasks where the connection lives.
#[derive(Clone, Copy, Debug)]
pub struct Spawner<H>(pub H);

// A host is never pinned.
impl<H> Unpin for Spawner<H> {}

impl<H: Host, F> Executor<F> for Spawner<H>
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// A host whose time stands still, that reaches nobody, and that knows no names.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Still(pub(super) Duration);

#[cfg(test)]
impl Time for Still {
    type Sleep = std::future::Pending<()>;

    fn now(&self) -> Instant {
        Instant(0)
    }

    fn unix(&self) -> Duration {
        self.0
    }

    fn sleep_until(&self, _: Instant) -> std::future::Pending<()> {
        std::future::pending()
    }
}

#[cfg(test)]
impl Host for Still {
    type Stream = hyper::upgrade::Upgraded;
    type Time = Still;

    fn time(&self) -> &Still {
        self
    }

    async fn connect(&self, _: &str) -> io::Result<hyper::upgrade::Upgraded> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    async fn look_up(&self, place: &str) -> io::Result<SocketAddr> {
        place.parse().map_err(|_| io::ErrorKind::NotFound.into())
    }

    fn spawn(&self, _: impl Future<Output: 'static> + 'static) {}
}

/// What a future gives if it is ready now.
#[cfg(test)]
pub(super) fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match pin!(future).poll(&mut cx) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
