//! The wire: every byte that belongs to etcd.
//!
//! ```text
//!   request bytes ─► service ─► convert (parse, refuse) ─► Handle ──inbox──► (driver) Desk ─► core::Node
//!                       ▲                                     ▲                  │
//!                       └── response bytes ◄── convert ◄──────┴──── oneshot ◄────┘
//! ```
//!
//! [`peer`] is the same for members among themselves: their streams, their pages, and whole states,
//! which travel as [`bbolt`] databases. [`wal`] is etcd's log, and [`import`] makes a member of ours
//! of an etcd member's log and database.
//!
//! [`body`] is what a server does on every runtime: flags, log lines, the driver's steps, links to
//! peers, recovery. It stands here because it is the same on all of them and is mostly wire.
//!
//! No socket, no file, no clock, no spawn: any runtime serves exactly the values made here. Where
//! [`body`] needs one of them, it asks whoever runs it ([`body::Host`], [`body::disk::Disk`]).

pub mod bbolt;
pub mod body;
pub mod codec;
pub mod convert;
pub mod desk;
pub mod handle;
pub mod hub;
pub mod ids;
pub mod import;
pub mod metrics;
pub mod pb;
pub mod peer;
pub mod refusal;
pub mod service;
pub mod timing;
pub mod urls;
pub mod wal;
pub mod wire;
mod yielding;

pub use convert::bootstrap;
pub use desk::Desk;
pub use handle::{Call, Handle, Shared};
pub use hub::{HubCall, HubHandle, HubRunner};
pub use metrics::Metrics;
pub use service::{Info, Services};
pub use timing::Timing;
