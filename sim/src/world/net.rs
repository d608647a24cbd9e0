//! The network as a host sees it: the simulated one, and every byte that goes or comes is in the
//! trace.

use super::stage::Stage;
use keel_runtime_tokio::net::{Connected, Listener, Net};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

/// One host's way out.
#[derive(Clone)]
pub(super) struct WorldNet {
    pub(super) stage: Rc<Stage>,
    /// Whose it is, as a number that no other host has.
    pub(super) host: u64,
}

impl Net for WorldNet {
    type Listener = Port;

    async fn listen(&self, addr: SocketAddr) -> io::Result<Port> {
        Ok(Port { inner: TcpListener::bind(addr).await?, net: self.clone() })
    }

    async fn connect(&self, to: &str) -> io::Result<Connected<WorldNet>> {
        let stream = TcpStream::connect(to).await?;
        Ok(Wire { stream, net: self.clone() })
    }

    async fn look_up(&self, place: &str) -> io::Result<SocketAddr> {
        let found =
            place.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
        let (name, port) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(SocketAddr::new(turmoil::lookup(name), port))
    }
}

/// A port that is listened on.
pub(super) struct Port {
    inner: TcpListener,
    net: WorldNet,
}

impl Listener for Port {
    type Stream = Wire;

    async fn accept(&mut self) -> io::Result<(Wire, SocketAddr)> {
        let (stream, peer) = self.inner.accept().await?;
        Ok((Wire { stream, net: self.net.clone() }, peer))
    }

    fn addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// One end of a connection.
pub(super) struct Wire {
    stream: TcpStream,
    net: WorldNet,
}

impl Wire {
    fn passes(&self, out: u64, bytes: &[u8]) {
        let port = |addr: io::Result<SocketAddr>| addr.map_or(0, |addr| u64::from(addr.port()));
        let ports = port(self.stream.local_addr()) << 16 | port(self.stream.peer_addr());
        self.net.stage.happens(|trace| {
            trace.mark(self.net.host << 33 | ports << 1 | out);
            trace.bytes(bytes);
        });
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.passes(0, &buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.passes(1, &bytes[..wrote]);
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
