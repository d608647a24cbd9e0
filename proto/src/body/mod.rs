//! What every body of a server has, whatever the runtime: how it is told what to do, what it
//! remembers, what it says to operators, and how it reaches its peers.
//!
//! ```text
//!   Config ─► remember (recover | join | repair) ─► a node to drive      Journal ◄─ banner, notes
//!                 │                                                         ▲
//!                Disk                          links, peers, Corruption ──► Host
//! ```
//!
//! Nothing here opens a file or a socket, asks what time it is, or starts a task by itself: whoever
//! runs a server lends a [`Host`] (connections, time, tasks), a [`disk::Disk`] and the [`Sink`]s of
//! its log lines. A runtime's own are the wait of the driver's loop, its sockets, and which task
//! runs where.

pub mod banner;
pub mod config;
mod corruption;
mod date;
mod deadline;
pub mod disk;
mod door;
pub mod driver;
mod failure;
mod front;
pub mod heart;
mod host;
mod join;
mod journal;
pub mod links;
mod notes;
pub mod peers;
mod recorded;
mod recover;
mod remember;
mod repair;
mod same;
pub mod shard;
mod slow;
mod stop;
mod traffic;

pub use crate::yielding::yield_now;
pub use config::Config;
pub use corruption::Corruption;
pub use date::stamp;
pub use door::Door;
pub use failure::{Failure, UNAVAILABLE};
pub use front::Front;
pub use host::{Host, Leash, Over, Spawner, Time};
pub use join::advertised_as_listed;
pub use journal::{Fields, Journal, Sink};
pub use notes::Notes;
pub use recorded::{OpenTape, Recorded, Tape};
pub use recover::{Trouble, WAY_OUT, damaged, recover};
pub use remember::{Remembered, remember};
pub use stop::Stop;
pub use traffic::{Traffic, connections, transport};
