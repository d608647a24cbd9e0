//! etcd's own programs, built from the Go module proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The version that ours is measured against.
const VERSION: &str = "v3.7.3";

/// Where the programs lie.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) etcd: PathBuf,
    pub(crate) etcdctl: PathBuf,
    pub(crate) etcdutl: PathBuf,
}

/// The programs, built at the first call; `None`, with a word on standard error, where they
/// cannot be had.
pub(crate) fn peers() -> Option<&'static Peers> {
    static PEERS: OnceLock<Option<Peers>> = OnceLock::new();
    PEERS.get_or_init(find).as_ref()
}

fn find() -> Option<Peers> {
    let dir = match std::env::var_os("KEEL_PEERS") {
        Some(dir) => PathBuf::from(dir),
        None => match build() {
            Ok(dir) => dir,
            Err(why) => {
                eprintln!("SKIPPED: no real etcd to compare with: {why}");
                return None;
            }
        },
    };
    Some(Peers {
        etcd: dir.join("etcd"),
        etcdctl: dir.join("etcdctl"),
        etcdutl: dir.join("etcdutl"),
    })
}

fn build() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peers-{VERSION}"));
    let done = dir.join("done");
    if done.exists() {
        return Ok(dir);
    }
    fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    fs::write(dir.join("go.mod"), "module peers\n\ngo 1.26\n").map_err(|e| e.to_string())?;
    let programs = ["server", "etcdctl", "etcdutl"];
    let imports: String =
        programs.iter().map(|name| format!("import _ \"go.etcd.io/etcd/{name}/v3\"\n")).collect();
    fs::write(dir.join("tools.go"), format!("//go:build tools\n\npackage peers\n\n{imports}"))
        .map_err(|error| error.to_string())?;
    let versions = programs.map(|name| format!("go.etcd.io/etcd/{name}/v3@{VERSION}"));
    go(&dir, &["get"], &versions.each_ref().map(String::as_str))?;
    for (name, program) in programs.iter().zip(["etcd", "etcdctl", "etcdutl"]) {
        go(&dir, &["build", "-o", program], &[&format!("go.etcd.io/etcd/{name}/v3")])?;
    }
    fs::write(done, "").map_err(|error| error.to_string())?;
    Ok(dir)
}

fn go(dir: &Path, verb: &[&str], what: &[&str]) -> Result<(), String> {
    let run = Command::new("go").args(verb).args(what).current_dir(dir).output();
    match run {
        Err(error) => Err(format!("go cannot be run ({error}): install Go 1.26 or later")),
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => {
            let said = String::from_utf8_lossy(&out.stderr);
            Err(format!("go {verb:?} {what:?}: {}", said.lines().last().unwrap_or("failed")))
        }
    }
}
