//! Many clients that come and go for a long time: what a server holds must not grow.

use super::http2::{Conn, Heard, Method};
use super::process::{Server, Usage};
use super::rows::{Figure, put_request};
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::io;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Clients, each with a connection, a watch and a lease.
const CLIENTS: u32 = 1000;
/// Between two turns of a client.
const PAUSE: Duration = Duration::from_secs(5);
/// So often a client takes its turn before it goes without a word and comes anew.
const TURNS: usize = 12;
/// A client's lease lives so long: a client that went leaves one behind.
const TTL: i64 = 30;
/// Between two looks at the server.
const LOOK: Duration = Duration::from_secs(10);

/// Runs the clients beside looks at the server, each of them a line.
pub async fn run(server: &Server, span: Duration) -> io::Result<Vec<Figure>> {
    let until = Instant::now() + span;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        // They take their turns one after the other, not all at once.
        let first = PAUSE * number / CLIENTS;
        let addr = server.addr.clone();
        clients.spawn_local(async move {
            tokio::time::sleep(first).await;
            while Instant::now() < until {
                life(&addr, number, until).await?;
            }
            Ok::<_, io::Error>(())
        });
    }
    let mut looks = Vec::new();
    while Instant::now() < until {
        tokio::select! {
            biased;
            Some(end) = clients.join_next() => end.map_err(io::Error::other)??,
            () = tokio::time::sleep(LOOK) => looks.push(look(server, looks.len())?),
        }
    }
    while let Some(end) = clients.join_next().await {
        end.map_err(io::Error::other)??;
    }
    figures(&looks).ok_or_else(|| io::Error::other("a soak takes more than two minutes"))
}

fn look(server: &Server, nth: usize) -> io::Result<Usage> {
    let usage = server.usage()?;
    let seconds = LOOK.as_secs() as usize * (nth + 1);
    let Usage { cpu, resident, anonymous, descriptors } = usage;
    let (resident, anonymous) = (resident >> 10, anonymous >> 10);
    eprintln!(
        "{seconds} s: {anonymous} KiB anonymous, {resident} KiB resident, \
         {descriptors} descriptors, {cpu:.1} CPU-s"
    );
    Ok(usage)
}

/// The third tenth beside the last one: before, buffers and caches fill.
fn figures(looks: &[Usage]) -> Option<Vec<Figure>> {
    let tenth = looks.len() / 10;
    let mean = |looks: &[Usage], of: fn(&Usage) -> f64| {
        looks.iter().map(of).sum::<f64>() / looks.len() as f64
    };
    let early = looks.get(2 * tenth..3 * tenth).filter(|looks| !looks.is_empty())?;
    let late = &looks[looks.len() - tenth..];
    let anonymous = |look: &Usage| look.anonymous as f64 / 1e6;
    let descriptors = |look: &Usage| look.descriptors as f64;
    let figure = |name, value| Figure { name, value, more_is_better: false };
    Some(vec![
        figure("anonymous MB early", mean(early, anonymous)),
        figure("anonymous MB late", mean(late, anonymous)),
        figure("descriptors early", mean(early, descriptors)),
        figure("descriptors late", mean(late, descriptors)),
    ])
}

/// One connection: each turn it puts, keeps its lease alive, and waits until it has heard of both
/// and of its own event.
async fn life(addr: &str, number: u32, until: Instant) -> io::Result<()> {
    let mut conn = Conn::connect(addr).await?;
    let grant = pb::LeaseGrantRequest { ttl: TTL, id: 0 }.encode_to_vec();
    conn.call(&Method::new("/etcdserverpb.Lease/LeaseGrant"), &grant);
    let granted = message(&mut conn).await?.1;
    let lease = pb::LeaseGrantResponse::decode(granted).map_err(io::Error::other)?.id;
    let key = format!("/soak/{number:04}");
    let watch = pb::WatchCreateRequest { key: key.clone().into(), ..Default::default() };
    let request_union = Some(pb::watch_request::RequestUnion::CreateRequest(watch));
    let watching = conn.open(&Method::new("/etcdserverpb.Watch/Watch"));
    conn.send(watching, &pb::WatchRequest { request_union }.encode_to_vec());
    let keeping = conn.open(&Method::new("/etcdserverpb.Lease/LeaseKeepAlive"));
    let put = Method::new("/etcdserverpb.KV/Put");
    let request = pb::PutRequest { lease, ..put_request(key, 256) }.encode_to_vec();
    let created = message(&mut conn).await?;
    assert_eq!(created.0, watching, "nothing else was asked");
    for _ in 0..TURNS {
        conn.send(keeping, &pb::LeaseKeepAliveRequest { id: lease }.encode_to_vec());
        let putting = conn.call(&put, &request);
        let (mut event, mut alive, mut stored) = (false, false, false);
        while !(event && alive && stored) {
            let (stream, message) = message(&mut conn).await?;
            // The lease that this client left behind before takes nothing: its key was put anew.
            event |= stream == watching
                && pb::WatchResponse::decode(message).is_ok_and(|said| !said.events.is_empty());
            alive |= stream == keeping;
            stored |= stream == putting;
        }
        if Instant::now() >= until {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// What is said next on any stream.
async fn message(conn: &mut Conn) -> io::Result<(u32, bytes::Bytes)> {
    loop {
        if let Heard::Message(stream, message) = conn.next().await? {
            return Ok((stream, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_at_first_is_no_growth() {
        let look = |anonymous| Usage { anonymous, descriptors: 7, ..Usage::default() };
        let looks: Vec<Usage> = (0..20).map(|nth| look(nth.min(4) * 1_000_000)).collect();
        let values: Vec<f64> =
            figures(&looks).expect("enough").iter().map(|figure| figure.value).collect();
        assert_eq!(values, [4.0, 4.0, 7.0, 7.0]);
        assert!(figures(&looks[..9]).is_none());
    }
}
