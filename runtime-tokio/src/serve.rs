//! Connections: hyper's HTTP/1.1 and HTTP/2 on one port, a task each, on the shard that accepted.
//!
//! What a request means is `proto`'s business; here are the socket, the limits of the transport,
//! and the two ways to end: a client's deadline and a graceful stop.

use crate::clock::Clock;
use crate::gather::gathered;
use crate::net::Listener;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use keel_proto::body::config::Limits;
use keel_proto::body::{Journal, Stop, bounded, transport};
use prometheus::IntCounter;
use serde_json::Value;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::body::Body;

/// Waits after failed accepts, doubling: out of descriptors is a state that passes.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// One listener's way of serving.
#[derive(Clone, Debug)]
pub(crate) struct Door<A> {
    /// Answers one request; a clone a connection.
    pub(crate) answer: A,
    /// The transport's bounds.
    pub(crate) limits: Limits,
    /// What ends a call whose time is over.
    pub(crate) clock: Clock,
    /// Connections open at once, at most; more wait to be accepted.
    pub(crate) connections: usize,
    /// Counts bytes that come and that go.
    pub(crate) traffic: (IntCounter, IntCounter),
    /// Where errors of connections go.
    pub(crate) journal: Journal,
    /// Ends it.
    pub(crate) stop: Stop,
}

impl<A, F> Door<A>
where
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    /// Accepts until asked to stop, then waits until every connection has ended by itself. The
    /// caller bounds that wait: dropping the future closes what is still open.
    pub(crate) async fn serve<L: Listener>(self, mut listener: L) {
        let transport = transport(&self.limits, LocalExec, TokioTimer::new());
        let mut connections = JoinSet::new();
        let mut pause = ACCEPT_PAUSE.0;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.asked() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener.accept(), if connections.len() < self.connections => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = ACCEPT_PAUSE.0;
                    let peer = peer.to_string();
                    connections.spawn_local(self.clone().connection(
                        transport.clone(),
                        stream,
                        peer,
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let error = Value::from(error.to_string());
                    self.journal.warn("cannot accept a client's connection", &[("error", error)]);
                    tokio::time::sleep(pause).await;
                    pause = ACCEPT_PAUSE.1.min(pause * 2);
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// One connection, to its end.
    async fn connection<S>(self, transport: auto::Builder<LocalExec>, stream: S, peer: String)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let (answer, clock) = (self.answer, self.clock);
        let service = service_fn(move |request| {
            let answer = answer.clone();
            // Boxed, because hyper and tokio move a stream's future several times.
            Box::pin(async move { Ok::<_, Infallible>(bounded(clock, request, answer).await) })
        });
        let (stream, sender) = gathered(stream, self.traffic);
        let mut connection = pin!(transport.serve_connection(TokioIo::new(stream), service));
        let mut asked = pin!(self.stop.asked());
        let mut closing = false;
        let result = poll_fn(|cx| {
            if !closing && asked.as_mut().poll(cx).is_ready() {
                // HTTP/2 says GOAWAY and finishes its streams; HTTP/1.1 finishes its request.
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            let end = connection.as_mut().poll(cx);
            sender.send(cx);
            end
        })
        .await;
        if let Err(error) = result {
            // A client that closes its end says it so, too: no reason for alarm.
            let fields =
                [("remote-addr", Value::from(peer)), ("error", Value::from(error.to_string()))];
            self.journal.debug("a client's connection ended with an error", &fields);
        }
    }
}

/// Runs a connection's streams on the thread of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExec;

impl<F> hyper::rt::Executor<F> for LocalExec
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

#[cfg(test)]
mod tests;
