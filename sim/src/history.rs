//! What clients asked and what they were told, whoever the cluster was.

use keel_core::{Instant, LeaseId};

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who asked.
    pub client: usize,
    /// For what.
    pub call: Call,
    /// When.
    pub begun: Instant,
    /// When the answer came, and what it was. Nothing: it may have happened, or may yet.
    pub end: Option<(Instant, Outcome)>,
}

/// What is asked for. Every value is written by one operation only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Put a key, maybe on a lease.
    Put {
        /// Which.
        key: String,
        /// What.
        value: String,
        /// On which, or none.
        lease: LeaseId,
    },
    /// Delete a key.
    Delete {
        /// Which.
        key: String,
    },
    /// Put a key if it holds this; else read it.
    Swap {
        /// Which.
        key: String,
        /// What it must hold; nothing for "it is not there".
        from: Option<String>,
        /// What.
        to: String,
    },
    /// Put two keys in one transaction, and read one of them as it was.
    Both {
        /// The first.
        key: String,
        /// What it gets.
        value: String,
        /// The other one, which gets [`beside`] that.
        other: String,
        /// The revision that is read, too; zero for the newest.
        past: i64,
    },
    /// Read a key at a linearizable point.
    Get {
        /// Which.
        key: String,
    },
    /// Read a key as some member has it.
    Stale {
        /// Which.
        key: String,
    },
    /// Make a lease.
    Grant {
        /// Which.
        lease: LeaseId,
        /// For how many seconds.
        ttl: i64,
    },
    /// Keep a lease alive.
    Renew {
        /// Which.
        lease: LeaseId,
    },
    /// Forget history up to a revision.
    Compact {
        /// Which.
        revision: i64,
    },
}

impl Call {
    /// The value that it would write.
    #[must_use]
    pub fn writes(&self) -> Option<&str> {
        match self {
            Call::Put { value, .. } | Call::Swap { to: value, .. } | Call::Both { value, .. } => {
                Some(value)
            }
            _ => None,
        }
    }
}

/// What the other key of two gets.
#[must_use]
pub fn beside(value: &str) -> String {
    format!("{value} too")
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key was written, or nothing was there to delete, at this revision.
    Wrote {
        /// The store's revision after it.
        revision: i64,
        /// Whether it changed something.
        changed: bool,
    },
    /// What was read, at this revision.
    Read {
        /// The store's revision.
        revision: i64,
        /// The value, if the key was there, and the revision that wrote it.
        found: Option<(String, i64)>,
    },
    /// The lease lives for so many seconds; none where it is unknown.
    Lease {
        /// How many.
        ttl: i64,
    },
    /// It was not done, or it is not known whether it was.
    Refused {
        /// Why.
        why: String,
    },
    /// It was done, and there is nothing else to say.
    Done,
}

/// All operations, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub struct History(pub Vec<Operation>);

impl History {
    /// An operation begins; gives its number.
    pub fn begin(&mut self, client: usize, call: Call, begun: Instant) -> usize {
        self.0.push(Operation { client, call, begun, end: None });
        self.0.len() - 1
    }

    /// Its answer came.
    ///
    /// # Panics
    ///
    /// Where it came before.
    pub fn end(&mut self, operation: usize, at: Instant, outcome: Outcome) {
        let before = self.0[operation].end.replace((at, outcome));
        assert!(before.is_none(), "operation {operation} is answered twice");
    }

    /// How many were answered with what they asked for.
    #[must_use]
    pub fn successes(&self) -> usize {
        let refused = |end: &(Instant, Outcome)| matches!(end.1, Outcome::Refused { .. });
        self.0.iter().filter(|one| one.end.as_ref().is_some_and(|end| !refused(end))).count()
    }
}
