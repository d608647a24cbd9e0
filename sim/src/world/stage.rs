//! What everybody in a run shares with whoever judges it: the time, the story, what was asked and
//! what was applied.

use super::Leak;
use crate::history::{Call, History, Outcome};
use crate::oracle::Broken;
use crate::oracle::canon::Canon;
use crate::oracle::storm::Events;
use crate::plan::Knobs;
use crate::seen::{Place, Places};
use crate::trace::Trace;
use crate::walk::Timeline;
use keel_core::Instant;
use std::cell::{Cell, RefCell};

/// One run's. Everything is on one thread.
pub(super) struct Stage {
    pub(super) knobs: Knobs,
    /// A mistake that members make.
    pub(super) leak: Option<Leak>,
    /// When the step began that is under way.
    pub(super) now: Cell<Instant>,
    /// Whether the storm is over.
    pub(super) quiet: Cell<bool>,
    pub(super) history: RefCell<History>,
    pub(super) canon: RefCell<Canon>,
    pub(super) next_lease: Cell<i64>,
    /// Where it is taken down how the run looks.
    pub(super) film: RefCell<Timeline>,
    story: RefCell<Vec<String>>,
    places: RefCell<Places>,
    trace: Cell<Trace>,
    events: Cell<Events>,
    /// The first rule that was broken while a step was under way.
    broken: RefCell<Option<Broken>>,
}

impl Stage {
    pub(super) fn new(knobs: Knobs, leak: Option<Leak>) -> Stage {
        Stage {
            knobs,
            leak,
            now: Cell::new(Instant(0)),
            quiet: Cell::new(false),
            history: RefCell::default(),
            canon: RefCell::default(),
            next_lease: Cell::new(1),
            film: RefCell::default(),
            story: RefCell::default(),
            places: RefCell::default(),
            trace: Cell::default(),
            events: Cell::default(),
            broken: RefCell::default(),
        }
    }

    /// A client asks for something; gives the operation's number.
    pub(super) fn begin(&self, client: usize, call: Call) -> usize {
        self.history.borrow_mut().begin(client, call, self.now.get())
    }

    /// A member is asked for it.
    pub(super) fn reaches(&self, operation: usize, member: usize) {
        self.film.borrow_mut().reached.entry(operation).or_insert(member);
    }

    /// It is answered.
    pub(super) fn end(&self, operation: usize, outcome: Outcome) {
        if matches!(outcome, Outcome::Refused { .. }) {
            self.saw(Place::Refused);
        }
        self.history.borrow_mut().end(operation, self.now.get(), outcome);
    }

    /// A line of the story.
    pub(super) fn tell(&self, line: &str) {
        let millis = self.now.get().0 / 1_000_000;
        self.mark(|trace| trace.text(line));
        let line = format!("{}.{:03} {line}", millis / 1000, millis % 1000);
        self.story.borrow_mut().push(line);
    }

    /// The run has been somewhere.
    pub(super) fn saw(&self, place: Place) {
        self.places.borrow_mut().saw(place);
    }

    /// Something happens that equal runs have in common.
    pub(super) fn happens(&self, how: impl FnOnce(&mut Trace)) {
        let now = self.now.get();
        self.mark(|trace| {
            trace.mark(now.0);
            how(trace);
        });
        let mut events = self.events.get();
        if let Err(storm) = events.happen(now) {
            self.broke(storm);
        }
        self.events.set(events);
    }

    fn mark(&self, how: impl FnOnce(&mut Trace)) {
        let mut trace = self.trace.get();
        how(&mut trace);
        self.trace.set(trace);
    }

    /// A rule is broken: the run ends with this step.
    pub(super) fn broke(&self, broken: Broken) {
        self.broken.borrow_mut().get_or_insert(broken);
    }

    /// The rule that was broken meanwhile, if one was.
    pub(super) fn check(&self) -> Result<(), Broken> {
        self.broken.borrow_mut().take().map_or(Ok(()), Err)
    }

    /// How the run looked.
    pub(super) fn film(&self) -> Timeline {
        let mut film = self.film.take();
        film.operations = self.history.take().0;
        film
    }

    /// The story, the digest, how many things happened, and where it has been.
    pub(super) fn summary(&self) -> (Vec<String>, u64, u64, Places) {
        (self.story.take(), self.trace.get().0, self.events.get().0, self.places.take())
    }
}
