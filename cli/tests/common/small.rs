//! A disk that fills up soon.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory with a small file system for a server's data, gone when dropped.
pub(crate) struct Small {
    dir: tempfile::TempDir,
    data: PathBuf,
}

impl Small {
    /// With the file system at this place in it; none where this user may not mount one.
    pub(crate) fn mount(at: &str, size: &str) -> Option<Small> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().join(at);
        std::fs::create_dir_all(&data).expect("a directory can be made");
        let options = format!("mode=700,size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "keel-test"])
            .arg(&data)
            .status();
        mount.is_ok_and(|status| status.success()).then_some(Small { dir, data })
    }

    /// The whole directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes room.
    pub(crate) fn grow(&self, size: &str) {
        let size = format!("remount,size={size}");
        let grown = Command::new("mount").args(["-o", &size]).arg(&self.data).status();
        assert!(grown.is_ok_and(|status| status.success()), "a mounted file system can grow");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the server that this test killed may not be gone yet.
        let _ = Command::new("umount").arg("--lazy").arg(&self.data).status();
    }
}
