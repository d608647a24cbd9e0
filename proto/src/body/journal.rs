//! The log that operators read: etcd's line format, level filter and outputs.
//!
//! A line is one JSON object with zap's keys in zap's order (surface §9.1), or the same in
//! columns. What the core reports becomes lines in `notes.rs`.

use super::Time;
use super::config::{Level, LogFormat};
use super::date::stamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time since 1970.
type Date = Box<dyn Fn() -> Duration + Send + Sync>;

/// Where lines go; one clone a task.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    level: Level,
    format: LogFormat,
    date: Date,
    writer: Mutex<Writer>,
}

/// A place for lines: each is one `write_all`.
pub type Sink = Box<dyn Write + Send>;

struct Writer {
    sinks: Vec<Sink>,
    sampler: Sampler,
}

/// Thins out what repeats, as etcd's logger does: of equal lines within a second, the first
/// hundred and then each hundredth.
#[derive(Debug, Default)]
struct Sampler {
    second: u64,
    seen: BTreeMap<(Level, String), u64>,
}

impl Sampler {
    fn takes(&mut self, second: u64, level: Level, msg: &str) -> bool {
        if second != self.second {
            self.second = second;
            self.seen.clear();
        }
        let seen = self.seen.entry((level, String::from(msg))).or_default();
        *seen += 1;
        *seen <= 100 || seen.is_multiple_of(100)
    }
}

