//! Sockets: glommio's, as hyper wants them.

use crate::clock::Clock;
use futures_io::{AsyncRead, AsyncWrite};
use glommio::GlommioError;
use glommio::net::{TcpListener, TcpStream};
use hyper::rt::{Read, ReadBufCursor, Write};
use keel_proto::body::Host;
use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// Connections that may wait to be accepted, a listener.
const BACKLOG: i32 = 1024;

/// What one read takes in at most.
const READ_MAX: usize = 64 * 1024;

/// This runtime, as the parts that every body has see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    /// The time.
    pub(crate) clock: Clock,
}

impl Host for Ring {
    type Stream = Stream;
    type Time = Clock;

    fn time(&self) -> &Clock {
        &self.clock
    }

    async fn connect(&self, to: &str) -> io::Result<Stream> {
        let stream = TcpStream::connect(self.look_up(to).await?).await.map_err(plain)?;
        stream.set_nodelay(true).map_err(plain)?;
        Ok(Stream(stream))
    }

    async fn look_up(&self, place: &str) -> io::Result<SocketAddr> {
        match place.parse() {
            Ok(addr) => Ok(addr),
            Err(_) => resolve(place.to_owned()).await,
        }
    }

    fn spawn(&self, task: impl Future<Output: 'static> + 'static) {
        glommio::spawn_local(task).detach();
    }
}

/// Asks the system's resolver, which blocks, on a thread that lives for this one question: the
/// executor must not wait, and its own pool of threads must not when the process ends meanwhile.
async fn resolve(place: String) -> io::Result<SocketAddr> {
    let (answer, found) = oneshot::channel();
    let ask = move || {
        let addr = place
            .to_socket_addrs()
            .and_then(|mut addrs| addrs.next().ok_or_else(|| io::ErrorKind::NotFound.into()));
        // Whoever asked may have given up.
        let _ = answer.send(addr);
    };
    std::thread::Builder::new().name(String::from("keel-resolve")).spawn(ask)?;
    found.await.map_err(io::Error::other)?
}

/// A bound socket. SO_REUSEADDR lets a restart bind while old connections linger.
fn socket(addr: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(addr),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Where connections come from.
pub(crate) struct Listener(TcpListener);

impl Listener {
    /// Listens on an address, maybe beside other shards of this process. glommio's own `bind`
    /// leaves SO_REUSEADDR out.
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Listener> {
        let socket = socket(addr)?;
        socket.listen(BACKLOG)?;
        // SAFETY: the descriptor is a listening socket that was just made, and `into_raw_fd` gave
        // up its only owner: the listener is the new one.
        Ok(Listener(unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) }))
    }

    /// Waits for the next connection. A future that is dropped may lose one: drop it only when
    /// the listener goes, too.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let stream = self.0.accept().await.map_err(plain)?;
        let peer = stream.peer_addr().map_err(plain)?;
        // Small answers must not wait for the acknowledgement of the one before. It fails only
        // where the client is gone again, which the first read tells.
        let _ = stream.set_nodelay(true);
        Ok((Stream(stream), peer))
    }

    /// Where it listens: the port is known where the system was asked to choose one.
    #[cfg(test)]
    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr().map_err(plain)
    }
}

/// glommio's errors without what it adds to them: the system's own number stays readable.
pub(crate) fn plain<T: std::fmt::Debug>(error: GlommioError<T>) -> io::Error {
    match error {
        GlommioError::IoError(error) => error,
        GlommioError::EnhancedIoError { source, .. } => source,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Stream(TcpStream);

thread_local! {
    /// What a read takes in, on its way to hyper's buffer, whose memory nobody has written yet:
    /// copying what came is cheaper than clearing what may come.
    static TAKEN: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MAX].into());
}

impl Stream {
    /// Reads what is there; gives how much that was, and zero at the end.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<usize>> {
        TAKEN.with_borrow_mut(|taken| {
            let most = buf.remaining().min(taken.len());
            let read = ready!(Pin::new(&mut self.0).poll_read(cx, &mut taken[..most]))?;
            buf.put_slice(&taken[..read]);
            Poll::Ready(Ok(read))
        })
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.receive(cx, &mut buf).map_ok(drop)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A write goes to the socket at once.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
