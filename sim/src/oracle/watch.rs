//! What a watcher is promised (semantics §3): every change that it asked for, from where it began,
//! once, in order, a revision in pieces only where it allowed that, the version before beside it
//! where it wanted that, and no sign of progress ahead of events, behind them, or before the revision
//! from which it wants to hear at all. A stream that broke goes on
//! behind the last revision that it saw. It is told that something is forgotten only where it was.

use super::Broken;
use super::canon::{Canon, Change};
use crate::history::{Call, History};
use keel_core::command::Keys;

/// What a watcher asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which keys.
    pub keys: Keys,
    /// Deletions only.
    pub no_put: bool,
    /// Puts only.
    pub no_delete: bool,
    /// The version before, too.
    pub prev_kv: bool,
    /// A revision may come in pieces.
    pub fragment: bool,
}

impl Wish {
    /// Everything, whole.
    #[must_use]
    pub fn all() -> Wish {
        Wish { keys: Keys::All, no_put: false, no_delete: false, prev_kv: false, fragment: false }
    }

    fn wants(&self, change: &Change) -> bool {
        let leave_out = if change.value.is_some() { self.no_put } else { self.no_delete };
        !leave_out && self.keys.contain(change.key.as_bytes())
    }
}

/// One change as a watcher heard it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Main and sub revision.
    pub at: (i64, i64),
    /// What.
    pub change: Change,
    /// The value before and the revision that wrote it, if that came with it.
    pub prev: Option<(String, i64)>,
}

/// What one watcher saw, over all its streams.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it asked for.
    pub wish: Wish,
    /// The first revision that it asked for.
    pub from: i64,
    /// Its changes.
    pub changes: Vec<Heard>,
    /// Everything up to here was promised to have been told.
    pub told: i64,
    /// What it was told to be forgotten, each time.
    pub forgotten: Vec<i64>,
    /// From where its stream goes.
    opened: i64,
}

impl Seen {
    /// A watcher that begins at a revision.
    #[must_use]
    pub fn from(revision: i64, wish: Wish) -> Seen {
        let (changes, forgotten) = (Vec::new(), Vec::new());
        Seen { wish, from: revision, changes, told: revision - 1, forgotten, opened: revision }
    }

    /// From which revision it goes on.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.told + 1
    }

    /// A stream is opened, from the next revision on: it is silent until that is there.
    pub fn opens(&mut self) {
        self.opened = self.next();
    }

    /// An answer with changes came; more of its last revision may follow.
    ///
    /// # Errors
    ///
    /// They are not new, or in pieces that nobody asked for.
    pub fn heard(&mut self, changes: Vec<Heard>, more: bool) -> Result<(), Broken> {
        if more && !self.wish.fragment {
            return Err(Broken::new("watch", "an answer in pieces that nobody asked for"));
        }
        let before = self.told;
        for heard in changes {
            let last = self.changes.last().map_or((before, i64::MAX), |last| last.at);
            if heard.at.0 <= before || heard.at <= last {
                let what = format!("{:?} at {:?} comes behind {last:?}", heard.change, heard.at);
                return Err(Broken::new("watch", what));
            }
            // While more of a revision follows, the one before is the last that is whole.
            self.told = self.told.max(heard.at.0 - i64::from(more));
            self.changes.push(heard);
        }
        Ok(())
    }

    /// The stream broke: of a revision that came in pieces, the pieces come again.
    pub fn broke(&mut self) {
        let told = self.told;
        self.changes.retain(|heard| heard.at.0 <= told);
    }

    /// What it asked for was compacted: it begins anew, behind it.
    pub fn forgot(&mut self, compacted: i64) {
        self.forgotten.push(compacted);
        self.from = self.from.max(compacted);
        self.told = self.told.max(compacted - 1);
        let from = self.from;
        self.changes.retain(|heard| heard.at.0 >= from);
    }

    /// A sign of progress came.
    ///
    /// # Errors
    ///
    /// It lies behind what was told, or before what was asked for.
    pub fn progressed(&mut self, revision: i64) -> Result<(), Broken> {
        if revision < self.told.max(self.opened) {
            let Seen { told, opened, .. } = self;
            let what = format!("progress to {revision}, told up to {told}, asked from {opened}");
            return Err(Broken::new("watch", what));
        }
        self.told = revision;
        Ok(())
    }

    /// The newest change that it still has to hear of.
    #[must_use]
    pub fn lacks(&self, canon: &Canon) -> Option<i64> {
        let newest = canon.changes().rev().find(|(_, _, change, _)| self.wish.wants(change));
        newest.map(|(main, ..)| main).filter(|main| *main > self.told)
    }
}

