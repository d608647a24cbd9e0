//! The flight recorder of a server under load: what it keeps replays to the same state, in bounded
//! space, and whatever becomes of its disk is no business of the clients.

mod common;
#[path = "common/runtimes.rs"]
mod runtimes;

use common::server::{Server, ours};
use keel_cli::load::calls::once;
use keel_cli::load::http2::{Conn, Heard, Method};
use keel_proto::pb::etcdserverpb as pb;
use keel_sim::recording::{End, Life, Recording, Until, relive};
use prost::Message;
use runtimes::runtimes;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Puts that are under way together.
const AT_ONCE: usize = 50;
/// The smallest recording, bytes.
const SIZE: u64 = 8 << 20;

fn run(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime for the test"), test());
}

fn recorded(dir: &Path, more: &[&str]) -> Server {
    let dir = format!("--recorder-dir={}", dir.display());
    let flags = [&[dir.as_str(), "--recorder-size=8388608"], more].concat();
    Server::start_with(&ours(), &flags)
}

/// So many puts, over a hundred keys, some at a time; all are answered.
async fn push(server: &Server, count: usize) {
    load(server, count).await.expect("puts are answered");
}

/// The same, for as long as there is an answer.
async fn load(server: &Server, count: usize) -> io::Result<()> {
    let method = Method::new("/etcdserverpb.KV/Put");
    let mut conn = Conn::connect(server.endpoint()).await?;
    let (mut sent, mut ended, mut answers) = (0, 0, 0);
    while ended < count {
        while sent < count && sent - ended < AT_ONCE {
            let (key, value) = (format!("key{:02}", sent % 100), vec![b'v'; 500]);
            let (key, value) = (key.into(), value.into());
            let put = pb::PutRequest { key, value, ..Default::default() };
            conn.call(&method, &put.encode_to_vec());
            sent += 1;
        }
        match conn.next().await? {
            Heard::Message(..) => answers += 1,
            Heard::End(_) => ended += 1,
        }
    }
    if answers == count { Ok(()) } else { Err(io::Error::other("a put was refused")) }
}

async fn ask<A: Message + Default>(server: &Server, path: &str, request: &impl Message) -> A {
    let answer = once(server.endpoint(), &Method::new(path), &request.encode_to_vec()).await;
    A::decode(answer.expect("an answer")).expect("the answer's kind")
}

/// Revision and hash, as the server tells them.
async fn hash(server: &Server) -> (i64, u32) {
    let request = pb::HashKvRequest { revision: 0 };
    let hash: pb::HashKvResponse = ask(server, "/etcdserverpb.Maintenance/HashKV", &request).await;
    (hash.hash_revision, hash.hash)
}

async fn compact(server: &Server) {
    let (revision, _) = hash(server).await;
    let request = pb::CompactionRequest { revision, physical: true };
    let _: pb::CompactionResponse = ask(server, "/etcdserverpb.KV/Compact", &request).await;
}

fn relived(dir: &Path, until: Until) -> Life {
    let recording = Recording::open(dir).expect("there is a recording");
    relive(&recording, until, &mut ()).expect("it can be read")
}

/// Revision and hash, as the replay has them.
fn stands(life: &Life) -> (i64, u32) {
    let view = life.replay.as_ref().expect("it was born").node().view();
    (view.kv.revision(), view.kv.hash(0).expect("the newest revision is there").hash)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it can be listed");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn bytes(dir: &Path) -> u64 {
    // A file may be removed between the two looks at it.
    let len = |name: &String| fs::metadata(dir.join(name)).map_or(0, |file| file.len());
    names(dir).iter().map(len).sum()
}

#[test]
fn what_a_server_took_in_under_load_replays_to_its_state() {
    run(async || {
        for runtime in runtimes() {
            replays_to_its_state(runtime).await;
        }
    });
}

