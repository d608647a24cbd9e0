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
