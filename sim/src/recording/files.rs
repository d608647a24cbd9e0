//! The recorder's files: which belong together, and which state to begin with.

use super::date;
use keel_core::entry::RawEntry;
use keel_core::recording::{Header, Kind, Stream, read};
use keel_core::{Entry, Instant};
use keel_proto::convert::decode_entry;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes in which a header lies.
const HEADER_MAX: u64 = 4096;

/// The newest life of a member that a directory holds.
#[derive(Debug)]
pub struct Recording {
    /// What the member's clock called zero, microseconds since 1970.
    epoch: u64,
    /// By number.
    stretches: BTreeMap<u64, Stretch>,
}

/// A state, and the inputs behind it.
#[derive(Debug, Default)]
struct Stretch {
    state: Option<PathBuf>,
    inputs: Option<PathBuf>,
}

impl Recording {
    /// What a directory holds: the newest life in it. Where a state file is named, that one's life,
    /// from there on.
    ///
    /// # Errors
    ///
    /// Says what is missing.
    pub fn open(path: &Path) -> Result<Recording, String> {
        let (dir, first) = if path.is_dir() {
            (path, None)
        } else {
            (path.parent().unwrap_or(path), Some(header(path)?))
        };
        let cannot = |error: std::io::Error| format!("cannot read {}: {error}", dir.display());
        let mut files = Vec::new();
        for entry in fs::read_dir(dir).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            let kind = path.extension().and_then(|kind| kind.to_str());
            if matches!(kind, Some("state" | "inputs")) {
                // One that was begun and not written has no header.
                files.extend(header(&path).ok().map(|header| (header, path)));
            }
        }
        let newest = files.iter().map(|(header, _)| header).max_by_key(|header| header.number);
        let wanted = first.as_ref().or(newest);
        let wanted = wanted.ok_or_else(|| format!("{} holds no recording", dir.display()))?.clone();
        let from = first.map_or(0, |first| first.number);
        let mut stretches: BTreeMap<u64, Stretch> = BTreeMap::new();
        for (header, path) in files {
            if header.run == wanted.run && header.number >= from {
                let stretch = stretches.entry(header.number).or_default();
                match header.kind {
                    Kind::State => stretch.state = Some(path),
                    Kind::Inputs => stretch.inputs = Some(path),
                }
            }
        }
        Ok(Recording { epoch: wanted.epoch, stretches })
    }

    /// A moment of the member's clock, from a date or from that clock's seconds.
    ///
    /// # Errors
    ///
    /// It is neither, or lies before the member's life.
    pub fn moment(&self, text: &str) -> Result<Instant, String> {
        if let Some(date) = date::parse(text) {
            let since = date.checked_sub(self.epoch);
            let since = since.ok_or_else(|| format!("the member did not run yet at {text}"))?;
            return Ok(Instant(since.saturating_mul(1000)));
        }
        let seconds = text.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
        let seconds =
            seconds.ok_or_else(|| format!("{text:?} is neither a date nor a number of seconds"))?;
        Ok(Instant(0).after(seconds))
    }

    /// The numbers, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.stretches.keys().copied()
    }

    /// A state, if it is there.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn state(&self, number: u64) -> Result<Option<Stream>, String> {
        let path = self.stretches.get(&number).and_then(|stretch| stretch.state.as_deref());
        path.map(stream).transpose()
    }

    /// The inputs behind it, if there are any.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn inputs(&self, number: u64) -> Result<Option<Stream>, String> {
        let path = self.stretches.get(&number).and_then(|stretch| stretch.inputs.as_deref());
        path.map(stream).transpose()
    }
}

/// Parses entries for the core.
pub(crate) fn parse(raw: RawEntry) -> Option<Entry> {
    decode_entry(raw).ok()
}

fn stream(path: &Path) -> Result<Stream, String> {
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    read(&bytes, parse).map_err(|why| format!("{}: {why}", path.display()))
}

/// What a file says of itself; it stands in the first frame.
fn header(path: &Path) -> Result<Header, String> {
    let cannot = |error| format!("cannot read {}: {error}", path.display());
    let mut begin = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(HEADER_MAX).read_to_end(&mut begin).map_err(cannot)?;
    let stream = read(&begin, parse).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(stream.header)
}
