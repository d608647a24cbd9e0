//! etcdctl, command by command and format by format: what etcd's own prints, ours prints.
//!
//! `tests/ctl/*.txt` are the expected outputs, recorded from etcd 3.7.3:
//! `RECORD=<folder with etcd and etcdctl> cargo test -p keel-cli --test ctl` records them anew.
//! How a story reads stands in `story/mod.rs`.

mod common;
mod story;

use std::fs;
use std::path::{Path, PathBuf};
use story::Cast;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ctl")
}

/// Plays a story with ours, or records it anew with etcd's.
fn play(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let text = fs::read_to_string(&path).expect("a story is text");
    let record = std::env::var_os("RECORD").map(PathBuf::from);
    let mut cast = match &record {
        Some(peers) => Cast::new(&peers.join("etcd"), &peers.join("etcdctl"), &text),
        None => Cast::new(&common::server::ours(), Path::new(env!("CARGO_BIN_EXE_etcdctl")), &text),
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
