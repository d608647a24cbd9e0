//! Command-line clients across: etcd's own against our server, the one that is current and
//! Debian's, and ours against a real etcd.

use crate::{Pair, with_peers};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a client may print nothing that should print something.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Ctl<'a> {
    pub(crate) program: &'a Path,
    pub(crate) addr: &'a str,
}

impl Ctl<'_> {
    /// What the client prints; it must succeed.
    fn run(&self, args: &[&str]) -> String {
        let (success, out, err) = self.try_run(args, "");
        assert!(success, "{args:?}: {err}");
        out
    }

    pub(crate) fn try_run(&self, args: &[&str], input: &str) -> (bool, String, String) {
        let mut child = Command::new(self.program)
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", self.addr])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("the client reads");
        drop(stdin);
        let out = child.wait_with_output().expect("the client ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    }
}

/// A walk through the client's commands that ends where it began: an empty store.
fn walk(ctl: &Ctl<'_>) {
    assert_eq!(ctl.run(&["put", "foo", "bar"]), "OK\n");
    assert_eq!(ctl.run(&["get", "foo"]), "foo\nbar\n");
    assert_eq!(ctl.run(&["put", "--prev-kv", "foo", "baz"]), "OK\nfoo\nbar\n");
    ctl.run(&["put", "foo1", "one"]);
    ctl.run(&["put", "foo2", "two"]);
    assert_eq!(ctl.run(&["get", "--prefix", "foo", "--keys-only"]), "foo\n\nfoo1\n\nfoo2\n\n");
    assert_eq!(ctl.run(&["get", "foo", "foo2", "--print-value-only"]), "baz\none\n");
    let count = ctl.run(&["get", "--prefix", "", "--keys-only", "--write-out=fields"]);
    assert!(count.contains("\"Count\" : 3"), "{count}");

    let txn = "value(\"foo\") = \"baz\"\n\nput foo then\nget foo\n\nput foo else\n\n";
    let (success, out, err) = ctl.try_run(&["txn"], txn);
    assert!(success && out == "SUCCESS\n\nOK\n\nfoo\nthen\n", "{out}{err}");

    let granted = ctl.run(&["lease", "grant", "600"]);
    let lease = granted.split_whitespace().nth(1).expect("an id");
    ctl.run(&["put", "--lease", lease, "leased", "x"]);
    let left = ctl.run(&["lease", "timetolive", lease, "--keys"]);
    assert!(left.contains("granted with TTL(600s)") && left.contains("attached keys([leased])"));
    assert!(
        ctl.run(&["lease", "keep-alive", "--once", lease]).contains("keepalived with TTL(600)")
    );
    assert!(ctl.run(&["lease", "list"]).contains(lease));
    ctl.run(&["lease", "revoke", lease]);
    assert_eq!(ctl.run(&["get", "leased"]), "");

    let watched = watch_one(ctl);
    assert_eq!(watched, "PUT\nwatched\nhello\n");

    let status = ctl.run(&["endpoint", "status", "-w", "json"]);
    assert!(status.contains("\"version\":\"3.7."), "{status}");
    assert!(ctl.run(&["endpoint", "hashkv"]).starts_with(ctl.addr));
    let (healthy, out, err) = ctl.try_run(&["endpoint", "health"], "");
    assert!(healthy && format!("{out}{err}").contains("is healthy"), "{out}{err}");
    assert!(ctl.run(&["member", "list"]).contains("started"));
    assert_eq!(ctl.run(&["alarm", "list"]), "");
    assert!(ctl.run(&["defrag"]).contains("Finished defragmenting"));

    let (_, out, err) = ctl.try_run(&["compaction", "1000000"], "");
    assert!(format!("{out}{err}").contains("required revision is a future revision"), "{err}");
    assert_eq!(ctl.run(&["del", "--prefix", ""]), "4\n");
}

/// Watches a key until one change came.
fn watch_one(ctl: &Ctl<'_>) -> String {
    let next = next_revision(ctl);
    let mut child = Command::new(ctl.program)
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", ctl.addr, "watch", "watched", "--rev", &next])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client runs");
    ctl.run(&["put", "watched", "hello"]);
    let mut reader = Lines::of(child.stdout.take().expect("a pipe"));
    let seen = reader.next(3);
    child.kill().expect("the client stops");
    child.wait().expect("the client ends");
    seen
}

