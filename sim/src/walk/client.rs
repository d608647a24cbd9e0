//! Clients that read and write: one operation at a time, at any member, until they lose patience.

use super::{Happening, World};
use crate::history::{Call, Outcome};
use crate::random::Random;
use crate::seen::Place;
use keel_core::LeaseId;
use std::time::Duration;

/// A client that leases live with. Seconds.
const TTL: i64 = 3;
/// Operations that each client must see answered in the quiet phase.
pub(super) const QUIET_SUCCESSES: u64 = 3;

/// One client.
pub(super) struct Client {
    random: Random,
    /// What it waits for.
    pub(super) waits: Option<usize>,
    /// A lease of its own.
    lease: LeaseId,
    /// What it last saw each key hold: what a swap begins with.
    seen: Vec<Option<String>>,
    /// The newest revision that it has heard of.
    newest: i64,
    /// How many operations were answered since the storm is over.
    pub(super) successes: u64,
}

impl Client {
    pub(super) fn new(seed: u64, number: u64) -> Client {
        let random = Random::stream(seed, &format!("client {number}"));
        let (waits, lease, seen) = (None, LeaseId::NONE, Vec::new());
        Client { random, waits, lease, seen, newest: 0, successes: 0 }
    }
}

impl World {
    /// A client begins its next operation.
    pub(super) fn act(&mut self, client: usize) {
        if self.quiet && self.clients[client].successes >= QUIET_SUCCESSES {
            return;
        }
        let call = self.choose(client);
        let operation = self.history.begin(client, call, self.now);
        let serving = self.serving();
        let mine = &mut self.clients[client];
        mine.waits = Some(operation);
        // Where nobody serves, the first one is asked in vain.
        let member = if serving.is_empty() { 0 } else { *mine.random.pick(&serving) };
        let takes = self.way_to_client(client);
        self.soon(takes, Happening::Request { client, operation, member });
        let patience = self.plan.knobs.patience;
        self.soon(patience, Happening::Patience { client, operation });
    }

    fn choose(&mut self, client: usize) -> Call {
        let knobs = &self.plan.knobs;
        let number = self.history.0.len();
        let mine = &mut self.clients[client];
        let keys = usize::try_from(knobs.keys).expect("keys are few");
        mine.seen.resize(keys, None);
        let at = usize::try_from(mine.random.below(knobs.keys)).expect("keys are few");
        let key = format!("k{at}");
        if mine.random.happens(knobs.reads) {
            return match mine.random.happens(200) {
                true => Call::Stale { key },
                false => Call::Get { key },
            };
        }
        if !self.quiet && mine.random.happens(knobs.leases) {
            let lease = mine.lease;
            return match mine.random.below(3) {
                _ if lease == LeaseId::NONE => {
                    self.next_lease += 1;
                    mine.lease = LeaseId(self.next_lease);
                    Call::Grant { lease: mine.lease, ttl: TTL }
                }
                0 => Call::Renew { lease },
                1 => {
                    // It will not be renewed any more.
                    mine.lease = LeaseId::NONE;
                    Call::Renew { lease }
                }
                _ => {
                    let key = format!("leased {} {}", lease.0, mine.random.below(3));
                    Call::Put { key, value: format!("v{number}"), lease }
                }
            };
        }
        let value = format!("v{number}");
        match mine.random.below(10) {
            0 => Call::Delete { key },
            1..4 => Call::Swap { key, from: mine.seen[at].clone(), to: value },
            4 if keys > 1 => {
                let other = format!("k{}", (at + 1) % keys);
                // Now and then it reads what may be compacted by then.
                let back = mine.random.below(20).cast_signed();
                let past = if mine.random.happens(500) { (mine.newest - back).max(0) } else { 0 };
                Call::Both { key, value, other, past }
            }
            _ => Call::Put { key, value, lease: LeaseId::NONE },
        }
    }

    /// An answer reaches its client, who may have given up.
    pub(super) fn answered(&mut self, client: usize, operation: usize, outcome: Outcome) {
        self.mark(operation as u64);
        let Some(mine) = self.clients.get_mut(client) else {
            return self.history.end(operation, self.now, outcome);
        };
        if mine.waits != Some(operation) {
            return;
        }
        mine.waits = None;
        let key = match &self.history.0[operation].call {
            Call::Get { key }
            | Call::Swap { key, .. }
            | Call::Put { key, .. }
            | Call::Both { key, .. } => key.strip_prefix('k'),
            _ => None,
        };
        if let Some(at) = key.and_then(|at| at.parse::<usize>().ok()) {
            mine.seen[at] = match &outcome {
                Outcome::Read { found, .. } => found.as_ref().map(|(value, _)| value.clone()),
                Outcome::Wrote { .. } => self.history.0[operation].call.writes().map(String::from),
                _ => mine.seen[at].take(),
            };
        }
        if matches!(outcome, Outcome::Refused { .. }) {
            self.places.saw(Place::Refused);
        }
        let mine = &mut self.clients[client];
        if let Outcome::Wrote { revision, .. } | Outcome::Read { revision, .. } = &outcome {
            mine.newest = mine.newest.max(*revision);
        }
        if self.quiet && !matches!(outcome, Outcome::Refused { .. }) {
            mine.successes += 1;
        }
        self.history.end(operation, self.now, outcome);
        self.think(client);
    }

    /// A client gives an operation up: it may have happened, or may yet.
    pub(super) fn give_up(&mut self, client: usize, operation: usize) {
        if self.clients[client].waits == Some(operation) {
            self.clients[client].waits = None;
            self.think(client);
        }
    }

    fn think(&mut self, client: usize) {
        let think = self.plan.knobs.think;
        let takes = self.clients[client].random.span(think);
        self.soon(takes, Happening::Act { client });
    }

    /// How long the way between a client and a member takes.
    pub(super) fn way_to_client(&mut self, client: usize) -> Duration {
        let delay = self.plan.knobs.delay;
        match self.clients.get_mut(client) {
            Some(client) => client.random.span(delay),
            None => delay,
        }
    }
}
