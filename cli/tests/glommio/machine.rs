//! More than a ring holds at once, and clients that go without a word.

use crate::common::server::{Server, ours};
use crate::{block_on, flags};
use keel_cli::load::http2::{Conn, Heard, Method};
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Several times what a ring takes in at once.
const MANY: usize = 1000;

/// Each connection waits in the ring from its first moment on, and all are answered.
#[test]
fn more_connections_than_a_ring_has_places_are_all_served() {
    let Some(flags) = flags() else { return };
    let server = Server::start_with(&ours(), flags);
    let connect = |_| TcpStream::connect(server.endpoint()).expect("it listens");
    let mut all: Vec<TcpStream> = (0..MANY).map(connect).collect();
    for stream in &mut all {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
    }
    for stream in &mut all {
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).expect("it is answered");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
}

/// Half of the connections break off in the middle of a request or with answers unread; the others
/// hear everything, and the server stops when it is asked to.
#[test]
fn clients_that_go_without_a_word_harm_nobody_else() {
    let Some(flags) = flags() else { return };
    let mut server = Server::start_with(&ours(), flags);
    let addr = String::from(server.endpoint());
    block_on(async {
        let put = Method::new("/etcdserverpb.KV/Put");
        for nth in 0..200 {
            let mut conn = Conn::connect(&addr).await.expect("it listens");
            let request = pb::PutRequest {
                key: format!("key-{nth}").into(),
                value: vec![b'v'; 100_000].into(),
                ..Default::default()
            };
            conn.call(&put, &request.encode_to_vec());
            if nth % 2 == 0 {
                conn.flush().await.expect("it is open");
                continue;
            }
            while let Heard::Message(_, message) = conn.next().await.expect("it is open") {
                pb::PutResponse::decode(message).expect("a put's answer");
            }
        }
    });
    assert!(server.stop(), "it stops as it was asked to: {}", server.log());
}

/// A client that neither asks nor goes is closed when the time for it is over.
#[test]
fn a_stop_waits_for_watches_only_so_long() {
    let Some(flags) = flags() else { return };
    let mut server = Server::start_with(&ours(), flags);
    let addr = String::from(server.endpoint());
    block_on(async {
        let watch = Method::new("/etcdserverpb.Watch/Watch");
        let mut conn = Conn::connect(&addr).await.expect("it listens");
        let create = pb::WatchCreateRequest { key: b"a".as_slice().into(), ..Default::default() };
        let request = pb::WatchRequest {
            request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)),
        };
        let stream = conn.open(&watch);
        conn.send(stream, &request.encode_to_vec());
        let Heard::Message(_, message) = conn.next().await.expect("it is open") else {
            panic!("a watch answers that it is created");
        };
        assert!(pb::WatchResponse::decode(message).expect("a watch's answer").created);
        let mut idle = TcpStream::connect(&addr).expect("it listens");
        idle.write_all(b"GET /he").expect("it is open");
        assert!(server.stop(), "it stops all the same: {}", server.log());
    });
}
