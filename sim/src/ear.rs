//! What a watcher asks for, one thing after the other, and what it has heard: the same on every
//! level.

use crate::oracle::watch::{Seen, Wish};
use crate::random::Random;
use bytes::Bytes;
use keel_core::command::Keys;

/// One watcher's ear.
pub(crate) struct Ear {
    /// Its own chance.
    pub(crate) random: Random,
    /// What it asks for now, and has seen of it.
    pub(crate) seen: Seen,
    /// What it saw before it asked for something else.
    pub(crate) done: Vec<Seen>,
}

impl Ear {
    pub(crate) fn new(seed: u64, number: u64) -> Ear {
        let mut random = Random::stream(seed, &format!("watcher {number}"));
        // The first one watches everything, from the beginning.
        let seen = match number {
            0 => Seen::from(2, Wish::all()),
            _ => Seen::from(random.between(2, 40).cast_signed(), wish(&mut random)),
        };
        Ear { random, seen, done: Vec::new() }
    }

    /// It asks for something else, from a revision that may be forgotten or not be there yet.
    pub(crate) fn begin_anew(&mut self) {
        let from = self.seen.told + 30 - self.random.below(60).cast_signed();
        let anew = Seen::from(from.max(2), wish(&mut self.random));
        self.done.push(std::mem::replace(&mut self.seen, anew));
    }

    /// All that it ever saw, by what it asked for.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Seen> {
        self.done.iter().chain([&self.seen])
    }
}

/// What one of many may ask for.
fn wish(random: &mut Random) -> Wish {
    let text = Bytes::from_static;
    Wish {
        keys: match random.below(4) {
            0 => Keys::One(text(b"k0")),
            1 => Keys::Span { from: text(b"leased"), to: text(b"leasee") },
            2 => Keys::From(text(b"k1")),
            _ => Keys::All,
        },
        no_put: random.happens(150),
        no_delete: random.happens(150),
        prev_kv: random.happens(500),
        fragment: random.happens(500),
    }
}
