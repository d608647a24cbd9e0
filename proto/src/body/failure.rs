//! Why the server does not run: one line for the operator.

use super::disk::DiskFailure;
use std::fmt;

/// The exit code of a server that this machine does not let run as it was told to: `EX_CONFIG` of
/// `sysexits.h`, which is none of etcd's.
pub const UNAVAILABLE: u8 = 78;

/// Prints as one line that names the flag, file or address and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    line: String,
    code: u8,
}

impl Failure {
    /// A failure that reads `line`.
    #[must_use]
    pub fn new(line: impl Into<String>) -> Failure {
        let line = line.into();
        debug_assert!(!line.contains('\n'), "an operator's error is one line");
        Failure { line, code: 1 }
    }

    /// What was asked for cannot be had on this machine as it is.
    #[must_use]
    pub fn unavailable(line: impl Into<String>) -> Failure {
        Failure { code: UNAVAILABLE, ..Failure::new(line) }
    }

    /// What the process exits with.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for Failure {}

impl From<DiskFailure> for Failure {
    fn from(failure: DiskFailure) -> Failure {
        Failure::new(failure.to_string())
    }
}
