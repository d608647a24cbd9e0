//! A log file that does not grow without end: when it is full it becomes a backup with the time
//! in its name, and the oldest backups go (surface §5.2).

use crate::clock::Clock;
use keel_proto::body::config::Rotation;
use keel_proto::body::stamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The same as a place for the lines of a journal.
pub(super) struct Rotating {
    pub(super) log: Rotated,
    pub(super) clock: Clock,
}

impl Write for Rotating {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.log.write(line, self.clock.unix())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // A write goes to the file at once.
        Ok(())
    }
}

/// Who may read a new file: its owner.
const MODE: u32 = 0o600;

/// The file that lines go to now.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
}

impl Rotated {
    /// Goes on at the end of the file.
    pub(super) fn open(path: &Path, rotation: Rotation) -> io::Result<Rotated> {
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
        let size = file.metadata()?.len();
        Ok(Rotated { path: path.to_path_buf(), rotation, file, size })
    }

    /// Writes a line, into a fresh file where this one would become too large. `unix` is the time
    /// since 1970.
    pub(super) fn write(&mut self, line: &[u8], unix: Duration) -> io::Result<()> {
        let more = line.len() as u64;
        if self.size > 0 && self.size + more > self.rotation.bytes_max {
            // A file that cannot be put aside grows on: the line matters more.
            let _ = self.rotate(unix);
        }
        self.file.write_all(line)?;
        self.size += more;
        Ok(())
    }

    fn rotate(&mut self, unix: Duration) -> io::Result<()> {
        let mode = self.file.metadata()?.mode();
        fs::rename(&self.path, self.backup(&moment(unix)))?;
        let mut options = OpenOptions::new();
        self.file = options.append(true).create_new(true).mode(mode).open(&self.path)?;
        self.size = 0;
        self.forget(unix)
    }

    /// What the file is called when it is full: the time stands before the ending.
    fn backup(&self, moment: &str) -> PathBuf {
        let (stem, ending) = self.name();
        self.path.with_file_name(format!("{stem}-{moment}{ending}"))
    }

    fn name(&self) -> (String, String) {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let ending = self.path.extension().map(|ending| format!(".{}", ending.to_string_lossy()));
        (stem, ending.unwrap_or_default())
    }

    /// Deletes backups that are too many or too old.
    fn forget(&self, unix: Duration) -> io::Result<()> {
        let Rotation { age_max, backups_max, .. } = self.rotation;
        let oldest = age_max.map(|age| moment(unix.saturating_sub(age)));
        for (place, moment) in self.backups()?.into_iter().rev().enumerate() {
            let many = backups_max > 0 && place >= backups_max;
            let old = oldest.as_ref().is_some_and(|oldest| moment < *oldest);
            if many || old {
                fs::remove_file(self.backup(&moment))?;
            }
        }
        Ok(())
    }

    /// The moments of all backups, ascending.
    fn backups(&self) -> io::Result<Vec<String>> {
        let (stem, ending) = self.name();
        let folder = self.path.parent().filter(|path| !path.as_os_str().is_empty());
        let mut moments = Vec::new();
        for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
            let name = entry?.file_name();
            let moment = name.to_str().and_then(|name| {
                name.strip_prefix(&stem)?.strip_prefix('-')?.strip_suffix(&ending)
            });
            moments.extend(moment.filter(|text| is_moment(text)).map(String::from));
        }
        moments.sort_unstable();
        Ok(moments)
    }
}

/// A time as names of files hold it: `2026-11-26T10-10-06.606`, in UTC.
fn moment(unix: Duration) -> String {
    let mut text = stamp(unix).replace(':', "-");
    text.truncate("2026-11-26T10-10-06.606".len());
    text
}

fn is_moment(text: &str) -> bool {
    let form = |(at, byte): (usize, u8)| match at {
        4 | 7 | 13 | 16 => byte == b'-',
        10 => byte == b'T',
        19 => byte == b'.',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 23 && text.bytes().enumerate().all(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_becomes_a_backup_and_the_oldest_go() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("etcd.log");
        fs::write(folder.path().join("etcd-other.log"), "not ours").expect("a file");
        let rotation = Rotation { bytes_max: 10, age_max: None, backups_max: 2 };
        let mut log = Rotated::open(&path, rotation).expect("it can be made");
        let noon = Duration::from_secs(1_787_238_795);
        for second in 0..8 {
            log.write(b"12345", noon + Duration::from_secs(second)).expect("it is written");
        }
        let expected = [
            "etcd-2026-08-20T15-13-19.000.log",
            "etcd-2026-08-20T15-13-21.000.log",
            "etcd-other.log",
            "etcd.log",
        ];
        assert_eq!(names(folder.path()), expected);
        assert_eq!(fs::read(&path).expect("it is there"), b"1234512345");

        let rotation = Rotation { bytes_max: 10, age_max: Some(DAY), backups_max: 0 };
        let mut log = Rotated::open(&path, rotation).expect("it goes on");
        log.write(b"1", noon + DAY + Duration::from_secs(5)).expect("it is written");
        let expected = [
            "etcd-2026-08-20T15-13-21.000.log",
            "etcd-2026-08-21T15-13-20.000.log",
            "etcd-other.log",
            "etcd.log",
        ];
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn a_line_that_is_larger_than_a_file_has_one_of_its_own() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("log");
        let rotation = Rotation { bytes_max: 2, age_max: None, backups_max: 0 };
        let mut log = Rotated::open(&path, rotation).expect("it can be made");
        log.write(b"12345", DAY).expect("it is written");
        log.write(b"6", DAY).expect("it is written");
        assert_eq!(names(folder.path()), ["log", "log-1970-01-02T00-00-00.000"]);
    }
}
