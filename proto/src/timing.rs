//! How long requests take, and which took too long to keep silent about.
//!
//! The clock is the runtime's, given as a function: nothing here asks the machine what time it is.

mod words;

pub(crate) use words::{change, range, txn};

use keel_core::Instant;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Slow requests that may wait to be told; more are not worth a line each.
const WAITING: usize = 64;

/// A clock and its limits; clones share them.
#[derive(Clone)]
pub struct Timing(Arc<Inner>);

struct Inner {
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    slow: Slowness,
    tell: mpsc::Sender<Slow>,
}

/// From when on a request is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowness {
    /// etcd's `--warning-unary-request-duration`.
    pub unary: Duration,
    /// etcd's `--warning-apply-duration`.
    pub apply: Duration,
}

/// What took too long.
#[derive(Clone, Debug)]
pub enum Slow {
    /// A call with one answer: etcd's `request stats`.
    Request {
        /// The method's path.
        method: String,
        /// How long it took.
        took: Duration,
        /// What was asked and answered, where etcd tells it.
        said: Option<Said>,
    },
    /// A read of the state: etcd's `apply request took too long`.
    Read {
        /// etcd's words before the request.
        prefix: &'static str,
        /// How long it took.
        took: Duration,
        /// From when on that is too long.
        expected: Duration,
        /// The request, without values.
        request: String,
        /// What was answered, in sizes.
        response: String,
        /// Why it failed.
        error: String,
    },
}

/// A request and its answer in numbers, and the request in words without values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Operations asked for.
    pub request_count: i64,
    /// Bytes of them.
    pub request_bytes: usize,
    /// Keys answered.
    pub response_count: i64,
    /// Bytes of the answer.
    pub response_bytes: usize,
    /// The request.
    pub content: String,
}

impl fmt::Debug for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timing").field("slow", &self.0.slow).finish_non_exhaustive()
    }
}

impl Timing {
    /// A clock, and where slow requests come out.
    pub fn new(
        now: impl Fn() -> Instant + Send + Sync + 'static,
        slow: Slowness,
    ) -> (Timing, mpsc::Receiver<Slow>) {
        let (tell, told) = mpsc::channel(WAITING);
        (Timing(Arc::new(Inner { now: Box::new(now), slow, tell })), told)
    }

    /// A clock that stands still, for tests of what needs one.
    #[cfg(test)]
    pub(crate) fn still() -> Timing {
        let slow = Slowness { unary: Duration::MAX, apply: Duration::MAX };
        Timing::new(|| Instant(0), slow).0
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        (self.0.now)()
    }

    /// How long ago something began.
    pub(crate) fn since(&self, begun: Instant) -> Duration {
        self.now().since(begun)
    }

    /// A call with one answer is over.
    pub(crate) fn request(
        &self,
        method: &str,
        took: Duration,
        said: impl FnOnce() -> Option<Said>,
    ) {
        if took > self.0.slow.unary {
            self.tell(Slow::Request { method: method.to_owned(), took, said: said() });
        }
    }

    /// A read is over; `told` says request, response and error.
    pub(crate) fn read(
        &self,
        prefix: &'static str,
        took: Duration,
        told: impl FnOnce() -> (String, String, String),
    ) -> bool {
        let expected = self.0.slow.apply;
        let slow = took > expected;
        if slow {
            let (request, response, error) = told();
            self.tell(Slow::Read { prefix, took, expected, request, response, error });
        }
        slow
    }

    fn tell(&self, slow: Slow) {
        // Who tells is behind already, or gone.
        let _ = self.0.tell.try_send(slow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_slow_is_told() {
        let limit = Duration::from_millis(300);
        let slow = Slowness { unary: limit, apply: limit };
        let (timing, mut told) = Timing::new(|| Instant(0), slow);
        timing.request("/a", limit, || None);
        assert!(told.try_recv().is_err());
        timing.request("/a", limit + Duration::from_nanos(1), || None);
        assert!(matches!(told.try_recv(), Ok(Slow::Request { method, .. }) if method == "/a"));
    }
}
