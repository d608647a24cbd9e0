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
