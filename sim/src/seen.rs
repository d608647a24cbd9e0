//! Places that the walk has been to. A storm that never gets somewhere proves nothing about it:
//! the suite fails where one of these stays at zero (reference: "sometimes" assertions).

use std::collections::BTreeMap;
use std::fmt;

/// Something that a run may come across.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A leader was elected.
    Elected,
    /// A member cut what it had in its log.
    LogCut,
    /// A member took another one's state.
    StateTaken,
    /// A checkpoint became durable.
    Checkpoint,
    /// A compaction ended.
    Compacted,
    /// A lease ran out.
    LeaseExpired,
    /// A watcher was told that what it asked for is compacted.
    WatchCompacted,
    /// A watcher's stream went on at another member.
    WatchMoved,
    /// A watcher asked for what was not there yet.
    WatchFuture,
    /// A watcher heard a revision in pieces.
    WatchPieces,
    /// A watcher got a sign of progress.
    WatchProgress,
    /// A watcher heard of a deletion at the very revision that was compacted.
    DeletedAtCompaction,
    /// A power failure met a disk at work.
    PowerLostAtWork,
    /// One met a member that was starting.
    PowerLostAtStart,
    /// A disk was full.
    DiskFull,
    /// A sync failed.
    DiskFailed,
    /// Damage was found at a start.
    DamageFound,
    /// A damaged member came back.
    CameBack,
    /// A queue to a peer was full.
    QueueFull,
    /// Somebody was let in.
    Joined,
    /// Somebody learned first and votes now.
    Promoted,
    /// Somebody was put out and knows it.
    Left,
    /// A leader was put out.
    LeaderLeft,
    /// An operation that was never answered had happened.
    SilentSuccess,
    /// An operation was refused.
    Refused,
    /// The quiet phase did without somebody.
    Abandoned,
}

impl Place {
    /// All of them.
    pub const ALL: [Place; 26] = [
        Place::Elected,
        Place::LogCut,
        Place::StateTaken,
        Place::Checkpoint,
        Place::Compacted,
        Place::LeaseExpired,
        Place::WatchCompacted,
        Place::WatchMoved,
        Place::WatchFuture,
        Place::WatchPieces,
        Place::WatchProgress,
        Place::DeletedAtCompaction,
        Place::PowerLostAtWork,
        Place::PowerLostAtStart,
        Place::DiskFull,
        Place::DiskFailed,
        Place::DamageFound,
        Place::CameBack,
        Place::QueueFull,
        Place::Joined,
        Place::Promoted,
        Place::Left,
        Place::LeaderLeft,
        Place::SilentSuccess,
        Place::Refused,
        Place::Abandoned,
    ];

    /// One by its name, as plans write it.
    #[must_use]
    pub fn named(name: &str) -> Option<Place> {
        Place::ALL.into_iter().find(|place| place.to_string() == name)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, letter) in format!("{self:?}").char_indices() {
            if at > 0 && letter.is_uppercase() {
                write!(f, "-")?;
            }
            write!(f, "{}", letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// How often a run, or many, were where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<Place, u64>);

impl Places {
    /// Once more.
    pub fn saw(&mut self, place: Place) {
        *self.0.entry(place).or_default() += 1;
    }

    /// Another run's.
    pub fn add(&mut self, other: &Places) {
        for (place, times) in &other.0 {
            *self.0.entry(*place).or_default() += times;
        }
    }

    /// How often.
    #[must_use]
    pub fn times(&self, place: Place) -> u64 {
        self.0.get(&place).copied().unwrap_or(0)
    }
}
