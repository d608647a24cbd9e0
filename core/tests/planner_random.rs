//! Random lives of a member with crashes at every place: nothing promised is lost, nothing
//! wrong is found.

mod planner_disk;
mod planner_model;

use keel_core::disk::Lane;
use keel_core::entry::{HardState, Write};
use keel_core::state::image::ImageChunk;
use keel_core::types::{Index, NodeId, Term};
use planner_disk::{Dice, Keep};
use planner_model::{World, entry, options, payload};
use proptest::prelude::*;

fn write(world: &World, dice: &mut Dice) -> Write {
    let log = world.log();
    let mut hard = log.hard;
    let mut write = Write::default();
    match dice.below(8) {
        // Only the commit index moves.
        0 => {
            hard.commit = Index(log.last());
            write.hard = Some(hard);
            return write;
        }
        // A new term and a vote.
        1 => {
            hard.term = Term(hard.term.0 + 1);
            hard.vote = NodeId(dice.below(3));
            write.hard = Some(hard);
            if dice.below(2) == 0 {
                return write;
            }
        }
        2 => return write,
        _ => {}
    }
    if hard.term == Term(0) {
        hard = HardState { term: Term(1), ..hard };
        write.hard = Some(hard);
    }
    let mut first = log.last() + 1;
    let floor = hard.commit.0.max(log.base) + 1;
    if dice.below(4) == 0 && first > floor {
        first = floor + dice.below(first - floor + 1);
        write.cut_from = (dice.below(2) == 0).then_some(Index(first));
    }
    for index in first..first + dice.below(4) {
        let len = if dice.below(20) == 0 { 4000 } else { dice.below(700) as usize };
        let len = if dice.below(6) == 0 { 0 } else { len };
        write.entries.push(entry(hard.term.0, index, payload(dice.roll(), len)));
    }
    write
}

fn change_chunks(world: &mut World, dice: &mut Dice) {
    for _ in 0..dice.below(5) {
        let number = world.next_chunk;
        world.next_chunk += 1;
        let len = if dice.below(12) == 0 { 6000 } else { dice.below(900) as usize };
        let bytes = payload(dice.roll(), len);
        world.chunks.insert(number, ImageChunk { number, version: u64::MAX, bytes });
    }
    let numbers: Vec<u64> = world.chunks.keys().copied().collect();
    for number in numbers {
        match dice.below(6) {
            0 => drop(world.chunks.remove(&number)),
            1 => {
                let chunk = world.chunks.get_mut(&number).expect("there");
                chunk.version -= 1;
                chunk.bytes = payload(dice.roll(), chunk.bytes.len() / 2);
            }
            _ => {}
        }
    }
}

/// A checkpoint of what is committed.
fn checkpoint(world: &mut World, dice: &mut Dice) {
    let log = world.log().clone();
    let newest = world.images.values().flatten().map(|image| image.index.0).max().unwrap_or(0);
    let index = log.hard.commit.0;
    let Some((term, _)) = log.entries.get(&index).filter(|_| index > newest) else {
        return;
    };
    change_chunks(world, dice);
    world.store(index, *term);
}

/// Another member's state takes the place of all there was, and the log goes on behind it.
fn install(world: &mut World, dice: &mut Dice) {
    let log = world.log().clone();
    let newest = world.images.values().flatten().map(|image| image.index.0).max().unwrap_or(0);
    // Beyond the log, or inside it where the log's own entries never came to count.
    let inside = log.hard.commit.0.max(log.base).max(newest) + 1;
    let (index, term) = if dice.below(2) == 0 && inside <= log.last() {
        (inside + dice.below(log.last() - inside + 1), log.hard.term.0 + 1)
    } else {
        (log.last().max(newest) + 1 + dice.below(20), log.hard.term.0.max(1))
    };
    world.lineage += 1;
    for chunk in world.chunks.values_mut() {
        chunk.bytes = payload(dice.roll(), chunk.bytes.len());
    }
    change_chunks(world, dice);
    world.store(index, term);
    let hard = HardState { term: Term(term), commit: Index(index), ..log.hard };
    world.persist(Write { hard: Some(hard), ..Write::default() });
    let entries = (index + 1..index + 3).map(|at| entry(term, at, payload(at, 100))).collect();
    world.persist(Write { entries, ..Write::default() });
}

fn live(seed: u64, moves: usize) {
    let mut dice = Dice::new(seed);
    let mut world = World::new(options());
    for _ in 0..moves {
        match dice.below(40) {
            0..10 => {
                let write = write(&world, &mut dice);
                world.persist(write);
            }
            10..24 => drop(world.step(Lane::Log)),
            24..36 => drop(world.step(Lane::Bulk)),
            36 | 37 => checkpoint(&mut world, &mut dice),
            38 if dice.below(4) == 0 => install(&mut world, &mut dice),
            38 => world.settle(),
            _ => {
                match dice.below(8) {
                    0 => world.runner.disk.kill(),
                    1 => world.crash(Keep::Old, &mut dice),
                    2 => world.crash(Keep::New, &mut dice),
                    _ => world.crash(Keep::Any, &mut dice),
                }
                world.restart().expect("a crash is no damage");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_promised_is_found_again(seed: u64) {
        live(seed, 400);
    }
}

/// A manifest's slot torn twice, so that both halves together were a good one of the first; and a
/// state taken in before the log had its first segment.
#[test]
fn lives_that_once_ended_badly() {
    for seed in [10_271_194_057_208_500_034, 74_580_909_329_301_452, 12_037_882_174_556_769_649] {
        live(seed, 400);
    }
}
