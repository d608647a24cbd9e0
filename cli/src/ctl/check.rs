//! `check`: whether the cluster holds a load, and what keys cost it.

use super::client::Client;
use super::{Failed, interrupted};
use crate::progress;
use clap::{Args as ClapArgs, Subcommand};
use keel_proto::pb::etcdserverpb as pb;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// `check`.
#[derive(Debug, Subcommand)]
pub(crate) enum Check {
    /// Puts keys at a fixed rate for a minute, and judges how that went
    Perf(Perf),
    /// Puts many keys, and says what memory they took
    Datascale(Datascale),
}

/// `check perf`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Perf {
    /// How much: s(mall), m(edium), l(arge) or xl (xLarge)
    #[arg(long, default_value = "s")]
    load: String,
    /// Where its keys lie
    #[arg(long, default_value = "/etcdctl-check-perf/")]
    prefix: String,
    #[command(flatten)]
    after: After,
}

/// `check datascale`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Datascale {
    /// How much: s(mall), m(edium), l(arge) or xl (xLarge)
    #[arg(long, default_value = "s")]
    load: String,
    /// Where its keys lie
    #[arg(long, default_value = "/etcdctl-check-datascale/")]
    prefix: String,
    #[command(flatten)]
    after: After,
}

/// What to do when a check is over.
#[derive(Clone, Copy, Debug, ClapArgs)]
struct After {
    /// Compact the history afterwards
    #[arg(long)]
    auto_compact: bool,
    /// Defragment the storage afterwards
    #[arg(long)]
    auto_defrag: bool,
}

#[derive(Debug)]
enum Size {
    Small,
    Medium,
    Large,
    Huge,
}

/// How long puts go on.
const SPAN: Duration = Duration::from_secs(60);
/// How long work afterwards may take.
const AFTER_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(client: &Client, command: Check) -> Result<(), Failed> {
    match command {
        Check::Perf(perf) => check_perf(client, &perf).await,
        Check::Datascale(scale) => check_datascale(client, &scale).await,
    }
}

fn size(load: &str) -> Result<Size, Failed> {
    match load {
        "s" | "small" => Ok(Size::Small),
        "m" | "medium" => Ok(Size::Medium),
        "l" | "large" => Ok(Size::Large),
        "xl" | "xLarge" => Ok(Size::Huge),
        other => Err(Failed::feature(format!("unknown load option {other}"))),
    }
}

/// Puts a second, and from how many clients.
struct Rate {
    rate: u32,
    clients: usize,
}

async fn check_perf(client: &Client, perf: &Perf) -> Result<(), Failed> {
    let rate = match size(&perf.load)? {
        Size::Small => Rate { rate: 150, clients: 50 },
        Size::Medium => Rate { rate: 1000, clients: 200 },
        Size::Large => Rate { rate: 8000, clients: 500 },
        Size::Huge => Rate { rate: 15000, clients: 1000 },
    };
    if is_used(client, &perf.prefix).await? {
        let prefix = &perf.prefix;
        let line = format!(
            "prefix {prefix:?} has keys. Delete with 'etcdctl del --prefix {prefix}' first"
        );
        return Err(Failed::input(line));
    }
    let results = push(client, &rate, &perf.prefix).await?;
    clean(client, &perf.prefix, perf.after).await?;
    judge(&rate, &results)
}

async fn is_used(client: &Client, prefix: &str) -> Result<bool, Failed> {
    let range = pb::RangeRequest { limit: 1, ..all_below(prefix) };
    Ok(!client.kv().range(range).await?.into_inner().kvs.is_empty())
}

fn all_below(prefix: &str) -> pb::RangeRequest {
    let (key, range_end) = super::keys::span(&[prefix.to_owned()], true, false);
    pb::RangeRequest { key: key.into(), range_end: range_end.into(), ..Default::default() }
}

/// How puts went.
#[derive(Default)]
struct Results {
    took: Vec<Duration>,
    errors: Vec<String>,
    /// From the first put to the last answer.
    span: Duration,
}

impl Results {
    fn count(&mut self, done: Result<Result<Duration, Failed>, tokio::task::JoinError>) {
        match done {
            Ok(Ok(took)) => self.took.push(took),
            Ok(Err(failed)) => self.errors.push(failed.line),
            Err(error) => self.errors.push(error.to_string()),
        }
    }

    /// Errors, each with how often it came.
    fn tell_errors(&self) -> bool {
        if self.errors.is_empty() {
            return false;
        }
        println!("FAIL: too many errors");
        let mut errors = self.errors.clone();
        errors.sort_unstable();
        for same in errors.chunk_by(|one, other| one == other) {
            println!("FAIL: ERROR({}) -> {}", same[0], same.len());
        }
        true
    }
}

/// Puts in equal steps of time. An interruption ends it early.
async fn push(client: &Client, rate: &Rate, prefix: &str) -> Result<Results, Failed> {
    let interrupted = interrupted()?;
    tokio::pin!(interrupted);
    let bar = progress::things(SPAN.as_secs(), "s");
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let mut calls = JoinSet::new();
    let mut results = Results::default();
    let mut sent: u64 = 0;
    while begun.elapsed() < SPAN {
        tokio::select! {
            biased;
            () = &mut interrupted => break,
            _ = ticks.tick() => {}
        }
        let wanted = (begun.elapsed().as_secs_f64() * f64::from(rate.rate)) as u64;
        while sent < wanted && calls.len() < rate.clients {
            calls.spawn(put(client.clone(), format!("{prefix}{sent:0256}"), 1024));
            sent += 1;
        }
        while let Some(done) = calls.try_join_next() {
            results.count(done);
        }
        bar.set_position(begun.elapsed().as_secs());
    }
    while let Some(done) = calls.join_next().await {
        results.count(done);
    }
    results.span = begun.elapsed();
    bar.finish_and_clear();
    Ok(results)
}

