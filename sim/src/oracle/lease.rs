//! A lease lives as long as was promised: the keys on it do not go before its time, counted from
//! when the last renewal that was answered was asked for, by the fastest clock that a member may
//! have (semantics §4). That they do go in the end is asked of the quiet phase.

use super::Broken;
use super::canon::Canon;
use crate::history::{Call, History, Outcome};
use keel_core::{Instant, LeaseId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Holds the deletions of keys on leases against what clients were promised. Members' clocks run
/// faster by `skew` per mille at most.
///
/// # Errors
///
/// The first key that went too early.
pub fn check(history: &History, canon: &Canon, skew: u64) -> Result<(), Broken> {
    let mut promised: BTreeMap<LeaseId, Vec<(Instant, Instant)>> = BTreeMap::new();
    for operation in &history.0 {
        let (Call::Grant { lease, .. } | Call::Renew { lease }) = &operation.call else { continue };
        if let Some((ended, Outcome::Lease { ttl })) = &operation.end
            && *ttl > 0
        {
            let faster = u32::try_from(1000 + skew).expect("skew is bounded");
            let lasts = Duration::from_secs(ttl.unsigned_abs()) * 1000 / faster;
            let until = operation.begun.after(lasts);
            promised.entry(*lease).or_default().push((*ended, until));
        }
    }
    let mut on: BTreeMap<&str, LeaseId> = BTreeMap::new();
    for (main, _, change, at) in canon.changes() {
        if change.value.is_some() {
            on.insert(&change.key, change.lease);
            continue;
        }
        let Some(lease) = on.remove(change.key.as_str()) else { continue };
        let known = promised.get(&lease).into_iter().flatten();
        // A renewal that was answered later promised nothing yet.
        let until = known.filter(|(told, _)| *told <= at).map(|(_, until)| *until).max();
        if let Some(until) = until.filter(|until| at < *until) {
            let early = until.since(at);
            let what = format!(
                "{} went {early:?} before lease {}'s time, at revision {main}",
                change.key, lease.0
            );
            return Err(Broken::new("lease", what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A lease of two seconds is granted at 0 and renewed at 1; its key goes at `gone`.
    fn judged(gone: u64, skew: u64) -> Result<(), Broken> {
        let (mut canon, mut history) = (Canon::default(), History::default());
        let lease = LeaseId(7);
        for (call, at) in [(Call::Grant { lease, ttl: 2 }, 0), (Call::Renew { lease }, SECOND)] {
            let number = history.begin(0, call, Instant(at));
            history.end(number, Instant(at + 1), Outcome::Lease { ttl: 2 });
        }
        canon.hung(2, "k", lease);
        canon.told(3, "k", None, Instant(gone));
        check(&history, &canon, skew)
    }

    #[test]
    fn a_lease_ends_after_its_time_and_not_before() {
        judged(3 * SECOND, 0).expect("it is time");
        assert!(judged(3 * SECOND - 1, 0).is_err(), "too early");
        judged(SECOND + SECOND * 3 / 2, 500).expect("its clock may run so fast");
        assert!(judged(2 * SECOND, 500).is_err(), "too early for any clock");
    }
}
