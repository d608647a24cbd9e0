//! Connections: hyper's HTTP/1.1 and HTTP/2 on one port, a task each, on the shard that accepted.
//!
//! What a request means is `proto`'s business; here are the socket and the two ways to end: by
//! itself after a graceful stop, or cut off when the caller waits no more.

use crate::clock::Timers;
use crate::gather::gathered;
use crate::net::{Listener, Ring, Stream};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::server::conn::auto;
use keel_proto::body::config::Limits;
use keel_proto::body::{Host, Journal, Stop, Time, bounded, transport};
use prometheus::IntCounter;
use serde_json::Value;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tonic::body::Body;

/// Waits after failed accepts, doubling: out of descriptors is a state that passes.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// No listener holds more connections, whatever the descriptors allow.
const CONNECTIONS_MAX: u32 = 1 << 24;

/// One listener's way of serving.
#[derive(Clone, Debug)]
pub(crate) struct Door<A> {
    /// Answers one request; a clone a connection.
    pub(crate) answer: A,
    /// The transport's bounds.
    pub(crate) limits: Limits,
    /// What runs and ends calls.
    pub(crate) ring: Ring,
    /// Connections open at once, at most; more wait to be accepted.
    pub(crate) connections: usize,
    /// Counts bytes that come and that go.
    pub(crate) traffic: (IntCounter, IntCounter),
    /// Where errors of connections go.
    pub(crate) journal: Journal,
    /// Ends it.
    pub(crate) stop: Stop,
}

/// Cuts off what is still open when nobody waits for it any more.
struct Cut(Stop);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.ask();
    }
}

impl<A, F> Door<A>
where
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    /// Accepts until asked to stop, then waits until every connection has ended by itself. The
    /// caller bounds that wait: dropping the future closes what is still open.
    pub(crate) async fn serve(self, listener: Listener) {
        let cut = Cut(Stop::new());
        let many = u32::try_from(self.connections).unwrap_or(u32::MAX).min(CONNECTIONS_MAX);
        let room = Arc::new(Semaphore::new(many as usize));
        tokio::select! {
            biased;
            () = self.stop.asked() => {}
            () = self.accept(&listener, &room, &cut.0) => {}
        }
        drop(listener);
        let all = room.acquire_many(many).await;
        assert!(all.is_ok(), "nobody closes it");
    }

    /// Accepts for ever. It is dropped only together with the listener.
    async fn accept(&self, listener: &Listener, room: &Arc<Semaphore>, cut: &Stop) {
        let transport = transport(&self.limits, LocalExec, Timers);
        let mut pause = ACCEPT_PAUSE.0;
        loop {
            let place = Arc::clone(room).acquire_owned().await;
            let place = place.expect("nobody closes it");
            match listener.accept().await {
                Ok((stream, peer)) => {
                    pause = ACCEPT_PAUSE.0;
                    let connection =
                        self.clone().connection(transport.clone(), stream, peer.to_string());
                    let cut = cut.clone();
                    self.ring.spawn(async move {
                        tokio::select! {
                            biased;
                            () = cut.asked() => {}
                            () = connection => {}
                        }
                        drop(place);
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let error = Value::from(error.to_string());
                    self.journal.warn("cannot accept a client's connection", &[("error", error)]);
                    self.ring.clock.sleep(pause).await;
                    pause = ACCEPT_PAUSE.1.min(pause * 2);
                }
            }
        }
    }

    /// One connection, to its end.
    async fn connection(self, transport: auto::Builder<LocalExec>, stream: Stream, peer: String) {
        let (answer, clock) = (self.answer, self.ring.clock);
        let service = service_fn(move |request| {
            let answer = answer.clone();
            // Boxed, because hyper and the executor move a stream's future several times.
            Box::pin(async move { Ok::<_, Infallible>(bounded(clock, request, answer).await) })
        });
        let (stream, sender) = gathered(stream, self.traffic);
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

/// Runs a connection's streams on the thread of the connection, each in the task that hyper made:
/// another one around it would be moved about for every request.
#[derive(Clone, Copy, Debug)]
struct LocalExec;

impl<F> hyper::rt::Executor<F> for LocalExec
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        glommio::spawn_local(future).detach();
    }
}

#[cfg(test)]
mod tests;
