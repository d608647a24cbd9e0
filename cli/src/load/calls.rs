//! Closed loops: so many clients, each with one call in flight.

use super::http2::{Conn, Heard, Method};
use super::stats::Samples;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How hard to push.
#[derive(Clone, Copy, Debug)]
pub struct Push {
    /// Calls in flight.
    pub clients: usize,
    /// Connections that they share.
    pub conns: usize,
    /// For how long.
    pub span: Duration,
}

/// Makes the message of the n-th call.
pub type Make = Rc<dyn Fn(u64) -> Vec<u8>>;

/// Calls one method as fast as it answers, its connections spread over the members. Must run on
/// a `LocalSet`.
pub async fn closed_loop(
    addrs: &[String],
    push: Push,
    method: &Method,
    make: Make,
) -> io::Result<Samples> {
    let conns = push.conns.clamp(1, push.clients);
    let until = Instant::now() + push.span;
    let mut tasks = JoinSet::new();
    for n in 0..conns {
        let mine = push.clients / conns + usize::from(n < push.clients % conns);
        let conn = Conn::connect(&addrs[n % addrs.len()]).await?;
        let numbers = Numbers { next: n as u64, step: conns as u64 };
        let (method, make) = (method.clone(), Rc::clone(&make));
        tasks.spawn_local(one_connection(conn, mine, until, method, make, numbers));
    }
    let mut all = Samples::default();
    while let Some(done) = tasks.join_next().await {
        all.merge(done.map_err(io::Error::other)??);
    }
    Ok(all)
}

/// The numbers of one connection's calls: no two calls of a run share one.
struct Numbers {
    next: u64,
    step: u64,
}

impl Numbers {
    fn take(&mut self) -> u64 {
        let number = self.next;
        self.next += self.step;
        number
    }
}

async fn one_connection(
    mut conn: Conn,
    clients: usize,
    until: Instant,
    method: Method,
    make: Make,
    mut numbers: Numbers,
) -> io::Result<Samples> {
    let mut samples = Samples::default();
    let mut flying: BTreeMap<u32, (Instant, bool)> = BTreeMap::new();
    for _ in 0..clients {
        let stream = conn.call(&method, &make(numbers.take()));
        flying.insert(stream, (Instant::now(), false));
    }
    while !flying.is_empty() {
        match conn.next().await? {
            Heard::Message(stream, _) => {
                if let Some(call) = flying.get_mut(&stream) {
                    call.1 = true;
                }
            }
            Heard::End(stream) => {
                let Some((begun, answered)) = flying.remove(&stream) else { continue };
                let now = Instant::now();
                if answered {
                    samples.add(now - begun);
                } else {
                    samples.failed += 1;
                }
                if now < until {
                    let stream = conn.call(&method, &make(numbers.take()));
                    flying.insert(stream, (now, false));
                }
            }
        }
    }
    Ok(samples)
}

/// Sends a message on each of many streams again whenever it was answered: lease keep-alives.
pub async fn ping_pong(
    addrs: &[String],
    push: Push,
    method: &Method,
    make: Make,
) -> io::Result<Samples> {
    let conns = push.conns.clamp(1, push.clients);
    let until = Instant::now() + push.span;
    let mut tasks = JoinSet::new();
    for n in 0..conns {
        let mine = push.clients / conns + usize::from(n < push.clients % conns);
        let mut conn = Conn::connect(&addrs[n % addrs.len()]).await?;
        let (method, make) = (method.clone(), Rc::clone(&make));
        let first = n as u64;
        tasks.spawn_local(async move {
            let mut samples = Samples::default();
            let mut streams: BTreeMap<u32, (u64, Instant)> = BTreeMap::new();
            for k in 0..mine as u64 {
                let number = first + k * conns as u64;
                let stream = conn.open(&method);
                conn.send(stream, &make(number));
                streams.insert(stream, (number, Instant::now()));
            }
            while Instant::now() < until {
                match conn.next().await? {
                    Heard::End(_) => return Err(io::Error::other("a keep-alive stream ended")),
                    Heard::Message(stream, _) => {
                        let Some(entry) = streams.get_mut(&stream) else { continue };
                        let now = Instant::now();
                        samples.add(now - entry.1);
                        entry.1 = now;
                        conn.send(stream, &make(entry.0));
                    }
                }
            }
            Ok::<Samples, io::Error>(samples)
        });
    }
    let mut all = Samples::default();
    while let Some(done) = tasks.join_next().await {
        all.merge(done.map_err(io::Error::other)??);
    }
    Ok(all)
}

/// One call on a connection of its own: its message.
pub async fn once(addr: &str, method: &Method, message: &[u8]) -> io::Result<bytes::Bytes> {
    let mut conn = Conn::connect(addr).await?;
    conn.call(method, message);
    match conn.next().await? {
        Heard::Message(_, message) => Ok(message),
        Heard::End(_) => Err(io::Error::other("the call failed")),
    }
}
