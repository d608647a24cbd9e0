//! A log that was cut, and files with changed bits: what is found is what was promised, or the
//! file and the place are named.

mod planner_disk;
mod planner_model;

use keel_core::disk::{DiskOp, File, Lane};
use keel_core::entry::{HardState, Write};
use keel_core::state::image::ImageChunk;
use keel_core::types::{Index, Term};
use planner_disk::{Disk, recover};
use planner_model::{World, entry, options, payload};

fn append(world: &mut World, term: u64, count: u64, len: usize) {
    let log = world.log();
    let first = log.last() + 1;
    let hard = HardState { term: Term(term), commit: Index(log.last()), ..log.hard };
    let entries =
        (first..first + count).map(|index| entry(term, index, payload(index, len))).collect();
    world.persist(Write { hard: Some(hard), entries, ..Write::default() });
}

/// The commit of the last entry: it reaches no sync, but it is the witness of the one before.
fn commit(world: &mut World) {
    let log = world.log();
    let hard = HardState { commit: Index(log.last()), ..log.hard };
    world.persist(Write { hard: Some(hard), ..Write::default() });
}

fn grow(world: &mut World, count: u64, len: usize) {
    for number in world.next_chunk..world.next_chunk + count {
        let bytes = payload(number, len);
        world.chunks.insert(number, ImageChunk { number, version: 1, bytes });
    }
    world.next_chunk += count;
}

/// Three segments, three state files, both slots, a restart in the middle; all promised.
fn recorded() -> World {
    let mut world = World::new(options());
    for round in 1..=9 {
        append(&mut world, round, 2, 100 * round as usize);
        world.settle();
        commit(&mut world);
        world.settle();
        if matches!(round, 2 | 4 | 5) {
            grow(&mut world, 3, 600);
            let log = world.log();
            let index = log.last();
            world.store(index, round);
            world.settle();
        }
        if round == 6 {
            world.restart().expect("nothing is wrong");
        }
    }
    world
}

#[test]
fn a_write_may_be_cut_at_every_byte() {
    let mut world = World::new(options());
    let mut cuts = 0;
    for round in 1..=12 {
        append(&mut world, round, 1 + round % 3, 37 * round as usize);
        while let Some(plan) = world.runner.planner.poll(Lane::Log) {
            for op in &plan.ops {
                if let DiskOp::Write { file, at, bytes } = op {
                    cuts += bytes.concat().len();
                    cut_everywhere(&world, *file, *at, &bytes.concat());
                }
                world.runner.disk.carry_out(op);
            }
            let done = world.runner.planner.done(plan.id);
            world.heard(&done);
        }
        while world.step(Lane::Bulk) {}
    }
    assert!(cuts > 5000, "the run was long enough");
}

fn cut_everywhere(world: &World, file: File, at: u64, bytes: &[u8]) {
    let before = world.runner.disk.read(file);
    for cut in 0..bytes.len() {
        let mut partial = before.to_vec();
        partial[at as usize..at as usize + cut].copy_from_slice(&bytes[..cut]);
        let mut disk = world.runner.disk.clone();
        disk.replace(file, partial);
        let (_, recovered) = recover(&disk, &world.options).expect("a cut is no damage");
        world.check(&recovered).expect("what was promised");
    }
}

#[test]
fn a_changed_bit_is_never_served() {
    let world = recorded();
    let clean = &world.runner.disk;
    let files = clean.files();
    let segments = files.iter().filter(|(file, _)| matches!(file, File::Segment(_))).count();
    let states = files.iter().filter(|(file, _)| matches!(file, File::State(_))).count();
    assert!(segments >= 4 && states >= 2, "{files:?}");
    let (mut refused, mut exact) = (0, 0);
    for (file, len) in files {
        let bytes = clean.read(file);
        // Of a sector that was never written one byte is enough.
        let written = |at: &usize| bytes[at / 512 * 512..][..512].iter().any(|&byte| byte != 0);
        for at in (0..len as usize).filter(|at| at % 512 == 0 || written(at)) {
            let mut disk = clean.clone();
            disk.flip(file, at, (at % 8) as u8);
            match recover(&disk, &world.options) {
                Ok((_, recovered)) => {
                    exact += 1;
                    // A bad newest slot leads to the older checkpoint and more of the log.
                    let older = file == File::Manifest;
                    world.check_since(&recovered, older).unwrap_or_else(|why| {
                        panic!("{file:?} at {at}: {why}");
                    });
                }
                Err(damage) => {
                    refused += 1;
                    if file != File::Manifest {
                        assert_eq!(damage.file, file, "at {at}: {damage:?}");
                    }
                }
            }
        }
    }
    assert!(refused > 5000 && exact > 1000, "both happen: {refused} refused, {exact} exact");
}

