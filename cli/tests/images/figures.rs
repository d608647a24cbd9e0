//! Ours beside etcd's own binary, built into an image of the same base: how large, how soon ready.
//!
//! The sizes are held to; times are printed, since a machine may be busy with something else.

use crate::engine::{BUILD_BASE, Engine, RUNTIME};
use crate::peers::peers;
use std::process::Command;

const ETCDS: &str = "keel-test/etcd";
const ETCD: &str = "/usr/local/bin/etcd";
/// How often each is started, in turns.
const TURNS: usize = 5;
/// The line that both log when clients may come, and its time.
const READY: &str = "ready to serve client requests";

pub(crate) fn ours_is_smaller_and_sooner_ready(engine: &Engine) {
    let Some(programs) = peers() else { return };
    let folder = engine.folder("etcds");
    std::fs::copy(&programs.etcd, folder.join("etcd")).expect("etcd can be copied");
    // Stripped as ours is, with the libraries, certificates and users that ours has beside it.
    let file = format!(
        "FROM {BUILD_BASE} AS stripped\nCOPY etcd /etcd\nRUN strip /etcd && mkdir -m 0700 /data\n\
         FROM scratch\n\
         COPY --from={RUNTIME} /lib/ /lib/\nCOPY --from={RUNTIME} /lib64/ /lib64/\n\
         COPY --from={RUNTIME} /etc/ /etc/\nCOPY --from=stripped /etcd {ETCD}\n\
         COPY --from=stripped --chown=65532:65532 /data/ /etcd-data/\n\
         USER 65532:65532\nWORKDIR /etcd-data\n"
    );
    std::fs::write(folder.join("Dockerfile"), file).expect("a file can be written");
    engine.must(&["build", "--network=none", "--tag", ETCDS, &folder.display().to_string()]);

    let (ours, theirs) = (size(engine, RUNTIME), size(engine, ETCDS));
    eprintln!("  image: {ours} bytes, {} % of etcd's {theirs}", ours * 100 / theirs);
    assert!(ours * 2 <= theirs, "an image of {ours} bytes is more than half of etcd's {theirs}");

    let mut times = [RUNTIME, ETCDS].map(|_| Vec::new());
    for _ in 0..TURNS {
        for (image, times) in [RUNTIME, ETCDS].into_iter().zip(&mut times) {
            times.push(time_to_ready(engine, image));
        }
    }
    let [ours, theirs] = times.map(median);
    eprintln!("  ready after {ours} ms, {} % of etcd's {theirs}", ours * 100 / theirs.max(1));
}

fn size(engine: &Engine, image: &str) -> u64 {
    let size = engine.must(&["image", "inspect", "--format", "{{.Size}}", image]);
    size.parse().expect("a size is a number")
}

/// Milliseconds from the start of the container's process to its word that clients may come.
fn time_to_ready(engine: &Engine, image: &str) -> u64 {
    engine.must(&["run", "--detach", "--name", "timed", image, ETCD]);
    let line = || {
        let output = engine.docker(&["logs", "timed"]);
        let lines = crate::engine::words(&output);
        lines.lines().find(|line| line.contains(READY)).map(String::from)
    };
    assert!(engine.eventually(|_| line().is_some()), "{image} is never ready");
    let line: serde_json::Value =
        serde_json::from_str(&line().unwrap_or_default()).expect("a log line is JSON");
    let said = line["ts"].as_str().expect("it has a time");
    let start = engine.must(&["inspect", "--format", "{{.State.StartedAt}}", "timed"]);
    engine.must(&["rm", "--force", "--volumes", "timed"]);
    milliseconds(said).saturating_sub(milliseconds(&start))
}

/// A time as programs write it, since 1970.
fn milliseconds(time: &str) -> u64 {
    let output = Command::new("date").args(["--date", time, "+%s%3N"]).output();
    let output = output.expect("date can be started");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("date understands the time")
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times[times.len() / 2]
}
