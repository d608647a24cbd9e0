//! The recorder's files: a state, the inputs behind it, and again, in bounded space.
//!
//! Two states and the inputs behind both fit, so a recording is never shorter than one stretch
//! between two states. The oldest goes when its space is needed and not before, and so does what
//! earlier lives of the member left: the process that crashed is started again before anybody
//! looks.

use crate::data_dir::lock;
use keel_core::recording::{FRAME_MAX, Framer, Header, Kind, Writer};
use keel_proto::body::Failure;
use keel_proto::body::config::Recording;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes after which a file is synced: less than the kernel would gather, and then write all at
/// once, in front of the log's own syncs.
const SYNC_EVERY: u64 = 4 << 20;

/// The files, oldest first.
#[derive(Debug)]
pub(super) struct Ring {
    dir: PathBuf,
    /// Nobody else writes here.
    _lock: File,
    max: u64,
    run: u64,
    epoch: u64,
    files: Vec<Kept>,
    current: Option<Out>,
    /// Bytes of the newest state.
    state: u64,
    newest: u64,
    /// The oldest number that is needed: the newest whole state's.
    needed: u64,
}

/// A file that counts.
#[derive(Debug)]
struct Kept {
    number: u64,
    path: PathBuf,
    len: u64,
}

/// The file that is written; it is the last one kept.
#[derive(Debug)]
struct Out {
    file: File,
    framer: Framer,
    unsynced: u64,
}

/// The state does not fit.
#[derive(Debug)]
pub(super) struct Full {
    max: u64,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Full { max } = self;
        write!(
            f,
            "--recorder-size: {max} bytes do not hold the state twice, and inputs between: give it \
             four times what the data directory holds"
        )
    }
}

impl std::error::Error for Full {}

impl Ring {
    /// Goes on behind what is there.
    pub(super) fn open(told: &Recording, run: u64, epoch: Duration) -> Result<Ring, Failure> {
        let lock = lock("--recorder-dir", &told.dir)?;
        let mut files = list(&told.dir).map_err(|error| {
            Failure::new(format!("--recorder-dir: cannot read {}: {error}", told.dir.display()))
        })?;
        files.sort_by(|a, b| (a.number, &a.path).cmp(&(b.number, &b.path)));
        let newest = files.last().map_or(0, |file| file.number);
        Ok(Ring {
            dir: told.dir.clone(),
            _lock: lock,
            max: told.bytes,
            run,
            epoch: u64::try_from(epoch.as_micros()).unwrap_or(u64::MAX),
            files,
            current: None,
            state: 0,
            newest,
            needed: newest + 1,
        })
    }

    /// Where it is.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a state, and begins with the inputs behind it.
    pub(super) fn state(&mut self, steps: u64, state: &Writer) -> io::Result<()> {
        self.end_file()?;
        self.newest += 1;
        self.begin_file(Kind::State, steps)?;
        self.write(state)?;
        self.state = self.files.last().map_or(0, |file| file.len);
        self.end_file()?;
        self.needed = self.newest;
        self.begin_file(Kind::Inputs, steps)
    }

    /// Goes on with the inputs.
    pub(super) fn inputs(&mut self, inputs: &Writer) -> io::Result<()> {
        self.write(inputs)
    }

    /// Whether it is time for the next state. One that leaves little room for inputs would be
    /// written again and again: then the inputs have what is left, and that is the end.
    pub(super) fn wants_state(&self) -> bool {
        let inputs = self.files.last().map_or(0, |file| file.len);
        // Two states and the inputs behind both fit, with some air.
        let air = self.max / 16;
        let room = self.max.saturating_sub(2 * self.state + air) / 2;
        room >= self.max / 8 && inputs >= room
    }

    /// Cuts what a writer holds into frames.
    fn write(&mut self, what: &Writer) -> io::Result<()> {
        let mut payload = Vec::with_capacity(what.len().min(FRAME_MAX));
        what.pieces(&mut |mut piece| {
            while !piece.is_empty() {
                let room = FRAME_MAX - payload.len();
                let (now, later) = piece.split_at(room.min(piece.len()));
                payload.extend_from_slice(now);
                piece = later;
                if payload.len() == FRAME_MAX {
                    self.frame(&payload)?;
                    payload.clear();
                }
            }
            Ok::<_, io::Error>(())
        })?;
        if payload.is_empty() { Ok(()) } else { self.frame(&payload) }
    }

    fn frame(&mut self, payload: &[u8]) -> io::Result<()> {
        self.make_room(payload.len() as u64 + 8)?;
        let out = self.current.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let head = out.framer.head(payload);
        self.append(&[&head, payload])
    }

    fn append(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let (Some(out), Some(kept)) = (&mut self.current, self.files.last_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        for piece in pieces {
            out.file.write_all(piece)?;
            kept.len += piece.len() as u64;
            out.unsynced += piece.len() as u64;
        }
        if out.unsynced >= SYNC_EVERY {
            out.file.sync_data()?;
            out.unsynced = 0;
        }
        Ok(())
    }

    fn begin_file(&mut self, kind: Kind, steps: u64) -> io::Result<()> {
        let (number, run, epoch) = (self.newest, self.run, self.epoch);
        let code = env!("CARGO_PKG_VERSION").to_owned();
        let header = Header { kind, code, run, number, steps, epoch };
        let (framer, first) = Framer::begin(&header);
        self.make_room(first.len() as u64)?;
        let path = self.dir.join(name(number, kind));
        let file = File::options().write(true).create_new(true).open(&path)?;
        self.files.push(Kept { number, path, len: 0 });
        self.current = Some(Out { file, framer, unsynced: 0 });
        self.append(&[&first])
    }

    fn end_file(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some(out) => out.file.sync_data(),
            None => Ok(()),
        }
    }

    /// Removes the oldest states and the inputs behind them until so many bytes fit.
    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        loop {
            let held: u64 = self.files.iter().map(|file| file.len).sum();
            if held + bytes <= self.max {
                return Ok(());
            }
            let oldest = self.files.first().map(|file| file.number);
            let Some(oldest) = oldest.filter(|oldest| *oldest < self.needed) else {
                return Err(io::Error::other(Full { max: self.max }));
            };
            while let Some(file) = self.files.first().filter(|file| file.number == oldest) {
                match fs::remove_file(&file.path) {
                    // Somebody else made the room.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed?,
                }
                self.files.remove(0);
            }
        }
    }
}

/// What a file is called.
fn name(number: u64, kind: Kind) -> String {
    match kind {
        Kind::State => format!("{number:016x}.state"),
        Kind::Inputs => format!("{number:016x}.inputs"),
    }
}

/// The files of earlier lives.
fn list(dir: &Path) -> io::Result<Vec<Kept>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let ours = path.extension().is_some_and(|kind| kind == "state" || kind == "inputs");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.len() == 16);
        let number = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok());
        if let Some(number) = number.filter(|_| ours) {
            found.push(Kept { number, len: entry.metadata()?.len(), path });
        }
    }
    Ok(found)
}
