//! Changes in the order of revisions, as watchers hear of them.

use super::history::{Found, History};
use super::record;
use super::view::View;
use crate::command::Event;
use crate::types::LeaseId;
use alloc::vec::Vec;

/// The change that a version is.
fn event(history: &History, found: &Found<'_>) -> Event {
    let record = history.share(found);
    let key = record::key(&record);
    let before = found.prev().and_then(|at| history.get(at));
    let lease_before = before
        .as_ref()
        .filter(|before| !before.link.tombstone)
        .map_or(LeaseId::NONE, |before| record::lease(before.record));
    let prev = before.and_then(|before| history.at_revision(before.at, found.link.main - 1));
    let prev = prev.filter(|prev| !prev.link.tombstone).map(|prev| history.share(&prev));
    let (revision, tombstone) = (found.revision(), found.link.tombstone);
    Event { revision, tombstone, record, key, prev, lease_before }
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

    /// The main revision of the next change, and the change itself if its key is wanted.
    pub fn next_where(
        &mut self,
        wanted: impl FnOnce(&[u8]) -> bool,
    ) -> Option<(i64, Option<Event>)> {
        let history = &self.view.state().history;
        while self.at < history.end() {
            let found = history.get(self.at);
            self.at += 1;
            // What a raised revision left behind is no change of any key.
            if let Some(found) = found.filter(|found| !found.record.is_empty()) {
                let wanted = wanted(record::key_of(found.record));
                return Some((found.link.main, wanted.then(|| event(history, &found))));
            }
        }
        None
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.next_where(|_| true).and_then(|(_, event)| event)
    }
}
