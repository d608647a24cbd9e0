//! One fixed life, stopped at each of its disk operations in turn: log writes, rotation,
//! checkpoints, the rewriting of half-dead files, removals.

mod planner_disk;
mod planner_model;

use keel_core::disk::Lane;
use keel_core::entry::{HardState, Write};
use keel_core::planner::Options;
use keel_core::state::image::ImageChunk;
use keel_core::types::{Index, NodeId, Term};
use planner_disk::{Dice, Keep, recover};
use planner_model::{World, entry, options, payload};

/// What happens at one point of the life.
#[derive(Clone, Copy)]
enum Deed {
    /// So many entries of so many bytes.
    Append(u64, usize),
    /// All entries are committed.
    Commit,
    /// A new term.
    Term,
    /// So many chunks more, of so many bytes.
    Grow(u64, usize),
    /// Every second chunk dies.
    Thin,
    /// A checkpoint of what is committed.
    Checkpoint,
}

use Deed::{Append, Checkpoint, Commit, Grow, Term as NewTerm, Thin};

const LIFE: [Deed; 22] = [
    NewTerm,
    Append(3, 100),
    Commit,
    Grow(6, 400),
    Checkpoint,
    Append(4, 700),
    Commit,
    Grow(5, 500),
    Checkpoint,
    NewTerm,
    Append(2, 0),
    Commit,
    Thin,
    Checkpoint,
    Append(1, 3000),
    Append(5, 200),
    Commit,
    Thin,
    Grow(1, 5000),
    Checkpoint,
    Append(1, 10),
    Commit,
];

fn live(world: &mut World, deed: Deed) {
    let log = world.log().clone();
    match deed {
        Append(count, len) => {
            let first = log.last() + 1;
            let entries = (first..first + count)
                .map(|index| entry(log.hard.term.0, index, payload(index, len)))
                .collect();
            world.persist(Write { entries, ..Write::default() });
        }
        Commit => {
            let hard = HardState { commit: Index(log.last()), ..log.hard };
            world.persist(Write { hard: Some(hard), ..Write::default() });
        }
        NewTerm => {
            let term = Term(log.hard.term.0 + 1);
            let hard = HardState { term, vote: NodeId(7), ..log.hard };
            world.persist(Write { hard: Some(hard), ..Write::default() });
        }
        Grow(count, len) => {
            for number in world.next_chunk..world.next_chunk + count {
                let bytes = payload(number, len);
                world.chunks.insert(number, ImageChunk { number, version: 9, bytes });
            }
            world.next_chunk += count;
        }
        Thin => {
            let mut nth = 0;
            world.chunks.retain(|_, _| {
                nth += 1;
                nth % 2 == 0
            });
        }
        Checkpoint => {
            let index = log.hard.commit.0;
            let known = world.images.values().flatten().any(|image| image.index.0 >= index);
            if let Some((term, _)) = log.entries.get(&index).filter(|_| !known) {
                world.store(index, *term);
            }
        }
    }
}

/// Lives until `stop` operations are done; says whether it got that far.
fn until(world: &mut World, stop: usize) -> bool {
    for deed in LIFE {
        live(world, deed);
        loop {
            if world.runner.steps >= stop {
                return true;
            }
            let log = world.step(Lane::Log);
            if world.runner.steps >= stop {
                return true;
            }
            if !log && !world.step(Lane::Bulk) {
                break;
            }
        }
    }
    false
}

#[test]
fn every_operation_can_be_the_last() {
    for checkpoints_kept in [1, 3] {
        let options = Options { checkpoints_kept, ..options() };
        let mut world = World::new(options.clone());
        assert!(!until(&mut world, usize::MAX));
        let total = world.runner.steps;
        assert!(total >= 100, "the life is long enough: {total}");
        stop_at_each(total, &options);
    }
}

fn stop_at_each(total: usize, options: &Options) {
    for stop in 0..=total {
        for seed in 0..10 {
            let mut dice = Dice::new(seed);
            let mut world = World::new(options.clone());
            until(&mut world, stop);
            match seed {
                0 => world.runner.disk.kill(),
                1 => world.crash(Keep::Old, &mut dice),
                2 => world.crash(Keep::New, &mut dice),
                _ => world.crash(Keep::Any, &mut dice),
            }
            world.restart().expect("a crash is no damage");
            // The member goes on, and a second crash finds it as whole as the first.
            until(&mut world, usize::MAX);
            world.settle();
            assert_eq!(world.acked + 1, world.logs.len(), "everything is promised in the end");
            world.crash(Keep::Any, &mut dice);
            world.restart().expect("a crash is no damage");
        }
    }
}

