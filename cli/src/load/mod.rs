//! The load tool: the same work for several servers in one run, taking turns.
//!
//! ```text
//!   rows, big ─► calls ─► http2 ─► (server, pinned to a core of its own)
//!        └── figures ─► table: medians and ratios
//! ```

pub mod big;
pub mod calls;
pub mod cluster;
pub mod failover;
pub mod http2;
pub mod process;
pub mod rows;
pub mod soak;
pub mod stats;
pub mod table;
