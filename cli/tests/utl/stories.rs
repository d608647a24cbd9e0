//! Command by command and format by format, the outputs that etcd 3.7.3's own tool printed.
//!
//! `RECORD=<folder with etcd, etcdctl and etcdutl> cargo test -p keel-cli --test utl` records them
//! anew, and what they begin with too where it is not there. How a story reads stands in
//! `story/mod.rs`: here each command finds the files as they were at first. A line of the log is
//! its level, message and fields.

use crate::common::server::{Server, ours};
use crate::common::shells;
use crate::fixtures;
use crate::story::count::{Exception, missing};
use crate::story::{Cast, differences, forms};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/utl/stories")
}

fn stories() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).expect("the stories' folder is there");
    let mut stories: Vec<PathBuf> =
        files.map(|file| file.expect("a directory can be read").path()).collect();
    stories.sort();
    assert!(!stories.is_empty(), "no story in {}", folder().display());
    stories
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a story is text")
}

fn play(text: &str, utl: &Path) -> String {
    Cast::of_files(utl, fixtures::make).play(text)
}

#[test]
fn etcdutl_prints_what_etcds_prints() {
    let record = std::env::var_os("RECORD").map(PathBuf::from);
    if let Some(peers) = &record {
        record_snapshots(peers);
    }
    let utl = match &record {
        Some(peers) => peers.join("etcdutl"),
        None => PathBuf::from(env!("CARGO_BIN_EXE_etcdutl")),
    };
    let mut told = String::new();
    for path in stories() {
        let text = read(&path);
        let played = play(&text, &utl);
        if record.is_some() {
            fs::write(&path, played).expect("the story can be written");
        } else {
            told += &differences(&text, &played);
        }
    }
    assert!(told.is_empty(), "stories go otherwise:\n{told}");
}

/// What only ours has. `REWRITE=1` rewrites these.
#[test]
fn what_lies_in_files_is_shown() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/utl/inspect.txt");
    let text = read(&path);
    let played = play(&text, Path::new(env!("CARGO_BIN_EXE_etcdutl")));
    if std::env::var_os("REWRITE").is_some() {
        fs::write(&path, played).expect("the story can be written");
    } else {
        let told = differences(&text, &played);
        assert!(told.is_empty(), "{} goes otherwise:\n{told}", path.display());
    }
}

/// What has no line in each form, and why.
const EXCEPTIONS: [Exception; 1] = [Exception {
    command: "completion",
    enough: 0,
    reason: "a script in the words of the library that parses; shells read it below",
}];

#[test]
fn every_command_is_told_of_in_every_form() {
    let mut told: Vec<String> = stories().iter().map(|path| read(path)).collect();
    told.push(read(&folder().with_file_name("inspect.txt")));
    let tree = keel_cli::utl::tree();
    let missing = missing(&tree, &told, &forms::WITHOUT_HEX, &EXCEPTIONS);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn completion_is_a_script() {
    let utl = Path::new(env!("CARGO_BIN_EXE_etcdutl"));
    shells::scripts_are_read(utl, &["snapshot", "hashkv", "migrate", "inspect"]);
}

/// Makes the snapshots that all stories begin with, of a server of etcd's and of one of ours.
fn record_snapshots(peers: &Path) {
    for (etcd, path) in
        [(peers.join("etcd"), fixtures::recorded()), (ours(), fixtures::recorded_of_ours())]
    {
        if !path.exists() {
            record_snapshot(&etcd, &peers.join("etcdctl"), &path);
        }
    }
}

fn record_snapshot(etcd: &Path, ctl: &Path, path: &Path) {
    let server = Server::start(etcd);
    let ctl = |line: &str| {
        let done = Command::new(ctl)
            .args(["--endpoints", server.endpoint()])
            .args(line.split_whitespace())
            .output()
            .expect("etcdctl runs");
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    };
    for n in 1..=40 {
        ctl(&format!("put key{n} value{n}"));
    }
    ctl("lease grant 100000");
    ctl("put key1 value1");
    ctl("del key2");
    ctl("put key2 again");
    ctl("del key3");
    ctl("compaction 20");
    ctl("put behind it");
    ctl(&format!("snapshot save {}", path.display()));
}
