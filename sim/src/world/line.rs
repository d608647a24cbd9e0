//! A client's connection to a member: HTTP/2 with signs of life, since what a cut network lost of a
//! connection nobody sends again here.

use super::net::WorldNet;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use keel_runtime_tokio::net::Net;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::Service;

/// How long a connection may be silent before the other side is asked, and how long that one may
/// take to answer.
const ALIVE: Duration = Duration::from_millis(500);
/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection that generated clients can call through.
#[derive(Clone)]
pub(super) struct Line(SendRequest<Body>);

impl Line {
    /// Connects to a member.
    pub(super) async fn open(net: &WorldNet, member: usize) -> io::Result<Line> {
        let place = format!("n{}:2379", member + 1);
        let open = async {
            let stream = TokioIo::new(net.connect(&place).await?);
            Builder::new(Local)
                .timer(TokioTimer::new())
                .keep_alive_interval(ALIVE)
                .keep_alive_timeout(ALIVE)
                .keep_alive_while_idle(true)
                .handshake(stream)
                .await
                .map_err(io::Error::other)
        };
        let (sender, connection) = tokio::time::timeout(PATIENCE, open).await??;
        tokio::task::spawn_local(async move {
            // Whoever waits for an answer hears of its errors.
            let _ = connection.await;
        });
        Ok(Line(sender))
    }

    /// Whether more can be asked on it.
    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }
}

impl Service<Request<Body>> for Line {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// Runs a connection's tasks where it lives.
#[derive(Clone, Copy)]
struct Local;

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
