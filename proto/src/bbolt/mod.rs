//! The database file that etcd keeps its state in: bbolt's pages, and etcd's buckets in them.
//!
//! ```text
//!   Contents ─► Survey (sizes) ─► Export (pages, a piece at a time)      Trailer (sha256)
//!   file bytes ─► Db (pages, checked) ─► Backend (etcd's meaning)
//! ```
//!
//! This is the language for others: `Maintenance.Snapshot`, the snapshot that a leader sends to a
//! lagging follower, the offline tool and the import of an etcd data directory. Our own state
//! never lies in it. Layout and rules: semantics §9a to §9c.

mod backend;
mod contents;
mod copy;
mod export;
mod hash;
mod load;
mod page;
mod read;
mod summary;
mod trailer;
mod values;

pub use backend::{Auth, Backend, Records};
pub use contents::{Contents, Items, storage_version};
pub use copy::{at_version, copy};
pub use export::{Bucket, Export, Survey, export, survey};
pub use hash::WholeHash;
pub use page::PAGE;
pub use read::{Db, Item, ItemIter, Tree};
pub use summary::{Summary, Summing};
pub use trailer::{Trailer, has_trailer, strip};
pub use values::{ConfState, Downgrade};

/// What is wrong with a database file, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The offset of the page or value that is wrong, in bytes from the file's start.
    pub at: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bad database at offset {}: {}", self.at, self.why)
    }
}

impl std::error::Error for Damage {}
