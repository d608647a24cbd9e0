//! The five verbs, on the files of one directory. Any thread may carry them out.

use super::map::write_out;
use super::{DiskFailure, LogFiles};
use crate::data_dir::DataDir;
use bytes::Bytes;
use keel_core::disk::{DiskOp, File, Lane};
use keel_core::limits::{PAGE, SECTOR};
use keel_proto::body::config::Backend;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How much of a background write is begun at once.
const PIECE: usize = 128 * 1024;

/// How long a background write waits after a piece, while commits go on.
const PAUSE: Duration = Duration::from_millis(2);

/// How many pieces the kernel takes in one call.
const SLICES_MAX: usize = 1024;

/// The directories that hold files.
const LOGS: &str = "member/log";
const STATES: &str = "member/state";

/// Where they all are.
const MEMBER: &str = "member";

/// It lies in the data directory while a member has no state that it may go on from.
const UNSETTLED: &str = "repair-unfinished";

/// The data directory and its open files.
#[derive(Debug)]
pub(super) struct Files {
    dir: DataDir,
    backend: Backend,
    open: Mutex<BTreeMap<File, Arc<fs::File>>>,
    /// The log's tail once more, opened around the page cache.
    direct: Mutex<Option<(File, Arc<fs::File>)>>,
    /// Commits so far: background writes pause only while it moves.
    commits: AtomicU64,
    /// Where it stood when the last piece went out.
    paced: AtomicU64,
}

impl Files {
    /// Makes the directories that are missing.
    pub(super) fn open(dir: DataDir, backend: Backend) -> Result<Files, DiskFailure> {
        make_homes(&dir)?;
        let (open, direct) = Default::default();
        let (commits, paced) = Default::default();
        Ok(Files { dir, backend, open, direct, commits, paced })
    }

    /// Renames the member's directory and begins an empty one; gives back the new name.
    pub(super) fn set_aside(&self) -> Result<String, DiskFailure> {
        let root = self.dir.path();
        let fail = |path: &Path| {
            let path = path.display().to_string();
            move |source| DiskFailure { action: "set aside", path, source }
        };
        let mark = root.join(UNSETTLED);
        fs::File::create(&mark).and_then(|mark| mark.sync_all()).map_err(fail(&mark))?;
        sync_dir(root)?;
        let free = |number: &u32| !root.join(format!("{MEMBER}.damaged-{number}")).exists();
        let number = (1..).find(free).expect("numbers do not end");
        let aside = root.join(format!("{MEMBER}.damaged-{number}"));
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.direct.lock().unwrap_or_else(PoisonError::into_inner) = None;
        fs::rename(root.join(MEMBER), &aside).map_err(fail(&aside))?;
        sync_dir(root)?;
        if let Some(logs) = self.dir.logs() {
            // It may be another file system: what lies there stays there.
            let aside = logs.join(format!("damaged-{number}"));
            fs::create_dir(&aside).map_err(fail(&aside))?;
            for (file, _) in self.list()? {
                let from = self.path(file);
                let name = from.file_name().expect("a file has a name");
                fs::rename(&from, aside.join(name)).map_err(fail(&from))?;
            }
            sync_dir(&aside)?;
            sync_dir(logs)?;
        }
        make_homes(&self.dir)?;
        Ok(aside.display().to_string())
    }

    /// Whether [`Files::set_aside`] was not followed by [`Files::settled`].
    pub(super) fn is_unsettled(&self) -> bool {
        self.dir.path().join(UNSETTLED).exists()
    }

    /// The directory is whole again.
    pub(super) fn settled(&self) -> Result<(), DiskFailure> {
        let mark = self.dir.path().join(UNSETTLED);
        let fail =
            |source| DiskFailure { action: "remove", path: mark.display().to_string(), source };
        fs::remove_file(&mark).map_err(fail)?;
        sync_dir(self.dir.path())
    }

    /// A file that has no name any more.
    pub(super) fn unnamed(&self) -> io::Result<fs::File> {
        unnamed(&self.dir.path().join(MEMBER))
    }

    /// A failure on one of the files.
    pub(super) fn failure(
        &self,
        action: &'static str,
        file: File,
        source: io::Error,
    ) -> DiskFailure {
        DiskFailure { action, path: self.path(file).display().to_string(), source }
    }

    fn path(&self, file: File) -> PathBuf {
        self.placed(&file.name())
    }

    /// Where a file of this name lies.
    fn placed(&self, name: &str) -> PathBuf {
        match (self.dir.logs(), name.strip_prefix(LOGS)) {
            (Some(logs), Some(log)) => logs.join(log.trim_start_matches('/')),
            _ => self.dir.path().join(name),
        }
    }

