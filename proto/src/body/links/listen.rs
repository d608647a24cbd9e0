//! A reader at a peer's door: dials, reads, dials again.

use super::http1::{Connection, whole};
use super::{SILENCE, Way};
use crate::body::{Host, Time};
use crate::peer::{Channel, Heard, Reader, headers};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io;
use std::time::Duration;
use tonic::body::Body;

/// Between two attempts, as in etcd.
const PAUSE: Duration = Duration::from_millis(100);
/// A refusal, at most.
const REASON_MAX: usize = 1024;

/// Listens to one channel of a peer until the link is dropped.
pub(super) async fn listen<H: Host>(mut way: Way<H>, channel: Channel) {
    // Said once, and again after it was different.
    let mut complained = false;
    loop {
        let opened = way.time().within(way.patience, open(&way, channel)).await;
        match opened.unwrap_or_else(|over| Err(over.into())) {
            Ok(response) if response.status() == StatusCode::OK => {
                let version = headers::version(response.headers()).unwrap_or_default();
                complained = false;
                way.tell(Heard::Up { peer: way.peer, version }).await;
                read(&way, channel, response.into_body()).await;
            }
            Ok(response) if response.status() == StatusCode::GONE => {
                way.tell(Heard::Expelled).await;
                return;
            }
            Ok(response) if response.status() == StatusCode::PRECONDITION_FAILED => {
                way.failed();
                if !std::mem::replace(&mut complained, true) {
                    let why = reason(&way, response).await;
                    way.tell(Heard::RefusedBy { peer: way.peer, why }).await;
                }
            }
            Ok(_) | Err(_) => way.failed(),
        }
        way.tell(Heard::Down { peer: way.peer }).await;
        way.time().sleep(PAUSE).await;
    }
}

/// Why the peer does not let this member listen: another cluster's id, another version.
async fn reason<H: Host>(way: &Way<H>, response: Response<Incoming>) -> String {
    let said = way.time().within(SILENCE, whole(response, REASON_MAX)).await;
    let said = said.ok().and_then(Result::ok).unwrap_or_default();
    String::from_utf8_lossy(&said).trim_end().to_owned()
}

async fn open<H: Host>(way: &Way<H>, channel: Channel) -> io::Result<Response<Incoming>> {
    let url = way.url().ok_or(io::ErrorKind::NotFound)?;
    let mut connection = Connection::open(&way.host, &url).await?;
    let path = format!("/raft/stream/{}/{}", channel.name(), way.me.member);
    let headers = way.me.of_request(way.peer);
    connection.send(Method::GET, &path, headers, Body::empty()).await
}

/// Reads messages until the connection ends, is silent for too long, or makes no sense.
async fn read<H: Host>(way: &Way<H>, channel: Channel, mut body: Incoming) {
    let received = way.metrics.received_from(way.peer);
    let mut reader = Reader::new(channel);
    while let Ok(Some(Ok(frame))) = way.time().within(SILENCE, body.frame()).await {
        let Ok(bytes) = frame.into_data() else { continue };
        received.inc_by(bytes.len() as u64);
        reader.feed(&bytes);
        loop {
            match reader.take() {
                Ok(Some(message)) => way.tell(Heard::Message { from: way.peer, message }).await,
                Ok(None) => break,
                Err(why) => {
                    way.metrics.unreadable(way.peer);
                    way.tell(Heard::Refused { peer: way.peer, why: why.0 }).await;
                    return;
                }
            }
        }
    }
}
