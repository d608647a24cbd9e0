//! A connection to any of the endpoints: the first that answers has it, and when it breaks the
//! next one gets a chance first. Who dials waits until one answers, as etcd's client does.

use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

/// How long one endpoint is waited for before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(200);
/// How long to wait when no endpoint answers.
const PAUSE: Duration = Duration::from_millis(100);

/// Dials endpoints, each `host:port`.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    addresses: Arc<[String]>,
    /// How long connecting may take.
    limit: Duration,
    /// Who is tried first.
    next: Arc<AtomicUsize>,
}

impl Dialer {
    pub(super) fn new(addresses: Vec<String>, limit: Duration) -> Dialer {
        Dialer { addresses: addresses.into(), limit, next: Arc::default() }
    }

    async fn dial(self) -> io::Result<TokioIo<TcpStream>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        loop {
            if let Some(stream) = self.any(first).await {
                stream.set_nodelay(true)?;
                return Ok(TokioIo::new(stream));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whoever answers first, the others a little later than the first.
    async fn any(&self, first: usize) -> Option<TcpStream> {
        let mut tries = JoinSet::new();
        for number in 0..self.addresses.len() {
            let address = self.addresses[(first + number) % self.addresses.len()].clone();
            tries.spawn(tokio::time::timeout(self.limit, TcpStream::connect(address)));
            let tried = tokio::time::timeout(STAGGER, tries.join_next()).await;
            if let Ok(Some(Ok(Ok(Ok(stream))))) = tried {
                return Some(stream);
            }
        }
        while let Some(tried) = tries.join_next().await {
            if let Ok(Ok(Ok(stream))) = tried {
                return Some(stream);
            }
        }
        None
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().dial())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_answers_has_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let alive = listener.local_addr().expect("it is bound").to_string();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let dead = closed.local_addr().expect("it is bound").to_string();
        drop(closed);
        let dialer = Dialer::new(vec![dead, alive.clone()], Duration::from_secs(2));
        for _turn in 0..2 {
            let stream = dialer.clone().dial().await.expect("one of them is alive").into_inner();
            assert_eq!(stream.peer_addr().expect("it is connected").to_string(), alive);
        }
    }
}
