//! Linearizability without a search: a revision says where an operation stands in the one order,
//! so the order that was told is checked, against the values and against real time. What was
//! acknowledged is in the canon for ever; what was refused or never answered is in it once at
//! most, and not before it was asked for.

use super::Broken;
use super::canon::Canon;
use crate::history::{Call, History, Operation, Outcome, beside};
use keel_core::Instant;
use std::collections::BTreeMap;

/// The versions of each key, by revision; nothing for a deletion.
type Versions<'a> = BTreeMap<&'a str, BTreeMap<i64, Option<&'a str>>>;

/// Holds what clients saw against what was committed; gives how many operations had happened
/// without an answer.
///
/// # Errors
///
/// The first operation that no order explains.
pub fn check(history: &History, canon: &Canon) -> Result<usize, Broken> {
    let mut versions = Versions::new();
    let mut written: BTreeMap<&str, i64> = BTreeMap::new();
    for (main, _, change, _) in canon.changes() {
        let value = change.value.as_deref();
        versions.entry(&change.key).or_default().insert(main, value);
        if let Some(value) = value
            && let Some(before) = written.insert(value, main)
        {
            let what = format!("{value:?} is written at {before} and again at {main}");
            return Err(Broken::new("linearizable", what));
        }
    }
    let mut points = Vec::new();
    let mut asked: BTreeMap<String, &Operation> = BTreeMap::new();
    for operation in &history.0 {
        if let Some(value) = operation.call.writes() {
            asked.insert(value.to_owned(), operation);
        }
        if let Call::Both { value, .. } = &operation.call {
            asked.insert(beside(value), operation);
        }
        if let Some(point) = placed(operation, &versions, &written)? {
            points.push(point);
        }
    }
    for (value, revision) in &written {
        if !asked.contains_key(*value) {
            let what = format!("nobody asked for {value:?}, which is written at {revision}");
            return Err(Broken::new("linearizable", what));
        }
    }
    let silent = points.iter().filter(|point| point.ended.is_none()).count();
    in_real_time(points)?;
    Ok(silent)
}

/// Where an operation stands in the order.
struct Point<'a> {
    operation: &'a Operation,
    revision: i64,
    changes: bool,
    ended: Option<Instant>,
}

/// Finds an operation's place, and checks what it saw there.
fn placed<'a>(
    operation: &'a Operation,
    versions: &Versions<'_>,
    written: &BTreeMap<&str, i64>,
) -> Result<Option<Point<'a>>, Broken> {
    let broken = |why: String| Err(Broken::new("linearizable", format!("{why}: {operation:?}")));
    let point = |revision, changes, ended| Point { operation, revision, changes, ended };
    let happened = operation.call.writes().and_then(|value| written.get(value)).copied();
    if let (Some(at), Call::Swap { key, from, .. }) = (happened, &operation.call) {
        let before = seen_at(versions, key, at - 1).map(|(value, _)| value);
        if before != from.as_deref() {
            return broken(format!("{before:?} was there, and it was swapped"));
        }
    }
    if let Call::Both { value, .. } = &operation.call {
        let other = written.get(beside(value).as_str()).copied();
        if other != happened {
            return broken(format!("one key is written at {happened:?}, the other at {other:?}"));
        }
    }
    let Some((ended, outcome)) = &operation.end else {
        return Ok(happened.map(|revision| point(revision, true, None)));
    };
    match (outcome, &operation.call) {
        (Outcome::Refused { .. }, _) => Ok(happened.map(|at| point(at, true, None))),
        (Outcome::Wrote { revision, changed: true }, Call::Delete { key }) => {
            let gone = versions.get(key.as_str()).and_then(|of| of.get(revision));
            if gone != Some(&None) {
                return broken(String::from("acknowledged, and not deleted there"));
            }
            Ok(Some(point(*revision, true, Some(*ended))))
        }
        (Outcome::Wrote { revision, changed: true }, _) => {
            if happened != Some(*revision) {
                return broken(format!("acknowledged, and written at {happened:?}"));
            }
            Ok(Some(point(*revision, true, Some(*ended))))
        }
        (Outcome::Wrote { revision, changed: false }, Call::Delete { key }) => {
            match seen_at(versions, key, *revision) {
                None => Ok(Some(point(*revision, false, Some(*ended)))),
                Some(there) => broken(format!("nothing to delete, but {there:?} was there")),
            }
        }
        (
            Outcome::Read { revision, found },
            Call::Get { key } | Call::Stale { key } | Call::Swap { key, .. },
        ) => {
            let there = seen_at(versions, key, *revision);
            let found = found.as_ref().map(|(value, at)| (value.as_str(), *at));
            if found != there {
                return broken(format!("{there:?} was there"));
            }
            if let Call::Swap { from, .. } = &operation.call {
                if happened.is_some() {
                    return broken(String::from("it says that it only read"));
                }
                if found.map(|(value, _)| value) == from.as_deref() {
                    return broken(String::from("it held what was asked for, and only read"));
                }
            }
            let stale = matches!(operation.call, Call::Stale { .. });
            Ok((!stale).then(|| point(*revision, false, Some(*ended))))
        }
        (Outcome::Lease { .. } | Outcome::Done, _) => Ok(None),
        _ => broken(String::from("an answer to another question")),
    }
}

