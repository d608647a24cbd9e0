//! Files of members that do not run, for tools: read without a change to them, or written whole.

use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::disk::{Disk, MapDisk, map_locked};
use crate::net::{TcpNet, TokioHost};
use bytes::Bytes;
use keel_core::disk::File;
use keel_core::planner::{Options, Recovered, Recovery};
use keel_core::state::Checkpoint;
use keel_core::{Mark, Planner, Write};
use keel_proto::body::config::Backend;
use keel_proto::body::disk::carry_out;
use keel_proto::body::{Failure, damaged};
use keel_proto::peer::Spill;
use rustix::fs::FlockOperation;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Between two attempts to get a lock.
const PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a log segment that a tool writes: the server begins one of its own behind it.
const SEGMENT_BYTES: u64 = 16 * 1024;

/// Locks an open file or directory as etcd's tools do: alone or together with other readers. Waits
/// this long for it; zero is for ever.
///
/// # Errors
///
/// `TimedOut` where somebody else kept it.
pub fn lock(file: &fs::File, alone: bool, patience: Duration) -> io::Result<()> {
    let how = match alone {
        true => FlockOperation::NonBlockingLockExclusive,
        false => FlockOperation::NonBlockingLockShared,
    };
    let mut waited = Duration::ZERO;
    loop {
        match rustix::fs::flock(file, how) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if patience.is_zero() || waited < patience => {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "timeout"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A whole file as memory that the kernel may drop and read again. The file stays locked, together
/// with other readers, as long as any slice of it lives.
///
/// # Errors
///
/// What the system says; `TimedOut` where somebody writes it.
pub fn map(path: &Path, patience: Duration) -> io::Result<Bytes> {
    let file = fs::File::open(path)?;
    lock(&file, false, patience)?;
    map_locked(file)
}

/// The same for a file that is locked already.
///
/// # Errors
///
/// What the system says.
pub fn map_open(file: fs::File) -> io::Result<Bytes> {
    map_locked(file)
}

/// A place for bytes that come and go: a file without a name in a directory.
///
/// # Errors
///
/// What the system says.
pub fn spill(dir: &Path) -> io::Result<Box<dyn Spill>> {
    crate::disk::unnamed(dir)
}

/// A data directory of ours whose member does not run, and cannot be started meanwhile.
#[derive(Debug)]
pub struct Stopped {
    dir: PathBuf,
    files: BTreeMap<File, PathBuf>,
    _locks: Vec<fs::File>,
}

impl Stopped {
    /// Opens a directory; `logs` is where the log lies if not in it. `None` where it holds no file
    /// of ours.
    ///
    /// # Errors
    ///
    /// Says which directory cannot be read, or whose member runs.
    pub fn open(
        dir: &Path,
        logs: Option<&Path>,
        patience: Duration,
    ) -> Result<Option<Stopped>, Failure> {
        let mut locks = Vec::new();
        for at in [Some(dir), logs].into_iter().flatten() {
            let opened = fs::File::open(at).map_err(|error| cannot(at, &error))?;
            lock(&opened, false, patience).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => Failure::new(format!(
                    "{}: another process holds its lock: stop the member first",
                    at.display()
                )),
                _ => cannot(at, &error),
            })?;
            locks.push(opened);
        }
        let mut files = BTreeMap::new();
        for home in ["member/log", "member/state"] {
            let at = match logs {
                Some(logs) if home == "member/log" => logs.to_path_buf(),
                _ => dir.join(home),
            };
            if !at.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&at).map_err(|error| cannot(&at, &error))? {
                let entry = entry.map_err(|error| cannot(&at, &error))?;
                let name = format!("{home}/{}", entry.file_name().to_string_lossy());
                files.extend(File::parse(&name).map(|file| (file, entry.path())));
            }
        }
        let found = Stopped { dir: dir.to_path_buf(), files, _locks: locks };
        Ok((!found.files.is_empty()).then_some(found))
    }

    /// Where its files lie.
    pub fn files(&self) -> impl Iterator<Item = (File, &Path)> {
        self.files.iter().map(|(file, path)| (*file, path.as_path()))
    }

    fn read(&self, file: File) -> Result<Bytes, Failure> {
        let path = &self.files[&file];
        let opened = fs::File::open(path).map_err(|error| cannot(path, &error))?;
        map_locked(opened).map_err(|error| cannot(path, &error))
    }

    /// What it holds; every checksum is looked at.
    ///
    /// # Errors
    ///
    /// Says which file is damaged, where and how.
    pub fn recover(&self) -> Result<Recovered, Failure> {
        let mut lengths = Vec::new();
        for (file, path) in &self.files {
            let len = fs::metadata(path).map_err(|error| cannot(path, &error))?.len();
            lengths.push((*file, len));
        }
        let mut recovery = Recovery::new(Options::default(), lengths);
        while let Some(wanted) = recovery.wants() {
            let fed = recovery.feed(wanted, self.read(wanted)?);
            fed.map_err(|damage| damaged(&self.dir, &damage))?;
        }
        let (_, recovered) = recovery.finish().map_err(|damage| damaged(&self.dir, &damage))?;
        Ok(recovered)
    }

    /// The segments of its log, by number.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn segments(&self) -> Result<BTreeMap<u64, Bytes>, Failure> {
        let mut segments = BTreeMap::new();
        for file in self.files.keys() {
            if let File::Segment(number) = file {
                segments.insert(*number, self.read(*file)?);
            }
        }
        Ok(segments)
    }
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()))
}

