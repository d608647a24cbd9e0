//! etcdutl: what etcd's own prints, ours prints; what it restores, our server starts; what is
//! damaged, it refuses; and what it reads, it leaves alone.

#[path = "../common/calls.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod calls;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod fixtures;
mod import;
mod restore;
mod stories;
#[path = "../story/mod.rs"]
mod story;

use std::path::Path;
use std::process::{Command, Output};

/// Runs our tool in a directory.
fn output(dir: &Path, words: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_etcdutl")).args(words).current_dir(dir).output();
    run.expect("our own tool can be run")
}

/// The same, where it must succeed: what it prints.
fn utl(dir: &Path, words: &[&str]) -> String {
    let out = output(dir, words);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "etcdutl {words:?}: {said}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The same, where it must fail: what it says.
fn utl_fails(dir: &Path, words: &[&str]) -> String {
    let out = output(dir, words);
    assert!(!out.status.success(), "etcdutl {words:?} succeeds");
    String::from_utf8_lossy(&out.stderr).into_owned()
}
