//! The node, and maybe somebody beside it who writes down what it takes in.

use super::Failure;
use keel_core::{Boot, Config, Input, Instant, Node, Output};
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// Writes down what a node takes in, and delays it by no more than a copy.
pub trait Tape {
    /// A node is about to be born.
    fn birth(&mut self, config: &Config, boot: &Boot, seed: u64, now: Instant);

    /// It is about to take in an input, which may be its last.
    fn step(&mut self, node: &Node, now: Instant, input: &Input);

    /// It was asked for an output; `last` where it had none.
    fn poll(&mut self, node: &Node, last: bool);

    /// Its life ends, and not by a panic.
    fn end(&mut self, node: &Node);
}

/// Opens a tape, where one is wanted: the number tells this process's recordings from others', and
/// the date is the one at which the node's clock said zero.
pub type OpenTape<'a> = &'a dyn Fn(u64, Duration) -> Result<Option<Box<dyn Tape>>, Failure>;

/// A node, and maybe its tape.
pub struct Recorded {
    node: Node,
    tape: Option<Box<dyn Tape>>,
}

impl Recorded {
    /// A node is born, and recorded where there is a tape.
    #[must_use]
    pub fn new(
        config: Config,
        boot: Boot,
        seed: u64,
        now: Instant,
        mut tape: Option<Box<dyn Tape>>,
    ) -> Recorded {
        if let Some(tape) = &mut tape {
            tape.birth(&config, &boot, seed, now);
        }
        Recorded { node: Node::new(config, boot, seed, now), tape }
    }

    /// [`Node::step`].
    pub fn step(&mut self, now: Instant, input: Input) {
        if let Some(tape) = &mut self.tape {
            tape.step(&self.node, now, &input);
        }
        self.node.step(now, input);
    }

    /// [`Node::poll`].
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.node.poll();
        if let Some(tape) = &mut self.tape {
            tape.poll(&self.node, output.is_none());
        }
        output
    }
}

impl Deref for Recorded {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Drop for Recorded {
    /// The last word, where the end is not a panic: that one has said its own.
    fn drop(&mut self) {
        if let Some(tape) = &mut self.tape
            && !std::thread::panicking()
        {
            tape.end(&self.node);
        }
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("taped", &self.tape.is_some()).finish_non_exhaustive()
    }
}
