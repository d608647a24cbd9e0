//! The flight recorder's language: all that a node takes in, as bytes, and the node again.
//!
//! ```text
//!   Node::new's arguments, or a Node at rest ─► Writer ─► frames ─► a state file
//!   each step: polls before it, time, input  ─► Scribe ─► frames ─► an inputs file
//!
//!   state file + inputs files ─► Replay: the same polls and steps; digests are compared
//! ```
//!
//! Equal inputs give equal outputs, so a recording needs no outputs: it replays to the same state,
//! or to the same broken assertion. When a node was polled decides, too (a read round begins
//! there), so the polls between two steps are counted.
//!
//! A runtime writes the files, on a thread of its own; where and how much of them stays is its
//! business.

mod code;
mod frame;
mod replay;
mod scribe;

pub(crate) use code::code;
pub use code::{Code, Parse, Reader, Writer};
pub use frame::{FRAME_MAX, Framer, Header, Kind, Stream, read};
pub use replay::{Diverged, Replay};
pub use scribe::{Event, Scribe};
