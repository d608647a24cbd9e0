//! The key space: its stories (see `tests/golden/mvcc`) and its properties.

mod property;
#[path = "../lease/script.rs"]
mod script;
mod story;

#[test]
fn stories() {
    script::play_all("mvcc", story::Story::new, story::run);
}

/// The number comes from a file, so it may be any.
#[test]
fn a_compacted_revision_without_end_brings_nobody_down() {
    let record = keel_core::mvcc::record::encode;
    let mut bytes = Vec::new();
    let fields = keel_core::mvcc::record::Fields { key: b"k", ..Default::default() };
    record(&fields, &mut bytes);
    let at = keel_core::Revision { main: 2, sub: 0 };
    let records = [(at, false, bytes::Bytes::from(bytes))];
    let store = keel_core::mvcc::Store::from_records(records, 2, i64::MAX).expect("a store");
    assert_eq!(store.compacted(), i64::MAX);
}

/// A chunk is written anew only when half of it has died. A tombstone may so be gone from its
/// chunk while the version that it deleted still lies in another one.
#[test]
fn what_was_deleted_and_compacted_is_dead_after_a_restart() {
    let mut store = keel_core::mvcc::Store::new();
    let put = |store: &mut keel_core::mvcc::Store, key: String| {
        let put =
            keel_core::command::Put { key: key.into(), value: "v".into(), ..Default::default() };
        store.put(&put, &|_| true).expect("a put is taken");
    };
    let delete = |store: &mut keel_core::mvcc::Store, key: &'static str| {
        let keys = keel_core::Keys::One(key.into());
        store.delete(&keel_core::command::Delete { keys, prev_kv: false });
    };
    // The first chunk keeps all but two of its records.
    for nth in 0..64 {
        put(&mut store, format!("a{nth}"));
    }
    // The second loses nearly all, the tombstones among them.
    delete(&mut store, "a1");
    delete(&mut store, "a2");
    for _ in 0..70 {
        put(&mut store, String::from("b"));
    }
    put(&mut store, String::from("a2"));
    store.compact(store.revision()).expect("it is the newest");
    while store.compact_step(7) != keel_core::mvcc::Compaction::Idle {}
    let again = story::reopened(&store);
    assert_eq!(again.view().get(b"a1"), None, "it was deleted");
    assert_eq!(again.view().hash(0), store.view().hash(0));
    assert_eq!(again.usage(), store.usage());
}

/// What a restore with a raised revision leaves in a database: it counts for hashes, since etcd
/// counts it, and nobody sees it.
#[test]
fn the_mark_of_a_raised_revision_is_no_key() {
    use keel_core::command::Range;
    use keel_core::mvcc::{Compaction, Import};
    use keel_core::{Keys, Revision};
    let mut import = Import::new();
    let at = |main| Revision { main, sub: 0 };
    let record = bytes::Bytes::from_static(&[0x0a, 1, b'k', 0x10, 2, 0x18, 2, 0x20, 1]);
    import.push(at(2), false, &record).expect("a record");
    import.push(at(9), false, &bytes::Bytes::new()).expect("a mark");
    let mut store = import.finish(1, 9);
    let expected = store.view().hash(0).expect("it is readable").hash;
    for _ in 0..2 {
        let view = store.view();
        assert_eq!((view.revision(), view.compacted(), view.usage().keys), (9, 9, 1));
        assert_eq!(view.range(&Range::of(Keys::All)).expect("readable").count, 1);
        assert_eq!(view.history(9).expect("readable").count(), 0, "no watcher hears of it");
        assert_eq!(view.records().count(), 2, "etcd's database goes on holding it");
        assert_eq!(view.hash(0).expect("readable").hash, expected);
        store = story::reopened(&store);
    }
    let put = keel_core::command::Put { key: "k".into(), ..Default::default() };
    store.put(&put, &|_| true).expect("a put");
    store.compact(10).expect("a compaction");
    while store.compact_step(1) != Compaction::Idle {}
    assert_eq!(store.view().records().count(), 2, "a compaction leaves it, as etcd's does");
}
