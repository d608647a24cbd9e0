//! Whether planted mistakes are found: a subset that a few seeds find, and the pipeline itself.
//! All of them: `cargo sim mutants`.
#![cfg(debug_assertions)]

use keel_core::mutant::Mutant;
use keel_sim::mutants::{FAST, awaits, equivalent, hunt};
use std::process::{Command, Output};

/// Seeds that find each of the fast ones many times over.
const SEEDS: std::ops::Range<u64> = 1..100;

/// The only test here that makes mistakes in this process: they are made in all of it.
#[test]
fn what_a_few_seeds_find_is_found() {
    let hidden: Vec<_> = FAST
        .iter()
        .map(|mutant| hunt(*mutant, SEEDS))
        .filter(|hunt| hunt.caught.is_none())
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}");
    // What was made is not made any more, and what nobody can see is not seen.
    let sound = Mutant::ALL.iter().find(|mutant| equivalent(**mutant).is_some());
    let hunt = hunt(*sound.expect("one of them is sound"), 1..4);
    assert_eq!((hunt.caught, hunt.tried), (None, 3));
}

fn command(line: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keel-sim"));
    let output = command.arg("mutants").args(line).output().expect("the simulator can be started");
    let printed = String::from_utf8(output.stdout.clone()).expect("it prints text");
    (output, printed)
}

/// Silence would look like success: so one mistake sings at once, and a hunt without time fails.
#[test]
fn the_canary_sings_and_what_hides_is_reported() {
    let (output, printed) = command(&["--only", "canary"]);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("one-reply") && printed.contains("1 of 1 caught"), "{printed}");

    let (output, printed) =
        command(&["--only", "canary", "--only", "VotesTwice", "--minutes", "0"]);
    assert!(!output.status.success(), "{printed}");
    assert!(printed.matches("HIDES").count() == 2 && printed.contains("0 of 2"), "{printed}");

    let (output, _) = command(&["--only", "Nobody"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn there_are_enough_and_few_are_sound() {
    let sound = Mutant::ALL.iter().filter(|mutant| equivalent(**mutant).is_some()).count();
    let hunted = Mutant::ALL.iter().filter(|mutant| awaits(**mutant).is_none()).count() - sound;
    assert!(hunted >= 45 && sound <= 5, "{hunted} are hunted, and {sound} are sound");
    assert!(FAST.iter().all(|mutant| equivalent(*mutant).or(awaits(*mutant)).is_none()));
}
