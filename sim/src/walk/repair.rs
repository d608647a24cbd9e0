//! A member whose disk is damaged comes back as the same one, as `--self-repair` brings it back
//! (core/src/node/repair.rs says why that is safe): another one commits a fresh entry, gives a
//! state that is not older, every other voter names its term, and only then it goes on.

use super::bus::restored;
use super::serve::Whose;
use super::{Happening, World};
use crate::oracle::Broken;
use crate::oracle::promise::Promises;
use crate::seen::Place;
use keel_core::command::{AlarmAction, Command, Reply};
use keel_core::disk::Lane;
use keel_core::limits::REQUEST_BYTES_MAX;
use keel_core::node::{Named, repaired};
use keel_core::state::Checkpoint;
use keel_core::{Index, Input, Mark, NodeId, Order, Planner, Term};
use keel_proto::convert::propose;
use keel_proto::wire::etcdserverpb as pb;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Between two of its questions.
const PAUSE: Duration = Duration::from_millis(50);
/// After so many questions about the state it begins anew: an answer may never come.
const QUESTIONS: u32 = 100;

/// How far a member's way back is.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// How often it has asked since it began, for what it lacks.
    asked: u32,
    /// Whom it asked for a fresh entry, in which life, and what was committed when that came.
    fresh: Option<(usize, u64, Index)>,
    state: Option<Arc<Checkpoint>>,
    named: BTreeMap<NodeId, Term>,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.state, self.fresh) {
            (None, None) => write!(f, "no fresh entry was committed"),
            (None, Some((source, ..))) => {
                write!(f, "{} gave no state that is new enough", World::name(source))
            }
            (Some(_), _) => {
                let named: Vec<String> =
                    self.named.keys().map(|id| World::name(World::place(*id))).collect();
                write!(f, "only {} named their terms", named.join(", "))
            }
        }
    }
}

impl World {
    /// A damaged member's next question.
    pub(super) fn repair(&mut self, at: usize) -> Result<(), Broken> {
        let Some(mut repair) = self.members[at].repair.take() else { return Ok(()) };
        repair.asked += 1;
        let question = match (&repair.state, repair.fresh) {
            (None, _) if repair.asked % QUESTIONS == 1 => {
                repair.fresh = None;
                self.source(at).map(|source| (source, alarms as fn(_) -> Input))
            }
            (None, Some((source, boot, _))) if self.members[source].boot == boot => {
                self.hears(at, source).then_some((source, export as fn(_) -> Input))
            }
            (None, _) => None,
            (Some(state), _) => {
                let voters: Vec<NodeId> = state.cluster.voters().map(|(id, _)| id).collect();
                let me = World::id(at);
                let silent = |id: &&NodeId| **id != me && !repair.named.contains_key(id);
                match voters.iter().find(silent) {
                    None => return self.come_back(at, state, repair.named.values()),
                    Some(id) => {
                        let other = World::place(*id);
                        if self.hears(at, other)
                            && let Some(life) = &self.members[other].life
                        {
                            repair.named.insert(*id, life.node.status().term);
                        }
                    }
                }
                None
            }
        };
        self.members[at].repair = Some(repair);
        self.soon(PAUSE, Happening::Repair { member: at });
        if let Some((source, question)) = question {
            let ticket = self.ticket();
            self.admit(source, ticket, Whose::Repair(at), question(ticket))?;
        }
        Ok(())
    }

    /// Another member answers.
    pub(super) fn repair_hears(
        &mut self,
        at: usize,
        source: usize,
        committed: Index,
        reply: Reply,
    ) {
        let boot = self.members[source].boot;
        let Some(repair) = &mut self.members[at].repair else { return };
        match (reply, repair.fresh) {
            (Reply::Export(state), Some((.., fresh))) if state.index >= fresh => {
                repair.state = Some(state);
            }
            (Reply::Export(_), _) => {}
            // Whatever is committed now was there when the entry was.
            (_, None) => repair.fresh = Some((source, boot, committed)),
            _ => {}
        }
    }

    /// Somebody to ask: who runs and was never let in knows nothing.
    fn source(&mut self, at: usize) -> Option<usize> {
        let cluster = self.newest()?;
        let members = cluster.members.keys().map(|id| World::place(*id));
        let others: Vec<usize> = members.filter(|other| self.hears(at, *other)).collect();
        (!others.is_empty()).then(|| *self.disks.pick(&others))
    }

    /// Whether these two reach each other, and the other one lives.
    fn hears(&self, at: usize, other: usize) -> bool {
        let member = &self.members[other];
        let lives = member.life.is_some() && member.still <= self.now;
        lives && other != at && self.bus.reach(at, other)
    }

    /// The disk becomes what an ordinary start finds.
    fn come_back<'a>(
        &mut self,
        at: usize,
        state: &Checkpoint,
        terms: impl Iterator<Item = &'a Term>,
    ) -> Result<(), Broken> {
        let mut named = Named::default();
        terms.for_each(|term| named.hear(*term));
        let me = World::id(at);
        let Ok((write, checkpoint)) = repaired(me, restored(state), &named) else {
            self.leave(at);
            return Ok(());
        };
        let member = &mut self.members[at];
        member.device = member.device.emptied();
        member.rotten = false;
        // What it said before is not on this disk; the rules above make it harmless.
        member.promises = Promises::default();
        let mut planner = Planner::create(self.options(at));
        planner.persist(Mark(1), write);
        planner.store(Mark(1), checkpoint);
        let member = &mut self.members[at];
        let mut plans = true;
        while std::mem::take(&mut plans) {
            for lane in [Lane::Log, Lane::Bulk] {
                while let Some(plan) = planner.poll(lane) {
                    plans = true;
                    for op in &plan.ops {
                        if member.device.carry_out(op).is_err() {
                            // There is no space yet: all of it again, later.
                            member.device = member.device.emptied();
                            member.repair = Some(Repair::default());
                            self.soon(PAUSE, Happening::Repair { member: at });
                            return Ok(());
                        }
                    }
                    planner.done(plan.id);
                }
            }
        }
        self.places.saw(Place::CameBack);
        self.tell(&format!("{} comes back", World::name(at)));
        self.start_again(at)
    }
}

/// A question that goes through the log and changes nothing.
fn alarms(ticket: keel_core::Ticket) -> Input {
    let command = Command::Alarm { action: AlarmAction::Get, member: NodeId::NONE, kind: None };
    let operation =
        pb::InternalRaftRequest { alarm: Some(pb::AlarmRequest::default()), ..Default::default() };
    let proposal = propose(ticket, command, operation, REQUEST_BYTES_MAX).expect("it is small");
    Input::Propose { proposal }
}

fn export(ticket: keel_core::Ticket) -> Input {
    Input::Admin { ticket, order: Order::Export }
}
