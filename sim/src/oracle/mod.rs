//! What must hold, one rule a file, each with a test in which it is broken.
//!
//! An oracle sees what leaves a member or reaches a client, never what a member thinks.

pub mod canon;
pub mod equal;
pub mod lease;
pub mod linear;
pub mod promise;
pub mod quorum;
pub mod search;
pub mod storm;
pub mod tickets;
pub mod versions;
pub mod watch;

use std::fmt;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which oracle says so.
    pub oracle: &'static str,
    /// What it saw.
    pub what: String,
}

impl Broken {
    /// What an oracle saw.
    #[must_use]
    pub fn new(oracle: &'static str, what: impl Into<String>) -> Broken {
        Broken { oracle, what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}
