//! The simulator's own suite: equal runs first, then the scenarios, then seeds, then a power failure
//! at each operation of a disk.

use keel_sim::explore::explore;
use keel_sim::plan::Level;
use keel_sim::seen::{Place, Places};
use keel_sim::{Plan, nemesis, story, walk};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the scenario files lie.
fn scenarios() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(dir).expect("the scenarios are there");
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    // Those of the world lie apart.
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// The same plan in two processes: if their traces differ, no other result means anything.
#[test]
fn equal_plans_give_equal_traces_in_two_processes() {
    let dir = std::env::temp_dir().join(format!("keel-sim-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a folder can be made");
    for seed in [3, 14, 15] {
        let path = dir.join(format!("{seed}.plan"));
        fs::write(&path, nemesis::draw(Level::Core, seed).to_string())
            .expect("a file can be written");
        let run = || {
            let output = Command::new(env!("CARGO_BIN_EXE_keel-sim"))
                .arg("replay")
                .arg(&path)
                .output()
                .expect("the simulator can be started");
            String::from_utf8(output.stdout).expect("it prints text")
        };
        let first = run();
        assert!(first.contains("trace "), "{first}");
        assert_eq!(first, run(), "seed {seed}");
    }
    fs::remove_dir_all(dir).expect("the folder can be removed");
}

/// A seed alone is what it is behind other seeds.
#[test]
fn a_seed_does_not_feel_the_seeds_before_it() {
    let alone = explore(Level::Core, 5).trace;
    for seed in 1..5 {
        assert_eq!(explore(Level::Core, seed).failed, None);
    }
    assert_eq!(explore(Level::Core, 5).trace, alone);
}

/// `REWRITE=1` writes what happens behind the dashes; read the difference before you commit it.
#[test]
fn scenarios_happen_as_they_are_told() {
    let rewrite = std::env::var_os("REWRITE").is_some();
    let (mut wrong, mut places) = (Vec::new(), Places::default());
    for path in scenarios() {
        let text = fs::read_to_string(&path).expect("a scenario can be read");
        let told = story::tell(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        places.add(&told.places);
        if rewrite {
            fs::write(&path, &told.text).expect("a scenario can be written");
        } else if let Some(why) = told.wrong {
            wrong.push(format!("{}: {why}", path.display()));
        }
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("# "), "{} does not say why it is told", path.display());
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // Where no story goes nothing is proved.
    let never: Vec<Place> =
        Place::ALL.into_iter().filter(|place| places.times(*place) == 0).collect();
    assert_eq!(never, []);
}

/// etcd's bugs of the past that made a wrong answer (semantics §10), one story each at least. One
/// is missing: #14571, where members came to differ in who may do what, since nobody may be
/// refused anything here yet.
#[test]
fn each_of_etcds_bugs_has_a_story() {
    let text = |path: PathBuf| fs::read_to_string(path).expect("a scenario can be read");
    let told: String = scenarios().into_iter().map(text).collect();
    for issue in [
        13766, 14370, 14685, 15220, 15271, 17247, 17529, 17780, 18055, 18089, 18667, 19179, 20221,
        20271, 20418,
    ] {
        assert!(told.contains(&format!("#{issue}")), "no story tells of #{issue}");
    }
}

#[test]
fn seeds_are_clean() {
    for seed in 1..100 {
        let outcome = explore(Level::Core, seed);
        assert_eq!(outcome.failed, None, "seed {seed}");
        assert!(!outcome.lasted.is_zero());
    }
}

/// A member is alone, and the power fails at its disk's first operation of a second, at the next
/// one, and so on; then again while it starts. It starts at last with all that it acknowledged.
#[test]
fn the_power_may_fail_at_any_operation_of_a_disk() {
    for (first, again) in (1..40).flat_map(|first| [1, 2, 3, 5].map(|again| (first, again))) {
        let plan = format!(
            "seed {first}\nmembers 1\nclients 2\nthink 2ms\nkeys 5\nleases 0\ntick 10ms\n\
             checkpoint 4\nsegment 16384\nrun 500ms\n\
             at 100ms trip n1 {first}\nat 300ms trip n1 {again}\nat 300ms start n1\n\
             at 400ms start n1\n"
        );
        let (plan, _) = Plan::parse(&plan).expect("it is clear");
        assert_eq!(walk(&plan).broken, None, "{plan}");
    }
}
