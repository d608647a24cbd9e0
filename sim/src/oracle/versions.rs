//! What a key's record counts (semantics §1.1): the revision that made the key, and how many
//! versions it has had since.

use super::Broken;
use keel_core::Event;
use keel_core::mvcc::record;
use std::collections::BTreeMap;

/// What the records of all changes say.
#[derive(Clone, Debug, Default)]
pub struct Versions(BTreeMap<(i64, i64), Counted>);

#[derive(Clone, Debug)]
struct Counted {
    key: Vec<u8>,
    /// The revision that made the key, and its version; nothing for a deletion.
    count: Option<(i64, i64)>,
}

impl Versions {
    /// A member applied these. What another one applied before is known.
    pub fn applied(&mut self, events: &[Event]) {
        for event in events {
            let fields = record::fields(&event.record);
            let count = (!event.tombstone).then_some((fields.create, fields.version));
            let counted = Counted { key: event.key.to_vec(), count };
            self.0.entry((event.revision.main, event.revision.sub)).or_insert(counted);
        }
    }

    /// Counts again.
    ///
    /// # Errors
    ///
    /// The first record that counts otherwise.
    pub fn check(&self) -> Result<(), Broken> {
        let mut newest: BTreeMap<&[u8], (i64, i64)> = BTreeMap::new();
        for ((main, sub), Counted { key, count }) in &self.0 {
            let Some(count) = count else {
                newest.remove(key.as_slice());
                continue;
            };
            let before = newest.get(key.as_slice());
            let due = before.map_or((*main, 1), |(create, version)| (*create, version + 1));
            if *count != due {
                let key = String::from_utf8_lossy(key);
                let what = format!("{key} at {main}.{sub} counts {count:?}, and should {due:?}");
                return Err(Broken::new("versions", what));
            }
            newest.insert(key, due);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::command::{Delete, Keys, Put};
    use keel_core::mvcc::Store;

    /// A key is put twice, deleted, and put again.
    fn events() -> Vec<Event> {
        let mut store = Store::new();
        let put = Put { key: "k".into(), value: "v".into(), ..Put::default() };
        for _ in 0..2 {
            store.put(&put, &|_| true).expect("a put is taken");
        }
        store.delete(&Delete { keys: Keys::One("k".into()), prev_kv: false });
        store.put(&put, &|_| true).expect("a put is taken");
        store.take_events()
    }

    #[test]
    fn who_counts_right_is_believed_and_who_skips_a_version_is_seen() {
        let mut versions = Versions::default();
        versions.applied(&events());
        versions.check().expect("it counts as etcd does");

        let mut skipped = Versions::default();
        skipped.applied(&events()[1..]);
        assert!(skipped.check().is_err(), "a second version without a first");
        let mut outlived = Versions::default();
        let mut without_deletion = events();
        without_deletion.remove(2);
        outlived.applied(&without_deletion);
        assert!(outlived.check().is_err(), "a key is made twice and was never gone");
    }
}
