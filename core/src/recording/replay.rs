//! The node again: the same polls and steps, and a look at each digest on the way.

use super::code::{Parse, Reader};
use super::scribe::{self, Event};
use crate::input::Input;
use crate::node::Node;
use crate::output::Output;
use crate::types::Instant;
use bytes::Bytes;
use core::fmt;

/// A node that lives through a recording.
#[derive(Debug)]
pub struct Replay {
    node: Node,
    now: Instant,
    steps: u64,
}

/// The replay is not what was recorded: other code, or something decides that is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// After how many steps it was seen; digests are this far apart at most.
    pub steps: u64,
    /// The digest that was recorded.
    pub recorded: u64,
    /// The digest now.
    pub replayed: u64,
}

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diverged { steps, recorded, replayed } = self;
        write!(f, "after {steps} steps the digest is {replayed:016x}, not {recorded:016x}")
    }
}

impl core::error::Error for Diverged {}

impl Replay {
    /// The node that a state holds, which had taken `steps` before. `None` where the bytes hold
    /// none.
    ///
    /// # Panics
    ///
    /// Where the node's birth did when it was recorded.
    #[must_use]
    pub fn begin(state: Bytes, steps: u64, parse: Parse) -> Option<Replay> {
        let node = scribe::begin(&mut Reader::new(state, parse))?;
        Some(Replay { now: node.now(), node, steps })
    }

    /// The node, as far as it came.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// How many steps it has taken in its life.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What time it is for it.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Takes the next event off; `None` where no whole one follows.
    #[must_use]
    pub fn next(&self, from: &mut Reader) -> Option<Event> {
        Event::take(from, self.now)
    }

    /// Polls so often, and gives out what comes.
    pub fn poll(&mut self, polls: u64, mut each: impl FnMut(&Output)) {
        for _ in 0..polls {
            if let Some(output) = self.node.poll() {
                each(&output);
            }
        }
    }

    /// Polls until nothing comes: what a driver does before it sleeps.
    pub fn drain(&mut self, mut each: impl FnMut(&Output)) {
        while let Some(output) = self.node.poll() {
            each(&output);
        }
    }

    /// Compares with a digest that was recorded.
    ///
    /// # Errors
    ///
    /// They differ.
    pub fn compare(&self, recorded: u64) -> Result<(), Diverged> {
        let (steps, replayed) = (self.steps, self.node.digest());
        if recorded == replayed { Ok(()) } else { Err(Diverged { steps, recorded, replayed }) }
    }

    /// Takes an input.
    ///
    /// # Panics
    ///
    /// Where the node did when it was recorded.
    pub fn step(&mut self, now: Instant, input: Input) {
        self.now = now;
        self.steps += 1;
        let input = self.node.complete(input);
        self.node.step(now, input);
    }
}
