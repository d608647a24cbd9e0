//! A disk that stands still for as long as a test wants it to.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A file system in a file of another one, which can be frozen: then what is written to the inner
/// one stays in memory, and a sync of it waits.
pub(crate) struct Nested {
    dir: TempDir,
}

impl Nested {
    /// None where this user may not mount.
    pub(crate) fn mount() -> Option<Nested> {
        let nested = Nested { dir: tempfile::tempdir().expect("a temporary directory") };
        let (outer, inner) = (nested.path("outer"), nested.path("inner"));
        let mounted = make(&nested.path("outer.img"), "700M", &outer)
            && make(&outer.join("inner.img"), "400M", &inner);
        if !mounted {
            eprintln!("SKIPPED: this user may not mount a file system that is a file");
            return None;
        }
        Some(nested)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Stands still until it is thawed.
    pub(crate) fn freeze(&self) {
        assert!(run("fsfreeze", &["-f".as_ref(), &self.path("outer")]), "it can be frozen");
    }

    pub(crate) fn thaw(&self) {
        assert!(run("fsfreeze", &["-u".as_ref(), &self.path("outer")]), "it was frozen");
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        // Whatever of it was done.
        run("fsfreeze", &["-u".as_ref(), &self.path("outer")]);
        run("umount", &["--lazy".as_ref(), &self.path("inner")]);
        run("umount", &["--lazy".as_ref(), &self.path("outer")]);
    }
}

fn make(image: &Path, size: &str, at: &Path) -> bool {
    std::fs::create_dir_all(at).expect("a directory can be made");
    run("truncate", &["-s".as_ref(), size.as_ref(), image])
        && run("mkfs.ext4", &["-q".as_ref(), image])
        // Times of files, too, are written when there is nothing else to do.
        && run("mount", &["-o".as_ref(), "loop,lazytime".as_ref(), image, at])
}

fn run(program: &str, args: &[&Path]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}
