//! Questions for whoever leads: asked until somebody answers or the time is up.

use super::http1::{Connection, full, whole};
use crate::net::Net;
use http::Method;
use keel_core::{NodeId, Refusal};
use keel_proto::Handle;
use keel_proto::peer::headers::Identity;
use keel_proto::peer::{Ask, Said};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Between two attempts, as in etcd.
const PAUSE: Duration = Duration::from_millis(50);
/// What a member says of leases while it does not lead.
const NOT_PRIMARY: &[u8] = b"not a primary lessor";
/// A page's answer, at most.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Asks what services want asked, each question for so long at most.
pub(crate) async fn ask_leaders<N: Net>(
    net: N,
    me: Identity,
    handle: Handle,
    mut asks: mpsc::Receiver<Ask>,
    patience: Duration,
) {
    while let Some(ask) = asks.recv().await {
        let (net, me, handle) = (net.clone(), me.clone(), handle.clone());
        tokio::task::spawn_local(async move {
            let Ask { path, body, answer } = ask;
            let asked = async {
                loop {
                    if let Some(said) = once(&net, &me, &handle, &path, &body).await {
                        return said;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            };
            let said = timeout(patience, asked).await.map_err(|_| Refusal::Timeout);
            // The client may have gone since.
            let _ = answer.send(said);
        });
    }
}

/// One attempt at all URLs of whoever leads now.
async fn once<N: Net>(
    net: &N,
    me: &Identity,
    handle: &Handle,
    path: &str,
    body: &bytes::Bytes,
) -> Option<Said> {
    let leader = handle.status().leader;
    if leader == NodeId::NONE {
        return None;
    }
    if leader == me.member {
        return Some(Said::Mine);
    }
    let cluster = handle.latest().cluster;
    for url in &cluster.members.get(&leader)?.peer_urls {
        let headers = me.of_request(leader);
        let asked = async {
            let mut connection = Connection::open(net, url).await?;
            let response = connection.send(Method::POST, path, headers, full(body.clone())).await?;
            let status = response.status();
            io::Result::Ok((status, whole(response, ANSWER_MAX).await?))
        };
        match asked.await {
            // It does not lead any more, or not yet for sure: ask again.
            Ok((_, body)) if body.trim_ascii() == NOT_PRIMARY => {}
            Ok((status, body)) => return Some(Said::Page(status, body)),
            Err(_) => {}
        }
    }
    None
}
