//! Whatever happens in whatever order, no lease ends early and none is forgotten.

use bytes::Bytes;
use keel_core::Refusal;
use keel_core::lease::{Lessor, Renewal};
use keel_core::types::{Instant, LeaseId};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Grant {
        lease: i64,
        ttl: i64,
    },
    Revoke {
        lease: i64,
    },
    Renew {
        lease: i64,
    },
    Attach {
        lease: i64,
        key: u8,
    },
    Detach {
        key: u8,
    },
    Promote,
    Demote,
    /// The lessor is asked for what is due; what it names is revoked, or the proposal is lost.
    Due {
        revoke: bool,
    },
    Checkpoint {
        applied: bool,
    },
    Restart,
    Wait {
        millis: u64,
    },
}

const EXTEND: Duration = Duration::from_secs(1);
const MIN_TTL: i64 = 2;

fn step() -> impl Strategy<Value = Step> {
    let lease = 1i64..8;
    prop_oneof![
        4 => (lease.clone(), 0i64..900).prop_map(|(lease, ttl)| Step::Grant { lease, ttl }),
        1 => lease.clone().prop_map(|lease| Step::Revoke { lease }),
        4 => lease.clone().prop_map(|lease| Step::Renew { lease }),
        3 => (lease, 0u8..5).prop_map(|(lease, key)| Step::Attach { lease, key }),
        1 => (0u8..5).prop_map(|key| Step::Detach { key }),
        2 => Just(Step::Promote),
        1 => Just(Step::Demote),
        6 => any::<bool>().prop_map(|revoke| Step::Due { revoke }),
        3 => any::<bool>().prop_map(|applied| Step::Checkpoint { applied }),
        1 => Just(Step::Restart),
        6 => (1u64..400_000).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// What the model knows of a lease.
#[derive(Clone, Debug)]
struct Known {
    ttl: i64,
    /// What the last applied checkpoint says; zero is none.
    remaining: i64,
    /// Not before this may it be revoked by the clock; `None` while nobody counts.
    end: Option<Instant>,
}

#[derive(Debug)]
struct World {
    now: Instant,
    lessor: Lessor,
    primary: bool,
    known: BTreeMap<i64, Known>,
    /// The lease of every key.
    keys: BTreeMap<u8, i64>,
}

impl World {
    fn new() -> World {
        World {
            now: Instant(0),
            lessor: Lessor::new(MIN_TTL, true),
            primary: false,
            known: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    fn after(&self, seconds: i64) -> Instant {
        self.now.after(Duration::from_secs(seconds as u64))
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Grant { lease, ttl } => self.grant(lease, ttl),
            Step::Revoke { lease } => self.revoke(lease),
            Step::Renew { lease } => self.renew(lease),
            Step::Attach { lease, key } => {
                if self.known.contains_key(&lease) {
                    let before = self.keys.insert(key, lease).unwrap_or(0);
                    self.lessor.detach(LeaseId(before), &[key]);
                    self.lessor.attach(LeaseId(lease), &[key]);
                }
            }
            Step::Detach { key } => {
                let before = self.keys.remove(&key).unwrap_or(0);
                self.lessor.detach(LeaseId(before), &[key]);
            }
            Step::Promote => {
                self.lessor.promote(self.now, EXTEND);
                self.primary = true;
                let now = self.now.after(EXTEND);
                for known in self.known.values_mut() {
                    let left = if known.remaining > 0 { known.remaining } else { known.ttl };
                    known.end = Some(now.after(Duration::from_secs(left as u64)));
                }
            }
            Step::Demote => {
                self.lessor.demote();
                self.stop();
            }
            Step::Due { revoke } => self.due(revoke),
            Step::Checkpoint { applied } => self.checkpoint(applied),
            Step::Restart => {
                let records = self.lessor.records();
                let attached = self
                    .keys
                    .iter()
                    .map(|(key, lease)| (LeaseId(*lease), Bytes::copy_from_slice(&[*key])));
                self.lessor = Lessor::new(MIN_TTL, true);
                self.lessor.restore(&records, attached);
                self.stop();
            }
            Step::Wait { millis } => self.now = self.now.after(Duration::from_millis(millis)),
        }
        self.check();
    }

    fn stop(&mut self) {
        self.primary = false;
        self.known.values_mut().for_each(|known| known.end = None);
    }

    fn grant(&mut self, lease: i64, ttl: i64) {
        let granted = self.lessor.grant(self.now, LeaseId(lease), ttl);
        if self.known.contains_key(&lease) {
            assert_eq!(granted, Err(Refusal::LeaseExists));
            return;
        }
        let ttl = ttl.max(MIN_TTL);
        assert_eq!(granted, Ok(ttl));
        let end = self.primary.then(|| self.after(ttl));
        self.known.insert(lease, Known { ttl, remaining: 0, end });
    }

    fn revoke(&mut self, lease: i64) {
        let revoked = self.lessor.revoke(LeaseId(lease));
        if self.known.remove(&lease).is_none() {
            assert_eq!(revoked, Err(Refusal::LeaseNotFound));
            return;
        }
        let own: Vec<u8> =
            self.keys.iter().filter(|(_, l)| **l == lease).map(|(k, _)| *k).collect();
        let expected: Vec<Bytes> = own.iter().map(|key| Bytes::copy_from_slice(&[*key])).collect();
        assert_eq!(revoked, Ok(expected));
        self.keys.retain(|_, owner| *owner != lease);
    }

    fn renew(&mut self, lease: i64) {
        let renewal = self.lessor.renew(self.now, LeaseId(lease));
        let end = self.after(self.known.get(&lease).map_or(0, |known| known.ttl));
        let expected = match self.known.get_mut(&lease) {
            _ if !self.primary => Renewal::NotPrimary,
            None => Renewal::Unknown,
            Some(known) if known.end <= Some(self.now) => Renewal::Expired,
            Some(known) if known.remaining > 0 => Renewal::Clear,
            Some(known) => {
                known.end = Some(end);
                Renewal::Granted { ttl: known.ttl }
            }
        };
        assert_eq!(renewal, expected);
        if renewal == Renewal::Clear {
            self.lessor.apply_checkpoint(&[(LeaseId(lease), 0)]);
            self.known.get_mut(&lease).expect("it was just there").remaining = 0;
            self.renew(lease);
        }
    }

    fn due(&mut self, revoke: bool) {
        let promised = self.lessor.deadline();
        for lease in self.lessor.due(self.now, usize::MAX) {
            let end = self.known[&lease.0].end;
            assert!(end.is_some_and(|end| end <= self.now), "{lease:?} ends early: {end:?}");
            assert!(promised.is_some_and(|at| at <= self.now), "due without a deadline");
            if revoke {
                self.revoke(lease.0);
            }
        }
    }

    fn checkpoint(&mut self, applied: bool) {
        let list = self.lessor.checkpoints_due(self.now);
        for (lease, seconds) in &list {
            let known = self.known.get_mut(&lease.0).expect("only leases that exist");
            let end = known.end.expect("only the primary proposes");
            let left = end.since(self.now);
            assert!(*seconds < known.ttl && Duration::from_secs(*seconds as u64) >= left);
            if applied {
                known.remaining = *seconds;
            }
        }
        if applied {
            self.lessor.apply_checkpoint(&list);
        }
    }

    fn check(&self) {
        let ids: BTreeSet<_> = self.lessor.list().into_iter().map(|id| id.0).collect();
        assert!(ids.iter().eq(self.known.keys()));
        for (lease, known) in &self.known {
            let life = self.lessor.life(self.now, LeaseId(*lease), false).expect("known");
            assert_eq!(life.granted, known.ttl);
            if let Some(end) = known.end {
                let left = end.since(self.now).as_secs() as i64;
                assert_eq!(life.remaining, left - self.now.since(end).as_secs() as i64);
            }
        }
        assert_eq!(self.lessor.deadline().is_some(), self.primary && !self.known.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The lessor agrees with a list of ends, and names every lease whose end has come.
    #[test]
    fn leases_end_when_they_should(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        world.run(Step::Promote);
        world.run(Step::Wait { millis: 2_000_000 });
        world.run(Step::Due { revoke: true });
        prop_assert!(world.known.is_empty(), "left over: {:?}", world.known);
    }
}
