//! etcdctl, command by command and format by format: what etcd's own prints, ours prints.
//!
//! `tests/ctl/*.txt` are the expected outputs, recorded from etcd 3.7.3:
//! `RECORD=<folder with etcd and etcdctl> cargo test -p keel-cli --test ctl` records them anew.
//!
//! ```text
//! $ put key value          a command line
//! < text                   its standard input
//! output                   its standard output; standard error begins with `!`
//! = 1                      its exit code, where it is not zero
//! ```

mod common;

use common::server::Server;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[test]
fn etcdctl_prints_what_etcds_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ctl");
    let mut stories: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the stories' folder is there")
        .map(|file| file.expect("readable").path())
        .collect();
    stories.sort();
    assert!(!stories.is_empty(), "no story in {}", folder.display());
    let record = std::env::var_os("RECORD").map(PathBuf::from);
    for path in stories {
        let text = fs::read_to_string(&path).expect("a story is text");
        let (server, ctl) = match &record {
            Some(peers) => (Server::start(&peers.join("etcd")), peers.join("etcdctl")),
            None => (
                Server::start(&common::server::ours()),
                PathBuf::from(env!("CARGO_BIN_EXE_etcdctl")),
            ),
        };
        let played = play(&text, &server, &ctl);
        if record.is_some() {
            fs::write(&path, played).expect("the story can be written");
        } else {
            assert_eq!(text, played, "{} goes otherwise", path.display());
        }
    }
}

/// The story with what its commands print now.
fn play(text: &str, server: &Server, ctl: &Path) -> String {
    let mut played = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            played.push_str(line);
            played.push('\n');
        }
        let Some(command) = line.strip_prefix("$ ") else { continue };
        played.push_str(line);
        played.push('\n');
        let mut input = String::new();
        while let Some(said) = lines.next_if(|line| line.starts_with('<')) {
            played.push_str(said);
            played.push('\n');
            input.push_str(said[1..].trim_start());
            input.push('\n');
        }
        let output = run(ctl, server, command, &input);
        played.push_str(&told(&output, server));
    }
    played
}

fn run(ctl: &Path, server: &Server, command: &str, input: &str) -> Output {
    let mut child = Command::new(ctl)
        .args(["--endpoints", server.endpoint()])
        .args(command.split_whitespace().map(unquoted))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|why| panic!("{} cannot be started: {why}", ctl.display()));
    let mut stdin = child.stdin.take().expect("it was asked for");
    // A command that reads nothing may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("our own child can be waited for")
}

/// `''` is an empty argument.
fn unquoted(word: &str) -> &str {
    if word == "''" { "" } else { word }
}

fn told(output: &Output, server: &Server) -> String {
    let mut told = String::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        told.push_str(&masked(line, server));
        told.push('\n');
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        // etcd's client library logs its retries as JSON before the error itself.
        if !line.starts_with('{') {
            told.push_str(&format!("! {}\n", masked(line, server)));
        }
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => told.push_str(&format!("= {code}\n")),
        None => told.push_str("= killed\n"),
    }
    told
}

/// What differs from run to run: ids, ports, times, and how wide they make a table.
fn masked(line: &str, server: &Server) -> String {
    let line = line.replace(server.endpoint(), "ENDPOINT").replace(server.peer(), "PEER");
    let line = in_any_order(line);
    let mut out = String::new();
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || c == '.' || c == 'µ' {
            word.push(c);
            continue;
        }
        out.push_str(if is_volatile(&word) { "MASKED" } else { &word });
        word.clear();
        let widens = matches!(c, ' ' | '─') && out.ends_with(c);
        if c != '\n' && !widens {
            out.push(c);
        }
    }
    out
}

/// Members stand by their ids, which differ from run to run.
fn in_any_order(line: String) -> String {
    let list = line.strip_prefix("ETCD_INITIAL_CLUSTER=\"").and_then(|rest| rest.strip_suffix('"'));
    let Some(list) = list else { return line };
    let mut members: Vec<&str> = list.split(',').collect();
    members.sort_unstable();
    format!("ETCD_INITIAL_CLUSTER=\"{}\"", members.join(","))
}

/// Long numbers, hexadecimal ids, and spans of time.
fn is_volatile(word: &str) -> bool {
    let id = word.len() >= 13 && word.chars().all(|c| c.is_ascii_hexdigit());
    let number = word.trim_end_matches(['m', 's', 'µ']);
    let span = number != word && number.parse::<f64>().is_ok();
    id || span
}
