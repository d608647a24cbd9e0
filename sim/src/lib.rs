//! The storm: whole clusters in one process, faults by seed, incidents as files.
//!
//! ```text
//!   seed ─► nemesis ─► Plan ◄─ text of a scenario            (plan: what is kept is this)
//!                       │
//!                       ▼
//!   walk: members (core's Node, Planner and Hub, a Device), bus, clients, one queue of events
//!   world: whole servers (runtime-tokio) on turmoil's hosts, the same Device, gRPC clients
//!                       │
//!                       ▼
//!   History, what was applied, what was sent ─► oracle ─► Verdict
//!                       └─► Timeline ─► picture: a page for a browser
//! ```
//!
//! And apart from that: recorder's directory ─► recording ─► a production member's core, alive again
//! on a developer's machine.
//!
//! The walk is the fast level: pure cores on a message bus, driven as a runtime drives them,
//! over disks that tear and lose what was not synced. One thread, one queue ordered by time and
//! then by arrival, and randomness in streams: the same plan gives the same trace, bit for bit.
//! The world is the slow one: what production runs, with only the network, the disk, the clock and
//! the seed swapped. Plans, clients, oracles and commands are the same on both.

mod ask;
pub mod device;
mod ear;
pub mod explore;
pub mod history;
mod member;
mod mind;
pub mod mutants;
pub mod nemesis;
pub mod oracle;
pub mod picture;
pub mod plan;
pub mod random;
pub mod recording;
pub mod seen;
pub mod shrink;
pub mod story;
mod trace;
pub mod walk;
pub mod world;

pub use oracle::Broken;
pub use plan::Plan;
pub use walk::{Verdict, walk, walk_filmed, walk_recorded};
pub use world::world;

/// Runs a plan on its level.
#[must_use]
pub fn run(plan: &Plan) -> Verdict {
    match plan.level {
        plan::Level::Core => walk(plan),
        plan::Level::World => world(plan),
    }
}

/// Runs a plan on its level, and takes down how it looks.
#[must_use]
pub fn run_filmed(plan: &Plan) -> (Verdict, walk::Timeline) {
    match plan.level {
        plan::Level::Core => walk_filmed(plan),
        plan::Level::World => world::world_filmed(plan),
    }
}
