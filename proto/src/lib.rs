//! The wire: every byte that belongs to etcd.
//!
//! ```text
//!   request bytes ─► service ─► convert (parse, refuse) ─► Handle ──inbox──► (driver) Desk ─► core::Node
//!                       ▲                                     ▲                  │
//!                       └── response bytes ◄── convert ◄──────┴──── oneshot ◄────┘
//! ```
//!
//! No socket, no clock, no spawn: any runtime serves exactly the values made here.

pub mod bootstrap;
pub mod convert;
pub mod desk;
pub mod handle;
pub mod member;
pub mod pb;
pub mod refusal;

pub use bootstrap::bootstrap;
pub use desk::Desk;
pub use handle::{Call, Handle, Shared};
