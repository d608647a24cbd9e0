//! The way home: a data directory of ours as one that etcd starts on.

use super::database::{private, write};
use super::go;
use super::source::state_and_log;
use crate::ctl::Failed;
use keel_core::members::minor;
use keel_core::{HardState, Index, RawEntry};
use keel_proto::bbolt::{Contents, Survey, at_version};
use keel_proto::wal::{Record, Snapshot, Writer, snap_file};
use keel_runtime_tokio::offline::Stopped;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Bytes of a log that are written at a time.
const PIECE: usize = 1024 * 1024;

/// What came of it.
pub(super) struct Written {
    pub(super) index: Index,
    pub(super) entries: usize,
    pub(super) revision: i64,
}

/// Writes a member's state and the log behind it as etcd's files. `version` is the schema's;
/// none before 3.6.
pub(super) fn write_etcd(
    stopped: &Stopped,
    out: &Path,
    target: (u64, u64),
    version: Option<&str>,
) -> Result<Written, Failed> {
    let shown = out.display().to_string();
    if out.exists() && !fs::read_dir(out).is_ok_and(|mut all| all.next().is_none()) {
        return Err(Failed::plain(format!("output-dir {shown:?} not empty or could not be read")));
    }
    let (state, log) = state_and_log(stopped)?;
    if state.index == Index(0) {
        return Err(Failed::plain("the member has applied nothing yet: begin with an empty etcd"));
    }
    let running = state.cluster.version.as_str();
    if minor(running).is_some_and(|running| running > target) {
        return Err(Failed::plain(format!(
            "the cluster runs at version {running}: take it down to the target version with \
             `etcdctl downgrade` first"
        )));
    }
    let cannot = |error: io::Error| go::path("write", &shown, &error);
    let (snap, wal) = (out.join("member/snap"), out.join("member/wal"));
    for dir in [&snap, &wal] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(cannot)?;
    }
    let buckets = at_version(Contents::of(&state).into_buckets(), version);
    let mut survey = Survey::new(buckets);
    while !survey.step(usize::MAX) {}
    write(survey.finish(), &snap.join("db")).map_err(cannot)?;
    let (name, bytes) = snap_file(&state);
    put(&snap.join(name), &bytes).map_err(cannot)?;

    let (cluster, me) = log.owner;
    let mut files = LogFiles::begin(Writer::new(cluster, me), &wal);
    let (index, term) = (state.index, state.term);
    let config = Some(state.config.clone());
    files.writer.record(&Record::Snapshot(Snapshot::default()));
    files.writer.record(&Record::Snapshot(Snapshot { index, term, config }));
    let mut entries = 0;
    for entry in log.entries.iter().filter(|entry| entry.index > index) {
        files.entry(entry).map_err(cannot)?;
        entries += 1;
    }
    let hard = HardState { commit: log.hard.commit.max(index), ..log.hard };
    files.writer.record(&Record::State(hard));
    files.finish().map_err(cannot)?;
    for dir in [&snap, &wal, &out.join("member"), out] {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(cannot)?;
    }
    Ok(Written { index, entries, revision: state.kv.revision() })
}

/// The files of a log in the making.
pub(super) struct LogFiles {
    pub(super) writer: Writer,
    dir: PathBuf,
}

impl LogFiles {
    /// In this directory.
    pub(super) fn begin(writer: Writer, dir: &Path) -> LogFiles {
        LogFiles { writer, dir: dir.to_path_buf() }
    }

    /// Writes an entry.
    pub(super) fn entry(&mut self, entry: &RawEntry) -> io::Result<()> {
        self.writer.entry(entry);
        if self.writer.pending() < PIECE {
            return Ok(());
        }
        self.append(false)
    }

    /// Writes what is left, and makes everything durable.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.append(true)
    }

    fn append(&mut self, last: bool) -> io::Result<()> {
        let (name, bytes) = self.writer.take();
        let name = name.to_owned();
        let mut options = private();
        let mut file = options.append(true).create(true).open(self.dir.join(&name))?;
        file.write_all(&bytes)?;
        self.writer.cut();
        if last || self.writer.name() != name {
            file.sync_all()?;
        }
        Ok(())
    }
}

/// Writes a small file, durably.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
