//! A listener's connections, a task each, on the shard that accepted.

use crate::clock::Timers;
use crate::gather::gathered;
use crate::net::{Listener, Ring};
use http::{Request, Response};
use hyper::body::Incoming;
use keel_proto::body::{Door, Host, Spawner, Stop, transport};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tonic::body::Body;

/// No listener holds more connections, whatever the descriptors allow.
const CONNECTIONS_MAX: u32 = 1 << 24;

/// Cuts off what is still open when nobody waits for it any more.
struct Cut(Stop);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Accepts until asked to stop, then waits until every connection has ended by itself. The
/// caller bounds that wait: dropping the future closes what is still open.
pub(crate) async fn serve<A, F>(door: Door<Ring, A>, listener: Listener)
where
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    let cut = Cut(Stop::new());
    let many = u32::try_from(door.connections).unwrap_or(u32::MAX).min(CONNECTIONS_MAX);
    let room = Arc::new(Semaphore::new(many as usize));
    tokio::select! {
        biased;
        () = door.stop.asked() => {}
        () = accept(&door, &listener, &room, &cut.0) => {}
    }
    drop(listener);
    let all = room.acquire_many(many).await;
    assert!(all.is_ok(), "nobody closes it");
}

/// Accepts for ever. It is dropped only together with the listener.
async fn accept<A, F>(door: &Door<Ring, A>, listener: &Listener, room: &Arc<Semaphore>, cut: &Stop)
where
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    let transport = transport(&door.limits, Spawner(door.host), Timers, true);
    let mut failed = 0;
    loop {
        let place = Arc::clone(room).acquire_owned().await;
        let place = place.expect("nobody closes it");
        match listener.accept().await {
            Ok((stream, peer)) => {
                failed = 0;
                let (stream, sender) = gathered(stream, door.traffic.clone());
                let connection = door.clone().connection(
                    transport.clone(),
                    stream,
                    peer.to_string(),
                    move |cx| sender.send(cx),
                );
                let cut = cut.clone();
                door.host.spawn(async move {
                    tokio::select! {
                        biased;
                        () = cut.asked() => {}
                        () = connection => {}
                    }
                    drop(place);
                });
            }
            Err(error) => door.not_accepted(error, &mut failed).await,
        }
    }
}

#[cfg(test)]
mod tests;
