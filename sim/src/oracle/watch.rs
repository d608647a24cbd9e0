//! What a watcher is promised (semantics §3): every change from where it began, once, in order,
//! a revision never in pieces, and no sign of progress ahead of events. A stream that broke goes
//! on behind the last revision that it saw.

use super::Broken;
use super::canon::{Canon, Change};

/// What one watcher saw, over all its streams.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The first revision that it asked for.
    pub from: i64,
    /// Its changes: main and sub revision, and what.
    pub changes: Vec<(i64, i64, Change)>,
    /// Everything up to here was promised to have been told.
    pub told: i64,
}

impl Seen {
    /// A watcher of everything from a revision on.
    #[must_use]
    pub fn from(revision: i64) -> Seen {
        Seen { from: revision, changes: Vec::new(), told: revision - 1 }
    }

    /// From which revision it goes on.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.told + 1
    }

    /// An answer with changes came.
    ///
    /// # Errors
    ///
    /// They are not new.
    pub fn heard(&mut self, changes: Vec<(i64, i64, Change)>) -> Result<(), Broken> {
        let before = self.told;
        for (main, sub, change) in changes {
            let last =
                self.changes.last().map_or((before, i64::MAX), |(main, sub, _)| (*main, *sub));
            if main <= before || (main, sub) <= last {
                let what = format!("{change:?} at {main}.{sub} comes behind {last:?}");
                return Err(Broken::new("watch", what));
            }
            self.told = self.told.max(main);
            self.changes.push((main, sub, change));
        }
        Ok(())
    }

    /// What it asked for was compacted: it begins anew, behind it.
    pub fn forgotten(&mut self, compacted: i64) {
        self.from = self.from.max(compacted);
        self.told = self.told.max(compacted - 1);
        self.changes.retain(|(main, ..)| *main >= self.from);
    }

    /// A sign of progress came.
    pub fn progressed(&mut self, revision: i64) {
        self.told = self.told.max(revision);
    }
}

/// Holds what a watcher saw against what was committed.
///
/// # Errors
///
/// The first change that it missed, or that never was.
pub fn check(seen: &Seen, canon: &Canon) -> Result<(), Broken> {
    let due = canon.changes().filter(|(main, ..)| (seen.from..=seen.told).contains(main));
    let mut seen_changes = seen.changes.iter();
    for (main, sub, change, _) in due {
        let next = seen_changes.next();
        if next.is_none_or(|(m, s, c)| (*m, *s, c) != (main, sub, change)) {
            let what = format!("{change:?} at {main}.{sub} is due, and {next:?} was seen");
            return Err(Broken::new("watch", what));
        }
    }
    match seen_changes.next() {
        None => Ok(()),
        Some(more) => Err(Broken::new("watch", format!("{more:?} was seen and never happened"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::{Instant, LeaseId};

    fn change(value: &str) -> Change {
        Change { key: "k".into(), value: Some(value.into()), lease: LeaseId::NONE }
    }

    fn canon() -> Canon {
        let mut canon = Canon::default();
        for (main, value) in [(2, "a"), (3, "b"), (4, "c")] {
            canon.told(main, "k", Some(value), Instant(0));
        }
        canon
    }

    #[test]
    fn who_saw_everything_is_content() {
        let mut seen = Seen::from(3);
        seen.heard(vec![(3, 0, change("b"))]).expect("it is new");
        seen.heard(vec![(4, 0, change("c"))]).expect("it is new");
        check(&seen, &canon()).expect("it saw everything");
    }

    #[test]
    fn what_was_missed_or_invented_or_comes_again_is_seen() {
        let mut missed = Seen::from(2);
        missed.heard(vec![(2, 0, change("a")), (4, 0, change("c"))]).expect("they rise");
        assert!(check(&missed, &canon()).is_err(), "3 is missing");

        let mut promised = Seen::from(3);
        promised.progressed(3);
        assert!(check(&promised, &canon()).is_err(), "progress ahead of an event");

        let mut invented = Seen::from(4);
        invented.heard(vec![(4, 0, change("c")), (5, 0, change("d"))]).expect("they rise");
        assert!(check(&invented, &canon()).is_err(), "5 never was");

        let mut again = Seen::from(2);
        again.heard(vec![(2, 0, change("a"))]).expect("it is new");
        assert!(again.heard(vec![(2, 0, change("a"))]).is_err(), "it came before");
        assert!(again.heard(vec![(2, 1, change("x"))]).is_err(), "a revision in pieces");
    }
}
