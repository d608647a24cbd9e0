//! The rows of the table: what is asked of each server.

use super::calls::{Make, Push, closed_loop, once, ping_pong};
use super::cluster::Cluster;
use super::http2::{Conn, Heard, Method};
use super::stats::Samples;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One figure of a row.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// Bytes of a value.
const VALUE: usize = 256;
/// Bytes of a large one.
const LARGE: usize = 64 * 1024;

/// The rows that take turns between servers many times.
pub const ROWS: [&str; 10] = [
    "put",
    "put-1",
    "put-1000",
    "put-large",
    "range-lin",
    "range-ser",
    "txn",
    "get-while-put",
    "keepalive",
    "watch",
];

/// Runs one row once.
pub async fn run(row: &str, cluster: &Cluster, span: Duration) -> io::Result<Vec<Figure>> {
    let addrs = cluster.addrs();
    let before = cluster.usage()?;
    let begun = Instant::now();
    let mut outcome = match row {
        "put" => put(&addrs, 100, VALUE, span).await?,
        "put-1" => put(&addrs, 1, VALUE, span).await?,
        "put-1000" => put(&addrs, 1000, VALUE, span).await?,
        "put-large" => put(&addrs, 10, LARGE, span).await?,
        "range-lin" => range(&addrs, 1000, false, span).await?,
        "range-ser" => range(&addrs, 1000, true, span).await?,
        "txn" => txn(&addrs, 100, span).await?,
        "get-while-put" => return get_while_put(&addrs, span).await,
        "keepalive" => keepalive(&addrs, 100, span).await?,
        "watch" => return watch(cluster, 5000, span).await,
        other => return Err(io::Error::other(format!("no row is called {other:?}"))),
    };
    let took = begun.elapsed().as_secs_f64();
    let cpu = cluster.usage()?.cpu - before.cpu;
    if outcome.failed > 0 {
        return Err(io::Error::other(format!("{row}: {} calls failed", outcome.failed)));
    }
    let count = outcome.count() as f64;
    Ok(vec![
        Figure { name: "calls/s", value: count / took, more_is_better: true },
        Figure { name: "CPU-s per 1,000", value: cpu / count * 1000.0, more_is_better: false },
        Figure { name: "p50 ms", value: outcome.percentile(0.5), more_is_better: false },
        Figure { name: "p99 ms", value: outcome.percentile(0.99), more_is_better: false },
        Figure { name: "p99.9 ms", value: outcome.percentile(0.999), more_is_better: false },
    ])
}

fn push(clients: usize, span: Duration) -> Push {
    Push { clients, conns: clients.div_ceil(10), span }
}

