//! A listener's connections, a task each, on the shard that accepted.

use crate::clock::Clock;
use crate::gather::gathered;
use crate::net::Listener;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use keel_proto::body::{Door, Host, Spawner, transport};
use tokio::task::JoinSet;
use tonic::body::Body;

/// Accepts until asked to stop, then waits until every connection has ended by itself. The
/// caller bounds that wait: dropping the future closes what is still open.
pub(crate) async fn serve<L, H, A, F>(door: Door<H, A>, mut listener: L)
where
    L: Listener,
    H: Host<Time = Clock>,
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    let dates = door.host.time().is_machine();
    let transport = transport(&door.limits, Spawner(door.host.clone()), TokioTimer::new(), dates);
    let mut connections = JoinSet::new();
    let mut failed = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = door.stop.asked() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < door.connections => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failed = 0;
                let (stream, sender) = gathered(stream, door.traffic.clone());
                let (door, transport) = (door.clone(), transport.clone());
                let stream = TokioIo::new(stream);
                connections.spawn_local(door.connection(
                    transport,
                    stream,
                    peer.to_string(),
                    move |cx| sender.send(cx),
                ));
            }
            Err(error) => door.not_accepted(error, &mut failed).await,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests;
