//! A door with a tiny service behind it, over real sockets on the loopback.

use super::*;
use crate::clock::Clock;
use crate::net::{Net, TcpNet, TokioHost};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn;
use keel_proto::body::config::{Level, Limits, LogFormat};
use keel_proto::body::{Journal, Stop};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Answers the request's path; `/slow` never does, `/stream` begins and never ends.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/slow" => std::future::pending().await,
        "/stream" => Response::new(Body::new(Endless)),
        path => Response::new(Body::new(Full::new(Bytes::from(path.to_owned())))),
    }
}

/// A body that never says anything.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

fn host() -> TokioHost<TcpNet> {
    TokioHost { net: TcpNet, clock: Clock::machine() }
}

/// Runs `client` against a door, then stops it and waits for its end.
fn with_door<F: Future>(client: impl FnOnce(SocketAddr, Stop) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a test may have a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpNet.listen(any).await.expect("the loopback has ports");
        let addr = Listener::addr(&listener).expect("it is bound");
        let (journal, _) = Journal::memory(Level::Debug, LogFormat::Json, Clock::machine());
        let stop = Stop::new();
        let limits = Limits::default();
        let traffic = keel_proto::Metrics::new().traffic();
        let host = host();
        let mine = stop.clone();
        let door =
            Door { answer: echo, limits, host, connections: 2, traffic, journal, stop: mine };
        let door = tokio::task::spawn_local(serve(door, listener));
        let result = client(addr, stop.clone()).await;
        stop.ask();
        door.await.expect("the door does not panic");
        result
    })
}

async fn http2(addr: SocketAddr) -> conn::http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(addr).await.expect("the door listens");
    let (sender, connection) = conn::http2::handshake(Spawner(host()), TokioIo::new(stream))
        .await
        .expect("the door speaks HTTP/2 with prior knowledge");
    tokio::task::spawn_local(connection);
    sender
}

fn get(path: &str) -> http::request::Builder {
    Request::get(format!("http://keel{path}"))
}

async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("the body ends").to_bytes();
    String::from_utf8(body.to_vec()).expect("it is text")
}

#[test]
fn both_protocols_share_the_port() {
    with_door(|addr, _| async move {
        let mut sender = http2(addr).await;
        let request = get("/two").body(Full::default()).expect("it is a request");
        assert_eq!(text(sender.send_request(request).await.expect("it answers")).await, "/two");

        let stream = TcpStream::connect(addr).await.expect("the door listens");
        let (mut sender, connection) =
            conn::http1::handshake(TokioIo::new(stream)).await.expect("the door speaks HTTP/1.1");
        tokio::task::spawn_local(connection);
        let request = Request::get("/one").header("host", "keel").body(Full::<Bytes>::default());
        let request = request.expect("it is a request");
        assert_eq!(text(sender.send_request(request).await.expect("it answers")).await, "/one");
    });
}

#[test]
fn a_connection_beyond_the_bound_waits_for_another_to_end() {
    with_door(|addr, _| async move {
        let ask = || get("/x").body(Full::default()).expect("it is a request");
        let (mut first, mut second) = (http2(addr).await, http2(addr).await);
        first.send_request(ask()).await.expect("it answers");
        second.send_request(ask()).await.expect("it answers");
        let mut third = http2(addr).await;
        let mut waiting = std::pin::pin!(third.send_request(ask()));
        for _ in 0..1000 {
            tokio::select! {
                biased;
                _ = waiting.as_mut() => panic!("a third connection was accepted"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(first);
        waiting.await.expect("it is accepted now");
    });
}

#[test]
fn a_deadline_ends_a_call_and_a_stream() {
    with_door(|addr, _| async move {
        let mut sender = http2(addr).await;
        let ask = |path| get(path).header("grpc-timeout", "20m").body(Full::default());
        let call = ask("/slow").expect("it is a request");
        let response = sender.send_request(call).await.expect("it answers");
        assert_eq!(response.headers()["grpc-status"], "4");

        let call = ask("/stream").expect("it is a request");
        let response = sender.send_request(call).await.expect("it begins");
        assert!(!response.headers().contains_key("grpc-status"));
        let body = response.into_body().collect().await.expect("the body ends");
        assert_eq!(body.trailers().expect("a status came")["grpc-status"], "4");

        let call = get("/x").header("grpc-timeout", "soon").body(Full::default());
        let response = sender.send_request(call.expect("it is a request")).await;
        assert_eq!(response.expect("it answers").headers()["grpc-status"], "13");
    });
}

#[test]
fn a_stop_lets_a_call_finish_and_takes_no_new_connection() {
    with_door(|addr, stop| async move {
        let mut sender = http2(addr).await;
        let call = get("/slow").header("grpc-timeout", "50m").body(Full::default());
        let answer = sender.send_request(call.expect("it is a request"));
        // The request is on its way once another one, sent later, is answered.
        let later = get("/later").body(Full::default()).expect("it is a request");
        sender.send_request(later).await.expect("it answers");
        stop.ask();
        let response = answer.await.expect("a graceful stop waits for it");
        assert_eq!(response.headers()["grpc-status"], "4");
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
}
