//! The way for messages while a peer does not read: one request each, on one connection.

use super::http1::{Connection, full};
use super::{SILENCE, Way};
use crate::body::{Host, Time};
use crate::peer::Heard;
use crate::peer::message::bytes;
use http::{HeaderValue, Method, StatusCode, header};
use keel_core::raft::Message;
use std::io;
use tokio::sync::mpsc;

/// Posts messages in their order until the link is dropped.
pub(super) async fn post<H: Host>(mut way: Way<H>, mut messages: mpsc::Receiver<Message>) {
    let mut kept = None;
    while let Some(message) = messages.recv().await {
        let posted = way.time().within(SILENCE, one(&way, &mut kept, &message)).await;
        if !matches!(posted, Ok(Ok(()))) {
            kept = None;
            way.failed();
            way.tell(Heard::Down { peer: way.peer }).await;
        }
    }
}

async fn one<H: Host>(
    way: &Way<H>,
    kept: &mut Option<Connection>,
    message: &Message,
) -> io::Result<()> {
    let mut connection = match kept.take().filter(Connection::is_open) {
        Some(connection) => connection,
        None => {
            let url = way.url().ok_or(io::ErrorKind::NotFound)?;
            way.time().within(way.patience, Connection::open(&way.host, &url)).await??
        }
    };
    let mut headers = way.me.of_request(way.peer);
    let kind = HeaderValue::from_static("application/protobuf");
    headers.insert(header::CONTENT_TYPE, kind);
    let body = bytes(way.me.member, way.peer, message);
    let response = connection.send(Method::POST, "/raft", headers, full(body)).await?;
    match response.status() {
        StatusCode::NO_CONTENT => {
            *kept = Some(connection);
            Ok(())
        }
        other => Err(io::Error::other(other.to_string())),
    }
}
