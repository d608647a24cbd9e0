//! What every disk promises: the real one passes this, and so must the simulator's.
//!
//! `open` opens the same directory again each time, as a restart does. Segment 1 of every test
//! is a few pages of zeros.

use bytes::Bytes;
use keel_core::Plan;
use keel_core::disk::{DiskOp, File, Lane};
use keel_proto::body::disk::Disk;
use std::path::Path;

const PAGE: u64 = 4096;
const LOG: File = File::Segment(1);
const STATE: File = File::State(7);

/// Runs the whole suite, each test on a disk of its own.
pub(crate) async fn all<D: Disk, O: FnMut() -> D>(mut fresh: impl FnMut() -> O) {
    a_file_exists_once_it_is_published(fresh()).await;
    what_was_synced_is_read_again(fresh()).await;
    plans_of_a_lane_end_in_order(fresh()).await;
    the_log_does_not_wait_for_the_bulk(fresh()).await;
    a_removed_file_is_gone_but_its_slices_live(fresh()).await;
    a_file_grows_under_its_readers(fresh()).await;
    a_short_file_is_named(fresh()).await;
    after_a_failure_a_lane_is_dead(fresh()).await;
}

fn allocate(file: File, len: u64) -> DiskOp {
    DiskOp::Allocate { file, len }
}

fn write(file: File, at: u64, pieces: &[&[u8]]) -> DiskOp {
    DiskOp::Write { file, at, bytes: pieces.iter().map(|p| Bytes::copy_from_slice(p)).collect() }
}

/// Carries out one plan to its end.
async fn run<D: Disk>(disk: &mut D, lane: Lane, ops: Vec<DiskOp>) -> Result<(), String> {
    disk.submit(Plan { id: 77, lane, ops });
    let end = disk.done().await;
    assert_eq!(end.plan, 77);
    end.result.map_err(|failure| failure.to_string())
}

async fn must<D: Disk>(disk: &mut D, lane: Lane, ops: Vec<DiskOp>) {
    run(disk, lane, ops).await.expect("this plan succeeds");
}

async fn make<D: Disk>(disk: &mut D, file: File, len: u64) {
    must(disk, Lane::Bulk, vec![allocate(file, len), DiskOp::Publish { file }]).await;
}

async fn a_file_exists_once_it_is_published<D: Disk, O: FnMut() -> D>(mut open: O) {
    let mut disk = open();
    assert_eq!(disk.list().expect("it can be read"), []);
    make(&mut disk, LOG, 3 * PAGE + 512).await;
    must(&mut disk, Lane::Bulk, vec![allocate(STATE, PAGE)]).await;
    drop(disk);

    let mut disk = open();
    assert_eq!(disk.list().expect("it can be read"), [(LOG, 3 * PAGE + 512)]);
    let bytes = disk.read(LOG, 3 * PAGE + 512).expect("it is there");
    assert!(bytes.iter().all(|byte| *byte == 0));
    // A half-made file is no obstacle to making it again.
    make(&mut disk, STATE, PAGE).await;
    assert_eq!(disk.list().expect("it can be read").len(), 2);
}

async fn what_was_synced_is_read_again<D: Disk, O: FnMut() -> D>(mut open: O) {
    let mut disk = open();
    make(&mut disk, LOG, 64 * PAGE).await;
    make(&mut disk, STATE, 0).await;
    let long = vec![0xab; 40 * PAGE as usize];
    let writes = vec![
        write(LOG, 0, &[b"head", b"", b"er"]),
        write(LOG, PAGE - 2, &[b"across"]),
        write(LOG, 3 * PAGE, &[&long]),
        DiskOp::Sync { file: LOG },
        write(LOG, 50 * PAGE, &[b"after a sync"]),
        write(LOG, 60 * PAGE, &[&b"xyz"[..]; 3000]),
        DiskOp::Sync { file: LOG },
    ];
    must(&mut disk, Lane::Log, writes).await;
    let appended = vec![write(STATE, 0, &[&long, b"end"]), DiskOp::Sync { file: STATE }];
    must(&mut disk, Lane::Bulk, appended).await;
    drop(disk);

    let mut disk = open();
    let log = disk.read(LOG, 64 * PAGE).expect("it is there");
    let mut expected = vec![0; 64 * PAGE as usize];
    expected[..6].copy_from_slice(b"header");
    expected[PAGE as usize - 2..][..6].copy_from_slice(b"across");
    expected[3 * PAGE as usize..][..long.len()].copy_from_slice(&long);
    expected[50 * PAGE as usize..][..12].copy_from_slice(b"after a sync");
    expected[60 * PAGE as usize..][..9000].copy_from_slice(&b"xyz".repeat(3000));
    assert!(log == expected, "the log differs");
    let state = disk.read(STATE, 40 * PAGE + 3).expect("it is there");
    assert!(state[..long.len()] == long && &state[long.len()..] == b"end", "the state differs");
}

async fn plans_of_a_lane_end_in_order<D: Disk, O: FnMut() -> D>(mut open: O) {
    let mut disk = open();
    make(&mut disk, LOG, 16 * PAGE).await;
    for id in 0..16 {
        // Every third has nothing to sync, every fourth nothing to do.
        let mut ops = vec![write(LOG, id * PAGE, &[b"x"]), DiskOp::Sync { file: LOG }];
        ops.truncate(if id % 4 == 0 {
            0
        } else if id % 3 == 0 {
            1
        } else {
            2
        });
        disk.submit(Plan { id, lane: Lane::Log, ops });
    }
    for id in 0..16 {
        let end = disk.done().await;
        assert_eq!(end.plan, id);
        end.result.expect("it succeeds");
    }
}

