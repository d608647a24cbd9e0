//! How far away a peer is: one small question every few seconds, as etcd's prober asks.

use super::Way;
use super::http1::{Connection, full, whole};
use crate::net::Net;
use bytes::Bytes;
use http::Method;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Between two questions.
const EVERY: Duration = Duration::from_secs(4);
/// An answer, at most.
const ANSWER_MAX: usize = 4096;

/// Asks until the link is dropped.
pub(super) async fn probe<N: Net>(mut way: Way<N>) {
    let mut kept = None;
    loop {
        sleep(EVERY).await;
        if !matches!(timeout(EVERY, once(&way, &mut kept)).await, Ok(Ok(()))) {
            kept = None;
            way.failed();
        }
    }
}

async fn once<N: Net>(way: &Way<N>, kept: &mut Option<Connection>) -> io::Result<()> {
    let mut connection = match kept.take().filter(Connection::is_open) {
        Some(connection) => connection,
        None => {
            let url = way.url().ok_or(io::ErrorKind::NotFound)?;
            Connection::open(&way.net, &url).await?
        }
    };
    let headers = way.me.of_request(way.peer);
    let asked = Instant::now();
    let response =
        connection.send(Method::GET, "/raft/probing", headers, full(Bytes::new())).await?;
    let well = response.status().is_success();
    whole(response, ANSWER_MAX).await?;
    if well {
        way.metrics.round_trip(way.peer, asked.elapsed().as_secs_f64());
    }
    *kept = Some(connection);
    Ok(())
}
