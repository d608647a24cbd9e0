//! Identities and counters: newtypes that cannot be mixed up.
//!
//! None of them converts from an integer by itself. A number becomes a [`Term`]
//! where somebody writes `Term(n)`, and nowhere else.

use core::fmt;
use core::time::Duration;

crate::recording::code!(newtype Instant, NodeId, Term, Index, LeaseId, Ticket, Mark);

/// Nanoseconds since the driver's epoch. Never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `span` later, stopping at the end of time.
    #[must_use]
    pub fn after(self, span: Duration) -> Instant {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A member's raft id, as etcd computes it (semantics §7.1). Zero is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Nobody: no leader known, no vote cast.
    pub const NONE: NodeId = NodeId(0);
}

impl fmt::Display for NodeId {
    /// etcd prints member ids in lower-case hexadecimal without padding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A raft term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// A position in the raft log. The first entry is 1; zero is "before the log".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

impl Index {
    /// The next position.
    #[must_use]
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// The position before; zero stays zero.
    #[must_use]
    pub fn prev(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

/// An MVCC revision: `main` counts write transactions, `sub` the changes inside one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The write transaction; a fresh store stands at 1.
    pub main: i64,
    /// The change inside it, from 0, in the order of execution.
    pub sub: i64,
}

/// A lease's id. Zero is "no lease"; negative ids are legal, as in etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// No lease.
    pub const NONE: LeaseId = LeaseId(0);
}

/// One asker's claim to exactly one reply. For a proposal it is also etcd's request id
/// (`RequestHeader.ID`), which is how a committed entry finds its asker again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A promise of durability: rises with every write handed out, and covers all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u64);
