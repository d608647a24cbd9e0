//! The wire: every byte that belongs to etcd.
//!
//! ```text
//!   request bytes ─► service ─► convert (parse, refuse) ─► Handle ──inbox──► (driver) Desk ─► core::Node
//!                       ▲                                     ▲                  │
//!                       └── response bytes ◄── convert ◄──────┴──── oneshot ◄────┘
//! ```
//!
//! No socket, no clock, no spawn: any runtime serves exactly the values made here.

pub mod bbolt;
pub mod desk;
pub mod handle;
pub mod pb;

pub use desk::Desk;
pub use handle::{Call, Handle, Shared};
