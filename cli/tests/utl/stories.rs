//! Command by command and format by format, the outputs that etcd 3.7.3's own tool printed.
//!
//! `RECORD=<folder with etcd, etcdctl and etcdutl> cargo test -p keel-cli --test utl` records them
//! anew, and `etcd.db` too if it is not there.
//!
//! ```text
//! $ snapshot status s.db   a command line
//! output                   its standard output
//! ! Error: why             its standard error: a line of the log is its level, message and fields
//! = 1                      its exit code, where it is not zero
//! ```

use crate::common::server::Server;
use crate::common::shells;
use crate::fixtures;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn etcdutl_prints_what_etcds_prints() {
    let record = std::env::var_os("RECORD").map(PathBuf::from);
    if let Some(peers) = record.as_ref().filter(|_| !fixtures::recorded().exists()) {
        record_snapshot(peers);
    }
    let utl = match &record {
        Some(peers) => peers.join("etcdutl"),
        None => PathBuf::from(env!("CARGO_BIN_EXE_etcdutl")),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/utl/stories");
    let mut stories: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the stories' folder is there")
        .map(|file| file.expect("readable").path())
        .collect();
    stories.sort();
    assert!(!stories.is_empty(), "no story in {}", folder.display());
    for path in stories {
        let text = fs::read_to_string(&path).expect("a story is text");
        let played = play(&text, &utl);
        if record.is_some() {
            fs::write(&path, played).expect("the story can be written");
        } else {
            assert_eq!(text, played, "{} goes otherwise", path.display());
        }
    }
}

/// What only ours has. `REWRITE=1` rewrites these.
#[test]
fn what_lies_in_files_is_shown() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/utl/inspect.txt");
    let text = fs::read_to_string(&path).expect("a story is text");
    let played = play(&text, Path::new(env!("CARGO_BIN_EXE_etcdutl")));
    if std::env::var_os("REWRITE").is_some() {
        fs::write(&path, played).expect("the story can be written");
    } else {
        assert_eq!(text, played);
    }
}

#[test]
fn completion_is_a_script() {
    let utl = Path::new(env!("CARGO_BIN_EXE_etcdutl"));
    shells::scripts_are_read(utl, &["snapshot", "hashkv", "migrate", "inspect"]);
}

/// Makes the snapshot that all stories begin with.
fn record_snapshot(peers: &Path) {
    let server = Server::start(&peers.join("etcd"));
    let ctl = |line: &str| {
        let done = Command::new(peers.join("etcdctl"))
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
    ctl(&format!("snapshot save {}", fixtures::recorded().display()));
}

/// The story with what its commands print now. Each finds the files as they were at first.
fn play(text: &str, utl: &Path) -> String {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut played = String::new();
    for line in text.lines() {
        if line.starts_with('#') {
            played.push_str(line);
            played.push('\n');
        }
        let Some(command) = line.strip_prefix("$ ") else { continue };
        fixtures::make(dir.path());
        let run = Command::new(utl).args(words(command)).current_dir(dir.path()).output();
        let output = run.unwrap_or_else(|why| panic!("{} cannot be run: {why}", utl.display()));
        played.push_str(line);
        played.push('\n');
        played.push_str(&told(&output));
    }
    played
}

/// `''` is an empty argument.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace().map(|word| if word == "''" { "" } else { word })
}

fn told(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut told: Vec<String> = stdout.lines().map(String::from).collect();
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        let said = match logged(line) {
            Some(said) => said,
            // How a command is used, and where a logger stood, is not compared.
            None => line.starts_with("Error: ").then(|| line.to_owned()),
        };
        let said = said.map(|said| format!("! {said}"));
        // etcd says some errors twice.
        if said.is_some() && said.as_ref() != told.last() {
            told.extend(said);
        }
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => told.push(format!("= {code}")),
        None => told.push(String::from("= killed")),
    }
    told.into_iter().map(|line| line + "\n").collect()
}

/// A line of the log, if it is one, and what of it is compared, if anything.
fn logged(line: &str) -> Option<Option<String>> {
    let mut columns = line.split('\t').peekable();
    let time = columns.next()?;
    if !(time.starts_with("20") && time.ends_with('Z')) {
        return None;
    }
    let level = columns.next()?;
    // A logger's name has no line number.
    if columns.next_if(|column| !column.contains(':')).is_some() {
        return Some(None);
    }
    let message = columns.nth(1)?;
    // What only one of both does, or says in its own way.
    if ["Trimming", "resolved URL", "the snapshot is damaged", "retrying WAL"]
        .iter()
        .any(|own| message.starts_with(own))
    {
        return Some(None);
    }
    let fields = columns.next().unwrap_or("{}");
    let fields: serde_json::Value = serde_json::from_str(fields).expect("fields are JSON");
    let compared = ["path", "data-dir", "storage-version", "new-storage-version", "error"]
        .into_iter()
        .chain(["target-storage-version", "cluster-id", "added-peer-id", "added-peer-peer-urls"]);
    let said: Vec<String> =
        compared.filter_map(|name| Some(format!(" {name}={}", fields.get(name)?))).collect();
    Some(Some(format!("{level} {message}{}", said.concat())))
}
