//! The recorder without a server around it: a member that breaks down, a thread that cannot
//! follow, a directory that is full.

use super::Recorder;
use super::queue::{Item, Queue};
use super::ring::{Full, Ring};
use crate::clock::Clock;
use keel_core::entry::RawEntry;
use keel_core::members::{Cluster, Member};
use keel_core::node::AutoCompaction;
use keel_core::recording::{Event, Reader, Replay, Scribe, Stream, Writer, read};
use keel_core::{Config, Entry, Input, Instant, NodeId, Ticket};
use keel_proto::body::config::{Level, LogFormat, Recording};
use keel_proto::body::{Journal, Recorded};
use keel_proto::bootstrap;
use keel_proto::convert::decode_entry;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const ME: NodeId = NodeId(0xa);

/// Where a process that is to break down leaves its recording.
const DIES: &str = "KEEL_TEST_DIES_IN";

fn parse(raw: RawEntry) -> Option<Entry> {
    decode_entry(raw).ok()
}

fn config() -> Config {
    Config {
        id: ME,
        cluster_id: 0xc,
        name: String::from("one"),
        client_urls: Vec::new(),
        version: String::from("3.7.0"),
        heartbeat: Duration::from_millis(100),
        election: Duration::from_secs(1),
        pre_vote: true,
        snapshot_count: 1000,
        catch_up_entries: 100,
        lease_checkpoint: false,
        quota_bytes: 0,
        strict_reconfig: true,
        learners_max: 1,
        auto_compaction: AutoCompaction::Off,
    }
}

fn told(dir: &Path, bytes: u64) -> Recording {
    Recording { dir: dir.to_path_buf(), bytes }
}

/// A member whose driver makes a mistake that the core asserts against: it gives a ticket out a
/// second time while the first is open.
fn break_down(dir: &Path) {
    let (journal, _) = Journal::memory(Level::Info, LogFormat::Json, Clock::machine());
    let recorder = Recorder::open(&told(dir, 8 << 20), 7, Duration::ZERO, &journal);
    let recorder = recorder.expect("the directory is there");
    let cluster =
        Cluster { id: 0xc, members: [(ME, Member::default())].into(), ..Cluster::default() };
    let mut node =
        Recorded::new(config(), bootstrap(&cluster), 7, Instant(0), Some(Box::new(recorder)));
    for now in 1..200 {
        while node.poll().is_some() {}
        node.step(Instant(now), Input::Tick);
    }
    for _ in 0..2 {
        node.step(Instant(200), Input::Read { ticket: Ticket(5) });
    }
}

