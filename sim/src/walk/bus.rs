//! The network between members: what is sent may be lost, doubled, late, or held.

use super::film::Fate;
use super::{Happening, World};
use crate::member::CLUSTER;
use crate::oracle::Broken;
use crate::plan::Knobs;
use crate::random::Random;
use crate::seen::Place;
use keel_core::mvcc::Import;
use keel_core::node::Restored;
use keel_core::raft::{Body, Message};
use keel_core::state::Checkpoint;
use keel_core::{Input, NodeId, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How much longer a straggler takes.
const STRAGGLER: u32 = 100;
/// How much longer a whole state takes than a message.
const STATE: u32 = 20;

/// What travels between members.
#[derive(Debug)]
pub(super) enum Parcel {
    /// A message of raft's.
    Message { from: usize, message: Message },
    /// A whole state.
    State { from: usize, term: Term, state: Box<Restored> },
    /// How bringing a state ended.
    StateSent { peer: usize, arrived: bool },
    /// The queue to a peer was full.
    Lost { peer: usize },
    /// A peer can be reached.
    Up { peer: usize },
    /// A peer cannot be reached any more.
    Down { peer: usize },
}

/// The network's state.
pub(super) struct Bus {
    random: Random,
    /// From whom to whom nothing passes.
    cuts: BTreeSet<(usize, usize)>,
    /// And where it waits.
    holds: BTreeSet<(usize, usize)>,
    held: Vec<(usize, usize, Parcel)>,
    /// Whom nothing reaches any more, until the end.
    abandoned: BTreeSet<usize>,
    /// How many times as long what these send and get takes.
    drags: BTreeMap<usize, u64>,
    /// How many messages are under way, from whom to whom.
    flying: BTreeMap<(usize, usize), u64>,
}

impl Bus {
    pub(super) fn new(knobs: &Knobs) -> Bus {
        let random = Random::stream(knobs.seed, "network");
        Bus {
            random,
            cuts: BTreeSet::new(),
            holds: BTreeSet::new(),
            held: Vec::new(),
            abandoned: BTreeSet::new(),
            drags: BTreeMap::new(),
            flying: BTreeMap::new(),
        }
    }

    pub(super) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    pub(super) fn mend(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }

    pub(super) fn abandon(&mut self, at: usize) {
        self.abandoned.insert(at);
    }

    pub(super) fn drag(&mut self, at: usize, times: u64) {
        self.drags.insert(at, times);
    }

    /// Whether nothing passes this way.
    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.contains(&(from, to))
            || self.abandoned.contains(&from)
            || self.abandoned.contains(&to)
    }

    /// Whether what either of them says reaches the other.
    pub(super) fn reach(&self, one: usize, other: usize) -> bool {
        !self.is_cut(one, other) && !self.is_cut(other, one)
    }

    /// How much slower this way is than others.
    fn slowness(&self, from: usize, to: usize) -> u32 {
        let drag = |at| self.drags.get(&at).copied().unwrap_or(1);
        u32::try_from(drag(from).max(drag(to))).unwrap_or(u32::MAX)
    }

    pub(super) fn hold(&mut self, from: usize, to: usize) {
        self.holds.insert((from, to));
    }
}

impl World {
    /// Sends a message, as well as the network can.
    pub(super) fn send(&mut self, from: usize, to: usize, message: Message) {
        let knobs = &self.plan.knobs;
        let (drop, duplicate) = match self.quiet {
            true => (0, 0),
            false => (knobs.drop, knobs.duplicate),
        };
        if self.bus.random.happens(drop) {
            let lost = Parcel::Message { from, message };
            return self.film_sent(from, to, &lost, Fate::Lost);
        }
        // A proposal that is forwarded travels once, on one stream: nobody sends it again, since
        // nobody could tell it from another one.
        let once = matches!(message.body, Body::Propose { .. });
        if !once && self.bus.random.happens(duplicate) {
            let again = Parcel::Message { from, message: message.clone() };
            self.carry(from, to, again, 1);
        }
        self.carry(from, to, Parcel::Message { from, message }, 1);
    }

    /// Sends a whole state: as what it holds, read record by record.
    pub(super) fn send_state(&mut self, from: usize, to: usize, term: Term, state: &Checkpoint) {
        let drop = if self.quiet { 0 } else { self.plan.knobs.drop };
        // It may break off, too.
        let whole = drop == 0 || !self.bus.random.happens(drop);
        let there = !self.bus.is_cut(from, to) && self.members[to].life.is_some();
        let arrives = there && whole;
        if arrives {
            let state = Box::new(restored(state));
            self.carry(from, to, Parcel::State { from, term, state }, STATE);
        }
        let sent = Parcel::StateSent { peer: to, arrived: arrives };
        let takes = self.bus.random.span(self.plan.knobs.delay * STATE * 2);
        self.soon(takes, Happening::Arrive { to: from, what: sent });
    }

