//! Changes in the order of revisions, as watchers hear of them.

use super::history::{Found, History};
use super::record;
use super::view::View;
use crate::command::{Event, Keys};
use alloc::vec::Vec;

/// The change that a version is.
fn event(history: &History, found: &Found<'_>) -> Event {
    let record = history.share(found);
    let key = record::key(&record);
    let prev = found.prev().and_then(|at| history.get(at)).filter(|prev| !prev.link.tombstone);
    let prev = prev.map(|prev| history.share(&prev));
    Event { revision: found.revision(), tombstone: found.link.tombstone, record, key, prev }
}

/// All changes from a position on.
pub(super) fn between(history: &History, from: u64) -> Vec<Event> {
    history.scan(from).map(|found| event(history, &found)).collect()
}

/// A walk through a view's changes that can stop anywhere and go on later.
#[derive(Clone, Debug)]
pub struct Events {
    view: View,
    at: u64,
}

impl Events {
    /// Begins at a main revision.
    pub(super) fn new(view: View, from: i64) -> Events {
        let at = view.state().history.position_of(from);
        Events { view, at }
    }

    /// The next change of these keys, looking at no more than `budget` positions, which it
    /// takes what it used from. `None` at the end, or when the budget is used up.
    pub fn next_of(&mut self, keys: &Keys, budget: &mut usize) -> Option<Event> {
        let history = &self.view.state().history;
        while self.at < history.end() && *budget > 0 {
            *budget -= 1;
            let found = history.get(self.at);
            self.at += 1;
            if let Some(found) = found.filter(|found| keys.contain(record::key_of(found.record))) {
                return Some(event(history, &found));
            }
        }
        None
    }

    /// The next change of any key.
    pub fn next_any(&mut self) -> Option<Event> {
        self.next_of(&Keys::All, &mut usize::MAX.clone())
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.at >= self.view.state().history.end()
    }

    /// The main revision of what comes next: everything before it was seen.
    #[must_use]
    pub fn revision(&self) -> i64 {
        let state = self.view.state();
        let next = state.history.scan(self.at).next();
        next.map_or(state.revision + 1, |found| found.link.main)
    }
}
