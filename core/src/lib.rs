//! The truth: everything that decides, as pure state machines.
//!
//! ```text
//!   Input ──► Node ──► Output            Batch ──► watch::Hub ──► Delivery
//!              │
//!              ├─ raft    who leads, what is committed
//!              ├─ mvcc    what every revision holds
//!              ├─ lease   what lives how long
//!              └─ members, alarms, and whole states that come and go between members
//!
//!   Persist, Store ──► Planner ──► Plan of DiskOps ──► (a runtime) ──► Done
//! ```
//!
//! What a node takes in and how it stands can be [recorded](recording), and lived again.
//!
//! Three machines with one verb set. **Step as often as you like; then poll until `None`; only
//! then sleep until `deadline()`.** Nothing here has a clock, a thread, a file, a socket or
//! entropy: the crate is `no_std` and forbids `unsafe`, so that is a compile error and not a
//! review rule. Same configuration, seed and inputs: same outputs, byte for byte.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
pub mod mutant;

pub mod command;
pub mod disk;
pub mod entry;
pub mod input;
pub mod lease;
pub mod limits;
pub mod members;
pub mod mvcc;
pub mod node;
pub mod note;
pub mod output;
pub mod planner;
pub mod raft;
pub mod recording;
pub mod rng;
pub mod state;
pub mod types;
pub mod view;
pub mod wal;
pub mod watch;

pub use command::{Command, Event, Keys, Record, Refusal, Reply};
pub use entry::{Entry, HardState, Payload, Proposal, RawEntry, Write};
pub use input::{Input, Order};
pub use node::{Boot, Config, Node, Status};
pub use note::Note;
pub use output::{Batch, Output};
pub use planner::{Plan, Planner};
pub use types::{Index, Instant, LeaseId, Mark, NodeId, Revision, Term, Ticket};
pub use view::View;
