//! The data directory and its lock. The lock comes before the port: SO_REUSEPORT would let a
//! second server bind silently.

use crate::disk::DiskFailure;
use keel_proto::body::Failure;
use rustix::fs::FlockOperation;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A directory that only this process uses, until it is dropped; the log may lie in another one.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    logs: Option<PathBuf>,
    /// The locks are on these descriptors.
    locks: Vec<fs::File>,
}

impl DataDir {
    /// Makes the directory if it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// Says which directory another process holds, or which cannot be made.
    pub fn lock(path: &Path) -> Result<DataDir, Failure> {
        let lock = lock("--data-dir", path)?;
        Ok(DataDir { path: path.to_path_buf(), logs: None, locks: vec![lock] })
    }

    /// The same for the log, where it lies apart.
    ///
    /// # Errors
    ///
    /// As those of [`DataDir::lock`].
    pub fn with_logs(mut self, path: &Path) -> Result<DataDir, Failure> {
        self.locks.push(lock("--wal-dir", path)?);
        self.logs = Some(path.to_path_buf());
        Ok(self)
    }

    /// Where the log lies, if it lies apart.
    pub(crate) fn logs(&self) -> Option<&Path> {
        self.logs.as_deref()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory inside it, durably.
    pub(crate) fn make(&self, inside: &str) -> Result<(), DiskFailure> {
        let mut path = self.path.clone();
        for part in Path::new(inside) {
            let parent = path.clone();
            path.push(part);
            let fail =
                |source| DiskFailure { action: "make", path: path.display().to_string(), source };
            if !path.is_dir() {
                make(&path).map_err(fail)?;
                fs::File::open(&parent).and_then(|dir| dir.sync_all()).map_err(fail)?;
            }
        }
        Ok(())
    }
}

/// Makes a directory if it is missing, and locks it.
pub(crate) fn lock(flag: &str, path: &Path) -> Result<fs::File, Failure> {
    let at = path.display();
    make(path).map_err(|e| Failure::new(format!("{flag}: cannot make {at}: {e}")))?;
    let open = fs::File::open(path);
    let lock = open.map_err(|e| Failure::new(format!("{flag}: cannot open {at}: {e}")))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Failure::new(format!(
            "{flag}: another process holds the lock of {at}: stop it, or name another directory"
        ))),
        Err(e) => Err(Failure::new(format!("{flag}: cannot lock {at}: {e}"))),
    }
}

/// Makes a directory that only its owner may enter, as etcd does.
fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
