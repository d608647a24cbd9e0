//! The body for production: sockets, disk, clock.
//!
//! ```text
//!   shard 0..n  serve ─► proto Services ─► Handle ──inbox──► driver (shard 0) ─► core::Node
//!                 ▲                                            │  │  │
//!                 └── hub ◄── Arc<Batch> ──────────────────────┘  │  └─► journal (stderr)
//!                                                                 └─► disk (two helper threads)
//! ```

pub mod clock;
pub mod config;
pub mod data_dir;
mod deadline;
pub mod disk;
mod entropy;
mod failure;
mod init_daemon;
pub mod journal;
pub mod net;
mod notes;
mod serve;
mod stop;

pub use config::{Backend, Config, Level, Limits, Listen, Log, LogFormat, LogOutput};
pub use failure::Failure;

/// Serves until SIGTERM or SIGINT, then stops gracefully. Blocks the thread that calls it.
///
/// # Errors
///
/// A [`Failure`] prints as the one line that the operator needs; the process exits with 1 then.
pub fn run(_config: Config) -> Result<(), Failure> {
    unimplemented!()
}
