//! Whole servers in the simulated world: equal runs first, then what they are good for.

use keel_sim::explore::explore;
use keel_sim::plan::{Level, Plan};
use keel_sim::seen::Place;
use keel_sim::world::{Leak, world_filmed, world_twice};
use keel_sim::{story, world};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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

/// Every story of the world ends as it is told; two at once, since each takes seconds.
#[test]
fn stories_end_as_they_are_told() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/world");
    let entries = fs::read_dir(dir).expect("the stories are there");
    let paths: Vec<_> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    assert!(paths.len() >= 12, "{} stories", paths.len());
    let next = AtomicUsize::new(0);
    let tell = || {
        let mut wrong = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let text = fs::read_to_string(path).expect("a story can be read");
            assert!(text.starts_with("# "), "{} does not say why it is told", path.display());
            let told = story::tell(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            wrong.extend(told.wrong.map(|why| format!("{}: {why}", path.display())));
        }
        wrong
    };
    let wrong = thread::scope(|scope| {
        let other = scope.spawn(tell);
        let mut wrong = tell();
        wrong.extend(other.join().expect("no story panics"));
        wrong
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn seeds_are_clean() {
    for seed in 1..6 {
        let outcome = explore(Level::World, seed);
        assert_eq!(outcome.failed, None, "seed {seed}");
        assert!(!outcome.lasted.is_zero());
    }
}

#[test]
fn a_film_shows_who_leads_and_what_was_asked() {
    let (verdict, film) = world_filmed(&plan("level world\nrun 2s\n"));
    assert_eq!(verdict.broken, None);
    assert!(film.stands.iter().any(|stand| stand.role == keel_sim::walk::Role::Leads));
    let answered = film.operations.iter().filter(|one| one.end.is_some()).count();
    assert!(answered > 10 && film.reached.len() >= answered);
}