async fn replays_to_its_state(runtime: &str) {
    let dir = TempDir::new().expect("a temporary directory");
    let mut server = recorded(dir.path(), &[runtime]);
    push(&server, 3000).await;
    compact(&server).await;
    let (revision, hash) = hash(&server).await;
    assert!(server.stop(), "{}", server.log());

    let life = relived(dir.path(), Until::default());
    assert_eq!((&life.end, life.torn, life.gaps.len()), (&End::Complete, 0, 0));
    assert_eq!(stands(&life), (revision, hash));
    assert!(life.compared > 10, "{} digests", life.compared);

    let index = life.replay.as_ref().expect("it was born").node().view().index;
    let half = Until { revision: Some(revision / 2), ..Until::default() };
    let life = relived(dir.path(), half);
    assert_eq!(life.end, End::Reached);
    let (reached, _) = stands(&life);
    assert!((revision / 2..revision).contains(&reached), "{reached} of {revision}");
    let half = Until { index: Some(index.0 / 2), ..Until::default() };
    let life = relived(dir.path(), half);
    let view = life.replay.as_ref().expect("it was born").node().view();
    assert!((index.0 / 2..index.0).contains(&view.index.0), "{:?} of {index:?}", view.index);
    let time = life.replay.as_ref().expect("it was born").now();
    let life = relived(dir.path(), Until { time: Some(time), ..Until::default() });
    assert_eq!(life.end, End::Reached);
    assert!(life.replay.expect("it was born").now() <= time);
}

/// A killed process leaves what the kernel has; what it was writing then is cut.
#[test]
fn what_is_left_of_a_killed_server_replays() {
    run(async || {
        let dir = TempDir::new().expect("a temporary directory");
        let mut server = recorded(dir.path(), &[]);
        push(&server, 3000).await;
        server.kill();
        let life = relived(dir.path(), Until::default());
        assert_eq!(life.end, End::Complete);
        let (whole, _) = stands(&life);
        assert!(whole > 10, "revision {whole}");

        let newest = dir.path().join(names(dir.path()).remove(0));
        let inputs = newest.with_extension("inputs");
        let mut bytes = fs::read(&inputs).expect("the inputs");
        bytes.truncate(bytes.len() * 2 / 3);
        fs::write(&inputs, &bytes).expect("it can be written");
        let life = relived(dir.path(), Until::default());
        assert_eq!(life.end, End::Complete);
        assert!(life.torn > 0, "what is torn is told");
        assert!((1..whole).contains(&stands(&life).0));

        // The next life leaves the dead one's recording where it is, for as long as it fits.
        server.restart();
        let number = format!("{:016x}.state", 2);
        while !dir.path().join(&number).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let revision = hash(&server).await;
        assert!(server.stop(), "{}", server.log());
        assert!(inputs.exists(), "{:?}", names(dir.path()));
        let life = relived(dir.path(), Until::default());
        assert_eq!((&life.end, stands(&life)), (&End::Complete, revision));
        let first = dir.path().join(format!("{:016x}.state", 1));
        assert_eq!(relived(&first, Until::default()).header.number, 1);
    });
}

#[test]
fn a_recording_stays_within_its_size_and_goes_on() {
    run(async || {
        let dir = TempDir::new().expect("a temporary directory");
        // A short log, so that a state is small: it holds the log, too.
        let flags = ["--snapshot-count=200", "--snapshot-catchup-entries=50"];
        let mut server = recorded(dir.path(), &flags);
        while !dir.path().join(format!("{:016x}.state", 6)).exists() {
            push(&server, 1000).await;
            compact(&server).await;
            assert!(bytes(dir.path()) <= SIZE, "{:?}", names(dir.path()));
        }
        let expected = hash(&server).await;
        assert!(server.stop(), "{}", server.log());
        assert!(bytes(dir.path()) <= SIZE);
        assert!(!dir.path().join(format!("{:016x}.state", 1)).exists(), "the oldest went");
        let life = relived(dir.path(), Until::default());
        assert_eq!((&life.end, life.gaps.len()), (&End::Complete, 0));
        assert!(life.header.number > 1 && life.header.steps > 0, "it began in the middle");
        assert_eq!(stands(&life), expected);
    });
}

