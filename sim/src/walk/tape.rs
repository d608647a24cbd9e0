//! A node whose life is written down, as a member's flight recorder does, and then lived again:
//! whatever decides and is not recorded shows as a digest that differs.

use crate::recording::parse;
use keel_core::node::{Boot, Config};
use keel_core::recording::{Event, Reader, Replay, Scribe, Writer};
use keel_core::{Input, Instant, Node, Output};
use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

/// Steps between two states of a tape.
const STRETCH: u64 = 100;

/// Where the tapes of lives that are over are kept.
pub(super) type Shelf = Rc<RefCell<Vec<Tape>>>;

/// A node, and maybe what it takes in.
pub(super) struct Taped {
    node: Node,
    tape: Option<(Scribe, Tape, Shelf)>,
}

/// One life.
#[derive(Debug, Default)]
pub struct Tape {
    stretches: Vec<Stretch>,
}

/// A state, and the inputs behind it.
#[derive(Debug)]
struct Stretch {
    steps: u64,
    state: Writer,
    inputs: Writer,
}

impl Taped {
    pub(super) fn new(
        config: Config,
        boot: Boot,
        seed: u64,
        now: Instant,
        shelf: Option<&Shelf>,
    ) -> Taped {
        let tape = shelf.map(|shelf| {
            let mut tape = Tape::default();
            tape.begin(0, |state| Scribe::birth(&config, &boot, seed, now, state));
            (Scribe::new(now), tape, Rc::clone(shelf))
        });
        Taped { node: Node::new(config, boot, seed, now), tape }
    }

    pub(super) fn step(&mut self, now: Instant, input: Input) {
        if let Some((scribe, tape, _)) = &mut self.tape {
            scribe.step(&self.node, now, &input, tape.inputs());
        }
        self.node.step(now, input);
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        let output = self.node.poll();
        if let Some((scribe, tape, _)) = &mut self.tape {
            scribe.poll();
            let due = scribe.steps() >= tape.last().steps + STRETCH;
            if output.is_none() && due && self.node.is_at_rest() {
                scribe.rest(&self.node, tape.inputs());
                tape.begin(scribe.steps(), |state| scribe.life(&self.node, state));
            }
        }
        output
    }
}

impl Deref for Taped {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Drop for Taped {
    fn drop(&mut self) {
        if let Some((mut scribe, mut tape, shelf)) = self.tape.take() {
            scribe.rest(&self.node, tape.inputs());
            shelf.borrow_mut().push(tape);
        }
    }
}

impl Tape {
    fn begin(&mut self, steps: u64, put: impl FnOnce(&mut Writer)) {
        let mut state = Writer::new();
        put(&mut state);
        self.stretches.push(Stretch { steps, state, inputs: Writer::new() });
    }

    fn last(&self) -> &Stretch {
        self.stretches.last().expect("a tape begins with a state")
    }

    fn inputs(&mut self) -> &mut Writer {
        &mut self.stretches.last_mut().expect("a tape begins with a state").inputs
    }

    /// How many states it has: the first is a birth, each more a node in the middle of its life.
    #[must_use]
    pub fn states(&self) -> usize {
        self.stretches.len()
    }

    /// Lives it again, from its birth to its end and from each later state over two stretches, and
    /// gives how many digests were equal.
    ///
    /// # Errors
    ///
    /// Says which life went another way, and where.
    pub fn relive(&self) -> Result<u64, String> {
        let mut compared = 0;
        for first in 0..self.stretches.len() {
            let Stretch { steps, state, .. } = &self.stretches[first];
            let replay = Replay::begin(state.to_bytes(), *steps, parse);
            let mut replay = replay.ok_or_else(|| format!("state {first} does not come back"))?;
            let stretches = if first == 0 { usize::MAX } else { 2 };
            for stretch in self.stretches[first..].iter().take(stretches) {
                compared += go_on(&mut replay, stretch)
                    .map_err(|why| format!("from state {first} of {}: {why}", self.states()))?;
            }
        }
        Ok(compared)
    }
}

/// Takes in what a stretch holds.
fn go_on(replay: &mut Replay, stretch: &Stretch) -> Result<u64, String> {
    let mut compared = 0;
    let mut from = Reader::new(stretch.inputs.to_bytes(), parse);
    while let Some(event) = replay.next(&mut from) {
        let (polls, digest, input) = match event {
            Event::Step { polls, digest, now, input } => (polls, digest, Some((now, input))),
            Event::Rest { polls, digest } => (polls, Some(digest), None),
            Event::Panic { words } => return Err(words),
        };
        replay.poll(polls, |_| ());
        if let Some(digest) = digest {
            replay.compare(digest).map_err(|diverged| diverged.to_string())?;
            compared += 1;
        }
        if let Some((now, input)) = input {
            replay.step(now, input);
        }
    }
    if from.is_empty() { Ok(compared) } else { Err(String::from("an event makes no sense")) }
}
