//! A machine that forbids rings: the server says what to change, and does nothing else instead.

use crate::common::server::ours;
use crate::flags;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

/// `EX_CONFIG`: neither of etcd's own exit codes.
const UNAVAILABLE: i32 = 78;

/// The system call that makes a ring; the same number on every architecture that has it.
const IO_URING_SETUP: i64 = 425;

/// A server's command line on a fresh directory; `under` stands before it.
fn command(under: &[&str], runtime: &str, dir: &Path) -> Command {
    let binary = ours().display().to_string();
    let words: Vec<&str> = under.iter().copied().chain([binary.as_str()]).collect();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .arg(format!("--runtime={runtime}"))
        .arg("--data-dir")
        .arg(dir.join("data"))
        // Refused before a ring is asked for, where there is one: it must end either way.
        .args(["--listen-client-urls=http://127.0.0.1:0"])
        .args(["--advertise-client-urls=http://127.0.0.1:1"])
        .args(["--listen-peer-urls=http://203.0.113.1:1"]);
    command
}

/// Runs a server that ends by itself where the system call for rings fails with `errno`: as in a
/// container with the usual profile.
fn without_rings(errno: u32, runtime: &'static str) -> Output {
    let denied = BTreeMap::from([(IO_URING_SETUP, Vec::new())]);
    let arch = std::env::consts::ARCH.try_into().expect("an architecture that has filters");
    let (allow, deny) = (SeccompAction::Allow, SeccompAction::Errno(errno));
    let filter = SeccompFilter::new(denied, allow, deny, arch).expect("a good filter");
    let filter: BpfProgram = filter.try_into().expect("a small filter");
    // A filter is the thread's and its children's, for good.
    let body = move || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        apply_filter(&filter).expect("whoever gives up new privileges may filter");
        command(&[], runtime, dir.path()).output().expect("the server can be started")
    };
    std::thread::spawn(body).join().expect("the thread does not panic")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_denied_ring_is_told_in_a_line_that_names_what_to_change() {
    if flags().is_none() {
        return;
    }
    for errno in [rustix::io::Errno::PERM, rustix::io::Errno::NOSYS] {
        let errno = errno.raw_os_error().unsigned_abs();
        let output = without_rings(errno, "glommio");
        let said = said(&output);
        assert_eq!(output.status.code(), Some(UNAVAILABLE), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        for word in ["--runtime=glommio", "seccomp", "io_uring_setup", "--runtime=tokio"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}

#[test]
fn auto_takes_the_other_runtime_and_says_why() {
    if flags().is_none() {
        return;
    }
    let errno = rustix::io::Errno::PERM.raw_os_error().unsigned_abs();
    let output = without_rings(errno, "auto");
    let said = said(&output);
    assert!(said.contains(r#""runtime":"tokio","runtime-reason":"--runtime=glommio: "#), "{said}");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = command(&[], "auto", dir.path()).output().expect("the server can be started");
    let said = self::said(&output);
    assert!(
        said.contains(r#""runtime":"glommio","runtime-reason":"io_uring can be used""#),
        "{said}"
    );
}

#[test]
fn a_low_limit_of_locked_memory_is_told_in_a_line_that_names_what_to_change() {
    if flags().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let limited = ["sh", "-c", r#"ulimit -l 64 && exec "$0" "$@""#];
    let output = command(&limited, "glommio", dir.path()).output();
    let output = output.expect("the server can be started");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(UNAVAILABLE), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("65536 bytes") && said.contains("ulimit -l"), "{said}");
    assert!(!dir.path().join("data").exists(), "nothing was begun");
}

#[test]
fn a_runtime_that_is_none_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = command(&[], "both", dir.path()).output().expect("the server can be started");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("unknown runtime \"both\""), "{}", said(&output));
}
