//! A second opinion on a history: a search for an order, by a checker that somebody else wrote and
//! that knows nothing of revisions. Each key is a register.

use crate::history::{Done, Kind, Unanswered};
use porcupine_rs::{CheckResult, Model, Operation};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long the search may take a key.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Register;

#[derive(Clone, Debug)]
enum Act {
    Write(String),
    Read(Option<String>),
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
            Act::Write(value) => (true, Some(value.clone())),
            Act::Read(seen) => (seen == state, state.clone()),
        }
    }
}

/// Fails where no order of what clients did explains what they saw.
pub(crate) fn explain(done: &[Done], unknown: &BTreeMap<String, Unanswered>) {
    let Some(zero) = done.iter().map(|one| one.begun).min() else { return };
    let nanos = |at: Instant| i64::try_from(at.saturating_duration_since(zero).as_nanos());
    let nanos = |at| nanos(at).expect("tests take no centuries");
    let operation = |call_time, return_time, op| Operation::<Register> {
        client_id: None,
        call_time,
        return_time,
        op,
        metadata: None,
    };
    let mut keys: BTreeMap<usize, Vec<Operation<Register>>> = BTreeMap::new();
    let mut read = BTreeSet::new();
    for one in done {
        let act = match &one.kind {
            Kind::Write(value) => Act::Write(value.clone()),
            Kind::Read(seen) => {
                read.extend(seen.as_ref().map(|(value, _)| value));
                Act::Read(seen.as_ref().map(|(value, _)| value.clone()))
            }
        };
        let one_more = operation(nanos(one.begun), nanos(one.ended), act);
        keys.entry(one.key).or_default().push(one_more);
    }
    // A write without an answer may have happened at any time after it was asked for. One that
    // nobody read explains nothing.
    for (value, asked) in unknown.iter().filter(|(value, _)| read.contains(value)) {
        let one_more = operation(nanos(asked.begun), i64::MAX, Act::Write(value.clone()));
        keys.entry(asked.key).or_default().push(one_more);
    }
    for (key, operations) in keys {
        let found = porcupine_rs::check_operations_timeout::<Register>(&operations, PATIENCE);
        let count = operations.len();
        assert!(found != CheckResult::Illegal, "no order explains {count} operations on key {key}");
        // Here the revisions have said enough.
        if found == CheckResult::Unknown {
            eprintln!("the search for an order of {count} operations on key {key} took too long");
        }
    }
}