async fn put(client: Client, key: String, bytes: usize) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let value = vec![0; bytes];
    let request = pb::PutRequest { key: key.into(), value: value.into(), ..Default::default() };
    client.kv().put(request).await?;
    Ok(begun.elapsed())
}

async fn clean(client: &Client, prefix: &str, after: After) -> Result<(), Failed> {
    let range = all_below(prefix);
    let delete =
        pb::DeleteRangeRequest { key: range.key, range_end: range.range_end, prev_kv: false };
    let deleted = match in_time(client.kv().delete_range(delete)).await {
        Ok(deleted) => deleted,
        Err(failed) => {
            println!("FAIL: Cleanup failed during key deletion: ERROR({})", failed.line);
            return Ok(());
        }
    };
    if after.auto_compact {
        let revision = deleted.header.unwrap_or_default().revision;
        println!("Compacting with revision {revision}");
        let request = pb::CompactionRequest { revision, physical: true };
        in_time(client.kv().compact(request)).await?;
        println!("Compacted with revision {revision}");
    }
    if after.auto_defrag {
        for endpoint in &client.endpoints {
            println!("Defragmenting {endpoint:?}");
            let only = client.only(endpoint)?;
            in_time(only.maintenance().defragment(pb::DefragmentRequest {})).await?;
            println!("Defragmented {endpoint:?}");
        }
    }
    Ok(())
}

async fn in_time<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Failed> {
    match tokio::time::timeout(AFTER_MAX, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Failed::plain("context deadline exceeded")),
    }
}

/// etcd's three conditions: nine tenths of the rate, no put over half a second, little spread.
fn judge(rate: &Rate, results: &Results) -> Result<(), Failed> {
    let mut pass = !results.tell_errors();
    let seconds: Vec<f64> = results.took.iter().map(Duration::as_secs_f64).collect();
    let count = seconds.len().max(1) as f64;
    let writes = seconds.len() as f64 / results.span.as_secs_f64();
    let shown = writes as u64 + 1;
    if writes / f64::from(rate.rate) <= 0.9 {
        println!("FAIL: Throughput too low: {shown} writes/s");
        pass = false;
    } else {
        println!("PASS: Throughput is {shown} writes/s");
    }
    let slowest = seconds.iter().copied().fold(0.0, f64::max);
    if slowest > 0.5 {
        println!("Slowest request took too long: {slowest:.6}s");
        pass = false;
    } else {
        println!("PASS: Slowest request took {slowest:.6}s");
    }
    let mean = seconds.iter().sum::<f64>() / count;
    let spread = seconds.iter().map(|one| (one - mean).powi(2)).sum::<f64>();
    let spread = (spread / count).sqrt();
    if spread > 0.1 {
        println!("Stddev too high: {spread:.6}s");
        pass = false;
    } else {
        println!("PASS: Stddev is {spread:.6}s");
    }
    println!("{}", if pass { "PASS" } else { "FAIL" });
    if pass { Ok(()) } else { Err(Failed::silent()) }
}

async fn check_datascale(client: &Client, scale: &Datascale) -> Result<(), Failed> {
    let (keys, clients) = match size(&scale.load)? {
        Size::Small => (10_000, 50),
        Size::Medium => (100_000, 200),
        Size::Large => (1_000_000, 500),
        Size::Huge => (3_000_000, 1000),
    };
    if is_used(client, &scale.prefix).await? {
        let prefix = &scale.prefix;
        let line =
            format!("prefix {prefix:?} has keys. Delete with etcdctl del --prefix {prefix} first");
        return Err(Failed::input(line));
    }
    let before = resident(client, "before").await?;
    println!(
        "Start data scale check for work load [{keys} key-value pairs, 1024 bytes per key-value, \
         {clients} concurrent clients]."
    );
    let results = fill(client, &scale.prefix, keys, clients).await;
    let after = resident(client, "after").await?;
    clean(client, &scale.prefix, scale.after).await?;
    if results.tell_errors() {
        return Err(Failed::silent());
    }
    let megabytes = (after - before) / (1024.0 * 1024.0);
    println!("PASS: Approximate system memory used : {megabytes:.2} MB.");
    Ok(())
}

async fn fill(client: &Client, prefix: &str, keys: u64, clients: usize) -> Results {
    let bar = progress::things(keys, "keys");
    let mut calls = JoinSet::new();
    let mut results = Results::default();
    for number in 0..keys {
        if calls.len() == clients
            && let Some(done) = calls.join_next().await
        {
            results.count(done);
            bar.inc(1);
        }
        calls.spawn(put(client.clone(), format!("{prefix}{number:0512}"), 512));
    }
    while let Some(done) = calls.join_next().await {
        results.count(done);
        bar.inc(1);
    }
    bar.finish_and_clear();
    results
}

/// What memory the first endpoint holds, as its own page says.
async fn resident(client: &Client, when: &str) -> Result<f64, Failed> {
    let endpoint = &client.endpoints[0];
    let address = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let page = tokio::time::timeout(AFTER_MAX, page(address)).await;
    let read = match page {
        Ok(Ok(text)) => text.lines().find_map(|line| {
            line.strip_prefix("process_resident_memory_bytes ")?.trim().parse().ok()
        }),
        Ok(Err(error)) => {
            println!("fetch error: {error}");
            None
        }
        Err(_) => None,
    };
    read.filter(|bytes| *bytes > 0.0).ok_or_else(|| {
        println!("FAIL: Could not read process_resident_memory_bytes {when} the put operations.");
        Failed::silent()
    })
}

async fn page(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