    /// The published files and their lengths, ascending. Removes what was never published, and
    /// makes durable what is seen: a rename may have reached the directory, but not the disk. What
    /// is read of the log and the manifest from now on comes from the disk.
    pub(super) fn list(&self) -> Result<Vec<(File, u64)>, DiskFailure> {
        let mut found = Vec::new();
        for home in [LOGS, STATES] {
            let at = self.placed(home);
            if !at.exists() {
                continue;
            }
            let fail =
                |source| DiskFailure { action: "list", path: at.display().to_string(), source };
            for entry in fs::read_dir(&at).map_err(fail)? {
                let entry = entry.map_err(fail)?;
                let name = format!("{home}/{}", entry.file_name().to_string_lossy());
                if let Some(file) = File::parse(&name) {
                    found.push((file, entry.metadata().map_err(fail)?.len()));
                } else if File::is_temporary(&name) {
                    fs::remove_file(entry.path()).map_err(fail)?;
                }
            }
            sync_dir(&at)?;
        }
        found.sort_unstable();
        for (file, _) in &found {
            // A state file counts up to where it was synced before the manifest named it.
            if !matches!(file, File::State(_)) {
                self.forget_cached(*file)?;
            }
        }
        Ok(found)
    }

    /// After a sync that failed, the kernel may hold for clean what is on no disk, and no later
    /// sync writes it: a start that reads it would promise what the next power cut takes.
    fn forget_cached(&self, file: File) -> Result<(), DiskFailure> {
        // Not the handle that is kept: whoever lists may be about to move the file.
        let fail = |action| move |source| self.failure(action, file, source);
        let handle = fs::File::open(self.path(file)).map_err(fail("open"))?;
        handle.sync_data().map_err(fail("fdatasync"))?;
        rustix::fs::fadvise(&handle, 0, None, rustix::fs::Advice::DontNeed)
            .map_err(|error| self.failure("advise on", file, error.into()))
    }

    /// An open file. Who has it finds by its place in memory whether it is still the same.
    pub(super) fn handle(&self, file: File) -> Result<Arc<fs::File>, DiskFailure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = open.get(&file) {
            return Ok(Arc::clone(handle));
        }
        let handle = OpenOptions::new().read(true).write(true).open(self.path(file));
        let handle = Arc::new(handle.map_err(|e| self.failure("open", file, e))?);
        // What a sequential reader would leave in the page cache makes later commits dear.
        rustix::fs::fadvise(&*handle, 0, None, rustix::fs::Advice::Random)
            .map_err(|e| self.failure("advise on", file, e.into()))?;
        open.insert(file, Arc::clone(&handle));
        Ok(handle)
    }

    /// Carries out one operation as its lane wants it.
    pub(super) fn carry_out(&self, lane: Lane, op: &DiskOp) -> Result<(), DiskFailure> {
        match (op, lane) {
            (DiskOp::Allocate { file, len }, _) => self.allocate(*file, *len),
            (DiskOp::Write { file, at, bytes }, Lane::Log) => match self.backend {
                Backend::Direct => self.write_direct(*file, *at, bytes),
                Backend::Map | Backend::Pwrite => self.write(*file, *at, bytes),
            },
            (DiskOp::Write { file, at, bytes }, Lane::Bulk) => self.write_paced(*file, *at, bytes),
            (DiskOp::Sync { file }, _) => {
                self.sync(*file)?;
                if lane == Lane::Log {
                    self.committed();
                }
                Ok(())
            }
            (DiskOp::Publish { file }, _) => self.publish(*file),
            (DiskOp::Remove { file }, _) => self.remove(*file),
        }
    }

    /// Puts pieces, one after the other, at once. A commit has two pieces for each of its
    /// records, so they go to the kernel together.
    pub(super) fn write(
        &self,
        file: File,
        mut at: u64,
        pieces: &[Bytes],
    ) -> Result<(), DiskFailure> {
        let handle = self.handle(file)?;
        let fail = |e| self.failure("write", file, e);
        let filled = pieces.iter().filter(|piece| !piece.is_empty());
        let mut slices: Vec<IoSlice<'_>> = filled.map(|piece| IoSlice::new(piece)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let many = &rest[..rest.len().min(SLICES_MAX)];
            let wrote = match rustix::io::pwritev(&*handle, many, at) {
                Ok(0) => return Err(fail(io::ErrorKind::WriteZero.into())),
                Ok(wrote) => wrote,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(fail(error.into())),
            };
            at += wrote as u64;
            IoSlice::advance_slices(&mut rest, wrote);
        }
        Ok(())
    }

    /// Puts pieces around the page cache, as one write from memory that the device can read. What
    /// does not fill sectors cannot go this way.
    fn write_direct(&self, file: File, at: u64, pieces: &[Bytes]) -> Result<(), DiskFailure> {
        let len: usize = pieces.iter().map(Bytes::len).sum();
        if !at.is_multiple_of(SECTOR as u64) || !len.is_multiple_of(SECTOR) {
            return self.write(file, at, pieces);
        }
        let fail = |e| self.failure("write", file, e);
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = match &*direct {
            Some((tail, handle)) if *tail == file => Arc::clone(handle),
            _ => {
                let mut options = OpenOptions::new();
                let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
                options.write(true).custom_flags(flags);
                let handle = Arc::new(options.open(self.path(file)).map_err(fail)?);
                *direct = Some((file, Arc::clone(&handle)));
                handle
            }
        };
        let mut memory = vec![0; len + PAGE];
        let from = memory.as_ptr().align_offset(PAGE);
        let mut end = from;
        for piece in pieces {
            memory[end..end + piece.len()].copy_from_slice(piece);
            end += piece.len();
        }
        handle.write_all_at(&memory[from..end], at).map_err(fail)
    }

    /// Puts pieces, one after the other, so that commits beside it are not delayed.
    fn write_paced(&self, file: File, at: u64, pieces: &[Bytes]) -> Result<(), DiskFailure> {
        let handle = self.handle(file)?;
        let fail = |e| self.failure("write", file, e);
        let mut pace = Pace::new(self, &handle, at);
        for piece in pieces {
            for part in piece.chunks(PIECE) {
                handle.write_all_at(part, pace.at).map_err(fail)?;
                pace.wrote(part.len()).map_err(fail)?;
            }
        }
        pace.flush().map_err(fail)
    }

    /// Makes a file of zeros under its temporary name. Each `write` is a page long: larger ones
    /// make large folios in the page cache, and a commit through the map would dirty a whole one.
    fn allocate(&self, file: File, len: u64) -> Result<(), DiskFailure> {
        let path = self.placed(&file.temporary());
        let fail =
            |source| DiskFailure { action: "allocate", path: path.display().to_string(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let handle = Arc::new(options.open(&path).map_err(fail)?);
        let zeros = [0; PAGE];
        let mut pace = Pace::new(self, &handle, 0);
        while pace.at < len {
            let part = usize::try_from(len - pace.at).map_or(PAGE, |rest| rest.min(PAGE));
            handle.write_all_at(&zeros[..part], pace.at).map_err(fail)?;
            pace.wrote(part).map_err(fail)?;
        }
        pace.flush().map_err(fail)?;
        handle.sync_all().map_err(fail)?;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(file, handle);
        Ok(())
    }

    fn sync(&self, file: File) -> Result<(), DiskFailure> {
        let handle = self.handle(file)?;
        rustix::fs::fdatasync(&*handle).map_err(|e| self.failure("fdatasync", file, e.into()))
    }

    fn publish(&self, file: File) -> Result<(), DiskFailure> {
        let from = self.placed(&file.temporary());
        fs::rename(from, self.path(file)).map_err(|e| self.failure("publish", file, e))?;
        self.sync_home(file)
    }

    fn remove(&self, file: File) -> Result<(), DiskFailure> {
        fs::remove_file(self.path(file)).map_err(|e| self.failure("remove", file, e))?;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&file);
        self.sync_home(file)
    }

    /// Syncs the directory that a file lies in.
    fn sync_home(&self, file: File) -> Result<(), DiskFailure> {
        let path = self.path(file);
        let home = path.parent().expect("a file's name has a directory in it");
        sync_dir(home)
    }
}

