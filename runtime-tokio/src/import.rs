//! A data directory that etcd wrote becomes one of ours, and etcd's files stay beside it.
//!
//! ```text
//!   member/wal, member/snap ─► import.tmp/member ─► `done` ─► member is renamed to member.etcd-1
//!                                                              import.tmp/member becomes member
//! ```
//!
//! Until the first rename etcd's files are where they were, and a start after a crash begins anew;
//! from then on only the second one is missing. They do not stay in their place: an etcd that was
//! started on them later would know nothing of what happened since.

use crate::disk::map_locked;
use crate::offline::{self, Made};
use bytes::Bytes;
use keel_core::disk::File;
use keel_core::planner::Options;
use keel_proto::bbolt::Backend;
use keel_proto::body::{Failure, Journal};
use keel_proto::import::{Imported, import, newer_database};
use keel_proto::peer::Spill;
use keel_proto::wal::{Wal, parse_name};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where ours is made.
const MAKING: &str = "import.tmp";
/// It lies in there once it is whole.
const DONE: &str = "done";
/// How long an etcd that is about to end may keep its locks.
const PATIENCE: Duration = Duration::from_secs(1);

/// Imports what etcd left in a data directory, if it did. The caller holds the directory's lock.
///
/// # Errors
///
/// Names the file that cannot be read or written, or what is wrong with it.
pub(crate) async fn take_over(
    dir: &Path,
    logs: Option<&Path>,
    journal: &Journal,
) -> Result<(), Failure> {
    let (member, making) = (dir.join("member"), dir.join(MAKING));
    if making.join(DONE).exists() && !member.exists() {
        return put_in_place(dir);
    }
    let unfinished = making.exists();
    let etcds = EtcdDir::of(dir, logs);
    if !etcds.is_there() {
        return remove(&making);
    }
    if let Some(logs) = logs.filter(|_| unfinished) {
        // It may have come this far before.
        for segment in segments(logs)? {
            fs::remove_file(&segment).map_err(|error| cannot("remove", &segment, &error))?;
        }
    }
    remove(&making)?;
    let mut ours = listed(&dir.join("member/state"))?;
    ours.extend(segments(logs.unwrap_or(&dir.join("member/log")))?);
    if let Some(one) = ours.first() {
        return Err(Failure::new(format!(
            "{} holds files of etcd's, and {} is keel's: either may be newer; move one of both \
             away",
            dir.display(),
            one.display()
        )));
    }
    let shown = dir.display().to_string();
    journal.info("importing etcd's data directory", &[("data-dir", shown.into())]);
    let mut made = Made::begin(&making, logs)?;
    let mut spill = made.spill().map_err(|error| cannot("write to", &making, &error))?;
    let Imported { cluster, node, state, write } = etcds.read(&mut *spill).await?;
    let (index, revision) =
        state.as_ref().map_or((0, 1), |state| (state.index.0, state.store.revision()));
    let entries = write.entries.len();
    let options = Options { cluster, node, ..Options::default() };
    let checkpoint = state.map(|state| Arc::new(state.checkpoint()));
    made.finish(options, write, checkpoint).await?;
    let done = making.join(DONE);
    let marked = fs::File::create(&done).and_then(|file| file.sync_all());
    marked.and_then(|()| sync(&making)).map_err(|error| cannot("write", &done, &error))?;
    let kept = free(dir);
    fs::rename(&member, &kept)
        .and_then(|()| sync(dir))
        .map_err(|error| cannot("rename", &member, &error))?;
    put_in_place(dir)?;
    let fields = [
        ("index", index.into()),
        ("revision", revision.into()),
        ("entries", entries.into()),
        ("etcd-files", kept.display().to_string().into()),
    ];
    journal.info("imported etcd's data directory", &fields);
    Ok(())
}

/// The second rename, and what is left to do after it.
fn put_in_place(dir: &Path) -> Result<(), Failure> {
    let (member, making) = (dir.join("member"), dir.join(MAKING));
    fs::rename(making.join("member"), &member)
        .and_then(|()| sync(dir))
        .map_err(|error| cannot("rename", &making, &error))?;
    remove(&making)
}

/// A name for etcd's files that nothing has yet.
fn free(dir: &Path) -> PathBuf {
    let named = (1..).map(|number: u32| dir.join(format!("member.etcd-{number}")));
    named.into_iter().find(|path| !path.exists()).expect("numbers do not end")
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(cannot("remove", path, &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The log segments of ours in a directory, finished or not.
fn segments(logs: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = listed(logs)?;
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("member/log/{name}");
        File::parse(&name).is_some() || File::is_temporary(&name)
    });
    Ok(found)
}

fn listed(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot("list", dir, &error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<Result<_, _>>().map_err(|error| cannot("list", dir, &error))
}

fn sync(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::new(format!(
            "{}: another process holds its lock: stop the etcd that runs on it",
            path.display()
        )),
        _ => Failure::new(format!("cannot {verb} {}: {error}", path.display())),
    }
}

/// The files of an etcd member that does not run.
#[derive(Debug)]
pub struct EtcdDir {
    snap: PathBuf,
    wal: PathBuf,
}

impl EtcdDir {
    /// Those of a data directory; `logs` is where the log lies if not in it.
    #[must_use]
    pub fn of(dir: &Path, logs: Option<&Path>) -> EtcdDir {
        let wal = logs.map_or_else(|| dir.join("member/wal"), Path::to_path_buf);
        EtcdDir { snap: dir.join("member/snap"), wal }
    }

    /// Whether there are any: a log that lies apart is none by itself.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.database_path().exists() || self.snap.with_file_name("wal").exists()
    }

    /// Where the database lies.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.snap.join("db")
    }

    /// The log.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read, or is damaged, and where.
    pub fn wal(&self, patience: Duration) -> Result<Wal, Failure> {
        let mut files = Vec::new();
        for path in listed(&self.wal)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if parse_name(&name).is_some() {
                files.push((name, open(&path, patience)?));
            }
        }
        let at = self.wal.display();
        if files.is_empty() {
            return Err(Failure::new(format!("{at} holds no log of etcd's")));
        }
        Wal::read(files).map_err(|damage| Failure::new(format!("{at}/{damage}")))
    }

    /// The database that etcd would go on from: the newest state that the member took in may
    /// still lie beside it.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read, or is damaged, and where.
    pub fn database(&self, wal: &Wal, patience: Duration) -> Result<Bytes, Failure> {
        let path = self.database_path();
        let bytes = open(&path, patience)?;
        let index = Backend::open(&bytes).and_then(|backend| backend.index());
        let index =
            index.map_err(|damage| Failure::new(format!("{}: {damage}", path.display())))?;
        if let Some(newer) = newer_database(wal, index) {
            let beside = self.snap.join(format!("{:016x}.snap.db", newer.0));
            if beside.exists() {
                return open(&beside, patience);
            }
        }
        Ok(bytes)
    }

    /// Everything, put together.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read, or is damaged, and where.
    pub async fn read(&self, spill: &mut dyn Spill) -> Result<Imported, Failure> {
        let wal = self.wal(PATIENCE)?;
        let database = self.database(&wal, PATIENCE)?;
        let imported = import(&wal, &database, spill).await;
        imported.map_err(|why| Failure::new(format!("{}: {why}", self.snap.display())))
    }
}

fn open(path: &Path, patience: Duration) -> Result<Bytes, Failure> {
    let file = fs::File::open(path).map_err(|error| cannot("open", path, &error))?;
    offline::lock(&file, false, patience).map_err(|error| cannot("lock", path, &error))?;
    map_locked(file).map_err(|error| cannot("read", path, &error))
}
