//! What is looked at after each step: who leads, what was applied, what the servers' logs say, and
//! who has ended by himself.

use super::World;
use super::seat::Seat;
use crate::member::id;
use crate::oracle::Broken;
use crate::seen::Place;
use crate::walk::Role;
use keel_core::{Batch, Event, NodeId, Term};
use serde_json::Value;
use std::rc::Rc;

impl World {
    pub(super) fn look(&mut self) -> Result<(), Broken> {
        for at in 0..self.seats.len() {
            let seat = Rc::clone(&self.seats[at]);
            for line in seat.lines().lines() {
                self.read(&seat, line)?;
            }
            self.applied(&seat)?;
            self.film(&seat);
            if seat.tripped.get() {
                self.stage.saw(Place::PowerLostAtWork);
                self.stage.tell(&format!("{} loses its power", seat.name()));
                self.end_life(&seat, true);
            }
            let ended = seat.ended.borrow().clone();
            if let Some(why) = ended {
                self.stage.tell(&format!("{} ends: {why}", seat.name()));
                self.end_life(&seat, false);
            }
            self.tend(&seat);
        }
        Ok(())
    }

    /// Takes down how a member stands.
    fn film(&self, seat: &Seat) {
        let status = seat.handle.borrow().as_ref().map(keel_proto::Handle::status);
        let role = match status {
            None => Role::Down,
            Some(status) if status.leader == status.id => Role::Leads,
            Some(status) if status.leader == NodeId::NONE => Role::Seeks,
            Some(status) => Role::Follows(status.leader),
        };
        let known = status.map(|status| (status.term.0, status.commit.0));
        self.stage.film.borrow_mut().stands_as(self.stage.now.get(), seat.at, role, known);
    }

    /// Holds what a member has applied since the last look against what others have.
    fn applied(&mut self, seat: &Seat) -> Result<(), Broken> {
        let Some(handle) = seat.handle.borrow().clone() else { return Ok(()) };
        let view = handle.latest();
        let looked = seat.looked.borrow();
        let before = looked.as_ref().map_or(1, |view| view.kv.revision());
        if looked.as_ref().is_some_and(|looked| looked.index == view.index) {
            return Ok(());
        }
        drop(looked);
        let from = (before + 1).max(view.kv.compacted() + 1);
        let events: Vec<Event> = match view.kv.history(from) {
            Ok(events) => events.collect(),
            Err(why) => {
                let what = format!("{} has no history from {from} on: {why:?}", seat.name());
                return Err(Broken::new("durable", what));
            }
        };
        let batch = Batch { view: view.clone(), before, events };
        self.stage.canon.borrow_mut().applied(id(seat.at), &batch, self.stage.now.get())?;
        self.versions.applied(&batch.events);
        seat.looked.replace(Some(view));
        Ok(())
    }

    /// A line of a server's log.
    fn read(&mut self, seat: &Seat, line: &str) -> Result<(), Broken> {
        self.stage.happens(|trace| trace.text(line));
        let Ok(fields) = serde_json::from_str::<Value>(line) else { return Ok(()) };
        let message = fields["msg"].as_str().unwrap_or_default();
        let term = |words: &str| message.split_once(words)?.1.parse().ok().map(Term);
        if let Some(term) = term("became candidate at term ") {
            self.leaders.campaigns(term);
        }
        if let Some(term) = term("became leader at term ") {
            self.leaders.leads(id(seat.at), term)?;
            self.stage.saw(Place::Elected);
            self.stage.tell(&format!("{} leads in term {}", seat.name(), term.0));
        }
        match message {
            "saved snapshot to disk" => self.stage.saw(Place::Checkpoint),
            "finished scheduled compaction" => self.stage.saw(Place::Compacted),
            "lease expired" => self.stage.saw(Place::LeaseExpired),
            "applied snapshot" => {
                self.stage.saw(Place::StateTaken);
                self.stage.tell(&format!("{} takes another one's state", seat.name()));
            }
            "taking the state from the other members" => seat.mending.set(true),
            "this member's data is damaged" => {
                self.stage.saw(Place::DamageFound);
                let why = fields["error"].as_str().unwrap_or_default();
                self.stage.tell(&format!("{} finds its disk damaged: {why}", seat.name()));
            }
            "took the state from the other members" => {
                self.stage.saw(Place::CameBack);
                self.stage.tell(&format!("{} took the others' state", seat.name()));
            }
            _ => {}
        }
        Ok(())
    }
}
