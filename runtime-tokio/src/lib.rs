//! The body for production: sockets, disk, clock.
//!
//! ```text
//!   shard 0..n  serve ─► proto Services ─► Handle ──inbox──► driver (shard 0) ─► core::Node
//!                 ▲                                            │  │  │  │
//!                 └── hub ◄── Arc<Batch> ──────────────────────┘  │  │  └─► journal (stderr)
//!                                                                 │  └─► disk (two helper threads),
//!                                                                 │      recorder (a thread, if told)
//!   peers ◄── links: queues, readers, posts, states ◄─────────────┘
//!     └─────► peers' port (shard 0) ─► proto peer Door ── Heard ──► driver
//! ```
//!
//! A shard is a thread with a current-thread executor. Each accepts on the same port, and a
//! connection lives and dies on the shard that accepted it. Shard 0 also carries the driver, so
//! a lone core needs no second thread. Only [`net::Net`] and [`disk::Disk`] are traits: the
//! simulator runs [`start`] with its own, and everything else is what production runs. What does
//! not depend on the runtime (driver, links, recovery, log lines) lies in [`keel_proto::body`].
//!
//! [`offline`] is for tools: files of members that do not run. A directory that etcd left is
//! imported before anything else (`import`).

pub mod clock;
mod data_dir;
pub mod disk;
mod driver;
mod entropy;
mod gather;
mod ground;
mod health;
mod hub;
mod import;
mod init_daemon;
pub mod net;
pub mod offline;
mod peers;
mod recorder;
mod run;
mod serve;
mod shard;

// Named here only so that its feature, which the core must not ask for, is on.
use crc32fast as _;

pub use data_dir::DataDir;
pub use ground::Ground;
pub use health::ask_ready;
pub use import::EtcdDir;
pub use init_daemon::InitDaemon;
pub use keel_proto::body::config::{
    Backend, Checks, Config, Initial, Level, Limits, Listen, Log, LogFormat, LogOutput, Recording,
    Rotation,
};
pub use keel_proto::body::{Failure, Journal};
pub use recorder::Recorder;
pub use run::{Running, World, run, start};
