//! A connection's stream that gathers what one turn of its task writes, and counts what passes.
//!
//! hyper's HTTP/2 flushes after every message; here a flush means nothing by itself: the
//! connection's task sends what its turn has gathered when the turn ends. So what a hundred
//! streams of one connection say at once leaves in one `send` instead of a hundred.

use crate::net::Stream;
use hyper::rt::{Read, ReadBufCursor, Write};
use prometheus::IntCounter;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Bytes that wait for the end of a turn, at most.
const GATHER: usize = 64 * 1024;
/// A write of more goes out at once behind what waits, uncopied.
const COPIED: usize = 8 * 1024;
/// Memory that an idle connection may keep.
const KEPT: usize = 4 * 1024;

/// The stream as hyper has it.
pub(crate) struct Gathered(Rc<RefCell<Inner>>);

/// What sends at the end of a turn.
pub(crate) struct Sender(Rc<RefCell<Inner>>);

struct Inner {
    stream: Stream,
    pending: Vec<u8>,
    /// How much of `pending` has left already.
    left: usize,
    /// Why the last turn's end could not send: the next write tells it.
    failure: Option<io::Error>,
    /// Bytes that came and that went.
    traffic: (IntCounter, IntCounter),
}

/// A stream that gathers, and what sends for it.
pub(crate) fn gathered(stream: Stream, traffic: (IntCounter, IntCounter)) -> (Gathered, Sender) {
    let inner = Inner { stream, pending: Vec::new(), left: 0, failure: None, traffic };
    let inner = Rc::new(RefCell::new(inner));
    (Gathered(Rc::clone(&inner)), Sender(inner))
}

impl Sender {
    /// Sends what was gathered; what does not fit the socket wakes the task when it does.
    pub(crate) fn send(&self, cx: &mut Context<'_>) {
        let mut inner = self.0.borrow_mut();
        if inner.failure.is_some() {
            return;
        }
        if let Poll::Ready(Err(error)) = inner.empty(cx) {
            inner.failure = Some(error);
            cx.waker().wake_by_ref();
        }
    }
}

impl Inner {
    /// Writes everything that is pending.
    fn empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.left < self.pending.len() {
            let rest = &self.pending[self.left..];
            let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.traffic.1.inc_by(wrote as u64);
            self.left += wrote;
        }
        self.left = 0;
        self.pending.clear();
        self.pending.shrink_to(KEPT);
        Poll::Ready(Ok(()))
    }

    fn check(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl Write for Gathered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.0.borrow_mut();
        inner.check()?;
        if bytes.len() <= COPIED && inner.pending.len() + bytes.len() <= GATHER {
            inner.pending.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(inner.empty(cx))?;
        let wrote = ready!(Pin::new(&mut inner.stream).poll_write(cx, bytes))?;
        inner.traffic.1.inc_by(wrote as u64);
        Poll::Ready(Ok(wrote))
    }

    /// Nothing: the end of the turn is the flush.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow_mut().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        inner.check()?;
        ready!(inner.empty(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}

impl Read for Gathered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        let read = ready!(inner.stream.receive(cx, &mut buf))?;
        inner.traffic.0.inc_by(read as u64);
        Poll::Ready(Ok(()))
    }
}
