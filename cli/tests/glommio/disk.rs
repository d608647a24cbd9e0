//! A disk whose log's lane is on the ring passes the suite that every disk passes.

#[path = "../../../runtime-tokio/tests/suite/mod.rs"]
mod suite;

use crate::flags;
use keel_runtime_glommio::ring_lane;
use keel_runtime_tokio::disk::MapDisk;
use keel_runtime_tokio::{Backend, DataDir};
use std::path::Path;

fn open(path: &Path, backend: Backend) -> MapDisk {
    let dir = DataDir::lock(path).expect("nobody else uses the test's directory");
    MapDisk::with_lane(dir, backend, ring_lane).expect("the test's directory can be used")
}

/// Runs a test on a ring, where this machine has rings.
fn on_a_ring(test: impl Future<Output = ()>) {
    if flags().is_some() {
        glommio::LocalExecutor::default().run(test);
    }
}

#[test]
fn every_backend_passes_the_suite() {
    for backend in [Backend::Map, Backend::Pwrite, Backend::Direct] {
        on_a_ring(suite::in_directories(|path| open(path, backend)));
    }
}

#[test]
fn a_failed_sync_is_told_and_ends_the_lane() {
    on_a_ring(suite::a_failed_sync_ends_the_lane(|path| open(path, Backend::Pwrite)));
}
