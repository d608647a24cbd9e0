//! What a commit costs on each backend, with and without background writing beside it.
//!
//! `cargo bench -p keel-runtime-tokio --bench wal [directory]`. Records of 256 bytes; a commit is
//! one copy and one sync, back to back. The backends take turns in each round, so that a disk
//! which changes its mood is unfair to none. Compare medians of rounds, not single numbers.

use bytes::Bytes;
use keel_core::Plan;
use keel_core::disk::{DiskOp, File, Lane};
use keel_core::limits::{SECTOR, SEGMENT_BYTES};
use keel_runtime_tokio::Backend;
use keel_runtime_tokio::DataDir;
use keel_runtime_tokio::disk::{Disk, MapDisk};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const RECORD: usize = 256;
const HEAD: usize = 24;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1000);
const SEGMENT: File = File::Segment(1);
const BACKENDS: [Backend; 3] = [Backend::Map, Backend::Pwrite, Backend::Direct];

/// One backend's disk, and what it has measured: microseconds a commit, a list a round.
struct Bench {
    backend: Backend,
    disk: MapDisk,
    _home: tempfile::TempDir,
    rounds: Vec<Vec<u64>>,
}

fn main() {
    // The harness passes `--bench`; the first word that is no flag is the directory.
    let place = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let place = place.map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    println!(
        "{:<8} {:>7} {:<5} {:>8} {:>8} {:>8} {:>12}",
        "backend", "records", "bulk", "p50 us", "p99 us", "p99.9", "records/s"
    );
    for bulk in [false, true] {
        for records in [1, 64, 512] {
            let mut benches: Vec<_> =
                BACKENDS.map(|backend| start(&place, backend, &runtime)).into();
            for _ in 0..ROUNDS {
                for bench in &mut benches {
                    let round = runtime.block_on(round(&mut bench.disk, records, bulk));
                    bench.rounds.push(round);
                }
            }
            for bench in &benches {
                report(bench, records, bulk);
            }
        }
    }
}

/// A disk with one zero-filled segment.
fn start(place: &PathBuf, backend: Backend, runtime: &tokio::runtime::Runtime) -> Bench {
    let home = tempfile::tempdir_in(place).expect("the directory can be written");
    let dir = DataDir::lock(home.path()).expect("nobody else uses it");
    let mut disk = MapDisk::open(dir, backend).expect("the disk opens");
    let ops = vec![
        DiskOp::Allocate { file: SEGMENT, len: SEGMENT_BYTES },
        DiskOp::Publish { file: SEGMENT },
    ];
    runtime.block_on(finish(&mut disk, Lane::Bulk, ops));
    Bench { backend, disk, _home: home, rounds: Vec::new() }
}

async fn finish(disk: &mut MapDisk, lane: Lane, ops: Vec<DiskOp>) {
    disk.submit(Plan { id: 0, lane, ops });
    disk.done().await.result.expect("the disk works");
}

/// A batch as the planner hands it out: a head and a body for each record, filled up to a sector.
fn pieces(records: usize) -> Vec<Bytes> {
    let (head, body) = (Bytes::from(vec![0x5a; HEAD]), Bytes::from(vec![0xa5; RECORD - HEAD]));
    let record = || [head.clone(), body.clone()];
    let mut pieces: Vec<Bytes> = (0..records).flat_map(|_| record()).collect();
    let len = records * RECORD;
    pieces.push(Bytes::from(vec![0; len.next_multiple_of(SECTOR) - len]));
    pieces
}

/// Commits back to back; with `bulk` a segment is zero-filled beside them, again and again.
async fn round(disk: &mut MapDisk, records: usize, bulk: bool) -> Vec<u64> {
    let batch = pieces(records);
    let len = batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
    let allocate = || vec![DiskOp::Allocate { file: File::Segment(2), len: SEGMENT_BYTES }];
    let mut filling = bulk;
    if bulk {
        disk.submit(Plan { id: 1, lane: Lane::Bulk, ops: allocate() });
    }
    let (mut took, mut at) = (Vec::new(), 0);
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        if at + len > SEGMENT_BYTES {
            at = 0;
        }
        let commit = Instant::now();
        let write = DiskOp::Write { file: SEGMENT, at, bytes: batch.clone() };
        disk.submit(Plan {
            id: 0,
            lane: Lane::Log,
            ops: vec![write, DiskOp::Sync { file: SEGMENT }],
        });
        loop {
            let end = disk.done().await;
            end.result.expect("the disk works");
            if end.lane == Lane::Log {
                break;
            }
            disk.submit(Plan { id: 1, lane: Lane::Bulk, ops: allocate() });
        }
        took.push(u64::try_from(commit.elapsed().as_micros()).unwrap_or(u64::MAX));
        at += len;
    }
    while filling {
        let end = disk.done().await;
        end.result.expect("the disk works");
        filling = end.lane != Lane::Bulk;
    }
    took.sort_unstable();
    took
}

/// The median over rounds of each round's percentiles.
fn report(bench: &Bench, records: usize, bulk: bool) {
    let median = |pick: &dyn Fn(&Vec<u64>) -> f64| {
        let mut values: Vec<f64> = bench.rounds.iter().map(pick).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let at = |share: f64| {
        median(&|round: &Vec<u64>| round[((round.len() - 1) as f64 * share) as usize] as f64)
    };
    let rate = median(&|round: &Vec<u64>| (round.len() * records) as f64 / ROUND.as_secs_f64());
    let (backend, bulk) = (format!("{:?}", bench.backend), if bulk { "yes" } else { "no" });
    println!(
        "{backend:<8} {records:>7} {bulk:<5} {:>8.0} {:>8.0} {:>8.0} {rate:>12.0}",
        at(0.5),
        at(0.99),
        at(0.999)
    );
}
