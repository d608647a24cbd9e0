//! A second opinion on what clients saw: a search for an order, by a checker that somebody else
//! wrote and that knows nothing of revisions. Each key is a register that may be empty. It costs
//! more than the first opinion, so a sample of the runs is asked.

use super::Broken;
use crate::history::{Call, History, Outcome, beside};
use porcupine_rs::{CheckResult, Model, Operation};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long the search may take a key, of real time. What it cannot say by then the first opinion
/// has said already.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Register;

#[derive(Clone, Debug)]
enum Act {
    Write(Option<String>),
    /// Write where this was there.
    Swap(Option<String>, String),
    Read(Option<String>),
    /// Read where this was not there.
    NotSwapped(Option<String>, Option<String>),
}

impl Model for Register {
    type State = Option<String>;
    type Op = Act;
    type Metadata = ();

    fn init() -> Option<String> {
        None
    }

    fn step(state: &Option<String>, act: &Act) -> (bool, Option<String>) {
        match act {
            Act::Write(value) => (true, value.clone()),
            Act::Swap(from, to) => (from == state, Some(to.clone())),
            Act::Read(seen) => (seen == state, state.clone()),
            Act::NotSwapped(from, seen) => (seen == state && from != state, state.clone()),
        }
    }
}

/// Looks for an order in which clients could have seen what they saw.
///
/// # Errors
///
/// There is none for some key.
pub fn check(history: &History) -> Result<(), Broken> {
    let read: BTreeSet<&str> = history.0.iter().filter_map(read).collect();
    let mut keys: BTreeMap<&str, Vec<Operation<Register>>> = BTreeMap::new();
    for operation in &history.0 {
        let answered = operation.end.as_ref().filter(|(_, what)| !refused(what));
        // What was never answered may have happened at any time after it was asked for. A write
        // that nobody read explains nothing; a deletion may always.
        let explains = operation.call.writes().is_none_or(|value| {
            let both = matches!(operation.call, Call::Both { .. });
            read.contains(value) || both && read.contains(beside(value).as_str())
        });
        if answered.is_none() && !explains {
            continue;
        }
        let ended = answered.map_or(i64::MAX, |(ended, _)| nanos(ended.0));
        for (key, act) in acts(&operation.call, answered.map(|(_, outcome)| outcome)) {
            let op = Operation { return_time: ended, ..open(operation.begun.0, act) };
            keys.entry(key).or_default().push(op);
        }
    }
    for (key, operations) in keys {
        let found = porcupine_rs::check_operations_timeout::<Register>(&operations, PATIENCE);
        if found == CheckResult::Illegal {
            let what = format!("no order explains {} operations on {key}", operations.len());
            return Err(Broken::new("search", what));
        }
    }
    Ok(())
}

/// What a call does to which key, as its answer tells it, or as it would without one.
fn acts<'a>(call: &'a Call, outcome: Option<&Outcome>) -> Vec<(&'a str, Act)> {
    let write = |value: &str| Act::Write(Some(value.to_owned()));
    match (call, outcome) {
        // Keys on leases change by themselves.
        (Call::Put { lease, .. }, _) if lease.0 != 0 => Vec::new(),
        (Call::Put { key, value, .. }, _) => vec![(key, write(value))],
        (Call::Both { key, value, other, .. }, _) => {
            vec![(key, write(value)), (other, write(&beside(value)))]
        }
        (Call::Delete { key }, _) => vec![(key, Act::Write(None))],
        (Call::Swap { key, from, .. }, Some(Outcome::Read { found, .. })) => {
            vec![(key, Act::NotSwapped(from.clone(), value(found)))]
        }
        (Call::Swap { key, from, to }, _) => vec![(key, Act::Swap(from.clone(), to.clone()))],
        (Call::Get { key }, Some(Outcome::Read { found, .. })) => {
            vec![(key, Act::Read(value(found)))]
        }
        _ => Vec::new(),
    }
}

fn open(begun: u64, op: Act) -> Operation<Register> {
    Operation {
        client_id: None,
        call_time: nanos(begun),
        return_time: i64::MAX,
        op,
        metadata: None,
    }
}

fn nanos(at: u64) -> i64 {
    i64::try_from(at).expect("runs take no centuries")
}

fn refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { .. })
}

fn read(operation: &crate::history::Operation) -> Option<&str> {
    match &operation.end {
        Some((_, Outcome::Read { found: Some((value, _)), .. })) => Some(value),
        _ => None,
    }
}

fn value(found: &Option<(String, i64)>) -> Option<String> {
    found.as_ref().map(|(value, _)| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::{Instant, LeaseId};

    fn judged(operations: Vec<(u64, Option<u64>, Call, Outcome)>) -> Result<(), Broken> {
        let mut history = History::default();
        for (begun, ended, call, outcome) in operations {
            let number = history.begin(0, call, Instant(begun));
            if let Some(ended) = ended {
                history.end(number, Instant(ended), outcome);
            }
        }
        check(&history)
    }

    fn put(value: &str) -> Call {
        Call::Put { key: "k".into(), value: value.into(), lease: LeaseId::NONE }
    }

    fn get() -> Call {
        Call::Get { key: "k".into() }
    }

    /// The search must not need revisions: they are all wrong here.
    fn wrote() -> Outcome {
        Outcome::Wrote { revision: 0, changed: true }
    }

    fn saw(value: &str) -> Outcome {
        Outcome::Read { revision: 0, found: Some((value.to_owned(), 0)) }
    }

    #[test]
    fn an_order_is_found_where_there_is_one() {
        judged(vec![
            (0, Some(1), put("a"), wrote()),
            (2, None, put("b"), wrote()),
            (3, Some(4), get(), saw("a")),
            (5, Some(6), get(), saw("b")),
        ])
        .expect("b came between the two");
    }

    #[test]
    fn a_history_without_an_order_is_seen() {
        let stale = vec![
            (0, Some(1), put("a"), wrote()),
            (2, Some(3), put("b"), wrote()),
            (4, Some(5), get(), saw("a")),
        ];
        assert!(judged(stale).is_err(), "a stale read");
        let swap = Call::Swap { key: "k".into(), from: Some("a".into()), to: "c".into() };
        let lost = vec![
            (0, Some(1), put("a"), wrote()),
            (2, Some(3), put("b"), wrote()),
            (4, Some(5), swap, wrote()),
        ];
        assert!(judged(lost).is_err(), "a swap of what was not there");
    }
}
