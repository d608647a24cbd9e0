//! etcdctl, command by command and format by format: what etcd's own prints, ours prints.
//!
//! `tests/ctl/*.txt` are the expected outputs, recorded from etcd 3.7.3:
//! `RECORD=<folder with etcd and etcdctl> cargo test -p keel-cli --test ctl` records them anew.
//! How a story reads stands in `story/mod.rs`.

mod common;
mod story;

use std::fs;
use std::path::{Path, PathBuf};
use story::count::{Exception, missing};
use story::{Cast, forms};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ctl")
}

/// Plays a story with ours, or records it anew with etcd's.
fn play(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let text = fs::read_to_string(&path).expect("a story is text");
    let record = std::env::var_os("RECORD").map(PathBuf::from);
    let mut cast = match &record {
        Some(peers) => Cast::of_client(&peers.join("etcd"), &peers.join("etcdctl"), &text),
        None => {
            let ctl = Path::new(env!("CARGO_BIN_EXE_etcdctl"));
            Cast::of_client(&common::server::ours(), ctl, &text)
        }
    };
    let played = cast.play(&text);
    if record.is_some() {
        fs::write(&path, played).expect("the story can be written");
    } else {
        let told = story::differences(&text, &played);
        assert!(told.is_empty(), "{} goes otherwise:\n{told}", path.display());
    }
}

macro_rules! stories {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

stories! {
    alarm
    check
    cluster
    downgrade
    elect
    flags
    forms_keys
    forms_lease
    forms_member
    forms_rest
    forms_two
    help
    interactive
    kv
    lease
    lock
    member
    mirror
    progress
    protobuf
    restart
    snapshot
    status
    txn
    watch
}

/// A story without a test would be skipped in silence.
#[test]
fn every_story_is_played() {
    let files = fs::read_dir(folder()).expect("the stories' folder is there");
    let mut files: Vec<String> = files
        .filter_map(|file| {
            let path = file.expect("a directory can be read").path();
            Some(path.file_stem()?.to_string_lossy().into_owned())
        })
        .collect();
    files.sort();
    assert_eq!(files, NAMES);
}

#[test]
fn completion_is_a_script() {
    let ctl = Path::new(env!("CARGO_BIN_EXE_etcdctl"));
    let commands = ["make-mirror", "keep-alive", "datascale", "write-out"];
    common::shells::scripts_are_read(ctl, &commands);
}

/// What has no line in each form, and why.
const EXCEPTIONS: [Exception; 7] = [
    Exception {
        command: "make-mirror",
        enough: 1,
        reason: "it prints only how many keys it has copied, every half a minute",
    },
    Exception {
        command: "check datascale",
        enough: 1,
        reason: "ten thousand keys each time; its words are the same in each form",
    },
    Exception {
        command: "check perf",
        enough: 0,
        reason: "it takes a minute, and says how fast this machine was in it",
    },
    Exception {
        command: "completion",
        enough: 0,
        reason: "a script in the words of the library that parses; shells read it below",
    },
    Exception { command: "auth", enough: 0, reason: "authentication is not served yet" },
    Exception { command: "user", enough: 0, reason: "authentication is not served yet" },
    Exception { command: "role", enough: 0, reason: "authentication is not served yet" },
];

#[test]
fn every_command_is_told_of_in_every_form() {
    let read = |name: &&str| fs::read_to_string(folder().join(format!("{name}.txt")));
    let stories: Vec<String> =
        NAMES.iter().map(|name| read(name).expect("a story is text")).collect();
    let missing = missing(&keel_cli::ctl::tree(), &stories, &forms::WITH_HEX, &EXCEPTIONS);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