/// A file without a name in a directory.
pub(super) fn unnamed(dir: &Path) -> io::Result<fs::File> {
    let path = dir.join(format!("incoming-{}.tmp", std::process::id()));
    // A crash may have left one, and a stranger could have put a link there.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Makes the directories that are missing.
fn make_homes(dir: &DataDir) -> Result<(), DiskFailure> {
    if dir.logs().is_none() {
        dir.make(LOGS)?;
    }
    dir.make(STATES)
}

/// Makes what happened to a directory's names durable.
fn sync_dir(path: &Path) -> Result<(), DiskFailure> {
    let fail = |source| DiskFailure { action: "sync", path: path.display().to_string(), source };
    fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(fail)
}

impl LogFiles for Files {
    fn carry_out(&self, lane: Lane, op: &DiskOp) -> Result<(), DiskFailure> {
        Files::carry_out(self, lane, op)
    }

    fn handle(&self, file: File) -> Result<Arc<fs::File>, DiskFailure> {
        Files::handle(self, file)
    }

    fn failure(&self, action: &'static str, file: File, source: io::Error) -> DiskFailure {
        Files::failure(self, action, file, source)
    }

    fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }
}

/// Paces one background write.
struct Pace<'a> {
    files: &'a Files,
    handle: &'a fs::File,
    /// Where the next byte goes.
    at: u64,
    /// Where the piece begins that is being gathered.
    piece: u64,
}

impl<'a> Pace<'a> {
    fn new(files: &'a Files, handle: &'a fs::File, at: u64) -> Pace<'a> {
        Pace { files, handle, at, piece: at }
    }

    /// Counts what was written; a whole piece goes out.
    fn wrote(&mut self, len: usize) -> io::Result<()> {
        self.at += len as u64;
        if self.at - self.piece < PIECE as u64 { Ok(()) } else { self.flush() }
    }

    /// Sends out what was gathered. If a commit came by meanwhile, the next piece waits.
    fn flush(&mut self) -> io::Result<()> {
        if self.at == self.piece {
            return Ok(());
        }
        write_out(self.handle, self.piece, self.at - self.piece)?;
        self.piece = self.at;
        let commits = self.files.commits.load(Ordering::Relaxed);
        if self.files.paced.swap(commits, Ordering::Relaxed) != commits {
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}
