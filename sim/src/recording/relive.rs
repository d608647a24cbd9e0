//! A member's life again, step by step, to its end or to where somebody wants to look.

use super::files::{Recording, parse};
use keel_core::recording::{Diverged, Event, Header, Reader, Replay};
use keel_core::{Index, Instant, Output};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where to stop: at the first step after which one of these is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Until {
    /// The applied index.
    pub index: Option<u64>,
    /// The store's revision.
    pub revision: Option<i64>,
    /// The member's clock: no later input is taken.
    pub time: Option<Instant>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All that was recorded was taken, and every digest is equal.
    Complete,
    /// What was wanted is reached.
    Reached,
    /// The core broke down. `recorded` is what the member said then, if it did.
    Panic {
        /// What the core says now.
        replayed: String,
        /// What the member said.
        recorded: Option<String>,
        /// Whether the member took more inputs after that.
        went_on: bool,
    },
    /// All that was recorded was taken; the member broke down then, but not in the core.
    Elsewhere {
        /// What it said.
        recorded: String,
    },
    /// It is not what was recorded.
    Diverged(Diverged),
}

/// A member that relived what was recorded.
#[derive(Debug)]
pub struct Life {
    /// What the file says that its state came from.
    pub header: Header,
    /// The node where it stopped; nothing where its birth broke down.
    pub replay: Option<Replay>,
    /// How it ended.
    pub end: End,
    /// Digests that were compared.
    pub compared: u64,
    /// Bytes at the end of the last file that were cut: the process died while it wrote them.
    pub torn: usize,
    /// Steps that the recorder had no place for, before each state that it went on with.
    pub gaps: Vec<u64>,
}

/// What the replay says as it goes.
pub trait Witness {
    /// An event is about to happen.
    fn event(&mut self, replay: &Replay, event: &Event);
    /// An output came.
    fn output(&mut self, output: &Output);
}

impl Witness for () {
    fn event(&mut self, _: &Replay, _: &Event) {}
    fn output(&mut self, _: &Output) {}
}

/// Relives a recording from its oldest whole state on.
///
/// # Errors
///
/// Says what cannot be read.
pub fn relive(
    recording: &Recording,
    until: Until,
    witness: &mut dyn Witness,
) -> Result<Life, String> {
    let mut life: Option<Life> = None;
    for number in recording.numbers() {
        if life.is_none() {
            life = begin(recording, number)?;
        }
        let Some(inputs) = recording.inputs(number)? else { continue };
        let Some(now) = life.as_mut().filter(|life| life.end == End::Complete) else { continue };
        if let Some(replay) = &now.replay
            && replay.steps() != inputs.header.steps
        {
            // What lies between had no place; the state behind it goes on.
            let missing = inputs.header.steps.saturating_sub(replay.steps());
            let Some(mut next) = begin(recording, number)? else { continue };
            next.gaps = std::mem::take(&mut now.gaps);
            next.gaps.push(missing);
            next.compared = now.compared;
            life = Some(next);
        }
        if let Some(life) = &mut life {
            life.torn = inputs.torn;
            life.take(Reader::new(inputs.body, parse), until, witness);
        }
    }
    life.ok_or_else(|| String::from("no state in it is whole: there is nothing to begin with"))
}

/// The node of a state; nothing where that is not whole.
fn begin(recording: &Recording, number: u64) -> Result<Option<Life>, String> {
    let Some(state) = recording.state(number)? else { return Ok(None) };
    let header = state.header;
    let born = caught(|| Replay::begin(state.body, header.steps, parse));
    let (replay, end) = match born {
        Ok(None) => return Ok(None),
        Ok(Some(replay)) => (Some(replay), End::Complete),
        Err(replayed) => (None, End::Panic { replayed, recorded: None, went_on: false }),
    };
    Ok(Some(Life { header, replay, end, compared: 0, torn: 0, gaps: Vec::new() }))
}

impl Life {
    /// Whether it is what was recorded: a member that broke down must break down in the same way.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match &self.end {
            End::Complete | End::Reached | End::Elsewhere { .. } => true,
            End::Panic { replayed, recorded, went_on } => {
                !went_on && recorded.as_ref().is_none_or(|recorded| recorded == replayed)
            }
            End::Diverged(_) => false,
        }
    }

    fn take(&mut self, mut from: Reader, until: Until, witness: &mut dyn Witness) {
        let Some(mut replay) = self.replay.take() else { return };
        while self.end == End::Complete {
            let left = from.len();
            let Some(event) = replay.next(&mut from) else {
                // The last whole frame may end within an event.
                self.torn += left;
                break;
            };
            let happened = caught(|| self.happen(&mut replay, event, until, witness));
            if let Err(replayed) = happened {
                let (recorded, went_on) = last_words(&replay, from.clone());
                self.end = End::Panic { replayed, recorded, went_on };
            }
        }
        if self.end == End::Complete {
            // A driver polls to the end before it sleeps, and the node may break down there.
            let drained = caught(|| replay.drain(|output| witness.output(output)));
            if let Err(replayed) = drained {
                self.end = End::Panic { replayed, recorded: None, went_on: false };
            }
        }
        self.replay = Some(replay);
    }

    fn happen(
        &mut self,
        replay: &mut Replay,
        event: Event,
        until: Until,
        witness: &mut dyn Witness,
    ) {
        witness.event(replay, &event);
        match event {
            Event::Step { polls, digest, now, input } => {
                replay.poll(polls, |output| witness.output(output));
                self.compare(replay, digest);
                if until.time.is_some_and(|time| now > time) {
                    self.end = End::Reached;
                }
                if self.end == End::Complete {
                    replay.step(now, input);
                    self.look(replay, until);
                }
            }
            Event::Rest { polls, digest } => {
                replay.poll(polls, |output| witness.output(output));
                self.compare(replay, Some(digest));
            }
            Event::Panic { words } => {
                replay.drain(|output| witness.output(output));
                self.end = End::Elsewhere { recorded: words };
            }
        }
    }

    fn compare(&mut self, replay: &Replay, recorded: Option<u64>) {
        let Some(recorded) = recorded else { return };
        self.compared += 1;
        if let Err(diverged) = replay.compare(recorded) {
            self.end = End::Diverged(diverged);
        }
    }

    fn look(&mut self, replay: &Replay, until: Until) {
        let view = replay.node().view();
        let index = until.index.is_some_and(|index| view.index >= Index(index));
        if index || until.revision.is_some_and(|revision| view.kv.revision() >= revision) {
            self.end = End::Reached;
        }
    }
}

/// What the member said when it broke down, and whether it took more inputs before.
fn last_words(replay: &Replay, mut from: Reader) -> (Option<String>, bool) {
    let (mut now, mut went_on) = (replay.now(), false);
    while let Some(event) = Event::take(&mut from, now) {
        match event {
            Event::Panic { words } => return (Some(words), went_on),
            Event::Step { now: later, .. } => (now, went_on) = (later, true),
            Event::Rest { .. } => {}
        }
    }
    (None, went_on)
}

thread_local! {
    static WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What a closure gives, or what it said when it broke down.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|panic| {
        if cfg!(panic = "abort") {
            // Nobody comes back to tell it.
            eprintln!("the core broke down: {panic}");
        }
        WORDS.set(Some(panic.to_string()));
    }));
    let result = catch_unwind(AssertUnwindSafe(run));
    std::panic::set_hook(before);
    result.map_err(|_| WORDS.take().unwrap_or_default())
}
