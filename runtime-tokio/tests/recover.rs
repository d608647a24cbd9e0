//! A real directory, written by the planner and read back as a restart does.

use keel_core::command::{Command, Put};
use keel_core::disk::{File, Lane};
use keel_core::planner::{Options, Recovered};
use keel_core::{Entry, HardState, Index, Mark, Payload, Proposal, Term, Ticket, Write};
use keel_core::{NodeId, Planner};
use keel_proto::body::{WAY_OUT, recover};
use keel_runtime_tokio::disk::{Disk, MapDisk};
use keel_runtime_tokio::{Backend, DataDir, Failure};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

const CLUSTER: u64 = 0xc;
const ME: NodeId = NodeId(0xa);

fn options() -> Options {
    Options { cluster: CLUSTER, node: ME, segment_bytes: 1 << 20, ..Options::default() }
}

fn entry(index: u64, len: usize) -> Entry {
    let bytes = vec![index as u8; len].into();
    let command = Arc::new(Command::Put(Put::default()));
    let proposal = Proposal { bytes, ticket: Ticket(index), command };
    Entry { term: Term(3), index: Index(index), payload: Payload::Command(proposal) }
}

/// Recovers, lets `work` use what it gets, and leaves without a word, as a crash does.
fn life<T>(
    dir: &Path,
    backend: Backend,
    work: impl AsyncFnOnce(MapDisk, Planner, Recovered) -> T,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a test may have a runtime").block_on(async {
        let mut disk = MapDisk::open(DataDir::lock(dir)?, backend)?;
        let (planner, recovered) = recover(&mut disk, options(), dir).await?;
        Ok(work(disk, planner, recovered).await)
    })
}

/// Carries out plans until both lanes are idle. Gives back the last durable mark.
async fn settle(disk: &mut MapDisk, planner: &mut Planner) -> Option<Mark> {
    let (mut plans, mut persisted) = (0, None);
    loop {
        for lane in [Lane::Log, Lane::Bulk] {
            while let Some(plan) = planner.poll(lane) {
                disk.submit(plan);
                plans += 1;
            }
        }
        if plans == 0 {
            return persisted;
        }
        let end = disk.done().await;
        end.result.expect("the disk works");
        plans -= 1;
        persisted = planner.done(end.plan).persisted.or(persisted);
    }
}

/// Writes entries `from..to` in groups, over several segments.
async fn write(disk: &mut MapDisk, planner: &mut Planner, from: u64, to: u64) {
    for index in from..to {
        let hard = HardState { term: Term(3), vote: ME, commit: Index(index - 1) };
        let entries = vec![entry(index, 40_000)];
        planner.persist(Mark(index), Write { hard: Some(hard), cut_from: None, entries });
        if index % 7 == 0 {
            assert_eq!(settle(disk, planner).await, Some(Mark(index)));
        }
    }
    settle(disk, planner).await;
}

fn check(recovered: &Recovered, last: u64) {
    assert_eq!(recovered.hard.commit, Index(last - 1));
    assert_eq!(recovered.entries.len() as u64, last);
    for (raw, index) in recovered.entries.iter().zip(1..) {
        assert_eq!((raw.index, raw.term), (Index(index), Term(3)));
        assert_eq!(&raw.bytes[..], entry(index, 40_000).payload.bytes());
    }
}

#[test]
fn a_log_is_read_back_whole_on_every_backend() {
    for backend in [Backend::Map, Backend::Pwrite, Backend::Direct] {
        let home = tempfile::tempdir().expect("there is room");
        let dir = home.path();
        let first = life(dir, backend, async |mut disk, mut planner, recovered| {
            assert_eq!((recovered.entries.len(), recovered.owner), (0, None));
            write(&mut disk, &mut planner, 1, 100).await;
        });
        first.expect("an empty directory is a good one");
        let second = life(dir, backend, async |mut disk, mut planner, recovered| {
            assert_eq!(recovered.owner, Some((CLUSTER, ME)));
            check(&recovered, 99);
            write(&mut disk, &mut planner, 100, 150).await;
        });
        second.expect("nothing is damaged");
        let third = life(dir, backend, async |_, _, recovered| check(&recovered, 149));
        third.expect("nothing is damaged");
    }
}

#[test]
fn damage_is_one_line_with_file_offset_and_the_way_out() {
    let home = tempfile::tempdir().expect("there is room");
    let dir = home.path();
    let first = life(dir, Backend::Pwrite, async |mut disk, mut planner, _| {
        write(&mut disk, &mut planner, 1, 100).await;
    });
    first.expect("an empty directory is a good one");
    let file = dir.join(File::Segment(1).name());
    let handle = std::fs::OpenOptions::new().write(true).open(&file).expect("it is there");
    handle.write_all_at(b"rot", 300_000).expect("it can be written");
    let line =
        life(dir, Backend::Pwrite, async |_, _, _| ()).expect_err("it is damaged").to_string();
    assert!(line.starts_with(&format!("{}: damaged at offset ", file.display())), "{line}");
    assert!(line.contains(WAY_OUT) && !line.contains('\n'), "{line}");
}
