//! The body for io_uring: one executor a core, the ring, the clock.
//!
//! ```text
//!   shard 0..n  serve ─► proto Services ─► Handle ──inbox──► driver (shard 0) ─► core::Node
//!                 ▲                                            │  │
//!                 └── hub ◄── Arc<Batch> ──────────────────────┘  └─► disk ─► the ring's fdatasync
//! ```
//!
//! A shard is a thread with a glommio executor and its rings. Each accepts on the same port, and a
//! connection lives and dies on the shard that accepted it; shard 0 also carries the driver, the
//! links and the commits. What does not depend on the runtime (services, driver, links, recovery)
//! lies in `keel-proto`, and is the same that the tokio body serves; the disk knows no executor and
//! is lent by whoever starts the server, with [`ring_lane`] for its log.
//!
//! Two things are different here and nowhere else: a task that is always ready starves the ring
//! until a timer comes (so every loop that may be gives way by itself, and the timer is short),
//! and a machine may forbid rings, which [`probe`] finds out before anything is made.

mod clock;
mod disk;
mod driver;
mod gather;
mod net;
mod peers;
mod probe;
mod pulse;
mod rouse;
mod run;
mod serve;
mod shard;

// Named here only so that its feature, which the core must not ask for, is on.
use crc32fast as _;

pub use disk::ring_lane;
pub use probe::probe;
pub use run::{Lent, run};
pub use shard::Ready;