#[test]
fn lost_sectors_are_no_end() {
    let world = recorded();
    let log_end = |file| {
        let bytes = world.runner.disk.read(file);
        bytes.iter().rposition(|&byte| byte != 0).expect("it holds something")
    };
    let newest = *world
        .runner
        .disk
        .files()
        .iter()
        .map(|(file, _)| file)
        .filter(|file| matches!(file, File::Segment(_)))
        .filter(|&&file| world.runner.disk.read(file)[0] != 0)
        .max()
        .expect("there is a log");
    // Each sector but the last batch's, which only raised the commit index.
    for sector in 8..log_end(newest) / 512 {
        let mut disk = world.runner.disk.clone();
        let mut bytes = disk.read(newest).to_vec();
        bytes[sector * 512..(sector + 1) * 512].fill(0);
        disk.replace(newest, bytes);
        let damage = recover(&disk, &world.options).expect_err("a gap is no end");
        assert_eq!(damage.file, newest);
    }
}

#[test]
fn a_batch_from_elsewhere_is_no_batch() {
    let mut world = World::new(options());
    for round in 1..=3 {
        append(&mut world, round, 1, 100);
        world.settle();
    }
    let file = File::Segment(1);
    let bytes = world.runner.disk.read(file).to_vec();
    // The second batch again in the place of the third: nothing says that there was a third.
    let mut stale = bytes.clone();
    stale.copy_within(4096 + 512..4096 + 1024, 4096 + 1024);
    let mut disk = world.runner.disk.clone();
    disk.replace(file, stale);
    let (_, recovered) = recover(&disk, &world.options).expect("it looks like a torn tail");
    assert_eq!(recovered.entries.len(), 2, "the stale batch is not taken for an entry");
    // The first and the second changed places.
    let mut swapped = bytes.clone();
    swapped[4096..4096 + 512].copy_from_slice(&bytes[4096 + 512..4096 + 1024]);
    swapped[4096 + 512..4096 + 1024].copy_from_slice(&bytes[4096..4096 + 512]);
    disk.replace(file, swapped);
    recover(&disk, &world.options).expect_err("batches out of their places");
}

#[test]
fn another_members_files_are_refused() {
    let world = recorded();
    let mut options = world.options.clone();
    options.node.0 += 1;
    let damage = recover(&world.runner.disk, &options).expect_err("not this member's");
    assert_eq!(damage.why, "the file belongs to another member");
    options.node.0 = 0;
    let (_, recovered) = recover(&world.runner.disk, &options).expect("whoever it was");
    assert_eq!(recovered.owner, Some((0xc1, world.options.node)));
}

#[test]
fn a_missing_file_is_named() {
    let world = recorded();
    for (file, _) in world.runner.disk.files() {
        let mut disk = world.runner.disk.clone();
        disk.remove(file);
        match recover(&disk, &world.options) {
            Ok((_, recovered)) => {
                // Without its manifest the log alone tells everything, as far as it goes back.
                let older = file == File::Manifest;
                assert!(older || matches!(file, File::Segment(_)), "{file:?} is needed");
                world.check_since(&recovered, older).expect("only what is void may go");
            }
            Err(damage) => assert_eq!(damage.file, file, "{damage:?}"),
        }
    }
    assert!(recover(&Disk::default(), &world.options).is_ok(), "an empty directory is a start");
}
