//! `check perf`: puts at a fixed rate for a minute, and a verdict.

use super::Failed;
use super::args::Check;
use super::client::Client;
use indicatif::{ProgressBar, ProgressStyle};
use keel_proto::pb::etcdserverpb as pb;
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long it takes.
const SPAN: Duration = Duration::from_secs(60);
const KEY_BYTES: usize = 256;
const VALUE_BYTES: usize = 1024;

/// A load: how many puts a second, from how many clients.
struct Load {
    rate: u32,
    clients: usize,
}

pub(super) async fn run(client: &Client, command: Check) -> Result<(), Failed> {
    let Check::Perf { load, prefix, auto_compact } = command;
    let load = match load.as_str() {
        "s" | "small" => Load { rate: 150, clients: 50 },
        "m" | "medium" => Load { rate: 1000, clients: 200 },
        "l" | "large" => Load { rate: 8000, clients: 500 },
        "xl" | "xLarge" => Load { rate: 15000, clients: 1000 },
        other => return Err(Failed::arguments(format!("unknown load option {other}"))),
    };
    refuse_used_prefix(client, &prefix).await?;
    let (took, failed) = push(client, &load, &prefix).await?;
    clean(client, &prefix, auto_compact).await?;
    judge(&load, &took, failed)
}

async fn refuse_used_prefix(client: &Client, prefix: &str) -> Result<(), Failed> {
    let range = pb::RangeRequest { limit: 1, ..all_below(prefix) };
    let used = client.short(client.kv().range(range)).await?;
    if used.kvs.is_empty() {
        return Ok(());
    }
    Err(Failed::plain(format!(
        "prefix {prefix:?} has keys. Delete with 'etcdctl del --prefix {prefix}' first"
    )))
}

fn all_below(prefix: &str) -> pb::RangeRequest {
    let (key, range_end) = super::keys::span(&[prefix.to_owned()], true, false);
    pb::RangeRequest { key: key.into(), range_end: range_end.into(), ..Default::default() }
}

/// Puts in equal steps of time; gives how long each took and how many failed.
async fn push(client: &Client, load: &Load, prefix: &str) -> Result<(Vec<Duration>, u64), Failed> {
    let bar = bar();
    let begun = Instant::now();
    let step = Duration::from_millis(10);
    let mut ticks = tokio::time::interval(step);
    let mut calls: JoinSet<Option<Duration>> = JoinSet::new();
    let (mut took, mut failed) = (Vec::new(), 0);
    let mut sent: u64 = 0;
    while begun.elapsed() < SPAN {
        ticks.tick().await;
        let wanted = (begun.elapsed().as_secs_f64() * f64::from(load.rate)) as u64;
        while sent < wanted && calls.len() < load.clients {
            calls.spawn(put(client.clone(), format!("{prefix}{sent:0KEY_BYTES$}")));
            sent += 1;
        }
        while let Some(done) = calls.try_join_next() {
            count(done.ok().flatten(), &mut took, &mut failed);
        }
        bar.set_position(begun.elapsed().as_secs());
    }
    while let Some(done) = calls.join_next().await {
        count(done.ok().flatten(), &mut took, &mut failed);
    }
    bar.finish_and_clear();
    Ok((took, failed))
}

fn count(done: Option<Duration>, took: &mut Vec<Duration>, failed: &mut u64) {
    match done {
        Some(one) => took.push(one),
        None => *failed += 1,
    }
}

async fn put(client: Client, key: String) -> Option<Duration> {
    let begun = Instant::now();
    let value = vec![b'v'; VALUE_BYTES];
    let request = pb::PutRequest { key: key.into(), value: value.into(), ..Default::default() };
    client.short(client.kv().put(request)).await.ok().map(|_| begun.elapsed())
}

async fn clean(client: &Client, prefix: &str, auto_compact: bool) -> Result<(), Failed> {
    let range = all_below(prefix);
    let delete =
        pb::DeleteRangeRequest { key: range.key, range_end: range.range_end, prev_kv: false };
    let deleted = client.short(client.kv().delete_range(delete)).await?;
    if auto_compact {
        let revision = deleted.header.unwrap_or_default().revision;
        let request = pb::CompactionRequest { revision, physical: false };
        client.short(client.kv().compact(request)).await?;
        println!("Compacting with revision {revision}\nCompacted with revision {revision}");
    }
    Ok(())
}

/// etcd's three conditions: nine tenths of the rate, no put over half a second, little spread.
fn judge(load: &Load, took: &[Duration], failed: u64) -> Result<(), Failed> {
    let mut pass = failed == 0;
    if failed > 0 {
        println!("FAIL: too many errors\nFAIL: ERROR(puts) -> {failed}");
    }
    let mut verdict = |good: bool, text: String| {
        pass &= good;
        println!("{}: {text}", if good { "PASS" } else { "FAIL" });
    };
    let seconds: Vec<f64> = took.iter().map(Duration::as_secs_f64).collect();
    let rate = seconds.len() as f64 / SPAN.as_secs_f64();
    let slow = if rate.ceil() >= f64::from(load.rate) * 0.9 { "" } else { "too low: " };
    verdict(slow.is_empty(), format!("Throughput {slow}is {:.0} writes/s", rate.ceil()));
    let slowest = seconds.iter().copied().fold(0.0, f64::max);
    let words =
        if slowest > 0.5 { "Slowest request took too long" } else { "Slowest request took" };
    verdict(
        slowest <= 0.5,
        format!("{words}{} {slowest:.6}s", if slowest > 0.5 { ":" } else { "" }),
    );
    let mean = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
    let spread = seconds.iter().map(|one| (one - mean).powi(2)).sum::<f64>();
    let spread = (spread / seconds.len().max(1) as f64).sqrt();
    let words = if spread > 0.1 { "Stddev too high:" } else { "Stddev is" };
    verdict(spread <= 0.1, format!("{words} {spread:.6}s"));
    println!("{}", if pass { "PASS" } else { "FAIL" });
    if pass { Ok(()) } else { Err(Failed::plain("the cluster does not hold this load")) }
}

/// A bar for a person's terminal; nothing for a pipe.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{pos} / {len} s [{bar:60}] {percent}%");
    match style {
        Ok(style) => ProgressBar::new(SPAN.as_secs()).with_style(style),
        Err(_) => ProgressBar::new(SPAN.as_secs()),
    }
}
