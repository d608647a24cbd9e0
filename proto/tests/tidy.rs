//! What breaks replay under the simulator stays out of the wire, as it stays out of the runtime that
//! the simulator runs.

use std::fs;
use std::path::Path;

/// What may stand nowhere, and why.
const BANNED: &[(&str, &str)] = &[
    ("sync::watch", "wakes its readers in no fixed order"),
    ("HashMap", "is iterated in no fixed order"),
    ("HashSet", "is iterated in no fixed order"),
    ("RandomState", "differs from process to process"),
    ("SystemTime", "the date comes from the host that is lent"),
    ("std::time::Instant", "time comes from the host that is lent"),
    ("Instant::now", "time comes from the host that is lent"),
    ("tokio::time", "waits come from the host that is lent"),
    ("getrandom", "chance comes from the seed"),
    ("thread::spawn", "threads run in no fixed order"),
    ("tokio::spawn", "tasks come from the host that is lent"),
];

/// Every source file, but not tests.
fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("the sources are there") {
        let path = entry.expect("the sources can be listed").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("a source is text");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn nothing_here_breaks_replay() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 50, "the walk lost its way: {} files", found.len());
    let mut broken = Vec::new();
    for (name, text) in &found {
        for (word, why) in BANNED {
            if text.contains(word) {
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