/// The recorder's disk is smaller than it was told. It lies in a mount namespace of the server's
/// own, which ends with it.
#[test]
fn a_full_recorder_disk_is_the_recorders_own_affair() {
    let may = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !may.is_ok_and(|may| may.status.success()) {
        eprintln!("skipped: no mount namespace can be made here");
        return;
    }
    run(async || {
        let dir = TempDir::new().expect("a temporary directory");
        let script = dir.path().join("etcd");
        let small = dir.path().join("small");
        fs::create_dir(&small).expect("a directory");
        let (etcd, at) = (ours(), small.display());
        let text = format!(
            "#!/bin/sh\nexec unshare -m sh -c 'mount -t tmpfs -o size=2m none {at} && \
             exec {} \"$@\"' etcd \"$@\"\n",
            etcd.display()
        );
        fs::write(&script, text).expect("it can be written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it can be run");
        let mut server = Server::start_with(&script, &[&format!("--recorder-dir={at}")]);
        let stops = "the flight recorder stops; the server goes on";
        while !server.log().contains(stops) {
            push(&server, 500).await;
        }
        assert!(server.log().contains("No space left on device"), "{}", server.log());
        push(&server, 500).await;
        assert!(server.stop(), "{}", server.log());
    });
}

#[test]
fn what_cannot_be_recorded_is_said_at_the_start() {
    let refused = |args: &[&str]| {
        let output = Command::new(ours()).args(args).output().expect("it can be started");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let line = refused(&["--recorder-size=100000000"]);
    assert!(line.contains("name a directory with --recorder-dir"), "{line}");
    let dir = TempDir::new().expect("a temporary directory");
    let recorder = format!("--recorder-dir={}", dir.path().display());
    let line = refused(&[&recorder, "--recorder-size=5"]);
    assert!(line.contains("8388608 bytes at least"), "{line}");
    let line =
        refused(&["--recorder-dir=/dev/null/x", &format!("--data-dir={}/d", dir.path().display())]);
    assert!(line.contains("--recorder-dir: cannot make /dev/null/x"), "{line}");
}

/// What a machine does whose clock goes back: a second, from the moment on that a file is there.
const BACK: &str = r"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_MONOTONIC && access(FROM, F_OK) == 0) now->tv_sec -= 1;
    return result;
}
";

/// The server is the one that ships; only its machine is broken, and the core asserts that time
/// never goes back.
#[test]
fn a_server_that_breaks_an_assertion_under_load_breaks_it_again_in_the_replay() {
    run(async || {
        let dir = TempDir::new().expect("a temporary directory");
        let (source, library) = (dir.path().join("back.c"), dir.path().join("back.so"));
        let (from, script) = (dir.path().join("from"), dir.path().join("etcd"));
        fs::write(&source, BACK).expect("it can be written");
        // Rust links with it, so it is there.
        let mut compiler = Command::new("cc");
        compiler.arg(format!("-DFROM=\"{}\"", from.display())).args(["-shared", "-fPIC", "-o"]);
        let made = compiler.arg(&library).arg(&source).output().expect("there is a C compiler");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (etcd, library) = (ours(), library.display());
        let text = format!("#!/bin/sh\nLD_PRELOAD={library} exec {} \"$@\"\n", etcd.display());
        fs::write(&script, text).expect("it can be written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it can be run");

        // Whoever looks at the clock next sees it first: where that is not the driver, whose inputs
        // are recorded, once more.
        let mut lives = 0;
        let life = loop {
            lives += 1;
            let recorder = TempDir::new().expect("a temporary directory");
            let life = broken(&script, recorder.path(), &from).await;
            let words = match &life.end {
                End::Panic { recorded: Some(words), .. } | End::Elsewhere { recorded: words } => {
                    words
                }
                end => panic!("{end:?}"),
            };
            if words.contains("time goes back from") {
                break life;
            }
            assert!(words.contains("time never goes back") && lives < 20, "{words}");
        };
        let End::Panic { replayed, recorded, went_on: false } = &life.end else {
            panic!("{:?}", life.end);
        };
        assert!(replayed.contains("time goes back from"), "{replayed}");
        assert_eq!(recorded.as_ref(), Some(replayed));
        assert!(life.is_true() && stands(&life).0 >= 1000);
    });
}

/// The life of a server under load whose clock goes back.
async fn broken(script: &Path, recorder: &Path, from: &Path) -> Life {
    let flag = format!("--recorder-dir={}", recorder.display());
    let mut server = Server::start_with(script, &[&flag]);
    let fall = async {
        let mut revision = 0;
        while revision < 1000 {
            (revision, _) = hash(&server).await;
        }
        fs::write(from, "").expect("it can be written");
    };
    let (cut_off, ()) = tokio::join!(load(&server, usize::MAX), fall);
    assert!(cut_off.is_err() && !server.ended(), "{}", server.log());
    fs::remove_file(from).expect("it was written");
    relived(recorder, Until::default())
}
