//! State machine safety (Raft §5.4.3): what one member applies at an entry, every member applies
//! there. The first to apply an entry writes the canon; all others are held to it.

use super::Broken;
use keel_core::mvcc::record;
use keel_core::{Batch, Event, Index, Instant, LeaseId, NodeId, Revision, Term};
use std::collections::BTreeMap;

/// A change that is committed for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of which key.
    pub key: String,
    /// Its new value; nothing for a deletion.
    pub value: Option<String>,
    /// The lease that it hangs on.
    pub lease: LeaseId,
}

impl Change {
    /// What an event says.
    #[must_use]
    pub fn of(event: &Event) -> Change {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = record::fields(&event.record);
        let value = (!event.tombstone).then(|| text(fields.value));
        let lease = if event.tombstone { LeaseId::NONE } else { fields.lease };
        Change { key: text(&event.key), value, lease }
    }
}

/// The one history, as far as anybody has applied it.
#[derive(Clone, Debug, Default)]
pub struct Canon {
    changes: BTreeMap<(i64, i64), (Change, Instant)>,
    /// The term of each entry at which a member told its state.
    terms: BTreeMap<Index, Term>,
    /// The revision after each such entry.
    revisions: BTreeMap<Index, i64>,
}

impl Canon {
    /// A member applied something.
    ///
    /// # Errors
    ///
    /// It is not what another one applied there.
    pub fn applied(&mut self, by: NodeId, batch: &Batch, now: Instant) -> Result<(), Broken> {
        let broken = |what| Err(Broken::new("state-machine-safety", what));
        let (index, term, revision) = (batch.view.index, batch.view.term, batch.view.kv.revision());
        let known = *self.terms.entry(index).or_insert(term);
        if known != term {
            return broken(format!(
                "{by} applied entry {index:?} of {term:?}, another of {known:?}"
            ));
        }
        let known = *self.revisions.entry(index).or_insert(revision);
        if known != revision {
            return broken(format!(
                "after entry {index:?} {by} is at revision {revision}, another at {known}"
            ));
        }
        for event in &batch.events {
            let Revision { main, sub } = event.revision;
            let change = Change::of(event);
            let (known, _) = self.changes.entry((main, sub)).or_insert((change.clone(), now));
            if *known != change {
                return broken(format!("{by} has {change:?} at {main}.{sub}, another {known:?}"));
            }
        }
        Ok(())
    }

    /// All changes, in order: main and sub revision, what, and when somebody first applied it.
    pub fn changes(&self) -> impl Iterator<Item = (i64, i64, &Change, Instant)> {
        self.changes.iter().map(|((main, sub), (change, at))| (*main, *sub, change, *at))
    }

    /// The newest revision that changed something.
    #[must_use]
    pub fn head(&self) -> i64 {
        self.changes.last_key_value().map_or(1, |((main, _), _)| *main)
    }

    /// What every key holds in the end.
    #[must_use]
    pub fn state(&self) -> BTreeMap<&str, &str> {
        let mut state = BTreeMap::new();
        for (change, _) in self.changes.values() {
            match &change.value {
                Some(value) => state.insert(change.key.as_str(), value.as_str()),
                None => state.remove(change.key.as_str()),
            };
        }
        state
    }

    /// Puts a key on a lease, as a test wants it.
    #[cfg(test)]
    pub(crate) fn hung(&mut self, main: i64, key: &str, lease: LeaseId) {
        let change = Change { key: key.to_owned(), value: Some(main.to_string()), lease };
        self.changes.insert((main, 0), (change, Instant(0)));
    }

    /// Puts a change in, as a test wants it.
    #[cfg(test)]
    pub(crate) fn told(&mut self, main: i64, key: &str, value: Option<&str>, at: Instant) {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        self.changes.insert((main, 0), (Change { key, value, lease: LeaseId::NONE }, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::mvcc::Store;
    use keel_core::{View, command::Put};

    fn batch(value: &'static str, term: u64) -> Batch {
        let mut store = Store::new();
        let put = Put { key: "k".into(), value: value.into(), ..Put::default() };
        store.put(&put, &|_| true).expect("a put is taken");
        let events = store.take_events();
        let view = View {
            kv: store.view(),
            index: Index(5),
            term: Term(term),
            alarms: Default::default(),
            cluster: Default::default(),
        };
        Batch { view, before: 1, events }
    }

    #[test]
    fn members_that_apply_the_same_agree() {
        let mut canon = Canon::default();
        for member in 1..=3 {
            canon.applied(NodeId(member), &batch("a", 2), Instant(0)).expect("they agree");
        }
        assert_eq!(canon.state(), [("k", "a")].into());
    }

    #[test]
    fn a_member_that_applies_something_else_is_seen() {
        let mut canon = Canon::default();
        canon.applied(NodeId(1), &batch("a", 2), Instant(0)).expect("it is the first");
        assert!(canon.applied(NodeId(2), &batch("b", 2), Instant(0)).is_err(), "another value");
        assert!(canon.applied(NodeId(2), &batch("a", 3), Instant(0)).is_err(), "another term");
    }
}
