//! A store of a million keys: what it weighs, and what its heavy work makes others wait.

use super::calls::once;
use super::http2::{Conn, Heard, Method};
use super::process::Server;
use super::rows::{Figure, put_request};
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

const TXN: usize = 100;

/// Loads `keys` keys of 32 + 256 bytes and asks for everything that is heavy.
pub async fn run(server: &mut Server, keys: usize) -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut add = |name, value| figures.push(Figure { name, value, more_is_better: false });
    let begun = Instant::now();
    load(&server.addr, keys).await?;
    add("load s", begun.elapsed().as_secs_f64());
    tokio::time::sleep(Duration::from_secs(2)).await;
    add("anonymous MB", server.usage()?.anonymous as f64 / 1e6);
    add("resident MB", server.usage()?.resident as f64 / 1e6);

    let (took, worst) = beside(&server.addr, count(&server.addr, keys)).await?;
    add("count s", took);
    add("wait beside count ms", worst);
    let (took, worst) = beside(&server.addr, hash(&server.addr)).await?;
    add("HashKV s", took);
    add("wait beside HashKV ms", worst);
    let (took, worst) = beside(&server.addr, snapshot(&server.addr)).await?;
    add("snapshot s", took);
    add("wait beside snapshot ms", worst);

    add("restart s", server.restart().await?.as_secs_f64());
    count(&server.addr, keys).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    add("anonymous MB after restart", server.usage()?.anonymous as f64 / 1e6);

    load(&server.addr, keys).await?;
    let (took, worst) = beside(&server.addr, compact(&server.addr)).await?;
    add("compaction s", took);
    add("wait beside compaction ms", worst);
    Ok(figures)
}

fn key(number: usize) -> String {
    format!("/registry/benchmark/key-{number:011}")
}

/// Puts every key once, in an order that is not the keys'.
async fn load(addr: &str, keys: usize) -> io::Result<()> {
    use pb::request_op::Request;
    let method = Method::new("/etcdserverpb.KV/Txn");
    let mut conn = Conn::connect(addr).await?;
    let mut flying = 0;
    let mut answered = 0;
    let stride = 7_919; // A prime, so that every key comes up once.
    let batches: Vec<usize> = (0..keys.div_ceil(TXN)).collect();
    for batch in batches {
        let numbers = (batch * TXN..((batch + 1) * TXN).min(keys)).map(|n| n * stride % keys);
        let success = numbers
            .map(|n| Request::RequestPut(put_request(key(n), 256)))
            .map(|request| pb::RequestOp { request: Some(request) })
            .collect();
        let txn = pb::TxnRequest { success, ..Default::default() };
        conn.call(&method, &txn.encode_to_vec());
        flying += 1;
        while flying >= 16 {
            match conn.next().await? {
                Heard::Message(..) => answered += 1,
                Heard::End(_) => flying -= 1,
            }
        }
    }
    while flying > 0 {
        match conn.next().await? {
            Heard::Message(..) => answered += 1,
            Heard::End(_) => flying -= 1,
        }
    }
    if answered != keys.div_ceil(TXN) {
        return Err(io::Error::other("a transaction failed while loading"));
    }
    Ok(())
}

async fn count(addr: &str, keys: usize) -> io::Result<()> {
    let request = pb::RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        count_only: true,
        ..Default::default()
    };
    let answer =
        once(addr, &Method::new("/etcdserverpb.KV/Range"), &request.encode_to_vec()).await?;
    let answer = pb::RangeResponse::decode(answer).map_err(io::Error::other)?;
    let expected = i64::try_from(keys).unwrap_or(i64::MAX);
    // The probes beside may have put a key of their own.
    if answer.count != expected && answer.count != expected + 1 {
        return Err(io::Error::other(format!("{} keys where {keys} were put", answer.count)));
    }
    Ok(())
}

async fn hash(addr: &str) -> io::Result<()> {
    let request = pb::HashKvRequest::default().encode_to_vec();
    once(addr, &Method::new("/etcdserverpb.Maintenance/HashKV"), &request).await.map(|_| ())
}

async fn snapshot(addr: &str) -> io::Result<()> {
    let mut conn = Conn::connect(addr).await?;
    conn.call(&Method::new("/etcdserverpb.Maintenance/Snapshot"), &[]);
    let mut bytes = 0;
    loop {
        match conn.next().await? {
            Heard::Message(_, piece) => bytes += piece.len(),
            Heard::End(_) if bytes > 0 => return Ok(()),
            Heard::End(_) => return Err(io::Error::other("the snapshot failed")),
        }
    }
}

async fn compact(addr: &str) -> io::Result<()> {
    let request = pb::RangeRequest { key: b"x".as_slice().into(), ..Default::default() };
    let answer =
        once(addr, &Method::new("/etcdserverpb.KV/Range"), &request.encode_to_vec()).await?;
    let answer = pb::RangeResponse::decode(answer).map_err(io::Error::other)?;
    let revision = answer.header.unwrap_or_default().revision;
    let request = pb::CompactionRequest { revision, physical: true }.encode_to_vec();
    once(addr, &Method::new("/etcdserverpb.KV/Compact"), &request).await.map(|_| ())
}

/// Runs heavy work with a put and a get every few milliseconds beside it: how long it took,
/// seconds, and the longest that a probe waited, milliseconds.
async fn beside(
    addr: &str,
    heavy: impl Future<Output = io::Result<()>>,
) -> io::Result<(f64, f64)> {
    let worst = Rc::new(Cell::new(Duration::ZERO));
    let probe = tokio::task::spawn_local(probe(addr.to_owned(), Rc::clone(&worst)));
    // The probe's own connection comes first; what it waits for is the heavy work alone.
    tokio::time::sleep(Duration::from_millis(50)).await;
    worst.set(Duration::ZERO);
    let begun = Instant::now();
    heavy.await?;
    let took = begun.elapsed().as_secs_f64();
    probe.abort();
    Ok((took, worst.get().as_secs_f64() * 1000.0))
}

async fn probe(addr: String, worst: Rc<Cell<Duration>>) -> io::Result<()> {
    let put = put_request("/probe".to_owned(), 256).encode_to_vec();
    let get = pb::RangeRequest { key: "/probe".into(), ..Default::default() }.encode_to_vec();
    let calls = [
        (Method::new("/etcdserverpb.KV/Put"), put),
        (Method::new("/etcdserverpb.KV/Range"), get),
    ];
    let mut conn = Conn::connect(&addr).await?;
    loop {
        for (method, message) in &calls {
            let begun = Instant::now();
            conn.call(method, message);
            while !matches!(conn.next().await?, Heard::End(_)) {}
            worst.set(worst.get().max(begun.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
