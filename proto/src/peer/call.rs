//! Questions that only the leader can answer, asked on a client's behalf (semantics §4.3, §7.5).
//!
//! A service says what to ask; whoever has sockets and a clock asks it, of whoever leads, until
//! somebody answers or the request's time is up.

use bytes::Bytes;
use http::StatusCode;
use keel_core::Refusal;
use tokio::sync::{mpsc, oneshot};

/// A question.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub what: Question,
    /// Where the answer goes.
    pub answer: Answer,
}

/// Where an answer goes.
pub type Answer = oneshot::Sender<Result<Said, Refusal>>;

/// What is asked.
#[derive(Debug)]
pub enum Question {
    /// A page of the leader.
    Page {
        /// Which.
        path: String,
        /// What to post to it.
        body: Bytes,
    },
    /// That it keep this lease alive. Those that are asked at once go together.
    Renew(i64),
}

/// What the leader said.
#[derive(Debug)]
pub enum Said {
    /// Its page answered.
    Page(StatusCode, Bytes),
    /// The lease is kept alive, for so many seconds.
    Renewed(i64),
    /// The leader is this member itself by now: it need not ask.
    Mine,
}

/// The way to whoever asks leaders.
#[derive(Clone, Debug)]
pub struct Caller(mpsc::Sender<Ask>);

impl Caller {
    /// A way, and its other end.
    #[must_use]
    pub fn new(waiting: usize) -> (Caller, mpsc::Receiver<Ask>) {
        let (sender, asks) = mpsc::channel(waiting);
        (Caller(sender), asks)
    }

    /// Asks the leader.
    ///
    /// # Errors
    ///
    /// Nobody answered in time, or too many ask.
    pub async fn ask(&self, path: impl Into<String>, body: Vec<u8>) -> Result<Said, Refusal> {
        self.put(Question::Page { path: path.into(), body: body.into() }).await
    }

    /// Asks the leader to keep a lease alive.
    ///
    /// # Errors
    ///
    /// As those of [`Caller::ask`].
    pub async fn renew(&self, lease: i64) -> Result<Said, Refusal> {
        self.put(Question::Renew(lease)).await
    }

    async fn put(&self, what: Question) -> Result<Said, Refusal> {
        let (answer, said) = oneshot::channel();
        match self.0.try_send(Ask { what, answer }) {
            Ok(()) => said.await.unwrap_or(Err(Refusal::Stopped)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Refusal::TooManyRequests),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Refusal::Stopped),
        }
    }
}
