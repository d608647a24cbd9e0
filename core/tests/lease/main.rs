//! The lessor's stories: see `tests/golden/lease`.

mod property;
mod script;
mod times;

use keel_core::lease::Lessor;
use keel_core::state::LeaseRecord;
use keel_core::types::{Instant, LeaseId};
use std::time::Duration;
use times::{nanos, time};

struct Story {
    now: Instant,
    lessor: Lessor,
}

#[test]
fn stories() {
    let start = || Story { now: Instant(0), lessor: Lessor::new(2, true) };
    script::play_all("lease", start, run);
}

fn id(word: &str) -> LeaseId {
    LeaseId(number(word))
}

fn number(word: &str) -> i64 {
    word.parse().unwrap_or_else(|_| panic!("{word} is not a number"))
}

/// `1:60` or `1:60:20` as an id with what follows it.
fn record(word: &str) -> LeaseRecord {
    let mut parts = word.split(':').map(number);
    let mut part = || parts.next().unwrap_or(0);
    LeaseRecord { lease: LeaseId(part()), ttl: part(), remaining: part() }
}

fn run(story: &mut Story, words: &[&str]) -> Vec<String> {
    let Story { now, lessor } = story;
    let one = |text: String| vec![text];
    match *words {
        ["at", at] => {
            *now = Instant(nanos(at));
            Vec::new()
        }
        ["without", "checkpoints"] => {
            *lessor = Lessor::new(2, false);
            Vec::new()
        }
        ["grant", lease, ttl] => one(format!("{:?}", lessor.grant(*now, id(lease), number(ttl)))),
        ["grant", first, "to", last, ttl] => {
            for lease in number(first)..=number(last) {
                lessor.grant(*now, LeaseId(lease), number(ttl)).expect("a fresh id");
            }
            Vec::new()
        }
        ["revoke", lease] => one(format!("{:?}", lessor.revoke(id(lease)))),
        ["revoke", first, "to", last] => {
            for lease in number(first)..=number(last) {
                lessor.revoke(LeaseId(lease)).expect("a lease that is there");
            }
            Vec::new()
        }
        ["attach", lease, ref keys @ ..] => {
            keys.iter().for_each(|key| lessor.attach(id(lease), key.as_bytes()));
            Vec::new()
        }
        ["detach", lease, key] => {
            lessor.detach(id(lease), key.as_bytes());
            Vec::new()
        }
        ["renew", lease] => one(format!("{:?}", lessor.renew(*now, id(lease)))),
        ["life", lease] => one(match lessor.life(*now, id(lease), true) {
            None => "None".into(),
            Some(life) => {
                format!("{} of {} s left, keys {:?}", life.remaining, life.granted, life.keys)
            }
        }),
        ["list"] => one(ids(&lessor.list())),
        ["promote", extend] => {
            lessor.promote(*now, Duration::from_nanos(nanos(extend)));
            Vec::new()
        }
        ["demote"] => {
            lessor.demote();
            Vec::new()
        }
        ["due"] => one(ids(&lessor.due(*now, usize::MAX))),
        ["due", max] => one(ids(&lessor.due(*now, max.parse().expect("a number")))),
        ["ends", lease] => one(ends(lessor, *now, id(lease))),
        ["checkpoints"] => one(checkpoints(&lessor.checkpoints_due(*now))),
        ["apply", ref list @ ..] => {
            let list: Vec<_> = list.iter().map(|word| record(word)).collect();
            let list: Vec<_> = list.iter().map(|record| (record.lease, record.ttl)).collect();
            lessor.apply_checkpoint(&list);
            Vec::new()
        }
        ["records"] => lessor.records().iter().map(|record| format!("{record:?}")).collect(),
        ["restore", ref list @ ..] => {
            let split = list.iter().position(|word| *word == "keys").unwrap_or(list.len());
            let records: Vec<_> = list[..split].iter().map(|word| record(word)).collect();
            let pairs = list[split..].iter().skip(1).map(|word| {
                let (lease, key) = word.split_once('=').expect("lease=key");
                (id(lease), key.to_string().into())
            });
            lessor.restore(&records, pairs);
            Vec::new()
        }
        ["deadline"] => one(lessor.deadline().map_or("none".into(), |at| time(at.0))),
        _ => panic!("no such command: {words:?}"),
    }
}

/// When a lease is over, found by asking how long it has left at finer and finer steps.
fn ends(lessor: &Lessor, now: Instant, id: LeaseId) -> String {
    let over = |at: u64| lessor.life(Instant(at), id, false).expect("there").remaining < 1;
    let (mut low, mut high) = (now.0, now.0 + 100_000_000_000_000);
    while low < high {
        let middle = low + (high - low) / 2;
        if over(middle) { high = middle } else { low = middle + 1 }
    }
    time(low + 999_999_999)
}

/// Few in full, many by their number and their ends.
fn ids(ids: &[LeaseId]) -> String {
    match ids {
        [] => "none".into(),
        [first, .., last] if ids.len() > 8 => {
            format!("{} leases: {} .. {}", ids.len(), first.0, last.0)
        }
        few => few.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(" "),
    }
}

fn checkpoints(list: &[(LeaseId, i64)]) -> String {
    match list {
        [] => "none".into(),
        [(first, _), .., (last, _)] if list.len() > 8 => {
            format!("{} leases: {} .. {}", list.len(), first.0, last.0)
        }
        few => few.iter().map(|(id, s)| format!("{}={s}s", id.0)).collect::<Vec<_>>().join(" "),
    }
}
