//! What a disk can be asked to do, and what a file is called.
//!
//! The planners decide bytes and order; a runtime carries them out. A runtime names nothing and
//! decides nothing: [`File::name`] says where each file lies inside the data directory.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// A file of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum File {
    /// A log segment, by number.
    Segment(u64),
    /// A file of history chunks, by number.
    State(u64),
    /// The manifest with its two slots.
    Manifest,
}

impl File {
    /// Its path inside the data directory.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            File::Segment(number) => format!("member/log/{number:016x}.log"),
            File::State(number) => format!("member/state/{number:016x}.state"),
            File::Manifest => String::from("member/state/manifest"),
        }
    }

    /// The path under which it is made before it is published.
    #[must_use]
    pub fn temporary(self) -> String {
        let mut name = self.name();
        name.push_str(".tmp");
        name
    }

    /// Whether a path inside the data directory is what an unfinished [`DiskOp::Allocate`] left:
    /// to be unlinked at start.
    #[must_use]
    pub fn is_temporary(path: &str) -> bool {
        path.strip_suffix(".tmp").is_some_and(|path| File::parse(path).is_some())
    }

    /// Which file a path inside the data directory is, if it is one of ours and published.
    #[must_use]
    pub fn parse(path: &str) -> Option<File> {
        let number = |stem: &str| {
            let lower = stem.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            let number = (stem.len() == 16 && lower).then(|| u64::from_str_radix(stem, 16).ok());
            number.flatten().filter(|&number| number <= u64::MAX / 2)
        };
        if path == "member/state/manifest" {
            return Some(File::Manifest);
        }
        if let Some(stem) = path.strip_prefix("member/log/").and_then(|p| p.strip_suffix(".log")) {
            return number(stem).map(File::Segment);
        }
        let stem = path.strip_prefix("member/state/")?.strip_suffix(".state")?;
        number(stem).map(File::State)
    }
}

/// One operation on a file. Each is done before the next of its lane begins, except that
/// writes between two syncs may be done in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Make the file under its temporary name, filled with zeros in 4 KiB writes and in paced
    /// pieces, and synced: real blocks, so that a full disk is found here.
    Allocate {
        /// Which.
        file: File,
        /// How long, bytes.
        len: u64,
    },
    /// Put bytes at an offset.
    Write {
        /// Where.
        file: File,
        /// At which offset.
        at: u64,
        /// What; the pieces stand one after the other.
        bytes: Vec<Bytes>,
    },
    /// `fdatasync` the file. Its result is the only truth.
    Sync {
        /// Which.
        file: File,
    },
    /// Rename from the temporary name into place and sync the directory.
    Publish {
        /// Which.
        file: File,
    },
    /// Unlink the file and sync the directory.
    Remove {
        /// Which.
        file: File,
    },
}

/// Which line a plan stands in. Lanes run beside each other; inside one, plans run in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The log: commits wait for it.
    Log,
    /// State files, zero-filling, rewriting, removing: paced, nobody waits for it.
    Bulk,
}

/// A file's bytes that are not what was written, or not in a state that a crash could leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// In which file.
    pub file: File,
    /// At which offset.
    pub at: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for Damage {
    /// One line for an operator: which file, where, what, and the way out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is damaged at offset {}: {}; if the cluster has a quorum without this member, \
             remove it, delete its data directory and add it again, so that it takes the state \
             from its peers; otherwise restore a snapshot",
            self.file.name(),
            self.at,
            self.why
        )
    }
}

impl core::error::Error for Damage {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_files_name_leads_back_to_it() {
        for file in [File::Segment(1), File::State(0xabc), File::Manifest] {
            assert_eq!(File::parse(&file.name()), Some(file));
            assert_eq!(File::parse(&file.temporary()), None);
            assert!(File::is_temporary(&file.temporary()));
            assert!(!File::is_temporary(&file.name()));
        }
        for other in [
            "member/log/1.log",
            "member/log/000000000000000G.log",
            "member/log/000000000000000A.log",
            "member/log/ffffffffffffffff.log",
            "member/state/0000000000000001.log",
            "member/snap/db",
            "member/snap/db.tmp",
        ] {
            assert_eq!(File::parse(other), None, "{other}");
            assert!(!File::is_temporary(other), "{other}");
        }
    }

    #[test]
    fn damage_names_file_offset_and_the_way_out() {
        let damage = Damage { file: File::Segment(10), at: 4096, why: "a bad record" };
        let line = damage.to_string();
        assert!(line.starts_with(
            "member/log/000000000000000a.log is damaged at offset 4096: a bad record; "
        ));
        assert!(line.contains("takes the state from its peers"));
    }
}
