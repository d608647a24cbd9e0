//! A door with a tiny service behind it, over real sockets on the loopback.

use super::*;
use crate::clock::Clock;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use keel_proto::body::Journal;
use keel_proto::body::config::{Level, Limits, LogFormat};
use std::net::SocketAddr;

/// Answers the request's path; `/slow` never does, `/large` with a megabyte.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let body = match request.uri().path() {
        "/slow" => std::future::pending().await,
        "/large" => vec![b'l'; 1 << 20].into(),
        path => Bytes::from(path.to_owned()),
    };
    Response::new(Body::new(Full::new(body)))
}

/// Runs `client` against a door, then stops it and waits for its end; not on a machine that has no
/// rings.
fn with_door<F: Future<Output = ()>>(client: impl FnOnce(Ring, SocketAddr, Stop) -> F) {
    if let Err(failure) = crate::probe() {
        eprintln!("SKIPPED: {failure}");
        return;
    }
    glommio::LocalExecutor::default().run(async move {
        let ring = Ring { clock: Clock::machine() };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any).expect("the loopback has ports");
        let addr = listener.addr().expect("it is bound");
        let (journal, _) = Journal::memory(Level::Debug, LogFormat::Json, ring.clock);
        let (stop, limits) = (Stop::new(), Limits::default());
        let traffic = keel_proto::Metrics::new().traffic();
        let mine = stop.clone();
        let door =
            Door { answer: echo, limits, host: ring, connections: 2, traffic, journal, stop: mine };
        let door = glommio::spawn_local(serve(door, listener));
        client(ring, addr, stop.clone()).await;
        stop.ask();
        door.await;
    });
}

async fn connect(ring: Ring, addr: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let stream = ring.connect(&addr.to_string()).await.expect("the door listens");
    let (sender, connection) =
        http2::handshake(Spawner(ring), stream).await.expect("the door speaks HTTP/2");
    glommio::spawn_local(connection).detach();
    sender
}

fn get(path: &str) -> http::request::Builder {
    Request::get(format!("http://keel{path}"))
}

fn ask(path: &str) -> Request<Full<Bytes>> {
    get(path).body(Full::default()).expect("it is a request")
}

async fn whole(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.expect("the body ends").to_bytes()
}

#[test]
fn both_protocols_share_the_port() {
    with_door(|ring, addr, _| async move {
        let mut sender = connect(ring, addr).await;
        let answer = sender.send_request(ask("/two")).await.expect("it answers");
        assert_eq!(whole(answer).await, "/two");
        let stream = ring.connect(&addr.to_string()).await.expect("the door listens");
        let (mut sender, connection) =
            http1::handshake(stream).await.expect("the door speaks HTTP/1.1");
        glommio::spawn_local(connection).detach();
        let request = Request::get("/one").header("host", "keel").body(Full::<Bytes>::default());
        let answer = sender.send_request(request.expect("it is a request")).await;
        assert_eq!(whole(answer.expect("it answers")).await, "/one");
    });
}

#[test]
fn what_does_not_fit_the_socket_arrives_whole() {
    with_door(|ring, addr, _| async move {
        let mut sender = connect(ring, addr).await;
        let mut answers = Vec::new();
        for path in ["/large", "/small", "/large", "/large"] {
            answers.push(sender.send_request(ask(path)).await.expect("it answers"));
        }
        for (answer, len) in answers.into_iter().zip([1 << 20, 6, 1 << 20, 1 << 20]) {
            assert_eq!(whole(answer).await.len(), len);
        }
    });
}

#[test]
fn a_connection_beyond_the_bound_waits_for_another_to_end() {
    with_door(|ring, addr, _| async move {
        let (mut first, mut second) = (connect(ring, addr).await, connect(ring, addr).await);
        first.send_request(ask("/x")).await.expect("it answers");
        second.send_request(ask("/x")).await.expect("it answers");
        let mut third = connect(ring, addr).await;
        let mut waiting = std::pin::pin!(third.send_request(ask("/x")));
        for nth in 0..100 {
            tokio::select! {
                biased;
                _ = waiting.as_mut() => panic!("a third connection was accepted"),
                answer = second.send_request(ask("/y")) => {
                    answer.unwrap_or_else(|error| panic!("{nth}: {error}"));
                }
            }
        }
        drop(first);
        waiting.await.expect("it is accepted now");
    });
}

#[test]
fn a_deadline_ends_a_call() {
    with_door(|ring, addr, _| async move {
        let mut sender = connect(ring, addr).await;
        let call = get("/slow").header("grpc-timeout", "20m").body(Full::default());
        let answer = sender.send_request(call.expect("it is a request")).await;
        assert_eq!(answer.expect("it answers").headers()["grpc-status"], "4");
    });
}

#[test]
fn a_stop_lets_a_call_finish_and_takes_no_new_connection() {
    with_door(|ring, addr, stop| async move {
        let mut sender = connect(ring, addr).await;
        let call = get("/slow").header("grpc-timeout", "50m").body(Full::default());
        let answer = sender.send_request(call.expect("it is a request"));
        // The request is on its way once another one, sent later, is answered.
        sender.send_request(ask("/later")).await.expect("it answers");
        stop.ask();
        let answer = answer.await.expect("a graceful stop waits for it");
        assert_eq!(answer.headers()["grpc-status"], "4");
        while ring.connect(&addr.to_string()).await.is_ok() {
            keel_proto::body::yield_now().await;
        }
    });
}
