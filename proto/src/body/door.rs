//! How the connections of a listener are served, whatever the executor: hyper's HTTP/1.1 and
//! HTTP/2 on one port. Accepting is the runtime's.

use super::config::Limits;
use super::deadline::bounded;
use super::{Host, Journal, Spawner, Stop, Time};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::server::conn::auto;
use prometheus::IntCounter;
use serde_json::Value;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Context;
use std::time::Duration;
use tonic::body::Body;

/// Waits after failed accepts, doubling: out of descriptors is a state that passes.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// One listener's way of serving.
#[derive(Clone, Debug)]
pub struct Door<H, A> {
    /// Answers one request; a clone a connection.
    pub answer: A,
    /// The transport's bounds.
    pub limits: Limits,
    /// What runs streams and ends calls.
    pub host: H,
    /// Connections open at once, at most; more wait to be accepted.
    pub connections: usize,
    /// Counts bytes that come and that go.
    pub traffic: (IntCounter, IntCounter),
    /// Where errors of connections go.
    pub journal: Journal,
    /// Ends it.
    pub stop: Stop,
}

impl<H, A, F> Door<H, A>
where
    H: Host,
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    /// One connection, to its end. `turned` is called after each of its turns, which may have
    /// written.
    pub async fn connection(
        self,
        transport: auto::Builder<Spawner<H>>,
        stream: impl Read + Write + Unpin + 'static,
        peer: String,
        mut turned: impl FnMut(&mut Context<'_>),
    ) {
        let (answer, clock) = (self.answer, self.host.time().clone());
        let service = service_fn(move |request| {
            let (answer, clock) = (answer.clone(), clock.clone());
            // Boxed, because hyper and executors move a stream's future several times.
            Box::pin(async move { Ok::<_, Infallible>(bounded(clock, request, answer).await) })
        });
        let mut connection = pin!(transport.serve_connection(stream, service));
        let mut asked = pin!(self.stop.asked());
        let mut closing = false;
        let result = poll_fn(|cx| {
            if !closing && asked.as_mut().poll(cx).is_ready() {
                // HTTP/2 says GOAWAY and finishes its streams; HTTP/1.1 finishes its request.
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            let end = connection.as_mut().poll(cx);
            turned(cx);
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

    /// What becomes of an accept that failed, after so many others.
    pub async fn not_accepted(&self, error: io::Error, failed: &mut u32) {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        let error = Value::from(error.to_string());
        self.journal.warn("cannot accept a client's connection", &[("error", error)]);
        let pause = ACCEPT_PAUSE.0.saturating_mul(2_u32.saturating_pow(*failed));
        *failed += 1;
        self.host.time().sleep(ACCEPT_PAUSE.1.min(pause)).await;
    }
}