#[test]
fn a_member_that_breaks_down_leaves_a_recording_that_breaks_down_alike() {
    if let Some(dir) = std::env::var_os(DIES) {
        return break_down(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name =
        "recorder::tests::a_member_that_breaks_down_leaves_a_recording_that_breaks_down_alike";
    let me = std::env::current_exe().expect("this test has a binary");
    let mut died = Command::new(me);
    let died = died.args([name, "--exact", "--test-threads=1"]).env(DIES, dir.path()).output();
    assert!(!died.expect("it can be started").status.success(), "it breaks down");

    let state = stream(&dir.path().join("0000000000000001.state"));
    let inputs = stream(&dir.path().join("0000000000000001.inputs"));
    assert_eq!((state.torn, inputs.torn), (0, 0), "all of it was written before the end");
    let mut replay = Replay::begin(state.body, 0, parse).expect("it was born");
    let mut from = Reader::new(inputs.body, parse);
    let mut now = Instant(0);
    let mut broke = None;
    while let Some(event) = Event::take(&mut from, now) {
        match event {
            Event::Step { polls, now: at, input, .. } => {
                assert_eq!(broke, None, "nothing was taken in after that");
                now = at;
                let lived = catch_unwind(AssertUnwindSafe(|| {
                    replay.poll(polls, |_| ());
                    replay.step(at, input);
                }));
                broke = lived.err().and_then(|why| why.downcast_ref::<String>().cloned());
            }
            Event::Panic { words } => {
                let broke = broke.expect("it breaks down in the replay, too");
                assert!(broke.contains("is open already"), "{broke}");
                assert!(words.ends_with(&broke), "{words} against {broke}");
                assert_eq!(replay.steps(), 201);
                return;
            }
            Event::Rest { .. } => panic!("it did not come to rest"),
        }
    }
    panic!("the recording does not tell why it ends");
}

fn stream(path: &Path) -> Stream {
    let bytes = fs::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    read(&bytes, parse).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Bytes that mean nothing here.
fn filler(bytes: usize) -> Writer {
    let mut out = Writer::new();
    Scribe::panic(&"x".repeat(bytes), &mut out);
    out
}

#[test]
fn a_thread_that_cannot_follow_costs_a_gap_and_nothing_else() {
    let queue = Queue::new(4 * 1000);
    let put = |bytes| queue.inputs(|out| Scribe::panic(&"x".repeat(bytes), out));
    queue.begin(0, |out| Scribe::panic("state", out));
    put(100);
    assert!(!queue.overran());
    // The last one that has a place, and two that have none.
    put(1000);
    assert!(queue.overran());
    put(1000);
    put(1000);
    let items = queue.take().expect("there is something");
    let [Item::State { steps: 0, .. }, Item::Inputs(inputs)] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert_eq!(inputs.len(), 100 + 2 + 1000 + 3);
    queue.written();
    queue.ask_for_state();
    assert!(queue.wants_state());
    queue.begin(9, |out| Scribe::panic("state", out));
    assert!(!queue.wants_state() && !queue.overran());
    queue.ask_for_state();
    assert!(!queue.wants_state(), "one waits already");
    put(1);
    let items = queue.take().expect("there is something");
    assert!(matches!(items.as_slice(), [Item::State { steps: 9, .. }, Item::Inputs(_)]));
    queue.give_up();
    put(1);
    queue.close();
    assert!(queue.take().is_none(), "nobody keeps anything any more");
}

fn held(dir: &Path) -> (u64, Vec<String>) {
    let entries = fs::read_dir(dir).expect("it can be listed");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let bytes = files.iter().map(|file| fs::metadata(file).expect("it is there").len()).sum();
    let name = |file: &PathBuf| file.file_name().expect("a name").to_string_lossy().into_owned();
    (bytes, files.iter().map(name).collect())
}

#[test]
fn the_oldest_goes_when_its_space_is_needed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let open = || Ring::open(&told(dir.path(), 100_000), 7, Duration::ZERO);
    let mut ring = open().expect("the directory is there");
    assert!(open().is_err(), "two recorders must not write here");
    for steps in 0..20 {
        ring.state(steps, &filler(10_000)).expect("it fits");
        while !ring.wants_state() {
            ring.inputs(&filler(1000)).expect("it fits");
            assert!(held(dir.path()).0 <= 100_000);
        }
        let (_, names) = held(dir.path());
        let kept = names.iter().filter(|name| name.ends_with(".state")).count();
        assert!(steps == 0 || kept >= 2, "the last stretch is there whole: {names:?}");
    }
    // An operator who moves the oldest away takes nothing from the recorder.
    let (_, names) = held(dir.path());
    fs::remove_file(dir.path().join(&names[0])).expect("it can be removed");
    ring.state(20, &filler(10_000)).expect("it fits");
    drop(ring);
    // The next life goes on behind it, and needs the space at last.
    let mut ring = open().expect("the directory is there");
    ring.state(0, &filler(10_000)).expect("it fits");
    let (_, names) = held(dir.path());
    assert!(names.contains(&String::from("0000000000000015.state")), "{names:?}");
    assert!(names.contains(&String::from("0000000000000016.inputs")), "{names:?}");
    ring.inputs(&filler(80_000)).expect("it fits");
    let (bytes, names) = held(dir.path());
    assert!(bytes <= 100_000 && names.len() == 2, "{names:?}");
    // What is needed never goes.
    let full = ring.inputs(&filler(20_000)).expect_err("it does not fit");
    assert!(full.get_ref().is_some_and(|why| why.is::<Full>()), "{full}");
}

#[test]
fn a_state_that_leaves_no_room_for_inputs_is_not_written_again_and_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ring = Ring::open(&told(dir.path(), 100_000), 7, Duration::ZERO);
    let mut ring = ring.expect("the directory is there");
    ring.state(0, &filler(40_000)).expect("it fits");
    let mut inputs = 0;
    let full = loop {
        assert!(!ring.wants_state(), "after {inputs} inputs");
        match ring.inputs(&filler(1000)) {
            Ok(()) => inputs += 1,
            Err(full) => break full,
        }
    };
    assert!(inputs > 50, "they have what is left: {inputs}");
    assert!(full.get_ref().is_some_and(|why| why.is::<Full>()), "{full}");
    assert!(held(dir.path()).0 <= 100_000);
}
