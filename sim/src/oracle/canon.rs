//! State machine safety (Raft §5.4.3): what one member applies at an entry, every member applies
//! there. The first to apply an entry writes the canon; all others are held to it.

use super::Broken;
use keel_core::command::AlarmKind;
use keel_core::members::Cluster;
use keel_core::mvcc::record;
use keel_core::{Batch, Event, Index, Instant, LeaseId, NodeId, Revision, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Alarms that are raised: whose, and which.
type Alarms = Vec<(NodeId, AlarmKind)>;

/// At every so many-th entry members' hashes are compared.
const HASHED: u64 = 32;

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
    /// When each key changed.
    keys: BTreeMap<String, BTreeSet<(i64, i64)>>,
    /// The term of each entry at which a member told its state.
    terms: BTreeMap<Index, Term>,
    /// The revision after each such entry.
    revisions: BTreeMap<Index, i64>,
    /// The members and the alarms after it.
    settings: BTreeMap<Index, (Arc<Cluster>, Arc<Alarms>)>,
    /// Hashes, by revision and the compacted one.
    hashes: BTreeMap<(i64, i64), u32>,
}

impl Canon {
    /// A member applied something; whether it is the first to tell of that entry.
    ///
    /// # Errors
    ///
    /// It is not what another one applied there.
    pub fn applied(&mut self, by: NodeId, batch: &Batch, now: Instant) -> Result<bool, Broken> {
        let broken = |what| Err(Broken::new("state-machine-safety", what));
        let (index, term, revision) = (batch.view.index, batch.view.term, batch.view.kv.revision());
        let first = !self.terms.contains_key(&index);
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
            let known = self.enter((main, sub), change.clone(), now);
            if *known != change {
                return broken(format!("{by} has {change:?} at {main}.{sub}, another {known:?}"));
            }
        }
        let view = &batch.view;
        let (cluster, alarms) =
            self.settings.entry(index).or_insert((view.cluster.clone(), view.alarms.clone()));
        if *cluster != view.cluster || *alarms != view.alarms {
            let (mine, theirs) = ((&view.cluster, &view.alarms), (cluster, alarms));
            return broken(format!("after {index:?} {by} has {mine:?}, another {theirs:?}"));
        }
        if index.0.is_multiple_of(HASHED)
            && let Ok(hash) = view.kv.hash(revision)
        {
            let known = *self.hashes.entry((revision, hash.compacted)).or_insert(hash.hash);
            if known != hash.hash {
                return broken(format!(
                    "at {revision} {by} hashes to {hash:?}, another to {known}"
                ));
            }
        }
        Ok(first)
    }

    /// Enters a change where none is known yet; gives the one that is known.
    fn enter(&mut self, at: (i64, i64), change: Change, now: Instant) -> &Change {
        if !self.changes.contains_key(&at) {
            self.keys.entry(change.key.clone()).or_default().insert(at);
        }
        &self.changes.entry(at).or_insert((change, now)).0
    }

    /// All changes, in order: main and sub revision, what, and when somebody first applied it.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = (i64, i64, &Change, Instant)> {
        self.changes.iter().map(|((main, sub), (change, at))| (*main, *sub, change, *at))
    }

    /// What a key holds at a revision, and which one wrote it.
    #[must_use]
    pub fn at(&self, key: &str, revision: i64) -> Option<(&str, i64)> {
        let &(main, sub) = self.keys.get(key)?.range(..=(revision, i64::MAX)).next_back()?;
        let (change, _) = &self.changes[&(main, sub)];
        change.value.as_deref().map(|value| (value, main))
    }

    /// Where in its revision a key changed: those who watch are told the revision only.
    #[must_use]
    pub fn place(&self, key: &str, revision: i64) -> Option<i64> {
        let mut places = self.keys.get(key)?.range((revision, 0)..=(revision, i64::MAX));
        places.next().map(|(_, sub)| *sub)
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
        self.enter((main, 0), change, Instant(0));
    }

    /// Puts a change in, as a test wants it.
    #[cfg(test)]
    pub(crate) fn told(&mut self, main: i64, key: &str, value: Option<&str>, at: Instant) {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        self.enter((main, 0), Change { key, value, lease: LeaseId::NONE }, at);
    }

    /// One of several changes of a revision, as a test wants it.
    #[cfg(test)]
    pub(crate) fn piece(&mut self, main: i64, sub: i64, key: &str, value: &str) {
        let (key, value) = (key.to_owned(), Some(value.to_owned()));
        self.enter((main, sub), Change { key, value, lease: LeaseId::NONE }, Instant(0));
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
