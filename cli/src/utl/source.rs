//! What a path names: a database file, or a data directory of ours or of etcd's.

use super::{Common, go};
use crate::ctl::Failed;
use crate::progress;
use bytes::Bytes;
use indicatif::ProgressBar;
use keel_core::disk::{Damage, File};
use keel_core::node::still;
use keel_core::raft::Config;
use keel_core::state::Checkpoint;
use keel_core::wal::held;
use keel_core::{Boot, HardState, Index, NodeId, RawEntry};
use keel_proto::bbolt::{self, Bucket, Contents, Db, Trailer};
use keel_proto::convert::decode_entry;
use keel_proto::peer::state::whole;
use keel_proto::peer::{Memory, Spill};
use keel_proto::wal;
use keel_runtime_tokio::EtcdDir;
use keel_runtime_tokio::offline::{Stopped, map, spill};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are hashed between two looks at the bar.
const PIECE: usize = 1024 * 1024;

/// Something to look into. It is locked as long as this lives, and never written.
pub(super) enum Source {
    /// A database file: etcd's own, or a snapshot of either. With the hash behind it, if any.
    Database(Bytes),
    /// A data directory of ours.
    Keel(Stopped),
    /// A data directory of etcd's.
    Etcd(EtcdDir),
}

impl Source {
    /// Opens a file or directory.
    pub(super) fn open(common: &Common, path: &str) -> Result<Source, Failed> {
        Source::open_with(common, path, None)
    }

    /// The same, where the log may lie apart.
    pub(super) fn open_with(
        common: &Common,
        path: &str,
        logs: Option<&str>,
    ) -> Result<Source, Failed> {
        let logs = logs.map(Path::new);
        let at = Path::new(path);
        let found = std::fs::metadata(at).map_err(|error| go::path("stat", path, &error))?;
        if !found.is_dir() {
            return database(common, at);
        }
        if let Some(stopped) = Stopped::open(at, logs, common.patience).map_err(plain)? {
            return Ok(Source::Keel(stopped));
        }
        let etcds = EtcdDir::of(at, logs);
        if !etcds.is_there() {
            let line = format!("{path} is neither a database file nor a data directory");
            return Err(Failed::plain(line));
        }
        Ok(Source::Etcd(etcds))
    }

    /// The same, where only the log is wanted: a directory with nothing but one will do.
    pub(super) fn open_log(
        common: &Common,
        path: &str,
        logs: Option<&str>,
    ) -> Result<Source, Failed> {
        let at = Path::new(path);
        let found = match std::fs::read_dir(at) {
            Ok(found) => found,
            Err(_) => return Source::open_with(common, path, logs),
        };
        for name in found.filter_map(Result::ok).map(|entry| entry.file_name()) {
            let name = name.to_string_lossy();
            if wal::parse_name(&name).is_some() {
                return Ok(Source::Etcd(EtcdDir::of(at, Some(at))));
            }
            if File::parse(&format!("member/log/{name}")).is_some() {
                return Source::open_with(common, path, Some(path));
            }
        }
        Source::open_with(common, path, logs)
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Source::Database(_) => "a database",
            Source::Keel(_) => "a data directory of keel's",
            Source::Etcd(_) => "a data directory of etcd's",
        }
    }

    /// Whether there is a log in it.
    pub(super) fn has_log(&self) -> bool {
        !matches!(self, Source::Database(_))
    }

    /// The log that it still holds, from its first entry on.
    pub(super) fn log(&self, common: &Common) -> Result<Logged, Failed> {
        match self {
            Source::Database(_) => Err(Failed::plain("a database has no log in it")),
            Source::Keel(stopped) => logged(stopped),
            Source::Etcd(etcds) => {
                let wal = etcds.wal(common.patience).map_err(plain)?;
                let said = |damage: wal::Damage| Failed::plain(damage.to_string());
                let base = wal.base();
                let torn = wal.files.len().checked_sub(1).zip(wal.torn);
                let files = wal.files.iter().enumerate().map(|(nth, name)| {
                    let records = wal.records.iter().filter(|(file, ..)| *file == nth).count();
                    let cut = torn.filter(|(last, _)| *last == nth);
                    let cut = cut.map(|(_, at)| format!(", cut short by a crash at offset {at}"));
                    (name.clone(), format!("{records} records{}", cut.unwrap_or_default()))
                });
                Ok(Logged {
                    owner: wal.owner().unwrap_or((0, NodeId::NONE)),
                    hard: wal.hard(),
                    base,
                    entries: wal.entries_after(base).map_err(said)?,
                    config: wal.config_at(wal.hard().commit).map_err(said)?,
                    files: files.collect(),
                })
            }
        }
    }

    /// A snapshot to restore: the database in it.
    pub(super) fn snapshot(common: &Common, path: &str, unchecked: bool) -> Result<Bytes, Failed> {
        let (bytes, hash) = file(common, Path::new(path))?;
        match hash {
            Some(hash) if !unchecked => check(common, &bytes, &hash)?,
            None if !unchecked => {
                return Err(Failed::plain("snapshot missing hash but --skip-hash-check=false"));
            }
            Some(_) | None => {}
        }
        Ok(bytes)
    }

    /// A data directory of ours, if the path is one.
    pub(super) fn open_ours(
        common: &Common,
        path: &str,
        logs: Option<&str>,
    ) -> Result<Option<Stopped>, Failed> {
        let at = Path::new(path);
        if !at.is_dir() {
            return Ok(None);
        }
        Stopped::open(at, logs.map(Path::new), common.patience).map_err(plain)
    }

    /// Its buckets, as they are in a database file, and that file's size where it is one.
    pub(super) fn buckets(&self, common: &Common) -> Result<(Vec<Bucket>, Option<u64>), Failed> {
        match self {
            Source::Database(bytes) => copied(bytes),
            Source::Etcd(etcds) => copied(&file(common, &etcds.database_path())?.0),
            Source::Keel(stopped) => Ok((Contents::of(&*state_of(stopped)?).into_buckets(), None)),
        }
    }

    /// The state that it holds. A data directory: with what its log knows to be committed.
    pub(super) async fn state(&self) -> Result<Arc<Checkpoint>, Failed> {
        match self {
            Source::Database(bytes) => Ok(Arc::new(database_state(bytes).await?)),
            Source::Keel(stopped) => state_of(stopped),
            Source::Etcd(etcds) => {
                let size = size_of(&etcds.database_path())?;
                let mut spill = spilled(usize::try_from(size).unwrap_or(usize::MAX));
                let imported = etcds.read(&mut spill).await.map_err(plain)?;
                let (node, cluster) = (imported.node, imported.cluster);
                Ok(still(node, cluster, imported.boot()))
            }
        }
    }
}

