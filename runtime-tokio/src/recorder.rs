//! The flight recorder: all that the node takes in, kept in bounded space, so that an incident
//! replays on a developer's machine (`keel-sim replay`).
//!
//! ```text
//!   driver ─► Recorded ─► core::Node
//!                │ what it takes in          panic hook: nothing more is taken, all is written
//!                ▼                                │
//!              Queue (bounded) ◄──────────────────┘
//!                │
//!                ▼
//!   a thread ─► Ring: 0000000000000001.state .inputs, 0000000000000002.state .inputs, ...
//! ```
//!
//! The driver only copies into a queue. Where the thread cannot follow, or its disk fails, the
//! recording has a gap or ends, with a line in the log; the server goes on as if nothing was.

mod queue;
mod ring;

use crate::config::Recording;
use crate::failure::Failure;
use crate::journal::Journal;
use keel_core::recording::Scribe;
use keel_core::{Boot, Input, Instant, Node, Output};
use queue::{Item, Queue};
use ring::{Full, Ring};
use serde_json::Value;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The thread that writes.
const THREAD: &str = "keel-recorder";

/// A node, and maybe somebody who writes down what it takes in.
pub(crate) struct Recorded {
    node: Node,
    tape: Option<Tape>,
}

/// What the driver's side keeps.
struct Tape {
    scribe: Scribe,
    queue: Arc<Queue>,
}

/// A recorder that was opened and waits for the node's birth.
pub(crate) struct Recorder {
    queue: Arc<Queue>,
}

impl Recorder {
    /// Opens the directory and starts the thread. From here on a panic is written down before the
    /// process ends. `run` tells this process's files from others', `epoch` is the date at which
    /// the node's clock said zero.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub(crate) fn open(
        told: &Recording,
        run: u64,
        epoch: Duration,
        journal: &Journal,
    ) -> Result<Recorder, Failure> {
        let ring = Ring::open(told, run, epoch)?;
        let queue = Arc::new(Queue::new(told.bytes));
        let (thread_queue, journal) = (Arc::clone(&queue), journal.clone());
        let write = move || write(&thread_queue, ring, &journal);
        thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(write)
            .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
        catch_panics(Arc::clone(&queue));
        Ok(Recorder { queue })
    }
}

impl Recorded {
    /// A node is born, and recorded where there is a recorder.
    pub(crate) fn new(
        config: keel_core::Config,
        boot: Boot,
        seed: u64,
        now: Instant,
        recorder: Option<Recorder>,
    ) -> Recorded {
        let tape = recorder.map(|Recorder { queue }| {
            queue.begin(0, |out| Scribe::birth(&config, &boot, seed, now, out));
            Tape { scribe: Scribe::new(now), queue }
        });
        Recorded { node: Node::new(config, boot, seed, now), tape }
    }

    /// [`Node::step`].
    pub(crate) fn step(&mut self, now: Instant, input: Input) {
        if let Some(tape) = &mut self.tape {
            let Tape { scribe, queue } = tape;
            // Before the step: it may be the node's last.
            queue.inputs(|out| scribe.step(&self.node, now, &input, out));
        }
        self.node.step(now, input);
    }

    /// [`Node::poll`].
    pub(crate) fn poll(&mut self) -> Option<Output> {
        let output = self.node.poll();
        if let Some(tape) = &mut self.tape {
            tape.scribe.poll();
            if output.is_none() && tape.queue.wants_state() && self.node.is_at_rest() {
                tape.state(&self.node);
            }
        }
        output
    }
}

impl Tape {
    /// The recording goes on from how the node stands.
    fn state(&mut self, node: &Node) {
        let Tape { scribe, queue } = self;
        queue.inputs(|out| scribe.rest(node, out));
        queue.begin(scribe.steps(), |out| scribe.life(node, out));
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
        if let Some(Tape { scribe, queue }) = &mut self.tape
            && !thread::panicking()
        {
            queue.inputs(|out| scribe.rest(&self.node, out));
            queue.close();
        }
    }
}

/// Writes until the queue is closed, or until it cannot.
fn write(queue: &Queue, mut ring: Ring, journal: &Journal) {
    let mut told = false;
    while let Some(items) = queue.take() {
        for item in &items {
            let written = match item {
                Item::Inputs(inputs) => ring.inputs(inputs),
                Item::State { steps, state } => ring.state(*steps, state),
            };
            if let Err(error) = written {
                give_up(queue, &ring, &error, journal);
                return;
            }
        }
        let gap = queue.overran();
        if gap && !told {
            journal.warn("the flight recorder fell behind; its recording has a gap", &[]);
        }
        told = gap;
        if gap || ring.wants_state() {
            queue.ask_for_state();
        }
        queue.written();
    }
}

fn give_up(queue: &Queue, ring: &Ring, error: &io::Error, journal: &Journal) {
    let why = match error.get_ref().and_then(|inner| inner.downcast_ref::<Full>()) {
        Some(full) => full.to_string(),
        None => format!("cannot write to {}: {error}", ring.dir().display()),
    };
    journal.warn("the flight recorder stops; the server goes on", &[("error", Value::from(why))]);
    queue.give_up();
}

/// Lets a panic, wherever it is, end the recording before it ends the process.
fn catch_panics(queue: Arc<Queue>) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        if thread::current().name() != Some(THREAD) {
            queue.panic(&panic.to_string());
        }
    }));
}

#[cfg(test)]
mod tests;
