//! What reaches the world from outside: how long we wait for a run, and mistakes that are planted.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// How long a run may last, of real time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Ends a run that takes too long, whatever its own time says.
pub(super) struct Patience(Instant);

impl Patience {
    pub(super) fn new() -> Patience {
        Patience(Instant::now())
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.elapsed() > PATIENCE
    }
}

/// A mistake that is planted: what no server may ask, since no simulator can answer it twice alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// The machine's date.
    Date,
    /// The machine's chance.
    Chance,
}

/// A seed that is another one at each call.
pub(super) fn entropy() -> u64 {
    RandomState::new().hash_one(0)
}
