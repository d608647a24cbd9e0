//! In the end all members hold the same: every key that was committed, and equal hashes over the
//! whole history that they keep.

use super::Broken;
use super::canon::Canon;
use keel_core::mvcc::{View, record};
use std::collections::BTreeMap;

/// Holds members' stores, by name, against what was committed, and against each other.
///
/// # Errors
///
/// The first member that lacks something, or that differs.
pub fn check(canon: &Canon, stores: &[(String, View)]) -> Result<(), Broken> {
    let state = canon.state();
    // Hashes are comparable where they are taken from one compaction on, as in etcd.
    let mut hashes = BTreeMap::new();
    for (name, store) in stores {
        for (key, value) in &state {
            let held = store.get(key.as_bytes());
            let held = held.as_ref().map(|held| record::fields(held).value);
            if held != Some(value.as_bytes()) {
                return Err(Broken::new("durable", format!("{name} has not {value:?} at {key:?}")));
            }
        }
        let hash = store
            .hash(store.revision())
            .map_err(|why| Broken::new("equal", format!("{name} has no hash: {why:?}")))?;
        let known = *hashes.entry((hash.revision, hash.compacted)).or_insert(hash.hash);
        if known != hash.hash {
            let what = format!("{name} hashes to {hash:?}, another to {known}");
            return Err(Broken::new("equal", what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::Instant;
    use keel_core::command::Put;
    use keel_core::mvcc::Store;

    fn store(puts: &[(&'static str, &'static str)]) -> View {
        let mut store = Store::new();
        for (key, value) in puts {
            let put = Put { key: (*key).into(), value: (*value).into(), ..Put::default() };
            store.put(&put, &|_| true).expect("a put is taken");
        }
        store.view()
    }

    /// `k` was put to `a` and then to `b`; what one of two members holds instead.
    fn judged(other: &[(&'static str, &'static str)]) -> Result<(), Broken> {
        let mut canon = Canon::default();
        canon.told(2, "k", Some("a"), Instant(0));
        canon.told(3, "k", Some("b"), Instant(0));
        let whole = store(&[("k", "a"), ("k", "b")]);
        check(&canon, &[("n1".into(), whole), ("n2".into(), store(other))])
    }

    #[test]
    fn members_that_hold_the_same_are_equal() {
        judged(&[("k", "a"), ("k", "b")]).expect("they are equal");
    }

    #[test]
    fn what_is_lost_or_different_is_seen() {
        let oracle = |other| judged(other).expect_err("it differs").oracle;
        assert_eq!(oracle(&[("k", "a")]), "durable");
        assert_eq!(oracle(&[("k", "b"), ("k", "a")]), "durable");
        assert_eq!(oracle(&[("k", "x"), ("k", "b")]), "equal");
    }
}
