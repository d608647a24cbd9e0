//! A run as it looks from outside, for `keel-sim trace`: taken down only where somebody asks, and
//! without a trace in the run itself.

use super::bus::Parcel;
use super::{Verdict, World, run};
use crate::explore::words;
use crate::history::Operation;
use crate::oracle::Broken;
use crate::plan::Plan;
use keel_core::raft::Message;
use keel_core::{Instant, NodeId};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// All that a picture of a run needs.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// How members stood, by time: one entry each time that one stands otherwise.
    pub stands: Vec<Stand>,
    /// What was sent, by time.
    pub parcels: Vec<Sent>,
    /// What clients asked, in the order in which they began.
    pub operations: Vec<Operation>,
    /// Which member an operation reached, by its number.
    pub reached: BTreeMap<usize, usize>,
    /// How each member stood last.
    last: BTreeMap<usize, Stand>,
}

impl Timeline {
    /// Takes down how a member stands, if it stands otherwise than before; `known` is its term and
    /// its commit index, where it runs.
    pub(crate) fn stands_as(
        &mut self,
        at: Instant,
        member: usize,
        role: Role,
        known: Option<(u64, u64)>,
    ) {
        let last = self.last.get(&member).copied();
        let before = last.map_or((0, 0), |last| (last.term, last.commit));
        let (term, commit) = known.unwrap_or(before);
        let stand = Stand { at, member, role, term, commit };
        if last.is_none_or(|last| Stand { at, ..last } != stand) {
            self.stands.push(stand);
            self.last.insert(member, stand);
        }
    }
}

/// How a member stands from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Since when.
    pub at: Instant,
    /// Who, from zero.
    pub member: usize,
    /// What it does.
    pub role: Role,
    /// In which term.
    pub term: u64,
    /// Its commit index.
    pub commit: u64,
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its process does not run.
    Down,
    /// Its process stands still.
    Still,
    /// It knows no leader.
    Seeks,
    /// It follows this one.
    Follows(NodeId),
    /// It leads, or believes so.
    Leads,
}

/// Something that a member sent to another one.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// Who, from zero.
    pub from: usize,
    /// To whom.
    pub to: usize,
    /// What.
    pub what: Content,
    /// What became of it.
    pub fate: Fate,
}

/// What is in it.
#[derive(Clone, Debug)]
pub enum Content {
    /// A message of raft's.
    Message(Message),
    /// A whole state, in this term.
    State(u64),
}

/// What the network does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there at this moment, if anybody is.
    Arrives(Instant),
    /// It waits for a release, and is sent again then.
    Held,
    /// Nothing passes there.
    Cut,
    /// It is lost for no reason.
    Lost,
}

/// Runs a plan, and takes down how it looks, to its end or to the assertion that it breaks.
#[must_use]
pub fn walk_filmed(plan: &Plan) -> (Verdict, Timeline) {
    let mut world = World { film: Some(Timeline::default()), ..World::new(plan.clone()) };
    let lived = catch_unwind(AssertUnwindSafe(|| run(&mut world)));
    let verdict =
        lived.unwrap_or_else(|panic| world.verdict(Some(Broken::new("assertion", words(&*panic)))));
    let mut film = world.film.take().unwrap_or_default();
    film.operations = world.history.0;
    (verdict, film)
}

impl World {
    /// Takes down who stands otherwise than before.
    pub(super) fn film_stands(&mut self) {
        let Some(film) = &mut self.film else { return };
        let now = self.now;
        for (member, one) in self.members.iter().enumerate() {
            let status = one.life.as_ref().map(|life| life.node.status());
            let role = match status {
                None => Role::Down,
                Some(_) if one.still > now => Role::Still,
                Some(status) if status.leader == status.id => Role::Leads,
                Some(status) if status.leader == NodeId::NONE => Role::Seeks,
                Some(status) => Role::Follows(status.leader),
            };
            film.stands_as(
                now,
                member,
                role,
                status.map(|status| (status.term.0, status.commit.0)),
            );
        }
    }

    /// Takes down what is sent.
    pub(super) fn film_sent(&mut self, from: usize, to: usize, what: &Parcel, fate: Fate) {
        let Some(film) = &mut self.film else { return };
        let what = match what {
            Parcel::Message { message, .. } => Content::Message(message.clone()),
            Parcel::State { term, .. } => Content::State(term.0),
            // What a runtime says to its own node travels nowhere.
            Parcel::StateSent { .. }
            | Parcel::Lost { .. }
            | Parcel::Up { .. }
            | Parcel::Down { .. } => return,
        };
        film.parcels.push(Sent { at: self.now, from, to, what, fate });
    }

    /// Takes down where a client's operation went.
    pub(super) fn film_request(&mut self, operation: usize, member: usize) {
        if let Some(film) = &mut self.film {
            film.reached.entry(operation).or_insert(member);
        }
    }
}
