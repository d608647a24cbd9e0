//! What a node takes in, written down step by step.

use super::code::{Code, Reader, Writer};
use crate::input::Input;
use crate::node::{Boot, Config, Node};
use crate::types::Instant;
use alloc::string::String;

/// Steps from one digest in a recording to the next.
const DIGEST_EVERY: u64 = 64;

/// What a state begins with: a node before its birth, or one in the middle of its life.
const BIRTH: u8 = 1;
const LIFE: u8 = 2;

/// What an event begins with.
const STEP: u8 = 1;
const STEP_WITH_DIGEST: u8 = 2;
const REST: u8 = 3;
const PANIC: u8 = 4;

/// Keeps the count of what a recording must say between two steps.
#[derive(Debug)]
pub struct Scribe {
    now: Instant,
    polls: u64,
    steps: u64,
}

/// What a recording tells, one after the other.
#[derive(Debug)]
pub enum Event {
    /// The node was polled so often, then took an input.
    Step {
        /// How often, also where nothing came.
        polls: u64,
        /// The node's digest between the polls and the step, where it was taken.
        digest: Option<u64>,
        /// When it took the input.
        now: Instant,
        /// What it took.
        input: Input,
    },
    /// The node was polled so often and had this digest; more may follow.
    Rest {
        /// How often, also where nothing came.
        polls: u64,
        /// The digest after that.
        digest: u64,
    },
    /// The process broke down, maybe in the node.
    Panic {
        /// What it said.
        words: String,
    },
}

impl Scribe {
    /// Nothing happened since `now`, when the node was born.
    #[must_use]
    pub fn new(now: Instant) -> Scribe {
        Scribe { now, polls: 0, steps: 0 }
    }

    /// How many steps the node has taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The node is about to be polled.
    pub fn poll(&mut self) {
        self.polls += 1;
    }

    /// The node is about to take an input.
    pub fn step(&mut self, node: &Node, now: Instant, input: &Input, out: &mut Writer) {
        let digest = self.steps.is_multiple_of(DIGEST_EVERY).then(|| node.digest());
        out.u8(if digest.is_some() { STEP_WITH_DIGEST } else { STEP });
        out.u64(core::mem::take(&mut self.polls));
        if let Some(digest) = digest {
            out.fixed(digest);
        }
        // A time that goes back is the driver's mistake: the node says so, and on replay, too.
        out.u64(now.0.wrapping_sub(self.now.0));
        self.now = now;
        self.steps += 1;
        input.encode(out);
    }

    /// Says how the node stands: what comes next, if anything does, may begin here.
    pub fn rest(&mut self, node: &Node, out: &mut Writer) {
        out.u8(REST);
        out.u64(core::mem::take(&mut self.polls));
        out.fixed(node.digest());
    }

    /// Says that the process breaks down.
    pub fn panic(words: &str, out: &mut Writer) {
        out.u8(PANIC);
        out.slice(words.as_bytes());
    }

    /// What a node is about to be born with.
    pub fn birth(config: &Config, boot: &Boot, seed: u64, now: Instant, out: &mut Writer) {
        out.u8(BIRTH);
        config.encode(out);
        boot.encode(out);
        out.fixed(seed);
        now.encode(out);
    }

    /// How a node at rest stands; the polls so far are behind it.
    pub fn life(&mut self, node: &Node, out: &mut Writer) {
        assert!(node.is_at_rest() && self.polls == 0, "a node is recorded at rest");
        out.u8(LIFE);
        node.encode(out);
    }
}

/// The node that a state file holds; `None` where its bytes are none. A birth may break an
/// assertion, as it did when it was recorded.
pub(super) fn begin(from: &mut Reader) -> Option<Node> {
    match from.u8()? {
        BIRTH => {
            let (config, boot) = (Config::decode(from)?, Boot::decode(from)?);
            let (seed, now) = (from.fixed()?, Instant::decode(from)?);
            from.is_empty().then(|| Node::new(config, boot, seed, now))
        }
        LIFE => Node::decode(from).filter(|_| from.is_empty()),
        _ => None,
    }
}

impl Event {
    /// The next event; `None` where the bytes end before it does, or make no sense. Time goes on
    /// from `now`.
    pub fn take(from: &mut Reader, now: Instant) -> Option<Event> {
        Some(match from.u8()? {
            kind @ (STEP | STEP_WITH_DIGEST) => {
                let polls = from.u64()?;
                let digest = if kind == STEP { None } else { Some(from.fixed()?) };
                let now = Instant(now.0.wrapping_add(from.u64()?));
                Event::Step { polls, digest, now, input: Input::decode(from)? }
            }
            REST => Event::Rest { polls: from.u64()?, digest: from.fixed()? },
            PANIC => Event::Panic { words: String::decode(from)? },
            _ => return None,
        })
    }
}