/// Holds what a watcher saw against what was committed, and what was compacted.
///
/// # Errors
///
/// The first change that it missed, or that never was.
pub fn check(seen: &Seen, canon: &Canon, history: &History) -> Result<(), Broken> {
    let broken = |what| Err(Broken::new("watch", what));
    let compactions: Vec<i64> = history.0.iter().filter_map(compacts).collect();
    if let Some(never) = seen.forgotten.iter().find(|at| !compactions.contains(at)) {
        return broken(format!("it is told that {never} is compacted, which nobody asked for"));
    }
    let due = canon.changes().filter(|(main, ..)| (seen.from..=seen.told).contains(main));
    let due = due.filter(|(_, _, change, _)| seen.wish.wants(change));
    let mut heard = seen.changes.iter().filter(|heard| heard.at.0 <= seen.told);
    for (main, sub, change, _) in due {
        match heard.next() {
            Some(next) if next.at == (main, sub) && next.change == *change => {
                previous(seen, next, canon, &compactions)?;
            }
            next => {
                return broken(format!("{change:?} at {main}.{sub} is due, and {next:?} was seen"));
            }
        }
    }
    match heard.next() {
        None => Ok(()),
        Some(more) => broken(format!("{more:?} was seen and is not due")),
    }
}

fn compacts(operation: &crate::history::Operation) -> Option<i64> {
    match operation.call {
        Call::Compact { revision } => Some(revision),
        _ => None,
    }
}

