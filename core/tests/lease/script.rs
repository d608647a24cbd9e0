//! Stories as text: commands at the margin, what they answered indented below.
//!
//! `REWRITE=1` writes the answers anew; without it a difference fails the test. Lines that
//! begin with `#` are for the reader.

use std::fs;
use std::path::Path;

/// Plays every story of `tests/golden/<folder>`, each with a fresh `start()`.
pub(crate) fn play_all<S>(folder: &str, start: fn() -> S, run: fn(&mut S, &[&str]) -> Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let files = fs::read_dir(&folder).expect("the stories' folder is there");
    let mut paths: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no story in {}", folder.display());
    for path in paths {
        let text = fs::read_to_string(&path).expect("a story is text");
        let played = play(&text, &mut start(), run);
        if std::env::var_os("REWRITE").is_some() {
            fs::write(&path, played).expect("the story can be written");
        } else {
            assert_eq!(text, played, "{} tells it differently", path.display());
        }
    }
}

/// The story with the answers that it gets now.
fn play<S>(text: &str, state: &mut S, run: fn(&mut S, &[&str]) -> Vec<String>) -> String {
    let mut played = String::new();
    for line in text.lines().filter(|line| !line.starts_with("  ")) {
        played.push_str(line);
        played.push('\n');
        let command = line.split('#').next().unwrap_or("");
        let words: Vec<_> = command.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        for answer in run(state, &words) {
            played.push_str("  ");
            played.push_str(&answer);
            played.push('\n');
        }
    }
    played
}

/// A time as the stories write it, `2s` or `1500ms`, in nanoseconds.
pub(crate) fn nanos(word: &str) -> u64 {
    let (number, unit) = match word.strip_suffix("ms") {
        Some(number) => (number, 1_000_000),
        None => (word.strip_suffix('s').expect("a time ends in s or ms"), 1_000_000_000),
    };
    number.parse::<u64>().expect("a time is a whole number of s or ms") * unit
}

/// Nanoseconds as the stories write them.
pub(crate) fn time(nanos: u64) -> String {
    match nanos {
        n if n.is_multiple_of(1_000_000_000) => format!("{}s", n / 1_000_000_000),
        n => format!("{}ms", n / 1_000_000),
    }
}
