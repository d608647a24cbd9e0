//! Whole servers in the simulated world: equal runs first, then what they are good for.

use keel_sim::plan::{Level, Plan};
use keel_sim::world::{Leak, world_twice};
use keel_sim::{seen::Place, world};
use std::fs;
use std::process::Command;

/// A short run with a bit of everything.
const PLAN: &str = "level world\nseed 7\nwatchers 2\nleases 100\ncheckpoint 20\ncatch-up 5\n\
                    segment 16384\nrun 6s\nat 2s cut leader from others\nat 2500ms compact\n\
                    at 3s heal\nat 4s kill leader\nat 4500ms power-off follower\nat 5s start all\n";

fn plan(text: &str) -> Plan {
    let (plan, _) = Plan::parse(text).expect("it is clear");
    assert_eq!(plan.level, Level::World);
    plan
}

/// Three servers find together, serve gRPC, and hold the same in the end: the hashes of their whole
/// histories are among what the verdict rests on.
#[test]
fn three_servers_serve_and_hold_the_same() {
    let verdict = world(&plan("level world\nrun 3s\n"));
    assert_eq!(verdict.broken, None, "{:#?}", verdict.story);
    assert!(verdict.places.times(Place::Elected) > 0);
    let told = verdict.story.iter().rev().nth(1).expect("it tells how much was asked");
    assert!(told.contains("operations") && !told.contains(" 0 of them"), "{told}");
}

/// The same plan in two processes, down to the bytes that pass: if they differ, no other result
/// means anything.
#[test]
fn equal_plans_give_equal_bytes_in_two_processes() {
    let path = std::env::temp_dir().join(format!("keel-world-{}.plan", std::process::id()));
    fs::write(&path, PLAN).expect("a file can be written");
    let run = || {
        let program =
            Command::new(env!("CARGO_BIN_EXE_keel-sim")).arg("replay").arg(&path).output();
        let output = program.expect("the simulator can be started");
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let first = run();
    assert!(first.contains("trace "), "{first}");
    assert_eq!(first, run());
    fs::remove_file(&path).expect("the file can be removed");
    let here = world(&plan(PLAN));
    assert!(first.contains(&format!("trace {:016x}", here.trace)), "another run went before it");
}

/// A server that asks the machine for the date or for chance is seen: two runs of one plan differ.
#[test]
fn who_asks_the_machine_is_seen() {
    let plan = plan("level world\nclients 1\nrun 2s\n");
    assert_eq!(world_twice(&plan, None).broken, None);
    for leak in [Leak::Date, Leak::Chance] {
        let broken = world_twice(&plan, Some(leak)).broken.expect("they differ");
        assert_eq!(broken.oracle, "determinism", "{leak:?}");
    }
}
