//! What the plan does to the network between hosts, which are named: n1, c1, w1.

use std::collections::BTreeSet;
use turmoil::Sim;

/// What passes nowhere, and what waits.
#[derive(Default)]
pub(super) struct Links {
    /// From whom to whom nothing passes.
    cuts: BTreeSet<(String, String)>,
    /// Between whom everything waits.
    holds: BTreeSet<(String, String)>,
    /// Hosts that nothing reaches any more, until the end.
    abandoned: BTreeSet<String>,
}

impl Links {
    /// Nothing passes from one to the other.
    pub(super) fn cut(&mut self, sim: &Sim<'_>, from: &str, to: &str) {
        self.cuts.insert((from.to_owned(), to.to_owned()));
        self.settle(sim, from, to);
    }

    /// Everything passes between them again, but what waits.
    pub(super) fn mend(&mut self, sim: &Sim<'_>, one: &str, other: &str) {
        for (from, to) in [(one, other), (other, one)] {
            self.cuts.remove(&(from.to_owned(), to.to_owned()));
        }
        self.settle(sim, one, other);
    }

    /// What they send each other waits.
    pub(super) fn hold(&mut self, sim: &Sim<'_>, one: &str, other: &str) {
        self.holds.insert((one.to_owned(), other.to_owned()));
        self.settle(sim, one, other);
    }

    /// What waits comes.
    pub(super) fn release(&mut self, sim: &Sim<'_>) {
        for (one, other) in std::mem::take(&mut self.holds) {
            sim.release(one.as_str(), other.as_str());
            self.settle(sim, &one, &other);
        }
    }

    /// Everything passes again, but to those who are abandoned.
    pub(super) fn heal(&mut self, sim: &Sim<'_>) {
        self.release(sim);
        for (from, to) in std::mem::take(&mut self.cuts) {
            self.settle(sim, &from, &to);
        }
    }

    /// Nothing passes between this one and the others any more.
    pub(super) fn abandon(&mut self, sim: &Sim<'_>, one: &str, others: &[String]) {
        self.abandoned.insert(one.to_owned());
        for other in others {
            self.settle(sim, one, other);
        }
    }

    pub(super) fn is_abandoned(&self, one: &str) -> bool {
        self.abandoned.contains(one)
    }

    /// Whether what either of them says reaches the other now.
    pub(super) fn reach(&self, one: &str, other: &str) -> bool {
        let pairs = [(one.to_owned(), other.to_owned()), (other.to_owned(), one.to_owned())];
        let parted = pairs.iter().any(|pair| self.cuts.contains(pair) || self.holds.contains(pair));
        !parted && !self.is_abandoned(one) && !self.is_abandoned(other)
    }

    /// Makes the network as it should be between two hosts.
    pub(super) fn settle(&self, sim: &Sim<'_>, one: &str, other: &str) {
        sim.repair(one, other);
        let apart = self.is_abandoned(one) || self.is_abandoned(other);
        let held = |a: &str, b: &str| self.holds.contains(&(a.to_owned(), b.to_owned()));
        let cut = |a: &str, b: &str| apart || self.cuts.contains(&(a.to_owned(), b.to_owned()));
        if held(one, other) || held(other, one) {
            sim.hold(one, other);
        }
        match (cut(one, other), cut(other, one)) {
            (true, true) => sim.partition(one, other),
            (true, false) => sim.partition_oneway(one, other),
            (false, true) => sim.partition_oneway(other, one),
            (false, false) => {}
        }
    }
}
