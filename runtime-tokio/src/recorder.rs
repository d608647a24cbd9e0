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

use keel_core::recording::Scribe;
use keel_core::{Boot, Input, Instant, Node};
use keel_proto::body::config::Recording;
use keel_proto::body::{Config, Failure, Journal, Tape};
use queue::{Item, Queue};
use ring::{Full, Ring};
use serde_json::Value;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The thread that writes.
const THREAD: &str = "keel-recorder";

/// The driver's side of a recording.
pub struct Recorder {
    scribe: Scribe,
    queue: Arc<Queue>,
}

impl Recorder {
    /// What a configuration asks for, as the parts that every body has open it.
    ///
    /// # Errors
    ///
    /// As those of [`Recorder::open`].
    pub fn tape(
        config: &Config,
        run: u64,
        epoch: Duration,
        journal: &Journal,
    ) -> Result<Option<Box<dyn Tape>>, Failure> {
        let Some(told) = &config.recording else { return Ok(None) };
        Ok(Some(Box::new(Recorder::open(told, run, epoch, journal)?)))
    }

    /// Opens the directory and starts the thread. From here on a panic is written down before the
    /// process ends. `run` tells this process's files from others', `epoch` is the date at which
    /// the node's clock said zero.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub fn open(
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
        Ok(Recorder { scribe: Scribe::new(Instant(0)), queue })
    }
}

impl Tape for Recorder {
    fn birth(&mut self, config: &keel_core::Config, boot: &Boot, seed: u64, now: Instant) {
        self.queue.begin(0, |out| Scribe::birth(config, boot, seed, now, out));
        self.scribe = Scribe::new(now);
    }

    fn step(&mut self, node: &Node, now: Instant, input: &Input) {
        let Recorder { scribe, queue } = self;
        queue.inputs(|out| scribe.step(node, now, input, out));
    }

    /// Where it is wanted, the recording goes on from how the node stands.
    fn poll(&mut self, node: &Node, last: bool) {
        let Recorder { scribe, queue } = self;
        scribe.poll();
        if last && queue.wants_state() && node.is_at_rest() {
            queue.inputs(|out| scribe.rest(node, out));
            queue.begin(scribe.steps(), |out| scribe.life(node, out));
        }
    }

    fn end(&mut self, node: &Node) {
        let Recorder { scribe, queue } = self;
        queue.inputs(|out| scribe.rest(node, out));
        queue.close();
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