/// The revision that the next change gets.
fn next_revision(ctl: &Ctl<'_>) -> String {
    let revision = {
        let fields = ctl.run(&["get", "nothing", "--write-out=fields"]);
        let line = fields.lines().find(|line| line.starts_with("\"Revision\"")).expect("a header");
        line.rsplit(' ').next().expect("a number").parse::<i64>().expect("a number")
    };
    (revision + 1).to_string()
}

/// What a client that does not end by itself prints.
pub(crate) struct Lines(mpsc::Receiver<String>);

impl Lines {
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Lines {
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Lines(lines)
    }

    /// The next lines; a client that prints none hangs.
    pub(crate) fn next(&mut self, many: usize) -> String {
        let line = |_| self.0.recv_timeout(PATIENCE).expect("the client goes on") + "\n";
        (0..many).map(line).collect()
    }
}

/// Requests from standard input: what is wrong with one ends nothing.
fn watch_interactively(ctl: &Ctl<'_>) {
    ctl.run(&["put", "gone", "1"]);
    ctl.run(&["put", "gone", "2"]);
    let next = next_revision(ctl);
    let now = (next.parse::<i64>().expect("a number") - 1).to_string();
    ctl.run(&["compaction", &now]);
    let mut child = Command::new(ctl.program)
        .args(["--endpoints", ctl.addr, "watch", "--interactive"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut out = Lines::of(child.stdout.take().expect("a pipe"));
    let mut err = Lines::of(child.stderr.take().expect("a pipe"));
    let mut say = |line: &str| writeln!(stdin, "{line}").expect("the client reads");
    say("watch");
    assert_eq!(err.next(1), "Invalid command watch (command type or key is not provided)\n");
    say("watch a b --prefix");
    assert_eq!(
        err.next(1),
        "Invalid command watch a b --prefix (`range_end` and `--prefix` are mutually exclusive)\n"
    );
    say("watch gone --rev 1");
    assert_eq!(
        err.next(1),
        "watch was canceled (etcdserver: mvcc: required revision has been compacted)\n"
    );
    say(&format!("watch there beyond passed-over --rev {next} -- echo ran"));
    ctl.run(&["put", "there", "1"]);
    assert_eq!(out.next(4), "PUT\nthere\n1\nran\n");
    drop(stdin);
    assert_eq!(err.next(1), "Error: error reading watch request line: EOF\n");
    assert_eq!(child.wait().expect("the client ends").code(), Some(3));
    ctl.run(&["del", "", "--prefix"]);
}

#[test]
fn the_current_client_works_unchanged() {
    with_peers(async |peers| {
        let pair = Pair::start(peers).await;
        walk(&Ctl { program: &peers.etcdctl, addr: &pair.ours.addr });
    });
}

#[test]
fn debians_client_works_unchanged() {
    let debian = PathBuf::from("/usr/bin/etcdctl");
    if !debian.exists() {
        eprintln!("SKIPPED: Debian's etcd-client is not installed");
        return;
    }
    with_peers(async |peers| {
        let pair = Pair::start(peers).await;
        walk(&Ctl { program: &debian, addr: &pair.ours.addr });
    });
}

#[test]
fn our_client_works_against_a_real_etcd() {
    with_peers(async |peers| {
        let pair = Pair::start(peers).await;
        let program = Path::new(env!("CARGO_BIN_EXE_etcdctl"));
        walk(&Ctl { program, addr: &pair.theirs.addr });
        // What is expected of an interactive watch is what etcd's own client does.
        for program in [peers.etcdctl.as_path(), program] {
            watch_interactively(&Ctl { program, addr: &pair.theirs.addr });
            watch_interactively(&Ctl { program, addr: &pair.ours.addr });
        }
    });
}
