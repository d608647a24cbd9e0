//! The rules of the house, as a test: what is not checked is not a rule.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file, its test code apart.
struct Source {
    /// Relative to the workspace's root, with `/`.
    path: String,
    /// Everything.
    text: String,
    /// What ships: the lines before the file's `#[cfg(test)] mod`.
    shipped: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace above").to_path_buf()
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for room in ["core", "proto", "runtime-tokio", "runtime-glommio", "sim", "cli"] {
        walk(&root().join(room), &mut found);
    }
    found.sort();
    assert!(found.len() > 20, "the walk must find the house");
    found.into_iter().map(read).collect()
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn read(path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).expect("a text file");
    let relative = path.strip_prefix(root()).expect("below the root");
    let path = relative.to_string_lossy().replace('\\', "/");
    let in_tests = path.contains("/tests/") || path.contains("/benches/");
    let shipped = if in_tests || path.ends_with("/tests.rs") {
        String::new()
    } else {
        let mut shipped = String::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let module = lines.peek().is_some_and(|next| next.starts_with("mod "));
            if line == "#[cfg(test)]" && module {
                break;
            }
            shipped.push_str(line);
            shipped.push('\n');
        }
        shipped
    };
    Source { path, text, shipped }
}

/// Code lines of a file that hold `what`: comments don't count.
fn lines_with<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .filter(move |(_, line)| line.contains(what))
        .map(|(at, line)| (at + 1, line))
}

fn refuse(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_top_level_is_the_one_that_was_drawn() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "Dockerfile",
        "compose.yaml",
        "core",
        "proto",
        "runtime-tokio",
        "runtime-glommio",
        "sim",
        "cli",
        "target",
    ];
    for entry in fs::read_dir(root()).expect("a readable root") {
        let name = entry.expect("a directory entry").file_name();
        let name = name.to_string_lossy();
        assert!(name.starts_with('.') || allowed.contains(&name.as_ref()), "{name} has no room");
    }
}

#[test]
fn every_file_says_what_it_is_and_fits_a_sitting() {
    let mut complaints = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") {
            complaints.push(format!("{}: the first line is not `//!`", source.path));
        }
        let lines = source.text.lines().count();
        if lines > 800 {
            complaints.push(format!("{}: {lines} lines are more than one sitting", source.path));
        }
    }
    refuse(&complaints);
}

#[test]
fn nothing_is_left_for_later() {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.path == "cli/tests/tidy.rs" {
            continue;
        }
        for word in ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "#[ignore", ".unwrap()"] {
            let text = if word == ".unwrap()" { &source.shipped } else { &source.text };
            for (at, line) in lines_with(text, word) {
                complaints.push(format!("{}:{at}: {}", source.path, line.trim()));
            }
        }
    }
    refuse(&complaints);
}

/// Each of these was measured to break replay.
#[test]
fn nothing_breaks_replay() {
    let banned = [
        "HashMap",
        "HashSet",
        "sync::watch",
        "sync::Notify",
        "thread_rng",
        " rand::",
        "getrandom",
        "SystemTime",
        "std::time::Instant",
        "RandomState",
    ];
    // The two files that may ask the machine, what only a person's terminal sees, and how long the
    // simulator waits for a run.
    let exempt = [
        "runtime-tokio/src/clock.rs",
        "runtime-tokio/src/entropy.rs",
        "sim/src/main.rs",
        "sim/src/world/outside.rs",
    ];
    let mut complaints = Vec::new();
    for source in sources() {
        let bound = ["core/src/", "proto/src/", "runtime-tokio/src/", "sim/src/"];
        if !bound.iter().any(|room| source.path.starts_with(room)) {
            continue;
        }
        if exempt.contains(&source.path.as_str()) {
            continue;
        }
        for word in banned {
            for (at, line) in lines_with(&source.shipped, word) {
                complaints.push(format!("{}:{at}: {}", source.path, line.trim()));
            }
        }
        for (at, _) in lines_with(&source.shipped, "select! {") {
            let next = source.shipped.lines().nth(at).unwrap_or_default();
            if !next.trim_start().starts_with("biased;") {
                complaints.push(format!("{}:{at}: a select that is not biased", source.path));
            }
        }
    }
    refuse(&complaints);
}

#[test]
fn the_arrows_point_one_way() {
    let known = |room: &str| fs::read_to_string(root().join(room).join("Cargo.toml")).expect("one");
    let dependencies = |room: &str| {
        let text = known(room);
        let begun = text.find("[dependencies]").expect("dependencies");
        let rest = text[begun..].to_owned();
        let end = rest[1..].find("\n[").map_or(rest.len(), |at| at + 1);
        rest[..end].to_owned()
    };
    let core = dependencies("core");
    let names: Vec<&str> = core
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('.').next())
        .collect();
    for name in names.iter().filter(|name| !name.is_empty() && !name.starts_with('[')) {
        assert!(["bytes", "crc32fast", "crc"].contains(name), "core must not know {name}");
    }
    assert!(!dependencies("proto").contains("keel-runtime"), "proto knows no runtime");
    for (runtime, other) in [("runtime-tokio", "glommio"), ("runtime-glommio", "runtime-tokio")] {
        let known = known(runtime);
        assert!(!known.contains("keel-cli"), "a runtime knows no command");
        assert!(!known.contains(other), "the runtimes don't know each other, in tests neither");
    }
    let entry = fs::read_to_string(root().join("core/src/lib.rs")).expect("the core's entry");
    assert!(entry.contains("#![no_std]") && entry.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn unsafe_stands_only_where_the_log_is_mapped_and_around_the_ring() {
    let allowed = [
        "runtime-tokio/src/disk/map.rs",
        "runtime-glommio/src/disk.rs",
        "runtime-glommio/src/net.rs",
        "runtime-glommio/src/probe.rs",
        "runtime-glommio/src/rouse.rs",
    ];
    let mut complaints = Vec::new();
    for source in sources() {
        if allowed.contains(&source.path.as_str()) || source.path == "cli/tests/tidy.rs" {
            continue;
        }
        for (at, line) in lines_with(&source.text, "unsafe {") {
            complaints.push(format!("{}:{at}: {}", source.path, line.trim()));
        }
    }
    refuse(&complaints);
}

/// Planted mistakes are compiled into what has debug assertions only, and woken by the simulator
/// only: no shipped binary makes one.
#[test]
fn nothing_that_is_planted_ships() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's file");
    let release = workspace.split("[profile.release]").nth(1).expect("a release profile");
    let release = release.split("\n[").next().unwrap_or_default();
    assert!(!release.contains("debug-assertions"), "a release would hold planted mistakes");
    let mut complaints = Vec::new();
    for source in sources() {
        let may =
            ["core/src/mutant.rs", "sim/src/mutants.rs", "sim/src/main.rs", "cli/tests/tidy.rs"];
        if may.contains(&source.path.as_str()) {
            continue;
        }
        for (at, line) in lines_with(&source.shipped, "mutant::") {
            complaints.push(format!("{}:{at}: {}", source.path, line.trim()));
        }
    }
    refuse(&complaints);
}
