//! A disk whose log's lane is on the ring passes the suite that every disk passes.

#[path = "../../runtime-tokio/tests/suite/mod.rs"]
mod suite;

use keel_core::Plan;
use keel_core::disk::{DiskOp, File, Lane};
use keel_proto::body::config::Backend;
use keel_proto::body::disk::Disk;
use keel_runtime_glommio::ring_lane;
use keel_runtime_tokio::DataDir;
use keel_runtime_tokio::disk::MapDisk;
use std::path::Path;

fn open(path: &Path, backend: Backend) -> MapDisk {
    let dir = DataDir::lock(path).expect("nobody else uses the test's directory");
    MapDisk::with_lane(dir, backend, ring_lane).expect("the test's directory can be used")
}

/// Runs a test on a ring, where this machine has rings.
fn block_on<F: Future<Output = ()>>(future: F) {
    if let Err(failure) = keel_runtime_glommio::probe() {
        eprintln!("SKIPPED: {failure}");
        return;
    }
    glommio::LocalExecutor::default().run(future);
}

fn passes_the_suite(backend: Backend) {
    let homes: Vec<_> = (0..8).map(|_| tempfile::tempdir().expect("there is room")).collect();
    block_on(async {
        let mut homes = homes.iter();
        suite::all(|| {
            let path = homes.next().expect("the suite has eight tests").path();
            move || open(path, backend)
        })
        .await;
        assert!(homes.next().is_none(), "the suite has eight tests");
    });
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
    let home = tempfile::tempdir().expect("there is room");
    block_on(async {
        let mut disk = open(home.path(), Backend::Pwrite);
        // The kernel refuses to sync a device without storage: the one failing fdatasync that a
        // test gets without a broken disk.
        let file = File::Segment(3);
        std::os::unix::fs::symlink("/dev/null", home.path().join(file.name()))
            .expect("it can be linked");
        let fails = async |disk: &mut MapDisk, op| {
            disk.submit(Plan { id: 1, lane: Lane::Log, ops: vec![op] });
            disk.done().await.result.expect_err("it fails").to_string()
        };
        let line = fails(&mut disk, DiskOp::Sync { file }).await;
        assert!(line.starts_with("cannot fdatasync ") && line.contains(&file.name()), "{line}");
        assert!(line.contains("Invalid argument") && !line.contains('\n'), "{line}");
        fails(&mut disk, DiskOp::Allocate { file: File::Segment(4), len: 4096 }).await;
    });
}