async fn the_log_does_not_wait_for_the_bulk<D: Disk, O: FnMut() -> D>(mut open: O) {
    let mut disk = open();
    make(&mut disk, LOG, PAGE).await;
    let bulk = 1000;
    let ops = vec![allocate(File::Segment(2), 4096 * PAGE)];
    disk.submit(Plan { id: bulk, lane: Lane::Bulk, ops });
    for commits in 0.. {
        let ops = vec![write(LOG, 0, &[b"x"]), DiskOp::Sync { file: LOG }];
        disk.submit(Plan { id: commits, lane: Lane::Log, ops });
        let end = disk.done().await;
        end.result.expect("it succeeds");
        if end.plan == bulk {
            assert!(commits > 0, "no commit got past the bulk");
            break;
        }
    }
    disk.done().await.result.expect("the last commit succeeds");
}

async fn a_removed_file_is_gone_but_its_slices_live<D: Disk, O: FnMut() -> D>(mut open: O) {
    let mut disk = open();
    make(&mut disk, STATE, PAGE).await;
    must(&mut disk, Lane::Bulk, vec![write(STATE, 0, &[b"kept"]), DiskOp::Sync { file: STATE }])
        .await;
    let slice = disk.read(STATE, PAGE).expect("it is there").slice(..4);
    must(&mut disk, Lane::Bulk, vec![DiskOp::Remove { file: STATE }]).await;
    assert_eq!(disk.list().expect("it can be read"), []);
    assert!(disk.read(STATE, PAGE).is_err());
    drop(disk);
    assert_eq!(slice, "kept");
    assert_eq!(open().list().expect("it can be read"), []);
}

async fn a_file_grows_under_its_readers<D: Disk, O: FnMut() -> D>(mut open: O) {
    let mut disk = open();
    make(&mut disk, STATE, 0).await;
    let mut slices = Vec::new();
    for at in 0..8 {
        let piece = vec![b'a' + at as u8; 3000];
        let ops = vec![write(STATE, at * 3000, &[&piece]), DiskOp::Sync { file: STATE }];
        must(&mut disk, Lane::Bulk, ops).await;
        let bytes = disk.read(STATE, (at + 1) * 3000).expect("it is there");
        slices.push((bytes.slice(at as usize * 3000..), piece));
    }
    for (slice, piece) in slices {
        assert!(slice == piece, "a chunk changed under its reader");
    }
}

async fn a_short_file_is_named<D: Disk, O: FnMut() -> D>(mut open: O) {
    let mut disk = open();
    make(&mut disk, STATE, 10).await;
    let failure = disk.read(STATE, 11).expect_err("it is shorter").to_string();
    assert!(failure.contains(&STATE.name()), "{failure}");
}

async fn after_a_failure_a_lane_is_dead<D: Disk, O: FnMut() -> D>(mut open: O) {
    let mut disk = open();
    make(&mut disk, LOG, PAGE).await;
    let missing = File::Segment(99);
    for lane in [Lane::Log, Lane::Bulk] {
        let ops = vec![write(missing, 0, &[b"x"]), DiskOp::Sync { file: missing }];
        let failure = run(&mut disk, lane, ops).await.expect_err("there is no such file");
        assert!(failure.contains(&missing.name()) && !failure.contains('\n'), "{failure}");
        let good = vec![write(LOG, 0, &[b"x"]), DiskOp::Sync { file: LOG }];
        run(&mut disk, lane, good).await.expect_err("what came after a failure is not stored");
        let unsynced = vec![write(LOG, 0, &[b"x"])];
        run(&mut disk, lane, unsynced).await.expect_err("nor is what nobody syncs");
    }
}

/// The same on disks in directories of their own.
pub(crate) async fn in_directories<D: Disk>(open: impl Fn(&Path) -> D) {
    let homes: Vec<_> = (0..8).map(|_| tempfile::tempdir().expect("there is room")).collect();
    let mut homes = homes.iter();
    all(|| {
        let path = homes.next().expect("the suite has eight tests").path();
        || open(path)
    })
    .await;
    assert!(homes.next().is_none(), "the suite has eight tests");
}

/// A plan that fails, and why.
pub(crate) async fn fails<D: Disk>(disk: &mut D, lane: Lane, op: DiskOp) -> String {
    disk.submit(Plan { id: 1, lane, ops: vec![op] });
    disk.done().await.result.expect_err("it fails").to_string()
}

/// A sync that fails is told, and nothing after it succeeds.
pub(crate) async fn a_failed_sync_ends_the_lane<D: Disk>(open: impl Fn(&Path) -> D) {
    let home = tempfile::tempdir().expect("there is room");
    let mut disk = open(home.path());
    // The kernel refuses to sync a device without storage: the one failing fdatasync that a
    // test gets without a broken disk.
    let file = File::Segment(3);
    std::os::unix::fs::symlink("/dev/null", home.path().join(file.name()))
        .expect("it can be linked");
    let line = fails(&mut disk, Lane::Log, DiskOp::Sync { file }).await;
    assert!(line.starts_with("cannot fdatasync ") && line.contains(&file.name()), "{line}");
    assert!(line.contains("Invalid argument") && !line.contains('\n'), "{line}");
    fails(&mut disk, Lane::Log, allocate(File::Segment(4), PAGE)).await;
}