/// A data directory of ours in the making.
#[derive(Debug)]
pub struct Made {
    disk: MapDisk,
    dir: PathBuf,
}

impl Made {
    /// Makes the directories that are missing, and locks them.
    ///
    /// # Errors
    ///
    /// Names what cannot be made.
    pub fn begin(dir: &Path, logs: Option<&Path>) -> Result<Made, Failure> {
        let mut locked = DataDir::lock(dir)?;
        if let Some(logs) = logs {
            locked = locked.with_logs(logs)?;
        }
        Ok(Made { disk: MapDisk::open(locked, Backend::default())?, dir: dir.to_path_buf() })
    }

    /// A place for bytes that come and go.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn spill(&mut self) -> io::Result<Box<dyn Spill>> {
        self.disk.spill()
    }

    /// Writes everything that a member starts from, durably. `cluster` and the member's id are in
    /// the options.
    ///
    /// # Errors
    ///
    /// Names what cannot be written.
    pub async fn finish(
        mut self,
        options: Options,
        write: Write,
        checkpoint: Option<Arc<Checkpoint>>,
    ) -> Result<(), Failure> {
        let bytes = checkpoint.as_ref().map_or(0, |it| it.kv.usage().total.cast_unsigned());
        let options = Options {
            segment_bytes: SEGMENT_BYTES,
            state_bytes: options.state_bytes.min(bytes.max(SEGMENT_BYTES)),
            ..options
        };
        let mut planner = Planner::create(options);
        // Entries behind a checkpoint wait in the log until it is durable.
        if let Some(checkpoint) = checkpoint {
            planner.store(Mark(1), checkpoint);
        }
        planner.persist(Mark(1), write);
        carry_out(&mut self.disk, &mut planner).await?;
        // Its name must be as durable as what is in it.
        let parent = match self.dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let synced = fs::File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|error| Failure::new(format!("cannot sync {}: {error}", parent.display())))
    }
}

/// Whether a member advertises what the initial cluster says of it; names are looked up.
///
/// # Errors
///
/// In etcd's words, how they differ.
pub async fn advertised_as_listed(
    name: &str,
    advertised: &[String],
    listed: &[String],
) -> Result<(), Failure> {
    let host = TokioHost { net: TcpNet, clock: Clock::machine() };
    keel_proto::body::advertised_as_listed(&host, name, advertised, listed).await
}
