//! Who hears of what: fans batches out to watch streams, off the apply loop.
//!
//! ```text
//!   Batch ──► index (who wants it) ──► piece (cut once, shared) ──► queue ──► Delivery
//!                                        ▲ │ no credit left
//!             history ──► catch_up ──────┘ └─► behind
//! ```
//!
//! Credit in bytes takes the place of etcd's synced, unsynced and victim groups (semantics
//! §3.3): a stream with credit is offered events as they happen; one without falls behind, and
//! reads them from the history when it has credit again. What is queued and not yet taken
//! counts against the credit, so a slow client costs its window and no more.

mod catch_up;
mod hub;
mod index;
mod intervals;
mod piece;
mod slab;
mod stream;

pub use hub::{Config, Counts, Hub};

use crate::command::{Event, Keys};
use crate::output::Batch;
use alloc::string::String;
use alloc::sync::Arc;

/// One client's watch stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// What the hub takes in.
#[derive(Clone, Debug)]
pub enum HubInput {
    /// Only time passed.
    Tick,
    /// A stream begins, with no credit.
    Open {
        /// Which.
        stream: StreamId,
    },
    /// A stream ended.
    Close {
        /// Which.
        stream: StreamId,
    },
    /// A watch is asked for.
    Create {
        /// On which stream.
        stream: StreamId,
        /// What for.
        watch: Watch,
    },
    /// A watch is given up.
    Cancel {
        /// On which stream.
        stream: StreamId,
        /// Which.
        id: i64,
    },
    /// The client asks for a sign of progress on all its watches.
    Progress {
        /// On which stream.
        stream: StreamId,
    },
    /// So many bytes may be sent: at first the stream's window, then the
    /// [`cost`](Delivery::cost) of every delivery that the client took.
    Credit {
        /// On which stream.
        stream: StreamId,
        /// How many bytes.
        bytes: usize,
    },
    /// The state moved on.
    Applied(Arc<Batch>),
}

/// What a watch asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The id that the client wants; zero lets the hub choose.
    pub id: i64,
    /// Which keys; `None` for a range that etcd refuses as empty.
    pub keys: Option<Keys>,
    /// From which revision on; zero is "what comes next". Less is refused as compacted.
    pub start: i64,
    /// Whether an idle watch wants signs of progress.
    pub progress: bool,
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletions out.
    pub no_delete: bool,
    /// Events carry the version before.
    pub prev_kv: bool,
    /// A large answer may be split inside a revision.
    pub fragment: bool,
}

/// One answer for one stream.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// For which stream.
    pub stream: StreamId,
    /// Of which watch; -1 where etcd answers for the stream.
    pub id: i64,
    /// The store's revision, for the header; zero where compaction ended the watch.
    pub revision: i64,
    /// What it took off the stream's credit: to be credited when the client took it.
    pub cost: usize,
    /// What.
    pub answer: Answer,
}

/// What a watch answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It begins.
    Created,
    /// It could not begin: etcd answers `created` and `canceled` in one.
    Refused {
        /// etcd's reason.
        reason: String,
    },
    /// It ends.
    Canceled {
        /// The compacted revision, where that is why; else zero.
        compacted: i64,
        /// etcd's reason; empty where the client asked.
        reason: String,
    },
    /// Something happened.
    Events {
        /// In the order of revisions. Watches that asked alike share one slice within a step,
        /// so what is encoded for one of them serves all: while the slice is held, the same
        /// pointer and the same `prev_kv` are the same bytes.
        events: Arc<[Event]>,
        /// Whether events carry the version before.
        prev_kv: bool,
        /// Whether more of the last revision follows.
        fragment: bool,
    },
    /// Nothing happened up to the delivery's revision.
    Progress,
}
