//! A connection's stream that gathers what one turn of its task writes.
//!
//! hyper's HTTP/2 flushes after every message of a kilobyte, and gives a vectored writer every
//! message of 256 bytes in a write of its own. Here a flush means nothing by itself: the
//! connection's task sends what its turn has gathered when the turn ends. So what a hundred
//! streams of one connection say at once leaves with a few system calls instead of a hundred
//! (measured: half the CPU of reads and of watches).

use prometheus::IntCounter;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that wait for the end of a turn, at most.
const GATHER: usize = 64 * 1024;
/// A write of more goes out at once behind what waits, uncopied.
const COPIED: usize = 8 * 1024;
/// Memory that an idle connection may keep.
const KEPT: usize = 4 * 1024;

/// The stream as hyper has it.
#[derive(Debug)]
pub(crate) struct Gathered<S>(Rc<RefCell<Inner<S>>>);

/// What sends at the end of a turn.
#[derive(Debug)]
pub(crate) struct Sender<S>(Rc<RefCell<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    pending: Vec<u8>,
    /// How much of `pending` has left already.
    left: usize,
    /// Why the last turn's end could not send: the next write tells it.
    failure: Option<io::Error>,
    /// Bytes that came and that went.
    traffic: (IntCounter, IntCounter),
}

/// A stream that gathers, and what sends for it. What comes and what goes is counted.
pub(crate) fn gathered<S>(
    stream: S,
    traffic: (IntCounter, IntCounter),
) -> (Gathered<S>, Sender<S>) {
    let inner = Inner { stream, pending: Vec::new(), left: 0, failure: None, traffic };
    let inner = Rc::new(RefCell::new(inner));
    (Gathered(Rc::clone(&inner)), Sender(inner))
}

impl<S: AsyncWrite + Unpin> Sender<S> {
    /// Sends what was gathered; what does not fit the socket wakes the task when it does.
    pub(crate) fn send(&self, cx: &mut Context<'_>) {
        let mut inner = self.0.borrow_mut();
        if inner.pending.is_empty() || inner.failure.is_some() {
            return;
        }
        if let Poll::Ready(Err(error)) = inner.write_with(cx, &[]) {
            inner.failure = Some(error);
            cx.waker().wake_by_ref();
        }
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    /// Writes what is pending and, behind it, some of `more`; gives how much of `more` left.
    /// Zero says that only what was pending did.
    fn write_with(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        while self.left < self.pending.len() {
            let rest = self.pending.len() - self.left;
            let both = [IoSlice::new(&self.pending[self.left..]), IoSlice::new(more)];
            let wrote = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &both))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.traffic.1.inc_by(wrote as u64);
            self.left += wrote.min(rest);
            if wrote > rest {
                self.empty();
                return Poll::Ready(Ok(wrote - rest));
            }
        }
        self.empty();
        Poll::Ready(Ok(0))
    }

    fn empty(&mut self) {
        self.left = 0;
        self.pending.clear();
        self.pending.shrink_to(KEPT);
    }

    fn check(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
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
        match ready!(inner.write_with(cx, bytes))? {
            0 => {
                let wrote = ready!(Pin::new(&mut inner.stream).poll_write(cx, bytes))?;
                inner.traffic.1.inc_by(wrote as u64);
                Poll::Ready(Ok(wrote))
            }
            wrote => Poll::Ready(Ok(wrote)),
        }
    }

    /// Nothing: the end of the turn is the flush.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow_mut().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        inner.check()?;
        ready!(inner.write_with(cx, &[]))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        false
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut inner.stream).poll_read(cx, buf))?;
        inner.traffic.0.inc_by((buf.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Writes of all sizes through a pipe that takes little at a time arrive as one sequence.
    #[tokio::test]
    async fn nothing_is_lost_reordered_or_doubled() {
        for room in [1, 7, 512, COPIED, 2 * GATHER] {
            let (near, mut far) = tokio::io::duplex(room);
            let traffic = counters();
            let (mut near, sender) = gathered(near, traffic.clone());
            let sizes = [1, 9, 1000, COPIED - 1, COPIED, COPIED + 1, 3, 200_000, 9, 16_384, 0, 5];
            let write = async move {
                let mut sent = Vec::new();
                for (nth, size) in sizes.into_iter().cycle().take(40).enumerate() {
                    let bytes: Vec<u8> = (0..size).map(|at| (at * 31 + nth) as u8).collect();
                    near.write_all(&bytes).await.expect("the far end reads");
                    sent.extend(bytes);
                    if nth % 3 == 2 {
                        turn_ends(&sender).await;
                    }
                }
                near.shutdown().await.expect("the far end reads");
                sent
            };
            let mut got = Vec::new();
            let (sent, read) = tokio::join!(write, far.read_to_end(&mut got));
            read.expect("a pipe in memory");
            assert!(sent == got, "with {room} bytes of room");
            assert_eq!(traffic.1.get(), got.len() as u64);
        }
    }

    #[tokio::test]
    async fn small_writes_wait_for_the_end_of_the_turn() {
        let (near, mut far) = tokio::io::duplex(1024);
        let (mut near, sender) = gathered(near, counters());
        let mut buf = [0; 16];
        near.write_all(b"one").await.expect("room");
        near.flush().await.expect("room");
        assert!(now(far.read(&mut buf)).is_none(), "nothing leaves before it");
        near.write_all(b"two").await.expect("room");
        turn_ends(&sender).await;
        let read = far.read(&mut buf).await.expect("a pipe in memory");
        assert_eq!(&buf[..read], b"onetwo");
    }

    #[tokio::test]
    async fn a_closed_socket_is_told_by_the_next_write() {
        let (near, far) = tokio::io::duplex(1024);
        let (mut near, sender) = gathered(near, counters());
        near.write_all(b"one").await.expect("gathered only");
        drop(far);
        turn_ends(&sender).await;
        near.flush().await.expect_err("nobody reads any more");
    }

    fn counters() -> (IntCounter, IntCounter) {
        let counter = || IntCounter::new("bytes", "Bytes.").expect("a valid name");
        (counter(), counter())
    }

    async fn turn_ends<S: AsyncWrite + Unpin>(sender: &Sender<S>) {
        poll_fn(|cx| {
            sender.send(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// What a future gives if it is ready now.
    fn now<F: Future>(future: F) -> Option<F::Output> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}
