//! What Go's libraries say of files, which scripts look for.

use crate::ctl::Failed;
use std::io;

/// A file or directory that cannot be used: `open path: no such file or directory`.
pub(super) fn path(verb: &str, path: &str, error: &io::Error) -> Failed {
    let why = match error.kind() {
        io::ErrorKind::NotFound => String::from("no such file or directory"),
        io::ErrorKind::PermissionDenied => String::from("permission denied"),
        io::ErrorKind::IsADirectory => String::from("is a directory"),
        io::ErrorKind::NotADirectory => String::from("not a directory"),
        io::ErrorKind::TimedOut => {
            return Failed::plain(format!("timeout: another process holds the lock of {path}"));
        }
        _ => error.to_string(),
    };
    Failed::plain(format!("{verb} {path}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_told_in_gos_words() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(path("stat", "x", &missing).line, "stat x: no such file or directory");
    }
}
