//! What a path names: a database file, or a data directory of ours or of etcd's.

use super::{Common, go};
use crate::ctl::Failed;
use crate::progress;
use bytes::Bytes;
use keel_core::node::still;
use keel_core::state::Checkpoint;
use keel_core::{Boot, NodeId};
use keel_proto::bbolt::{self, Bucket, Contents, Db, Trailer};
use keel_proto::convert::decode_entry;
use keel_proto::peer::Memory;
use keel_proto::peer::state::whole;
use keel_proto::wal::{self, Wal};
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
}

impl Source {
    /// Opens a file or directory.
    pub(super) fn open(common: &Common, path: &str) -> Result<Source, Failed> {
        let at = Path::new(path);
        let found = std::fs::metadata(at).map_err(|error| go::path("stat", path, &error))?;
        if !found.is_dir() {
            return database(common, at);
        }
        if let Some(stopped) = Stopped::open(at, None, common.patience).map_err(plain)? {
            return Ok(Source::Keel(stopped));
        }
        let db = database_of(path);
        if !db.exists() {
            let line = format!("{path} is neither a database file nor a data directory");
            return Err(Failed::plain(line));
        }
        database(common, &db)
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

    /// Whether a path is a data directory of ours.
    pub(super) fn is_ours(common: &Common, path: &str) -> Result<bool, Failed> {
        let at = Path::new(path);
        Ok(at.is_dir() && Stopped::open(at, None, common.patience).map_err(plain)?.is_some())
    }

    /// Its buckets, as they are in a database file, and that file's size where it is one.
    pub(super) fn buckets(&self) -> Result<(Vec<Bucket>, Option<u64>), Failed> {
        match self {
            Source::Database(bytes) => {
                let db = Db::open(bytes).map_err(damaged)?;
                let size = db.high_water() * db.page_size() as u64;
                Ok((bbolt::copy(bytes).map_err(damaged)?, Some(size)))
            }
            Source::Keel(stopped) => Ok((Contents::of(&*state_of(stopped)?).into_buckets(), None)),
        }
    }

    /// The state that it holds. A directory of ours: with what its log knows to be committed.
    pub(super) async fn state(&self) -> Result<Arc<Checkpoint>, Failed> {
        match self {
            Source::Database(bytes) => Ok(Arc::new(database_state(bytes).await?)),
            Source::Keel(stopped) => state_of(stopped),
        }
    }
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

/// The log of an etcd member's data directory.
pub(super) fn wal_of(common: &Common, data_dir: &str) -> Result<Wal, Failed> {
    let at = Path::new(data_dir).join("member/wal");
    let shown = at.display().to_string();
    let cannot = |error: std::io::Error| go::path("open", &shown, &error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&at).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if wal::parse_name(&name).is_some() {
            files.push((name, map(&entry.path(), common.patience).map_err(cannot)?));
        }
    }
    Wal::read(files).map_err(|damage| Failed::plain(format!("{shown}/{damage}")))
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
    // A machine that has no place for it has memory.
    let spill = spill(&std::env::temp_dir());
    let mut spill = spill.unwrap_or_else(|_| Box::new(Memory::default()));
    let restored = whole(0, bytes, 0, &mut *spill).await.map_err(Failed::plain)?;
    Ok(restored.checkpoint())
}

fn state_of(stopped: &Stopped) -> Result<Arc<Checkpoint>, Failed> {
    let recovered = stopped.recover().map_err(plain)?;
    let (cluster, me) = recovered.owner.unwrap_or((0, NodeId::NONE));
    let entries = recovered.entries.iter().cloned().map(|raw| {
        let index = raw.index.0;
        decode_entry(raw).map_err(|why| {
            Failed::plain(format!("entry {index} of the log is not etcd's: {}", why.0))
        })
    });
    let entries = entries.collect::<Result<_, _>>()?;
    let boot = Boot::recovered(recovered, entries)
        .map_err(|why| Failed::plain(format!("the state is damaged: {why}")))?;
    Ok(still(me, cluster, boot))
}

/// The line of a failure of the runtime's.
pub(super) fn plain(failure: keel_runtime_tokio::Failure) -> Failed {
    Failed::plain(failure.to_string())
}

/// The line of a damaged database.
pub(super) fn damaged(damage: bbolt::Damage) -> Failed {
    Failed::plain(damage.to_string())
}
