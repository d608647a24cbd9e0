//! What is recorded of a life is enough to live it again.

use keel_core::members::{Cluster, Member};
use keel_core::node::{AutoCompaction, Boot, Config};
use keel_core::recording::{Framer, Header, Kind, Scribe, Writer};
use keel_core::{Input, Instant, Node, NodeId, Ticket};
use keel_proto::bootstrap;
use keel_sim::nemesis::draw;
use keel_sim::plan::Level;
use keel_sim::recording::{End, Life, Recording, Until, relive};
use keel_sim::walk_recorded;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Whole clusters through storms: elections, crashes, leases, compactions, states that come and go.
#[test]
fn every_life_replays_to_the_same_digests_from_each_of_its_states() {
    let (mut lives, mut states, mut digests) = (0, 0, 0);
    for seed in 1..45 {
        let relived = thread::spawn(move || {
            let (_, tapes) = walk_recorded(&draw(Level::Core, seed));
            let states: usize = tapes.iter().map(keel_sim::walk::Tape::states).sum();
            let digests: Result<Vec<u64>, String> =
                tapes.iter().map(|tape| tape.relive()).collect();
            (tapes.len(), states, digests.map(|digests| digests.iter().sum::<u64>()))
        });
        let (tapes, more, compared) = relived.join().expect("no assertion is broken");
        lives += tapes;
        states += more;
        digests += compared.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    assert!(lives > 300 && states > 2 * lives, "{lives} lives, {states} states");
    assert!(digests > 10_000, "{digests} digests");
}

const ME: NodeId = NodeId(0xa);

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

fn boot() -> Boot {
    let members = [(ME, Member::default())].into();
    bootstrap(&Cluster { id: 0xc, members, ..Cluster::default() })
}

/// A recording made by hand, in a directory of its own.
struct Hand {
    dir: PathBuf,
    node: Node,
    scribe: Scribe,
    now: u64,
}

impl Hand {
    /// A member that is born and writes that down.
    fn new(name: &str) -> Hand {
        let dir = std::env::temp_dir().join(format!("keel-sim-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder can be made");
        let mut state = Writer::new();
        Scribe::birth(&config(), &boot(), 7, Instant(0), &mut state);
        let node = Node::new(config(), boot(), 7, Instant(0));
        let hand = Hand { dir, node, scribe: Scribe::new(Instant(0)), now: 0 };
        hand.write(Kind::State, 1, 0, &state);
        hand
    }

    fn write(&self, kind: Kind, number: u64, steps: u64, what: &Writer) {
        let code = env!("CARGO_PKG_VERSION").to_owned();
        // The first of January 2026.
        let epoch = 1_767_225_600_000_000;
        let (mut framer, mut file) =
            Framer::begin(&Header { kind, code, run: 7, number, steps, epoch });
        let payload = what.to_bytes();
        file.extend_from_slice(&framer.head(&payload));
        file.extend_from_slice(&payload);
        let kind = if kind == Kind::State { "state" } else { "inputs" };
        fs::write(self.dir.join(format!("{number:016x}.{kind}")), file).expect("it is written");
    }

    /// So many seconds pass.
    fn live(&mut self, seconds: u64, out: &mut Writer) {
        for _ in 0..seconds {
            self.now += 1;
            while self.node.poll().is_some() {
                self.scribe.poll();
            }
            self.scribe.poll();
            self.take(Input::Tick, out);
        }
    }

    fn take(&mut self, input: Input, out: &mut Writer) {
        let now = Instant(self.now * 1_000_000_000);
        self.scribe.step(&self.node, now, &input, out);
        self.node.step(now, input);
    }

    fn rest(&mut self, out: &mut Writer) {
        while self.node.poll().is_some() {
            self.scribe.poll();
        }
        self.scribe.poll();
        self.scribe.rest(&self.node, out);
    }

    fn relive(&self) -> Life {
        let recording = Recording::open(&self.dir).expect("there is one");
        relive(&recording, Until::default(), &mut ()).expect("it can be read")
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        // What is left in a temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What the program prints, and whether it is content.
fn replay(dir: &Path, more: &[&str]) -> (String, bool) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_keel-sim"));
    let output = program.arg("replay").arg(dir).args(more).output().expect("it can be started");
    (String::from_utf8(output.stdout).expect("it prints text"), output.status.success())
}

/// A driver that gives a ticket out a second time while the first is open: the core asserts
/// against that.
fn broken(name: &str) -> (Hand, Writer) {
    let mut hand = Hand::new(name);
    let mut inputs = Writer::new();
    hand.live(3, &mut inputs);
    let read = || Input::Read { ticket: Ticket(5) };
    hand.take(read(), &mut inputs);
    hand.scribe.step(&hand.node, Instant(3_000_000_000), &read(), &mut inputs);
    (hand, inputs)
}

#[test]
fn a_member_that_broke_down_breaks_down_again() {
    let (hand, mut inputs) = broken("panic");
    hand.write(Kind::Inputs, 1, 0, &inputs);
    let End::Panic { replayed, recorded: None, went_on: false } = hand.relive().end else {
        panic!("it does not break down");
    };
    assert!(replayed.contains("is open already"), "{replayed}");
    Scribe::panic(&replayed, &mut inputs);
    hand.write(Kind::Inputs, 1, 0, &inputs);
    let (said, content) = replay(&hand.dir, &[]);
    assert!(content && said.contains("the core breaks down, as it did"), "{said}");
}

#[test]
fn a_member_that_breaks_down_in_another_way_is_seen() {
    let (hand, mut inputs) = broken("words");
    Scribe::panic("something else", &mut inputs);
    hand.write(Kind::Inputs, 1, 0, &inputs);
    let (said, content) = replay(&hand.dir, &[]);
    assert!(!content && said.contains("DIVERGED: it was recorded: something else"), "{said}");

    let (mut hand, mut inputs) = broken("went-on");
    hand.live(1, &mut inputs);
    hand.write(Kind::Inputs, 1, 0, &inputs);
    let (said, content) = replay(&hand.dir, &[]);
    assert!(
        !content && said.contains("DIVERGED: the core breaks down, and the member went on"),
        "{said}"
    );
}

#[test]
fn a_process_that_broke_down_elsewhere_is_told_apart() {
    let mut hand = Hand::new("elsewhere");
    let mut inputs = Writer::new();
    hand.live(3, &mut inputs);
    Scribe::panic("a service broke down", &mut inputs);
    hand.write(Kind::Inputs, 1, 0, &inputs);
    let (said, content) = replay(&hand.dir, &[]);
    assert!(content && said.contains("not in the core: a service broke down"), "{said}");
}

#[test]
fn a_gap_is_told_and_the_state_behind_it_goes_on() {
    let mut hand = Hand::new("gap");
    let mut inputs = Writer::new();
    hand.live(5, &mut inputs);
    hand.write(Kind::Inputs, 1, 0, &inputs);
    // Nobody writes this down.
    hand.live(4, &mut Writer::new());
    hand.rest(&mut Writer::new());
    let mut state = Writer::new();
    let steps = hand.scribe.steps();
    hand.scribe.life(&hand.node, &mut state);
    hand.write(Kind::State, 2, steps, &state);
    let mut inputs = Writer::new();
    hand.live(5, &mut inputs);
    hand.rest(&mut inputs);
    hand.write(Kind::Inputs, 2, steps, &inputs);

    let life = hand.relive();
    assert_eq!((life.end.clone(), life.gaps.clone()), (End::Complete, vec![4]));
    assert_eq!(life.replay.expect("it lives").node().digest(), hand.node.digest());
    let (said, content) = replay(&hand.dir, &["--until-time", "2026-01-01T00:00:12.5Z", "--trace"]);
    assert!(content, "{said}");
    for line in [
        "gap: 4 steps had no place; goes on from the next state",
        "stopped: ",
        "2026-01-01T00:00:12.000000Z, 12.000000000 s of its clock",
        "10 11.000000000 <- Tick",
        "knows     a \"\"",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert!(!replay(&hand.dir, &["--until-time", "never"]).1);
}

/// What decides and is not recorded: here the time of one step.
#[test]
fn another_life_than_the_recorded_one_is_seen() {
    let mut hand = Hand::new("diverged");
    let mut inputs = Writer::new();
    hand.live(5, &mut inputs);
    hand.live(1, &mut Writer::new());
    hand.rest(&mut inputs);
    hand.write(Kind::Inputs, 1, 0, &inputs);
    let (said, content) = replay(&hand.dir, &[]);
    assert!(!content && said.contains("DIVERGED: after 5 steps the digest is"), "{said}");
}
