//! What a client wants next, and what it remembers of the answers: the same on every level.

use crate::history::{Call, Outcome};
use crate::plan::Knobs;
use crate::random::Random;
use keel_core::LeaseId;

/// A client that leases live with. Seconds.
const TTL: i64 = 3;

/// One client's mind.
pub(crate) struct Mind {
    /// Its own chance.
    pub(crate) random: Random,
    /// A lease of its own.
    lease: LeaseId,
    /// What it last saw each key hold: what a swap begins with.
    seen: Vec<Option<String>>,
    /// The newest revision that it has heard of.
    newest: i64,
}

impl Mind {
    pub(crate) fn new(seed: u64, number: u64) -> Mind {
        let random = Random::stream(seed, &format!("client {number}"));
        Mind { random, lease: LeaseId::NONE, seen: Vec::new(), newest: 0 }
    }

    /// What it asks for next, as operation `number` of all. In the quiet phase nobody takes a lease
    /// any more; `next_lease` counts them.
    pub(crate) fn choose(
        &mut self,
        knobs: &Knobs,
        number: usize,
        quiet: bool,
        next_lease: &mut i64,
    ) -> Call {
        let keys = usize::try_from(knobs.keys).expect("keys are few");
        self.seen.resize(keys, None);
        let at = usize::try_from(self.random.below(knobs.keys)).expect("keys are few");
        let key = format!("k{at}");
        if self.random.happens(knobs.reads) {
            return match self.random.happens(200) {
                true => Call::Stale { key },
                false => Call::Get { key },
            };
        }
        if !quiet && self.random.happens(knobs.leases) {
            let lease = self.lease;
            return match self.random.below(3) {
                _ if lease == LeaseId::NONE => {
                    *next_lease += 1;
                    self.lease = LeaseId(*next_lease);
                    Call::Grant { lease: self.lease, ttl: TTL }
                }
                0 => Call::Renew { lease },
                1 => {
                    // It will not be renewed any more.
                    self.lease = LeaseId::NONE;
                    Call::Renew { lease }
                }
                _ => {
                    let key = format!("leased {} {}", lease.0, self.random.below(3));
                    Call::Put { key, value: format!("v{number}"), lease }
                }
            };
        }
        let value = format!("v{number}");
        match self.random.below(10) {
            0 => Call::Delete { key },
            1..4 => Call::Swap { key, from: self.seen[at].clone(), to: value },
            4 if keys > 1 => {
                let other = format!("k{}", (at + 1) % keys);
                // Now and then it reads what may be compacted by then.
                let back = self.random.below(20).cast_signed();
                let past = if self.random.happens(500) { (self.newest - back).max(0) } else { 0 };
                Call::Both { key, value, other, past }
            }
            _ => Call::Put { key, value, lease: LeaseId::NONE },
        }
    }

    /// It is answered.
    pub(crate) fn heard(&mut self, call: &Call, outcome: &Outcome) {
        let key = match call {
            Call::Get { key }
            | Call::Swap { key, .. }
            | Call::Put { key, .. }
            | Call::Both { key, .. } => key.strip_prefix('k'),
            _ => None,
        };
        if let Some(at) = key.and_then(|at| at.parse::<usize>().ok()) {
            self.seen[at] = match &outcome {
                Outcome::Read { found, .. } => found.as_ref().map(|(value, _)| value.clone()),
                Outcome::Wrote { .. } => call.writes().map(String::from),
                _ => self.seen[at].take(),
            };
        }
        if let Outcome::Wrote { revision, .. } | Outcome::Read { revision, .. } = &outcome {
            self.newest = self.newest.max(*revision);
        }
    }
}