/// A pseudo-random number from a call's number: keys are spread, and equal for every server.
fn scatter(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub(super) fn put_request(key: String, size: usize) -> pb::PutRequest {
    pb::PutRequest { key: key.into(), value: vec![b'v'; size].into(), ..Default::default() }
}

async fn put(addrs: &[String], clients: usize, size: usize, span: Duration) -> io::Result<Samples> {
    let make: Make = Rc::new(move |number| {
        put_request(format!("/bench/{:08}", scatter(number) % 100_000), size).encode_to_vec()
    });
    closed_loop(addrs, push(clients, span), &Method::new("/etcdserverpb.KV/Put"), make).await
}

async fn range(
    addrs: &[String],
    clients: usize,
    serializable: bool,
    span: Duration,
) -> io::Result<Samples> {
    let key = "/bench/one";
    let put = put_request(key.to_owned(), 256).encode_to_vec();
    once(&addrs[0], &Method::new("/etcdserverpb.KV/Put"), &put).await?;
    let request =
        pb::RangeRequest { key: key.into(), serializable, ..Default::default() }.encode_to_vec();
    let make: Make = Rc::new(move |_| request.clone());
    closed_loop(addrs, push(clients, span), &Method::new("/etcdserverpb.KV/Range"), make).await
}

/// Compare a key's version, put two keys or read one.
async fn txn(addrs: &[String], clients: usize, span: Duration) -> io::Result<Samples> {
    use pb::request_op::Request;
    let make: Make = Rc::new(|number| {
        let key = format!("/bench/{:08}", scatter(number) % 100_000);
        let other = format!("/bench/{:08}", scatter(number + 1) % 100_000 + 100_000);
        let op = |request| pb::RequestOp { request: Some(request) };
        let compare = pb::Compare {
            key: key.clone().into(),
            result: pb::compare::CompareResult::Greater.into(),
            target: pb::compare::CompareTarget::Version.into(),
            target_union: Some(pb::compare::TargetUnion::Version(-1)),
            ..Default::default()
        };
        let success = vec![
            op(Request::RequestPut(put_request(key.clone(), 256))),
            op(Request::RequestPut(put_request(other, 256))),
        ];
        let range = pb::RangeRequest { key: key.into(), ..Default::default() };
        let failure = vec![op(Request::RequestRange(range))];
        pb::TxnRequest { compare: vec![compare], success, failure }.encode_to_vec()
    });
    closed_loop(addrs, push(clients, span), &Method::new("/etcdserverpb.KV/Txn"), make).await
}

/// Ten readers while 200 writers push: the readers' latencies count.
async fn get_while_put(addrs: &[String], span: Duration) -> io::Result<Vec<Figure>> {
    let request =
        pb::RangeRequest { key: "/bench/one".into(), ..Default::default() }.encode_to_vec();
    let make: Make = Rc::new(move |_| request.clone());
    let method = Method::new("/etcdserverpb.KV/Range");
    let reads = closed_loop(addrs, push(10, span), &method, make);
    let writes = put(addrs, 200, VALUE, span);
    let (reads, writes) = tokio::join!(reads, writes);
    let (mut reads, writes) = (reads?, writes?);
    Ok(vec![
        Figure { name: "get p50 ms", value: reads.percentile(0.5), more_is_better: false },
        Figure { name: "get p99 ms", value: reads.percentile(0.99), more_is_better: false },
        Figure { name: "get p99.9 ms", value: reads.percentile(0.999), more_is_better: false },
        Figure {
            name: "puts/s beside",
            value: writes.count() as f64 / span.as_secs_f64(),
            more_is_better: true,
        },
    ])
}

async fn keepalive(addrs: &[String], clients: usize, span: Duration) -> io::Result<Samples> {
    let mut leases = Vec::new();
    let grant = pb::LeaseGrantRequest { ttl: 600, id: 0 }.encode_to_vec();
    for _ in 0..clients {
        let answer =
            once(&addrs[0], &Method::new("/etcdserverpb.Lease/LeaseGrant"), &grant).await?;
        let granted = pb::LeaseGrantResponse::decode(answer).map_err(io::Error::other)?;
        leases.push(granted.id);
    }
    let make: Make = Rc::new(move |number| {
        let id = leases[usize::try_from(number).unwrap_or(0) % leases.len()];
        pb::LeaseKeepAliveRequest { id }.encode_to_vec()
    });
    let method = Method::new("/etcdserverpb.Lease/LeaseKeepAlive");
    ping_pong(addrs, push(clients, span), &method, make).await
}

/// What watchers heard since the last time.
#[derive(Clone, Copy, Debug, Default)]
struct Heards {
    answers: usize,
    events: usize,
}

/// How many events an encoded answer holds: several revisions may come in one. Only the tags
/// are looked at, since decoding would cost more than serving.
fn events_in(answer: &[u8]) -> usize {
    const EVENTS: u64 = 11;
    let mut rest = answer;
    let mut events = 0;
    while !rest.is_empty() {
        let Some(key) = varint(&mut rest) else { break };
        match key & 7 {
            0 => {
                varint(&mut rest);
            }
            2 => {
                let len = varint(&mut rest).and_then(|len| usize::try_from(len).ok());
                let Some(behind) = len.and_then(|len| rest.get(len..)) else { break };
                rest = behind;
                events += usize::from(key >> 3 == EVENTS);
            }
            _ => break,
        }
    }
    events
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Many watchers of one key: how many events a second arrive.
async fn watch(cluster: &Cluster, watchers: usize, span: Duration) -> io::Result<Vec<Figure>> {
    let addrs = cluster.addrs();
    let conns = 50;
    let request = pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(
            pb::WatchCreateRequest { key: "/bench/watched".into(), ..Default::default() },
        )),
    }
    .encode_to_vec();
    let method = Method::new("/etcdserverpb.Watch/Watch");
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel::<Heards>();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..conns {
        let mut conn = Conn::connect(&addrs[n % addrs.len()]).await?;
        let (request, method, tell) = (request.clone(), method.clone(), tell.clone());
        tasks.spawn_local(async move {
            for _ in 0..watchers / conns {
                let stream = conn.open(&method);
                conn.send(stream, &request);
            }
            let mut heard = Heards::default();
            while let Ok(Heard::Message(_, message)) = conn.next().await {
                heard.answers += 1;
                heard.events += events_in(&message);
                if !conn.has_more() {
                    if tell.send(heard).is_err() {
                        break;
                    }
                    heard = Heards::default();
                }
            }
        });
    }
    let mut wait_for = async |wanted: usize, count: fn(Heards) -> usize| -> io::Result<()> {
        let mut heard = 0;
        while heard < wanted {
            match tokio::time::timeout(Duration::from_secs(30), told.recv()).await {
                Ok(Some(more)) => heard += count(more),
                _ => return Err(io::Error::other(format!("{heard} of {wanted} came"))),
            }
        }
        Ok(())
    };
    wait_for(watchers, |heard| heard.answers).await?;
    let put = put_request("/bench/watched".to_owned(), 256).encode_to_vec();
    let mut writer = Conn::connect(&addrs[0]).await?;
    let put_method = Method::new("/etcdserverpb.KV/Put");
    let before = cluster.usage()?.cpu;
    let begun = Instant::now();
    let mut events = 0;
    while begun.elapsed() < span {
        // A few revisions in flight keep the fan-out busy without measuring a backlog.
        let burst = 4;
        for _ in 0..burst {
            writer.call(&put_method, &put);
        }
        writer.flush().await?;
        wait_for(burst * watchers, |heard| heard.events).await?;
        events += burst * watchers;
        while !matches!(writer.next().await?, Heard::End(_)) {}
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu = cluster.usage()?.cpu - before;
    tasks.abort_all();
    Ok(vec![
        Figure { name: "events/s", value: events as f64 / took, more_is_better: true },
        Figure {
            name: "CPU-s per 1,000",
            value: cpu / events as f64 * 1000.0,
            more_is_better: false,
        },
    ])
}
