//! Damaged files are refused with the place of the damage, and nothing is ever written to a source.

use crate::restore::{restored, run};
use crate::{fixtures, output, utl, utl_fails};
use std::fs;
use std::path::Path;

const COMMANDS: [&[&str]; 3] = [
    &["snapshot", "status", "x.db"],
    &["hashkv", "x.db"],
    &["snapshot", "restore", "x.db", "--data-dir", "restored"],
];

#[test]
fn a_changed_byte_anywhere_is_found() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sound = fixtures::snapshot();
    // Every page, each at another place, and the hash.
    let places = (0..sound.len()).step_by(1009).chain([sound.len() - 1]);
    for at in places {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        fs::write(dir.path().join("x.db"), &bytes).expect("a file can be written");
        for command in COMMANDS {
            let said = utl_fails(dir.path(), command);
            assert!(said.contains("Error: "), "{command:?} at {at}: {said}");
            assert!(said.contains("expected sha256"), "{command:?} at {at}: {said}");
            assert!(said.contains("offset"), "it says where, {command:?} at {at}: {said}");
            assert!(!dir.path().join("restored").exists(), "nothing is left of a restore");
        }
    }
}

/// Without the hash a damaged page is known by its form alone.
#[test]
fn a_damaged_page_is_named_without_a_hash() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let snapshot = fixtures::snapshot();
    let sound = &snapshot[..snapshot.len() - 32];
    let mut named = 0;
    for page in 2..sound.len() / 4096 {
        let mut bytes = sound.to_vec();
        let at = page * 4096;
        // Its number, and how many items it has.
        bytes[at] ^= 0xff;
        bytes[at + 11] ^= 0xff;
        fs::write(dir.path().join("x.db"), &bytes).expect("a file can be written");
        for command in COMMANDS {
            let command = [command, if command.len() > 3 { &["--skip-hash-check"] } else { &[] }];
            let out = output(dir.path(), &command.concat());
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            // A free page may hold anything.
            if out.status.success() {
                fs::remove_dir_all(dir.path().join("restored")).unwrap_or_default();
                continue;
            }
            named += 1;
            assert!(said.contains(&format!("bad database at offset {at}: ")), "{said}");
            assert!(!dir.path().join("restored").exists(), "nothing is left of a restore");
        }
    }
    assert_eq!(named, 2 * COMMANDS.len(), "the root's page and one of keys are in use");
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sound = fixtures::snapshot();
    for len in (0..sound.len()).step_by(1531) {
        fs::write(dir.path().join("x.db"), &sound[..len]).expect("a file can be written");
        for command in COMMANDS {
            let said = utl_fails(dir.path(), command);
            assert!(said.contains("Error: "), "{command:?} at {len}: {said}");
        }
    }
}

/// Our own files: whatever byte of what was written is changed, it is found and named.
#[test]
fn a_changed_byte_in_a_directory_of_ours_is_found() {
    run(async |dir| {
        let mut cluster = restored(dir, 1, &[], false).await;
        cluster.members[0].stop().expect("it stops");
        let data = dir.join("m1/data");
        let files = ["member/log/0000000000000001.log", "member/state/0000000000000001.state"];
        assert!(utl(dir, &["inspect", "verify", "m1/data"]).starts_with("sound: "));
        for file in files {
            let path = data.join(file);
            let sound = fs::read(&path).expect("it is there");
            // What is zero may be room that nobody has written yet.
            let written = sound.iter().enumerate().filter(|(_, byte)| **byte != 0);
            for (at, _) in written.step_by(61) {
                let mut bytes = sound.clone();
                bytes[at] ^= 0x10;
                fs::write(&path, &bytes).expect("a file can be written");
                let out = output(dir, &["inspect", "verify", "m1/data"]);
                let said = String::from_utf8_lossy(&out.stderr);
                assert!(!out.status.success(), "{file} at {at} is taken for sound");
                assert!(said.contains(file) && said.contains("at offset"), "{at}: {said}");
            }
            fs::write(&path, &sound).expect("a file can be written");
        }
    });
}

/// etcd's own tool opens databases for writing, and breaks the hash behind a snapshot by it.
#[test]
fn a_source_is_never_written() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fixtures::make(dir.path());
    let seen = listing(dir.path());
    utl(dir.path(), &["snapshot", "status", "s.db"]);
    utl(dir.path(), &["hashkv", "s.db"]);
    utl(dir.path(), &["hashkv", "d"]);
    utl(dir.path(), &["snapshot", "status", "d"]);
    let out = tempfile::tempdir().expect("a temporary directory");
    let data = out.path().join("restored").display().to_string();
    utl(dir.path(), &["snapshot", "restore", "s.db", "--data-dir", &data]);
    let made = listing(out.path());
    utl(out.path(), &["snapshot", "status", "restored"]);
    utl(out.path(), &["hashkv", "restored"]);
    utl(out.path(), &["defrag", "--data-dir", "restored"]);
    utl(out.path(), &["migrate", "--data-dir", "restored", "--target-version", "3.6"]);
    assert_eq!(listing(dir.path()), seen);
    assert_eq!(listing(out.path()), made);
}

/// Every file below a directory, with what is in it.
pub(crate) fn listing(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = fs::read(&path).expect("a readable file");
                found.push((path.display().to_string(), bytes));
            }
        }
    }
    found.sort();
    found
}
