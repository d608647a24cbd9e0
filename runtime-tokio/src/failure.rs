//! Why the server does not run: one line for the operator.

use crate::disk::DiskFailure;
use std::fmt;

/// Prints as one line that names the flag, file or address and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    line: String,
}

impl Failure {
    /// A failure that reads `line`.
    #[must_use]
    pub fn new(line: impl Into<String>) -> Failure {
        let line = line.into();
        debug_assert!(!line.contains('\n'), "an operator's error is one line");
        Failure { line }
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