    fn carry(&mut self, from: usize, to: usize, what: Parcel, slowness: u32) {
        if self.bus.is_cut(from, to) {
            return self.film_sent(from, to, &what, Fate::Cut);
        }
        if self.bus.holds.contains(&(from, to)) {
            self.film_sent(from, to, &what, Fate::Held);
            return self.bus.held.push((from, to, what));
        }
        let knobs = &self.plan.knobs;
        let mut takes = self.bus.random.span(knobs.delay) * slowness * self.bus.slowness(from, to);
        if !self.quiet && self.bus.random.happens(knobs.straggle) {
            takes *= STRAGGLER;
        }
        if let Parcel::Message { .. } = what {
            let flying = self.bus.flying.entry((from, to)).or_default();
            if knobs.queue > 0 && *flying >= knobs.queue {
                // The sender's own queue is full, and it is told so.
                self.places.saw(Place::QueueFull);
                self.film_sent(from, to, &what, Fate::Lost);
                let lost = Parcel::Lost { peer: to };
                return self.soon(Duration::ZERO, Happening::Arrive { to: from, what: lost });
            }
            *flying += 1;
        }
        self.film_sent(from, to, &what, Fate::Arrives(self.now.after(takes)));
        self.soon(takes, Happening::Arrive { to, what });
    }

    pub(super) fn arrived(&mut self, to: usize, what: Parcel) -> Result<(), Broken> {
        if let Parcel::Message { from, .. } = &what
            && let Some(flying) = self.bus.flying.get_mut(&(*from, to))
        {
            *flying -= 1;
        }
        self.handed(to, what)
    }

    /// What arrived is taken in, once the process goes on.
    pub(super) fn handed(&mut self, to: usize, what: Parcel) -> Result<(), Broken> {
        let member = &self.members[to];
        if member.life.is_none() {
            return Ok(());
        }
        if member.still > self.now {
            let still = member.still;
            self.at(still, Happening::Handed { to, what });
            return Ok(());
        }
        let input = match what {
            Parcel::Message { from, message } => Input::Peer { from: World::id(from), message },
            Parcel::State { from, term, state } => {
                Input::State { from: World::id(from), term, state }
            }
            Parcel::StateSent { peer, arrived } => {
                Input::StateSent { peer: World::id(peer), arrived }
            }
            Parcel::Up { peer } => {
                Input::LinkUp { peer: World::id(peer), version: String::from("3.7.0") }
            }
            Parcel::Lost { peer } => Input::Lost { peer: World::id(peer) },
            Parcel::Down { peer } => Input::LinkDown { peer: World::id(peer) },
        };
        self.turn(to, Some(input))
    }

    /// Tells a member and all others that they can reach each other, or not any more.
    pub(super) fn links(&mut self, member: usize, up: bool) {
        let takes = Duration::from_millis(1);
        for peer in (0..self.members.len()).filter(|peer| *peer != member) {
            let parcel = |peer| if up { Parcel::Up { peer } } else { Parcel::Down { peer } };
            self.soon(takes, Happening::Arrive { to: peer, what: parcel(member) });
            if up && self.members[peer].life.is_some() {
                self.soon(takes, Happening::Arrive { to: member, what: parcel(peer) });
            }
        }
    }

    /// What was held comes, all at once, in the order in which it was sent.
    pub(super) fn release(&mut self) {
        self.bus.holds.clear();
        for (from, to, what) in std::mem::take(&mut self.bus.held) {
            self.carry(from, to, what, 1);
        }
    }

    /// Everything passes again.
    pub(super) fn heal(&mut self) {
        self.bus.cuts.clear();
        self.bus.drags.clear();
        for member in self.members.iter_mut().filter(|member| !member.abandoned) {
            member.hidden = false;
        }
        self.release();
    }
}

/// A state as its receiver has it: built anew from its records, as every database is.
pub(super) fn restored(state: &Checkpoint) -> Restored {
    let mut import = Import::new();
    for stored in state.kv.records() {
        let pushed = import.push(stored.revision, stored.tombstone, &stored.record);
        pushed.expect("a view's records are in order");
    }
    let store = import.finish(state.kv.revision(), state.kv.compacted());
    Restored {
        index: state.index,
        term: state.term,
        store,
        leases: state.leases.clone(),
        alarms: state.alarms.to_vec(),
        cluster: keel_core::members::Cluster { id: CLUSTER, ..(*state.cluster).clone() },
        config: state.config.clone(),
    }
}

/// The member that leads in the highest term, as members see it.
pub(super) fn leader(world: &World) -> Option<usize> {
    let lives = world.members.iter().filter_map(|member| member.life.as_ref());
    let stands = lives.map(|life| life.node.status());
    let leads = stands.filter(|status| status.leader == status.id && status.id != NodeId::NONE);
    leads.max_by_key(|status| status.term).map(|status| World::place(status.id))
}
