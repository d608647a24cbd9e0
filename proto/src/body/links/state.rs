//! A whole state, to a peer and from one.

use super::http1::Connection;
use super::{SILENCE, Way};
use crate::Metrics;
use crate::body::{Host, Time};
use crate::peer::door::Piece;
use crate::peer::state::{Announced, PATH, Sending, restored};
use crate::peer::{Heard, Spill};
use http::{HeaderValue, Method, StatusCode, header};
use keel_core::raft::Message;
use keel_core::state::Checkpoint;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tonic::body::Body;

/// Sends a state to a peer and tells how that ended.
pub(super) async fn send<H: Host>(way: Way<H>, message: Message, state: Arc<Checkpoint>) {
    let (transfer, begun) = (way.metrics.sends_state(way.peer), way.time().now());
    let arrived = post(&way, &message, &state).await.is_ok();
    if arrived {
        transfer.arrived(way.time().now().since(begun).as_secs_f64());
    }
    way.tell(Heard::StateSent { peer: way.peer, arrived }).await;
}

async fn post<H: Host>(way: &Way<H>, message: &Message, state: &Checkpoint) -> io::Result<()> {
    let url = way.url().ok_or(io::ErrorKind::NotFound)?;
    let mut connection =
        way.time().within(way.patience, Connection::open(&way.host, &url)).await??;
    let sending = Sending::prepare(&way.me, way.peer, message, state).await;
    let mut headers = way.me.of_request(way.peer);
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    let response = connection.send(Method::POST, PATH, headers, Body::new(sending)).await?;
    match response.status() {
        StatusCode::NO_CONTENT => Ok(()),
        other => Err(io::Error::other(other.to_string())),
    }
}

/// Takes a state in, and hands it to the driver when it is whole.
pub async fn take(
    time: impl Time,
    cluster: u64,
    announced: Announced,
    mut pieces: mpsc::Receiver<Piece>,
    spill: io::Result<Box<dyn Spill>>,
    (heard, metrics): (mpsc::Sender<Heard>, Metrics),
    answer: oneshot::Sender<Result<(), String>>,
) {
    let (transfer, begun) = (metrics.receives_state(announced.from), time.now());
    let taken = async {
        let mut spill = spill.map_err(|error| error.to_string())?;
        loop {
            let piece = time.within(SILENCE + Duration::from_secs(25), pieces.recv()).await;
            match piece.map_err(|_| String::from("the sender is silent"))? {
                Some(Piece::Bytes(bytes)) => {
                    spill.append(&bytes).map_err(|error| error.to_string())?;
                }
                Some(Piece::End) => break,
                None => return Err(String::from("the sender broke off")),
            }
        }
        let database = spill.share().map_err(|error| error.to_string())?;
        restored(cluster, &announced, &database, &mut *spill).await
    };
    match taken.await {
        Ok(state) => {
            transfer.arrived(time.now().since(begun).as_secs_f64());
            let Announced { from, term, .. } = announced;
            // Where nobody hears any more the server is about to end.
            let _ = heard.send(Heard::State { from, term, state: Box::new(state), answer }).await;
        }
        Err(why) => {
            let refused = Heard::Refused { peer: announced.from, why: why.clone() };
            // The sender may be gone, which is why it failed; and the server may be about to end.
            let _ = answer.send(Err(why));
            let _ = heard.send(refused).await;
        }
    }
}
