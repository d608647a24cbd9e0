//! Clients that read and write: one operation at a time, at any member, until they lose patience.

use super::{Happening, World};
use crate::history::Outcome;
use crate::mind::Mind;
use crate::seen::Place;
use std::time::Duration;

/// Operations that each client must see answered in the quiet phase.
pub(super) const QUIET_SUCCESSES: u64 = 3;

/// One client.
pub(super) struct Client {
    mind: Mind,
    /// What it waits for.
    pub(super) waits: Option<usize>,
    /// How many operations were answered since the storm is over.
    pub(super) successes: u64,
}

impl Client {
    pub(super) fn new(seed: u64, number: u64) -> Client {
        Client { mind: Mind::new(seed, number), waits: None, successes: 0 }
    }
}

impl World {
    /// A client begins its next operation.
    pub(super) fn act(&mut self, client: usize) {
        if self.quiet && self.clients[client].successes >= QUIET_SUCCESSES {
            return;
        }
        let number = self.history.0.len();
        let mind = &mut self.clients[client].mind;
        let call = mind.choose(&self.plan.knobs, number, self.quiet, &mut self.next_lease);
        let operation = self.history.begin(client, call, self.now);
        let serving = self.serving();
        let mine = &mut self.clients[client];
        mine.waits = Some(operation);
        // Where nobody serves, the first one is asked in vain.
        let member = if serving.is_empty() { 0 } else { *mine.mind.random.pick(&serving) };
        let takes = self.way_to_client(client);
        self.soon(takes, Happening::Request { client, operation, member });
        let patience = self.plan.knobs.patience;
        self.soon(patience, Happening::Patience { client, operation });
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
        mine.mind.heard(&self.history.0[operation].call, &outcome);
        if matches!(outcome, Outcome::Refused { .. }) {
            self.places.saw(Place::Refused);
        }
        let mine = &mut self.clients[client];
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
        let takes = self.clients[client].mind.random.span(think);
        self.soon(takes, Happening::Act { client });
    }

    /// How long the way between a client and a member takes.
    pub(super) fn way_to_client(&mut self, client: usize) -> Duration {
        let delay = self.plan.knobs.delay;
        match self.clients.get_mut(client) {
            Some(client) => client.mind.random.span(delay),
            None => delay,
        }
    }
}