fn copied(bytes: &Bytes) -> Result<(Vec<Bucket>, Option<u64>), Failed> {
    let db = Db::open(bytes).map_err(damaged)?;
    let size = db.high_water() * db.page_size() as u64;
    Ok((bbolt::copy(bytes).map_err(damaged)?, Some(size)))
}

/// Where etcd keeps the database of a data directory.
pub(super) fn database_of(data_dir: &str) -> PathBuf {
    Path::new(data_dir).join("member/snap/db")
}

/// A database file whose hash is right, if it has one.
fn database(common: &Common, path: &Path) -> Result<Source, Failed> {
    let (bytes, hash) = file(common, path)?;
    if let Some(hash) = hash {
        check(common, &bytes, &hash)?;
    }
    Ok(Source::Database(bytes))
}

/// A file, and the hash behind it, if there is one.
fn file(common: &Common, path: &Path) -> Result<(Bytes, Option<Bytes>), Failed> {
    let shown = path.display().to_string();
    let mut bytes = map(path, common.patience).map_err(|error| go::path("open", &shown, &error))?;
    let hash = bbolt::has_trailer(bytes.len()).then(|| bytes.split_off(bytes.len() - 32));
    Ok((bytes, hash))
}

/// Compares a snapshot with the hash behind it. Where they differ, says where the damage is, as
/// far as that can be told.
fn check(common: &Common, bytes: &Bytes, hash: &Bytes) -> Result<(), Failed> {
    let bar = progress::bytes(bytes.len() as u64);
    let mut found = Trailer::new();
    for piece in bytes.chunks(PIECE) {
        found.update(piece);
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    let found = found.finish();
    if found == hash {
        return Ok(());
    }
    match Db::open(bytes).and_then(|db| db.check()) {
        Err(damage) => {
            let fields = [("offset", damage.at.into()), ("error", damage.why.into())];
            common.journal.warn("the snapshot is damaged", &fields);
        }
        Ok(()) => common.journal.warn(
            "the snapshot is damaged: its pages hold together, so bytes of keys or values, of \
             free pages, or of the hash itself were changed",
            &[("offset-of-hash", bytes.len().into())],
        ),
    }
    let numbers = |hash: &Bytes| hash.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
    let line = format!("expected sha256 [{}], got [{}]", numbers(hash), numbers(&found));
    Err(Failed::plain(line))
}

/// How long a file is.
pub(super) fn size_of(path: &Path) -> Result<u64, Failed> {
    let found = std::fs::metadata(path);
    let found = found.map_err(|error| go::path("stat", &path.display().to_string(), &error))?;
    Ok(found.len())
}

/// Puts a database's state together. Records go through a file without a name, so that only the
/// index takes memory.
async fn database_state(bytes: &Bytes) -> Result<Checkpoint, Failed> {
    let restored = whole(0, bytes, 0, &mut spilled(bytes.len())).await.map_err(Failed::plain)?;
    Ok(restored.checkpoint())
}

/// A place for records that come and go, out of a database of so many bytes. A machine that has
/// no room in files has memory.
fn spilled(total: usize) -> Watched {
    let inner = spill(&std::env::temp_dir()).unwrap_or_else(|_| Box::new(Memory::default()));
    Watched::new(inner, total)
}

/// A spill with a bar that shows how much of a database came through it.
pub(super) struct Watched {
    inner: Box<dyn Spill>,
    bar: ProgressBar,
}

impl Watched {
    pub(super) fn new(inner: Box<dyn Spill>, total: usize) -> Watched {
        Watched { inner, bar: progress::bytes(total as u64) }
    }
}

impl Spill for Watched {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bar.inc(bytes.len() as u64);
        self.inner.append(bytes)
    }

    fn share(&mut self) -> std::io::Result<Bytes> {
        self.inner.share()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The log behind a state.
pub(super) struct Log {
    /// Whose it is: cluster and member.
    pub(super) owner: (u64, NodeId),
    pub(super) hard: HardState,
    /// All that is there behind the checkpoint, committed or not.
    pub(super) entries: Vec<RawEntry>,
}

/// All that a log still holds.
pub(super) struct Logged {
    /// Whose it is: cluster and member.
    pub(super) owner: (u64, NodeId),
    pub(super) hard: HardState,
    /// The index before the first entry.
    pub(super) base: Index,
    pub(super) entries: Vec<RawEntry>,
    /// Who votes now.
    pub(super) config: Config,
    /// Each file's name, and what is to be said of it.
    pub(super) files: Vec<(String, String)>,
}

fn logged(stopped: &Stopped) -> Result<Logged, Failed> {
    let held = held(&stopped.segments().map_err(plain)?).map_err(|damage| {
        let Damage { file, at, why } = damage;
        Failed::plain(format!("{} is damaged at offset {at}: {why}", file.name()))
    })?;
    // A log by itself tells nothing of a state.
    let state = state_and_log(stopped).ok().map(|(state, _)| state);
    let known = state.as_ref().map_or(Index(0), |state| state.index);
    let name = |number: u64| File::Segment(number).name();
    let files = held.segments.iter().map(|(number, end)| (name(*number), format!("{end} bytes")));
    Ok(Logged {
        owner: held.owner.unwrap_or((0, NodeId::NONE)),
        hard: HardState { commit: held.hard.commit.max(known), ..held.hard },
        base: held.base,
        entries: held.entries,
        config: state.map(|state| state.config.clone()).unwrap_or_default(),
        files: files.collect(),
    })
}

/// The state that a directory of ours holds, with what its log knows to be committed.
fn state_of(stopped: &Stopped) -> Result<Arc<Checkpoint>, Failed> {
    Ok(state_and_log(stopped)?.0)
}

/// The same, and the log.
pub(super) fn state_and_log(stopped: &Stopped) -> Result<(Arc<Checkpoint>, Log), Failed> {
    let recovered = stopped.recover().map_err(plain)?;
    let (cluster, me) = recovered.owner.unwrap_or((0, NodeId::NONE));
    let raw = recovered.entries.clone();
    let log = Log { owner: (cluster, me), hard: recovered.hard, entries: raw.clone() };
    let entries = raw.into_iter().map(|raw| {
        let index = raw.index.0;
        decode_entry(raw).map_err(|why| {
            Failed::plain(format!("entry {index} of the log is not etcd's: {}", why.0))
        })
    });
    let entries = entries.collect::<Result<_, _>>()?;
    let boot = Boot::recovered(recovered, entries)
        .map_err(|why| Failed::plain(format!("the state is damaged: {why}")))?;
    Ok((still(me, cluster, boot), log))
}

/// The line of a failure of the runtime's.
pub(super) fn plain(failure: keel_runtime_tokio::Failure) -> Failed {
    Failed::plain(failure.to_string())
}

/// The line of a damaged database.
pub(super) fn damaged(damage: bbolt::Damage) -> Failed {
    Failed::plain(damage.to_string())
}