/// Lines that a test reads.
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a line says, besides its level and message.
pub type Fields<'a> = &'a [(&'a str, Value)];

impl Journal {
    /// A journal that writes lines from this level on to all sinks.
    #[must_use]
    pub fn new(level: Level, format: LogFormat, time: impl Time, sinks: Vec<Sink>) -> Journal {
        let writer = Mutex::new(Writer { sinks, sampler: Sampler::default() });
        let date = Box::new(move || time.unix());
        Journal { inner: Arc::new(Inner { level, format, date, writer }) }
    }

    /// A journal whose lines a test can read.
    #[must_use]
    pub fn memory(
        level: Level,
        format: LogFormat,
        time: impl Time,
    ) -> (Journal, Arc<Mutex<Vec<u8>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Box::new(Memory(Arc::clone(&lines)));
        (Journal::new(level, format, time, vec![sink]), lines)
    }

    /// Whether a line of this level is written: whoever builds fields at a cost asks first.
    #[must_use]
    pub fn takes(&self, level: Level) -> bool {
        level >= self.inner.level
    }

    /// Writes a line at debug level.
    #[track_caller]
    pub fn debug(&self, msg: &str, fields: Fields<'_>) {
        self.line(Level::Debug, None, msg, fields);
    }

    /// Writes a line at info level.
    #[track_caller]
    pub fn info(&self, msg: &str, fields: Fields<'_>) {
        self.line(Level::Info, None, msg, fields);
    }

    /// Writes a line at warn level.
    #[track_caller]
    pub fn warn(&self, msg: &str, fields: Fields<'_>) {
        self.line(Level::Warn, None, msg, fields);
    }

    /// Writes a line at error level.
    #[track_caller]
    pub fn error(&self, msg: &str, fields: Fields<'_>) {
        self.line(Level::Error, None, msg, fields);
    }

    /// Writes a line as the logger `raft`, whose messages tests of etcd look for.
    #[track_caller]
    pub fn raft(&self, level: Level, msg: &str) {
        self.line(level, Some("raft"), msg, &[]);
    }

    /// Writes a line, if its level is wanted. A line that cannot be written is lost: a full log
    /// disk or a closed pipe must not stop a member.
    #[track_caller]
    fn line(&self, level: Level, logger: Option<&str>, msg: &str, fields: Fields<'_>) {
        if !self.takes(level) {
            return;
        }
        let unix = (self.inner.date)();
        let mut writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if !writer.sampler.takes(unix.as_secs(), level, msg) {
            return;
        }
        let ts = stamp(unix);
        let caller = place(Location::caller());
        let line = match self.inner.format {
            LogFormat::Json => json(level, &ts, logger, &caller, msg, fields),
            LogFormat::Console => console(level, &ts, logger, &caller, msg, fields),
        };
        for sink in &mut writer.sinks {
            let _ = sink.write_all(line.as_bytes());
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("level", &self.inner.level).finish_non_exhaustive()
    }
}

/// zap's name of a level.
fn name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
        Level::Panic => "panic",
        Level::Fatal => "fatal",
    }
}

/// `dir/file.rs:line`, as zap shortens a caller.
fn place(location: &Location<'_>) -> String {
    let file = location.file();
    let short = file.rmatch_indices('/').nth(1).map_or(file, |(at, _)| &file[at + 1..]);
    format!("{short}:{}", location.line())
}

fn json(
    level: Level,
    ts: &str,
    logger: Option<&str>,
    caller: &str,
    msg: &str,
    fields: Fields<'_>,
) -> String {
    let mut line = format!(r#"{{"level":"{}","ts":"{ts}""#, name(level));
    let mut put = |key: &str, value: Value| {
        // A `Value` prints as JSON, and writing into a string cannot fail.
        let _ = write!(line, r#",{}:{value}"#, Value::from(key));
    };
    if let Some(logger) = logger {
        put("logger", Value::from(logger));
    }
    put("caller", Value::from(caller));
    put("msg", Value::from(msg));
    for (key, value) in fields {
        put(key, value.clone());
    }
    line.push_str("}\n");
    line
}

fn console(
    level: Level,
    ts: &str,
    logger: Option<&str>,
    caller: &str,
    msg: &str,
    fields: Fields<'_>,
) -> String {
    let mut line = format!("{ts}\t{}\t", name(level));
    if let Some(logger) = logger {
        line.push_str(logger);
        line.push('\t');
    }
    line.push_str(caller);
    line.push('\t');
    line.push_str(&msg.replace('\n', "\\n"));
    if !fields.is_empty() {
        line.push_str("\t{");
        for (at, (key, value)) in fields.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // Writing into a string cannot fail.
            let _ = write!(line, "{comma}{}: {value}", Value::from(*key));
        }
        line.push('}');
    }
    line.push('\n');
    line
}

/// A span as Go prints it in a field: `1.5ms`, `2m0s`.
pub(super) fn go_duration(span: Duration) -> String {
    let nanos = span.as_nanos();
    let fraction = |whole: u128, unit: u128, name: &str| {
        let mut text = format!("{}.{:0width$}", whole / unit, whole % unit, width = digits(unit));
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        text + name
    };
    match nanos {
        0 => String::from("0s"),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fraction(nanos, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(nanos, 1_000_000, "ms"),
        _ => {
            let (minutes, rest) = (span.as_secs() / 60, nanos % 60_000_000_000);
            let seconds = fraction(rest, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// How many zeros a power of ten has.
fn digits(unit: u128) -> usize {
    unit.ilog10() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::host::Still;

    fn written(level: Level, format: LogFormat, write: impl Fn(&Journal)) -> String {
        let (journal, lines) =
            Journal::memory(level, format, Still(Duration::from_secs(1_787_238_795)));
        write(&journal);
        let bytes = lines.lock().expect("no test thread panics with it").clone();
        String::from_utf8(bytes).expect("lines are text")
    }

    #[test]
    fn a_line_is_json_with_zaps_keys_in_zaps_order() {
        let lines = written(Level::Info, LogFormat::Json, |journal| {
            journal.info("a \"quoted\"\nmessage", &[("local-member-id", Value::from("8e9e"))]);
            journal.raft(Level::Warn, "8e9e became follower at term 1");
        });
        let keys = [
            "\"level\":",
            "\"ts\":",
            "\"caller\":\"body/journal.rs:",
            "\"msg\":",
            "\"local-member-id\":",
        ];
        let first = lines.lines().next().expect("two lines");
        let places: Vec<_> = keys.iter().map(|key| first.find(key).expect(key)).collect();
        assert!(places.is_sorted(), "{first}");
        for line in lines.lines() {
            let value: Value = serde_json::from_str(line).expect(line);
            for key in ["level", "ts", "caller", "msg"] {
                assert!(
                    value[key].as_str().is_some_and(|text| !text.is_empty()),
                    "{key} of {line}"
                );
            }
        }
        assert!(lines.contains(r#"Z","logger":"raft","caller":"#), "{lines}");
    }

    #[test]
    fn lines_below_the_level_are_dropped() {
        let lines = written(Level::Warn, LogFormat::Json, |journal| {
            journal.debug("one", &[]);
            journal.info("two", &[]);
            journal.warn("three", &[]);
            journal.error("four", &[]);
        });
        let levels: Vec<&str> = lines.lines().map(|line| &line[10..14]).collect();
        assert_eq!(levels, ["warn", "erro"]);
    }

    #[test]
    fn what_repeats_is_thinned_out() {
        let lines = written(Level::Info, LogFormat::Json, |journal| {
            for _ in 0..1000 {
                journal.info("again", &[]);
                journal.warn("again", &[]);
            }
        });
        assert_eq!(lines.matches(r#""level":"info""#).count(), 109);
        assert_eq!(lines.matches(r#""level":"warn""#).count(), 109);
    }

    #[test]
    fn the_console_has_columns() {
        let lines = written(Level::Info, LogFormat::Console, |journal| {
            journal.info("updated storage version", &[("storage-version", Value::from("3.7"))]);
        });
        assert!(
            lines.ends_with("\tupdated storage version\t{\"storage-version\": \"3.7\"}\n"),
            "{lines}"
        );
        assert_eq!(lines.matches('\t').count(), 4);
    }

    #[test]
    fn spans_look_as_go_prints_them() {
        let table = [
            (0, "0s"),
            (999, "999ns"),
            (1_500, "1.5µs"),
            (1_215_398, "1.215398ms"),
            (100_000_000, "100ms"),
            (1_000_000_000, "1s"),
            (7_250_000_000, "7.25s"),
            (60_000_000_000, "1m0s"),
            (7_200_000_000_000, "2h0m0s"),
        ];
        for (nanos, expected) in table {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), expected);
        }
    }
}
