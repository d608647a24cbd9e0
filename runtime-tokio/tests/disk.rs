//! The real disk: the suite, and what only a real one can meet.

mod suite;

use keel_core::disk::{DiskOp, File, Lane};
use keel_runtime_tokio::Backend;
use keel_runtime_tokio::DataDir;
use keel_runtime_tokio::disk::MapDisk;
use std::path::Path;
use std::process::Command;

fn open(path: &Path, backend: Backend) -> MapDisk {
    let dir = DataDir::lock(path).expect("nobody else uses the test's directory");
    MapDisk::open(dir, backend).expect("the test's directory can be used")
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a test may have a runtime").block_on(future)
}

fn passes_the_suite(backend: Backend) {
    block_on(suite::in_directories(|path| open(path, backend)));
}

#[test]
fn the_map_passes_the_suite() {
    passes_the_suite(Backend::Map);
}

#[test]
fn pwrite_passes_the_suite() {
    passes_the_suite(Backend::Pwrite);
}

#[test]
fn direct_writes_pass_the_suite() {
    passes_the_suite(Backend::Direct);
}

#[test]
fn a_failed_sync_is_told_and_ends_the_lane() {
    block_on(suite::a_failed_sync_ends_the_lane(|path| open(path, Backend::Map)));
}

#[test]
fn a_full_disk_is_found_by_allocating() {
    let home = tempfile::tempdir().expect("there is room");
    let mount = ["-t", "tmpfs", "-o", "size=1m", "keel-test"];
    let mounted = Command::new("mount").args(mount).arg(home.path()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED: this user may not mount a small file system, so a full disk is not tested"
        );
        return;
    }
    let mut disk = open(home.path(), Backend::Map);
    let file = File::Segment(1);
    let allocate = DiskOp::Allocate { file, len: 2 << 20 };
    let line = block_on(suite::fails(&mut disk, Lane::Bulk, allocate));
    drop(disk);
    let unmounted = Command::new("umount").arg(home.path()).status();
    assert!(
        unmounted.is_ok_and(|status| status.success()),
        "the test's file system is left mounted"
    );
    assert!(line.contains("No space left on device"), "{line}");
    assert!(line.contains("free space on that disk"), "{line}");
}

#[test]
fn a_directory_has_one_server() {
    let home = tempfile::tempdir().expect("there is room");
    let first = DataDir::lock(home.path()).expect("nobody else uses it");
    let line = DataDir::lock(home.path()).expect_err("the first one holds it").to_string();
    assert!(line.contains(&home.path().display().to_string()), "{line}");
    drop(first);
    DataDir::lock(home.path()).expect("the lock went with its holder");
}
