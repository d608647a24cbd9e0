//! What members say to each other: etcd's rafthttp, byte for byte (semantics §9e).
//!
//! ```text
//!   core ── raft::Message ──► message (raftpb) ──► stream (frames) ──► the peer's reader
//!   core ◄── raft::Message ── message (raftpb) ◄── stream (frames) ◄── what we read of it
//! ```
//!
//! The reader dials: a member asks each peer for two endless answers, one of appends and one of
//! all else, and the peer writes what it has to say into them. [`door`] answers those who dial.

pub mod call;
pub mod corruption;
pub mod door;
pub mod headers;
pub(crate) mod leases;
pub mod members;
pub mod message;
mod spill;
pub mod state;
pub mod stream;
pub(crate) mod v2;

pub use call::{Answer, Ask, Caller, Question, Said};
pub use door::{Door, Heard};
pub use spill::{Memory, Spill};
pub use stream::{Channel, Out, Reader};