/// The version before is the one at the revision before, if that was not compacted meanwhile.
fn previous(seen: &Seen, heard: &Heard, canon: &Canon, compactions: &[i64]) -> Result<(), Broken> {
    let main = heard.at.0;
    let before = canon.at(&heard.change.key, main - 1);
    let there = before.map(|(value, at)| (value.to_owned(), at)).filter(|_| seen.wish.prev_kv);
    let gone = heard.prev.is_none() && compactions.iter().any(|revision| *revision >= main);
    if heard.prev == there || gone {
        return Ok(());
    }
    let what = format!("{heard:?} comes with a version before that is not {there:?}");
    Err(Broken::new("watch", what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::{Instant, LeaseId};

    fn change(value: &str) -> Change {
        Change { key: "k".into(), value: Some(value.into()), lease: LeaseId::NONE }
    }

    fn heard(main: i64, sub: i64, value: &str) -> Heard {
        Heard { at: (main, sub), change: change(value), prev: None }
    }

    fn canon() -> Canon {
        let mut canon = Canon::default();
        for (main, value) in [(2, "a"), (3, "b"), (4, "c")] {
            canon.told(main, "k", Some(value), Instant(0));
        }
        canon
    }

    fn judged(seen: &Seen) -> Result<(), Broken> {
        check(seen, &canon(), &History::default())
    }

    #[test]
    fn who_saw_everything_is_content() {
        let mut seen = Seen::from(3, Wish::all());
        seen.heard(vec![heard(3, 0, "b")], false).expect("it is new");
        assert_eq!(seen.lacks(&canon()), Some(4));
        seen.heard(vec![heard(4, 0, "c")], false).expect("it is new");
        judged(&seen).expect("it saw everything");
        assert_eq!(seen.lacks(&canon()), None);

        let mut deletions = Seen::from(2, Wish { no_put: true, ..Wish::all() });
        deletions.progressed(4).expect("it rises");
        judged(&deletions).expect("nothing was deleted");
    }

    #[test]
    fn what_was_missed_or_invented_or_comes_again_is_seen() {
        let mut missed = Seen::from(2, Wish::all());
        missed.heard(vec![heard(2, 0, "a"), heard(4, 0, "c")], false).expect("they rise");
        assert!(judged(&missed).is_err(), "3 is missing");

        let mut promised = Seen::from(3, Wish::all());
        promised.progressed(3).expect("it rises");
        assert!(judged(&promised).is_err(), "progress ahead of an event");

        let mut back = Seen::from(2, Wish::all());
        back.heard(vec![heard(3, 0, "b")], false).expect("it is new");
        assert!(back.progressed(2).is_err(), "it was told of 3");
        let mut early = Seen::from(9, Wish::all());
        assert!(early.progressed(8).is_err(), "9 is not there yet");
        assert!(early.heard(vec![heard(8, 0, "x")], false).is_err(), "it asked from 9 on");

        let mut invented = Seen::from(4, Wish::all());
        invented.heard(vec![heard(4, 0, "c"), heard(5, 0, "d")], false).expect("they rise");
        assert!(judged(&invented).is_err(), "5 never was");

        let mut unwanted = Seen::from(2, Wish { no_put: true, ..Wish::all() });
        unwanted.heard(vec![heard(2, 0, "a")], false).expect("it is new");
        assert!(judged(&unwanted).is_err(), "it is filtered");

        let mut again = Seen::from(2, Wish::all());
        again.heard(vec![heard(2, 0, "a")], false).expect("it is new");
        assert!(again.heard(vec![heard(2, 0, "a")], false).is_err(), "it came before");
        assert!(again.heard(vec![heard(2, 1, "x")], false).is_err(), "a revision in pieces");
        assert!(again.heard(vec![heard(3, 0, "b")], true).is_err(), "pieces it did not allow");

        let mut forgot = Seen::from(2, Wish::all());
        forgot.forgot(3);
        assert!(judged(&forgot).is_err(), "nobody compacted");
    }

    #[test]
    fn the_version_before_is_the_one_before() {
        let told = |prev: Option<(&str, i64)>, compacted| {
            let mut seen = Seen::from(3, Wish { prev_kv: true, ..Wish::all() });
            let prev = prev.map(|(value, at)| (value.to_owned(), at));
            seen.heard(vec![Heard { prev, ..heard(3, 0, "b") }], false).expect("it is new");
            let mut history = History::default();
            history.begin(0, Call::Compact { revision: compacted }, Instant(0));
            check(&seen, &canon(), &history)
        };
        told(Some(("a", 2)), 0).expect("it was there");
        told(None, 3).expect("it is forgotten");
        assert!(told(None, 2).is_err(), "it is not forgotten");
        assert!(told(Some(("a", 1)), 0).is_err(), "another revision");
        assert!(told(Some(("z", 2)), 3).is_err(), "another value");
    }

    #[test]
    fn pieces_of_a_revision_are_joined_and_come_again_where_the_stream_broke() {
        let mut canon = canon();
        canon.piece(5, 0, "k", "d");
        canon.piece(5, 1, "l", "e");
        let piece = |sub, key: &str, value: &str| Heard {
            at: (5, sub),
            change: Change { key: key.into(), ..change(value) },
            prev: None,
        };
        let mut seen = Seen::from(5, Wish { fragment: true, ..Wish::all() });
        seen.heard(vec![piece(0, "k", "d")], true).expect("a piece");
        assert_eq!(seen.next(), 5, "the revision is not whole");
        seen.broke();
        seen.heard(vec![piece(0, "k", "d")], true).expect("the same piece");
        seen.heard(vec![piece(1, "l", "e")], false).expect("the other piece");
        assert_eq!(seen.next(), 6);
        check(&seen, &canon, &History::default()).expect("it saw both");
    }
}
