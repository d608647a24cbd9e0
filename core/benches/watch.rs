//! How many events a second one hub hands out: many watchers of one key, many of one range,
//! and many keys with one watcher each. Prints what it measured; run with `cargo bench`.

#[path = "../tests/watch/store.rs"]
mod store;

use bytes::Bytes;
use keel_core::types::Instant;
use keel_core::watch::{Answer, Config, Hub, HubInput, StreamId, Watch};
use keel_core::{Batch, Keys};
use std::sync::Arc;
use std::time::Duration;
use store::Store;

/// Watches on one stream, as a client's connection would have them.
const PER_STREAM: u64 = 100;

fn main() {
    let one = |_| Keys::One(Bytes::from("key"));
    let range = |_| Keys::Span { from: Bytes::from("k"), to: Bytes::from("l") };
    let own = |n: u64| Keys::One(Bytes::from(format!("key-{n:06}")));
    let span = |n: u64| Keys::Span {
        from: Bytes::from(format!("key-{n:06}")),
        to: Bytes::from(format!("key-{n:06}z")),
    };
    let same = |_: u64| "key".to_string();
    let spread = |n: u64| format!("key-{:06}", n * 7919 % 10_000);
    live("5,000 watchers, one key, batches of 1", 5000, one, same, 1);
    live("5,000 watchers, one key, batches of 64", 5000, one, same, 64);
    live("5,000 watchers, one range, batches of 64", 5000, range, same, 64);
    live("10,000 watchers, a key each, batches of 1", 10_000, own, spread, 1);
    live("10,000 watchers, a key each, batches of 64", 10_000, own, spread, 64);
    live("10,000 watchers, a range each, batches of 64", 10_000, span, spread, 64);
    behind("5,000 watchers of one key read 2,000 revisions", 5000, 2000, one, same);
    behind("10,000 watchers, a key each, read 20,000 revisions", 10_000, 20_000, own, spread);
    compacted("10,000 watchers that compaction overtakes", 10_000, own, spread);
}

fn hub(store: &Store, watches: u64, keys: impl Fn(u64) -> Keys, start: i64) -> Hub {
    let mut hub = Hub::new(Config::default(), store.view());
    for number in 0..watches {
        let stream = StreamId(number / PER_STREAM);
        if number.is_multiple_of(PER_STREAM) {
            hub.step(Instant(0), HubInput::Open { stream });
            hub.step(Instant(0), HubInput::Credit { stream, bytes: usize::MAX / 4 });
        }
        let watch = Watch {
            id: 0,
            keys: Some(keys(number)),
            start,
            progress: false,
            no_put: false,
            no_delete: false,
            prev_kv: false,
            fragment: false,
        };
        hub.step(Instant(0), HubInput::Create { stream, watch });
    }
    hub
}

/// Takes everything, and counts events and ended watches.
fn drain(hub: &mut Hub) -> u64 {
    let mut events = 0;
    while let Some(delivery) = hub.poll() {
        events += match delivery.answer {
            Answer::Events { events: some, .. } => some.len() as u64,
            Answer::Canceled { .. } => 1,
            Answer::Created | Answer::Refused { .. } | Answer::Progress => 0,
        };
    }
    events
}

/// Lets the hub catch up, and counts likewise.
fn settle(hub: &mut Hub) -> u64 {
    let mut events = drain(hub);
    while hub.deadline().is_some() {
        hub.step(Instant(0), HubInput::Tick);
        events += drain(hub);
    }
    events
}

fn batches(
    store: &mut Store,
    key: impl Fn(u64) -> String,
    count: u64,
    size: u64,
) -> Vec<Arc<Batch>> {
    let change = |n| vec![(key(n), Some("v".repeat(100)))];
    let batch = |at: u64| {
        let changes: Vec<_> = (at * size..(at + 1) * size).map(change).collect();
        store.apply(&changes)
    };
    (0..count).map(batch).collect()
}

fn live(
    name: &str,
    watches: u64,
    keys: impl Fn(u64) -> Keys,
    key: impl Fn(u64) -> String,
    size: u64,
) {
    let mut store = Store::new();
    let mut hub = hub(&store, watches, keys, 0);
    drain(&mut hub);
    let batches = batches(&mut store, key, 2048 / size, size);
    let begin = std::time::Instant::now();
    let mut events = 0;
    for batch in batches {
        hub.step(Instant(0), HubInput::Applied(batch));
        events += drain(&mut hub);
    }
    report(name, events, begin.elapsed());
}

fn behind(
    name: &str,
    watches: u64,
    revisions: u64,
    keys: impl Fn(u64) -> Keys,
    key: impl Fn(u64) -> String,
) {
    let mut store = Store::new();
    let mut hub = hub(&store, watches, keys, 0);
    drain(&mut hub);
    batches(&mut store, key, revisions / 100, 100);
    let begin = std::time::Instant::now();
    hub.step(Instant(0), HubInput::Applied(store.apply(&[])));
    report(name, settle(&mut hub), begin.elapsed());
}

fn compacted(name: &str, watches: u64, keys: impl Fn(u64) -> Keys, key: impl Fn(u64) -> String) {
    let mut store = Store::new();
    let mut hub = hub(&store, watches, keys, 0);
    drain(&mut hub);
    batches(&mut store, key, 20, 100);
    let batch = store.compact(1000);
    let begin = std::time::Instant::now();
    hub.step(Instant(0), HubInput::Applied(batch));
    report(name, settle(&mut hub), begin.elapsed());
}

fn report(name: &str, events: u64, took: Duration) {
    let each = took.as_nanos() as f64 / events.max(1) as f64;
    let million = events as f64 / took.as_secs_f64() / 1e6;
    println!("{name:<55} {events:>9} events {took:>10.1?} {each:>7.0} ns each {million:>6.2} M/s");
}
