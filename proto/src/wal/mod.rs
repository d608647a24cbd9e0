//! etcd's write-ahead log (semantics §9d).
//!
//! ```text
//!   files' bytes ─► frame (length, checksum) ─► Record ─► Wal (what it says from an index on)
//!   Record ─► Writer ─► bytes of files, which etcd's own tools and servers read
//! ```
//!
//! Our own log is core's and looks otherwise: this is the language for others.

mod frame;
mod read;
mod snap;
mod write;

pub use read::{Snapshot, Wal};
pub use snap::snap_file;
pub use write::Writer;

use keel_core::{HardState, RawEntry};

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Whose log it is.
    Metadata {
        /// The member.
        node: u64,
        /// The cluster.
        cluster: u64,
    },
    /// An entry; one with an index that was there before voids that one and all behind it.
    Entry(RawEntry),
    /// The hard state.
    State(HardState),
    /// The checksum so far: the first record of each file.
    Checksum(u32),
    /// The state up to an index is in the database from here on.
    Snapshot(Snapshot),
}

/// What is wrong with a log, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file's name.
    pub file: String,
    /// The offset of the record, in bytes from the file's start.
    pub at: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is damaged at offset {}: {}", self.file, self.at, self.why)
    }
}

impl std::error::Error for Damage {}

/// A file's name: its place in the sequence, and the index that its first entry was to have.
#[must_use]
pub fn name(sequence: u64, index: u64) -> String {
    format!("{sequence:016x}-{index:016x}.wal")
}

/// What [`name`] wrote.
#[must_use]
pub fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (sequence, index) = name.strip_suffix(".wal")?.split_once('-')?;
    let number =
        |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    Some((number(sequence)?, number(index)?))
}
