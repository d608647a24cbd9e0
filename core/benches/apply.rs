//! What the key space costs at 1,000,000 keys of 32 + 256 bytes: a put with a view after each
//! batch, reads, transactions, HashKV, compaction. Prints what it measured; run with
//! `cargo bench -p keel-core --bench apply`.

use bytes::Bytes;
use keel_core::command::{Compare, Op, Operand, Put, Range, Relation, Txn};
use keel_core::mvcc::{Compaction, Store};
use keel_core::{Keys, LeaseId};
use std::hint::black_box;
use std::time::{Duration, Instant};

const KEYS: u64 = 1_000_000;
/// Puts between two views.
const BATCH: u64 = 64;
/// Coprime to the number of keys, so that each comes up once, far from the one before.
const STRIDE: u64 = 7_919;

fn main() {
    let mut store = Store::new();
    let value = Bytes::from(vec![b'v'; 256]);
    let put = |number: u64| Put { key: key(number), value: value.clone(), ..Put::default() };
    let known = |_: LeaseId| true;

    let mut view = store.view();
    measure("put of a new key, a view after 64", KEYS, |number| {
        store.put(&put(number), &known).expect("a put");
        if number % BATCH == 0 {
            view = store.view();
        }
    });
    let usage = store.usage();
    println!("{:<44} {:>12} bytes a key", "held", usage.total / usage.keys as i64);
    measure("put of an old key, a view after 64", KEYS, |number| {
        store.put(&put(number), &known).expect("a put");
        if number % BATCH == 0 {
            view = store.view();
        }
    });
    measure("put of one key, a view after each", 100_000, |_| {
        store.put(&put(1), &known).expect("a put");
        view = store.view();
    });
    let view = store.view();
    let revision = view.revision();
    measure("range of one key", KEYS, |number| {
        black_box(view.range(&Range::of(Keys::One(key(number)))).expect("a range"));
    });
    measure("range of one key, many versions ago", 100_000, |number| {
        let old = revision - 100_000 + i64::try_from(number).expect("a small number");
        let range = Range { revision: old, ..Range::of(Keys::One(key(1))) };
        black_box(view.range(&range).expect("a range"));
    });
    measure("range of 1,000 keys", 1_000, |number| {
        let range = Range { limit: 1_000, ..Range::of(Keys::From(key(number))) };
        black_box(view.range(&range).expect("a range"));
    });
    measure("count of all keys", 100_000, |_| {
        black_box(view.count(&Keys::All, 0).expect("a count"));
    });
    measure("compare and put", 200_000, |number| {
        let keys = Keys::One(key(number));
        let operand = Operand::Create(0);
        let exists = Compare { keys, relation: Relation::NotEqual, operand };
        let txn =
            Txn { compares: vec![exists], success: vec![Op::Put(put(number))], failure: vec![] };
        black_box(store.txn(&txn, &known).expect("a transaction"));
    });
    measure("HashKV", 1, |_| {
        black_box(store.view().hash(0).expect("a hash"));
    });
    store.compact(store.revision()).expect("the newest revision may be the oldest");
    let mut worst = Duration::ZERO;
    measure("compaction of half of all versions", 1, |_| {
        loop {
            let begun = Instant::now();
            let end = store.compact_step(256);
            worst = worst.max(begun.elapsed());
            if end != Compaction::Working {
                break;
            }
        }
    });
    println!("{:<44} {:>12.3} ms", "its longest step of 256", worst.as_secs_f64() * 1000.0);
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("/registry/pods/default/{:09}", number * STRIDE % KEYS))
}

/// Runs `work` so many times, and prints what one of them took.
fn measure(what: &str, times: u64, mut work: impl FnMut(u64)) {
    let begun = Instant::now();
    for number in 0..times {
        work(number);
    }
    let each = begun.elapsed().as_secs_f64() / times as f64;
    match each {
        each if each < 0.001 => println!("{what:<44} {:>12.3} µs", each * 1e6),
        each => println!("{what:<44} {:>12.3} ms", each * 1e3),
    }
}