/// What a key holds at a revision, and which revision wrote it.
fn seen_at<'a>(versions: &Versions<'a>, key: &str, revision: i64) -> Option<(&'a str, i64)> {
    let (at, value) = versions.get(key)?.range(..=revision).next_back()?;
    value.map(|value| (value, *at))
}

/// Whoever began after another had ended stands behind it.
fn in_real_time(mut points: Vec<Point<'_>>) -> Result<(), Broken> {
    let mut ended: Vec<(Instant, i64)> =
        points.iter().filter_map(|point| Some((point.ended?, point.revision))).collect();
    ended.sort_unstable();
    points.sort_by_key(|point| point.operation.begun);
    let mut ended = ended.into_iter().peekable();
    let mut newest = 0;
    for point in points {
        while let Some((_, revision)) = ended.next_if(|(at, _)| *at < point.operation.begun) {
            newest = newest.max(revision);
        }
        let behind = if point.changes { point.revision > newest } else { point.revision >= newest };
        if !behind {
            let what = format!(
                "revision {newest} was answered before this began at revision {}: {:?}",
                point.revision, point.operation
            );
            return Err(Broken::new("linearizable", what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::LeaseId;

    const KEY: &str = "k";

    fn put(value: &str) -> Call {
        Call::Put { key: KEY.into(), value: value.into(), lease: LeaseId::NONE }
    }

    fn get() -> Call {
        Call::Get { key: KEY.into() }
    }

    fn wrote(revision: i64) -> Outcome {
        Outcome::Wrote { revision, changed: true }
    }

    fn read(revision: i64, found: Option<(&str, i64)>) -> Outcome {
        Outcome::Read { revision, found: found.map(|(value, at)| (value.to_owned(), at)) }
    }

    /// `a` is written at revision 2 and `b` at 3; then come these operations: begin, end, what.
    fn judged(operations: Vec<(u64, u64, Call, Option<Outcome>)>) -> Result<usize, Broken> {
        let mut canon = Canon::default();
        canon.told(2, KEY, Some("a"), Instant(0));
        canon.told(3, KEY, Some("b"), Instant(0));
        let mut history = History::default();
        for (begun, ended, call, outcome) in operations {
            let number = history.begin(0, call, Instant(begun));
            if let Some(outcome) = outcome {
                history.end(number, Instant(ended), outcome);
            }
        }
        check(&history, &canon)
    }

    #[test]
    fn an_honest_history_passes() {
        let silent = judged(vec![
            (0, 1, put("a"), Some(wrote(2))),
            (0, 9, put("b"), None),
            (2, 3, get(), Some(read(2, Some(("a", 2))))),
            (4, 5, get(), Some(read(3, Some(("b", 3))))),
        ])
        .expect("it is honest");
        assert_eq!(silent, 1, "b was never answered, and is there");
    }

    #[test]
    fn every_lie_is_seen() {
        let a = || (0, 1, put("a"), Some(wrote(2)));
        let b = || (2, 3, put("b"), Some(wrote(3)));
        let lies = [
            ("a stale read", vec![a(), b(), (4, 5, get(), Some(read(2, Some(("a", 2)))))]),
            ("a lost write", vec![a(), b(), (4, 5, put("c"), Some(wrote(4)))]),
            ("a wrong value", vec![a(), b(), (4, 5, get(), Some(read(3, Some(("a", 2)))))]),
            ("a missing value", vec![a(), b(), (4, 5, get(), Some(read(3, None)))]),
            ("a value of nobody", vec![a()]),
            (
                "half a transaction",
                vec![
                    a(),
                    (
                        2,
                        3,
                        Call::Both {
                            key: KEY.into(),
                            value: "b".into(),
                            other: "l".into(),
                            past: 0,
                        },
                        Some(wrote(3)),
                    ),
                ],
            ),
            ("an order against time", vec![(4, 5, put("a"), Some(wrote(2))), b()]),
            (
                "a write before it was asked for",
                vec![
                    a(),
                    b(),
                    (4, 5, get(), Some(read(3, Some(("b", 3))))),
                    (6, 7, put("b"), None),
                ],
            ),
        ];
        for (lie, operations) in lies {
            assert!(judged(operations).is_err(), "{lie} passes");
        }
    }
}
