//! How far away a peer is: one small question every few seconds, as etcd's prober asks.

use super::Way;
use super::http1::{Connection, full, whole};
use crate::body::{Host, Time};
use bytes::Bytes;
use http::Method;
use std::io;
use std::time::Duration;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(4);
/// An answer, at most.
const ANSWER_MAX: usize = 4096;

/// Asks until the link is dropped.
pub(super) async fn probe<H: Host>(mut way: Way<H>) {
    let mut kept = None;
    loop {
        way.time().sleep(EVERY).await;
        if !matches!(way.time().within(EVERY, once(&way, &mut kept)).await, Ok(Ok(()))) {
            kept = None;
            way.failed();
        }
    }
}

async fn once<H: Host>(way: &Way<H>, kept: &mut Option<Connection>) -> io::Result<()> {
    let mut connection = match kept.take().filter(Connection::is_open) {
        Some(connection) => connection,
        None => {
            let url = way.url().ok_or(io::ErrorKind::NotFound)?;
            Connection::open(&way.host, &url).await?
        }
    };
    let headers = way.me.of_request(way.peer);
    let asked = way.time().now();
    let response =
        connection.send(Method::GET, "/raft/probing", headers, full(Bytes::new())).await?;
    let well = response.status().is_success();
    whole(response, ANSWER_MAX).await?;
    if well {
        way.metrics.round_trip(way.peer, way.time().now().since(asked).as_secs_f64());
    }
    *kept = Some(connection);
    Ok(())
}
