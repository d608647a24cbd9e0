//! The network, as far as a server sees it: the real one, or the simulator's.

use crate::clock::Clock;
use hyper_util::rt::TokioIo;
use keel_proto::body::Host;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// Where listeners come from.
pub trait Net: Clone + 'static {
    /// What it listens with.
    type Listener: Listener;

    /// Listens on an address, maybe beside other shards of this process.
    ///
    /// # Errors
    ///
    /// What the system says, most often that the address is in use.
    fn listen(&self, addr: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>>;

    /// Connects to `host:port`.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn connect(&self, to: &str) -> impl Future<Output = io::Result<Connected<Self>>>;

    /// Where a `host:port` is. A network without names knows addresses only.
    ///
    /// # Errors
    ///
    /// Where there is no such host.
    fn look_up(&self, place: &str) -> impl Future<Output = io::Result<SocketAddr>> {
        let addr = place.parse().map_err(|_| io::ErrorKind::NotFound.into());
        std::future::ready(addr)
    }
}

/// A connection that this side opened.
pub type Connected<N> = <<N as Net>::Listener as Listener>::Stream;

/// Where connections come from.
pub trait Listener: 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Waits for the next connection; dropping the future loses none.
    ///
    /// # Errors
    ///
    /// One failed accept; the listener goes on.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>>;

    /// Where it listens: the port is known where the system was asked to choose one.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn addr(&self) -> io::Result<SocketAddr>;
}

/// What the parts that every body has get to see of this one.
#[derive(Clone, Debug)]
pub(crate) struct TokioHost<N> {
    /// The way out.
    pub(crate) net: N,
    /// The time.
    pub(crate) clock: Clock,
}

impl<N: Net> Host for TokioHost<N> {
    type Stream = TokioIo<Connected<N>>;
    type Time = Clock;

    fn time(&self) -> &Clock {
        &self.clock
    }

    async fn connect(&self, to: &str) -> io::Result<Self::Stream> {
        Ok(TokioIo::new(self.net.connect(to).await?))
    }

    fn look_up(&self, place: &str) -> impl Future<Output = io::Result<SocketAddr>> {
        self.net.look_up(place)
    }

    fn spawn(&self, task: impl Future<Output: 'static> + 'static) {
        tokio::task::spawn_local(task);
    }
}

/// The machine's own TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpNet;

/// Connections that may wait to be accepted, a listener.
const BACKLOG: i32 = 1024;

impl TcpNet {
    /// Finds out whether somebody else listens on an address, which SO_REUSEPORT would hide.
    ///
    /// # Errors
    ///
    /// What binding without SO_REUSEPORT says.
    pub fn probe(addr: SocketAddr) -> io::Result<()> {
        socket(addr, false).map(drop)
    }
}

impl Net for TcpNet {
    type Listener = tokio::net::TcpListener;

    async fn listen(&self, addr: SocketAddr) -> io::Result<tokio::net::TcpListener> {
        let socket = socket(addr, true)?;
        socket.listen(BACKLOG)?;
        tokio::net::TcpListener::from_std(socket.into())
    }

    async fn connect(&self, to: &str) -> io::Result<tokio::net::TcpStream> {
        let stream = tokio::net::TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn look_up(&self, place: &str) -> io::Result<SocketAddr> {
        let mut found = tokio::net::lookup_host(place).await?;
        found.next().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A bound socket. SO_REUSEADDR lets a restart bind while old connections linger.
fn socket(addr: SocketAddr, shared: bool) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(addr),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

impl Listener for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(tokio::net::TcpStream, SocketAddr)> {
        let (stream, peer) = tokio::net::TcpListener::accept(self).await?;
        // Small answers must not wait for the acknowledgement of the one before. It fails only
        // where the client is gone again, which the first read tells.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    fn addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shards_share_a_port_and_a_stranger_is_found() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = TcpNet.listen(any).await.expect("the loopback has ports");
        let addr = Listener::addr(&first).expect("it is bound");
        let second = TcpNet.listen(addr).await.expect("a shard may listen beside another");
        let error = TcpNet::probe(addr).expect_err("SO_REUSEPORT hides nothing from a probe");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop((first, second));
        TcpNet::probe(addr).expect("nobody listens any more");
        TcpNet.listen(addr).await.expect("a probe leaves nothing behind");
    }
}