#[test]
fn what_is_dead_leaves_the_directory() {
    let mut world = World::new(options());
    for _ in 0..30 {
        until(&mut world, usize::MAX);
        world.settle();
        // Twice the live chunks, rewritten at half; one open file; a manifest; the log's newest.
        let live: usize = world.chunks.values().map(|chunk| chunk.bytes.len() + 32).sum();
        let files = world.runner.disk.files();
        let state = files.iter().filter(|(file, _)| file.name().ends_with(".state"));
        let bytes: u64 = state.map(|(_, len)| len).sum();
        assert!(bytes <= 2 * live as u64 + 5 * 8192, "{bytes} bytes hold {live}");
        let segments = files.iter().filter(|(file, _)| file.name().ends_with(".log")).count();
        assert!(segments <= 6, "{segments} segments are left");
    }
}

/// A member that is started and killed again and again, before any checkpoint.
#[test]
fn many_short_lives_leave_few_segments() {
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(options());
        for life in 0..60 {
            live(&mut world, if life % 3 == 0 { NewTerm } else { Append(1, 40) });
            for _ in 0..dice.below(8) {
                world.step(Lane::Log);
            }
            for _ in 0..2 {
                world.step(Lane::Bulk);
            }
            match dice.below(4) {
                0 => world.runner.disk.kill(),
                1 => world.crash(Keep::Old, &mut dice),
                2 => world.crash(Keep::New, &mut dice),
                _ => world.crash(Keep::Any, &mut dice),
            }
            world.restart().expect("a crash is no damage");
            let files = world.runner.disk.files();
            let segments = files.iter().filter(|(file, _)| file.name().ends_with(".log")).count();
            assert!(segments <= 6, "life {life} of {seed} has {segments} segments");
        }
    }
}

/// A bit flips anywhere in the state files. Where the newest checkpoint suffers and an older one
/// that stays does not, the member goes on from that one and the log.
#[test]
fn a_damaged_checkpoint_is_passed_over_where_an_older_one_stays() {
    for (checkpoints_kept, rescued) in [(1, false), (3, true)] {
        let mut world = World::new(Options { checkpoints_kept, segments_kept: 0, ..options() });
        until(&mut world, usize::MAX);
        world.settle();
        let (mut passed_over, mut refused) = (0, 0);
        for (file, len) in world.runner.disk.files() {
            let offsets = (0..len as usize).step_by(61);
            for at in offsets.filter(|_| file.name().ends_with(".state")) {
                world.runner.disk.flip(file, at, 3);
                match recover(&world.runner.disk, &world.options) {
                    Ok((_, recovered)) => {
                        let older = recovered.passed_over.is_some();
                        world.check_since(&recovered, older).expect("nothing is lost");
                        passed_over += usize::from(older);
                    }
                    Err(_) => refused += 1,
                }
                world.runner.disk.flip(file, at, 3);
            }
        }
        assert!(rescued || refused > 0, "there is no other to go on from");
        assert_eq!(passed_over > 0, rescued, "{checkpoints_kept} stay, {passed_over} passed over");
    }
}

/// The log between the two checkpoints is gone: then the older one is none to go on from.
#[test]
fn an_older_checkpoint_serves_only_with_the_log_behind_it() {
    let options = Options { checkpoints_kept: 3, segments_kept: 1, ..options() };
    let mut world = World::new(options);
    until(&mut world, usize::MAX);
    for _ in 0..4 {
        live(&mut world, Append(4, 1200));
        live(&mut world, Commit);
        world.settle();
    }
    live(&mut world, Grow(1, 300));
    live(&mut world, Checkpoint);
    world.settle();
    let newest = world.runner.disk.files().into_iter().rev();
    let (file, _) = newest.clone().find(|(file, _)| file.name().ends_with(".state")).expect("one");
    let bytes = world.runner.disk.read(file);
    let last = bytes.iter().rposition(|&byte| byte != 0).expect("it holds something");
    world.runner.disk.flip(file, last, 0);
    recover(&world.runner.disk, &world.options).expect_err("the log begins behind the older one");
}
