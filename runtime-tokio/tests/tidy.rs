//! What breaks replay under the simulator stays out of this room: found here, not by a seed.

use std::fs;
use std::path::Path;

/// What may stand nowhere but in these files, and why.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("sync::watch", &[], "wakes its readers in no fixed order"),
    ("HashMap", &[], "is iterated in no fixed order"),
    ("HashSet", &[], "is iterated in no fixed order"),
    ("SystemTime", &["clock.rs"], "the date comes from the clock"),
    ("std::time::Instant", &[], "time comes from the clock or the executor"),
    ("getrandom", &["entropy.rs"], "chance comes from the seed"),
    ("unsafe ", &["disk/map.rs"], "memory that is a file is the only reason"),
    ("Term", &["notes.rs"], "rules of raft live in the core"),
    ("Lease", &["notes.rs"], "rules of leases live in the core"),
    ("Revision", &["notes.rs"], "rules of the store live in the core"),
];

/// Every source file, but not tests.
fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(dir).expect("the sources are there") {
        let path = entry.expect("the sources can be listed").path();
        if path.is_dir() {
            sources(&path, found);
        } else if !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("a source is text");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            let name = path.strip_prefix(&root).expect("it lies below").display().to_string();
            found.push((name, text));
        }
    }
    found.sort();
}

fn all() -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 15, "the walk lost its way: {} files", found.len());
    found
}

#[test]
fn nothing_here_breaks_replay() {
    let mut broken = Vec::new();
    for (name, text) in all() {
        for (word, allowed, why) in BANNED {
            if text.contains(word) && !allowed.contains(&name.as_str()) {
                broken.push(format!("{name}: {word}: {why}"));
            }
        }
        for after in text.split("select! {").skip(1) {
            if !after.trim_start().starts_with("biased;") {
                broken.push(format!("{name}: a select! that is not biased chooses by chance"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn a_file_is_one_idea() {
    for (name, text) in all() {
        assert!(text.starts_with("//!"), "{name} does not say what it is");
        assert!(text.lines().count() <= 600, "{name} is too long to be one idea");
    }
}
