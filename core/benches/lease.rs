//! What a hundred thousand leases cost. Prints what it measured; run with `cargo bench`.

use keel_core::lease::Lessor;
use keel_core::types::{Instant, LeaseId};
use std::time::Duration;

const LEASES: i64 = 100_000;

fn main() {
    let mut lessor = Lessor::new(2, true);
    let mut now = Instant(0);
    each("grant as a follower", LEASES, || {
        for id in 1..=LEASES {
            lessor.grant(now, LeaseId(id), 600).expect("a fresh id");
        }
        LEASES
    });
    each("attach one key to each", LEASES, || {
        for id in 1..=LEASES {
            lessor.attach(LeaseId(id), &id.to_be_bytes());
        }
        LEASES
    });
    each("promote", LEASES, || {
        lessor.promote(now, Duration::from_secs(1));
        LEASES
    });
    each("renew in random order", LEASES, || {
        for n in 1..=LEASES {
            now = now.after(Duration::from_micros(10));
            lessor.renew(now, LeaseId(n * 7919 % LEASES + 1));
        }
        LEASES
    });
    now = now.after(Duration::from_secs(300));
    each("checkpoint", LEASES, || {
        let mut count = 0;
        loop {
            let due = lessor.checkpoints_due(now).len() as i64;
            if due == 0 {
                return count;
            }
            count += due;
        }
    });
    now = now.after(Duration::from_secs(600));
    each("expire and revoke", LEASES, || {
        let mut count = 0;
        while let Some(at) = lessor.deadline() {
            now = now.max(at);
            for id in lessor.due(now, usize::MAX) {
                lessor.revoke(id).expect("it is there");
                count += 1;
            }
            lessor.checkpoints_due(now);
        }
        count
    });
}

/// Times a piece of work, and checks that it did all of it.
fn each(name: &str, expected: i64, work: impl FnOnce() -> i64) {
    let begin = std::time::Instant::now();
    let count = work();
    let took = begin.elapsed();
    assert_eq!(count, expected, "{name}");
    let nanos = took.as_nanos() / count.unsigned_abs() as u128;
    println!("{name:<30} {count} leases {took:>10.1?} {nanos:>6} ns each");
}
