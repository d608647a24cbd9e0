//! `inspect`: what lies in logs, states and databases of both projects. etcd has nothing like it.

mod describe;
mod diff;
mod export;
mod history;
mod keys;
mod log;
mod state;
mod verify;

use super::Common;
use super::source::Source;
use crate::ctl::Failed;
use crate::ctl::fields::quoted;
use crate::ctl::output;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use keel_core::Keys;
use keel_core::command::Range;
use keel_core::mvcc::View;
use serde_json::Value;
use std::io::Write;

/// `inspect`.
#[derive(Debug, Subcommand)]
pub(super) enum Inspect {
    /// Shows whose a directory or database is, where it stands and how much it holds.
    State(At),
    /// Reads everything and looks at every checksum; says where the first damage is.
    Verify(At),
    /// Shows the entries of a log.
    Log(log::Log),
    /// Counts keys, versions and bytes by prefix.
    Keys(keys::KeysBy),
    /// Shows every version of a key that is still held.
    History(history::History),
    /// Shows what differs between two revisions, or between two directories or databases.
    Diff(diff::Diff),
    /// Writes the log that a data directory still holds as etcd's own files.
    Export(export::Export),
}

/// Where to look.
#[derive(Debug, Args)]
pub(super) struct At {
    /// A data directory of keel's or of etcd's, a database file, or a snapshot.
    path: String,
    /// Where the log lies, if not in the data directory.
    #[arg(long)]
    wal_dir: Option<String>,
}

impl At {
    fn open(&self, common: &Common) -> Result<Source, Failed> {
        Source::open_with(common, &self.path, self.wal_dir.as_deref())
    }

    fn open_log(&self, common: &Common) -> Result<Source, Failed> {
        Source::open_log(common, &self.path, self.wal_dir.as_deref())
    }
}

pub(super) async fn run(common: &Common, inspect: Inspect) -> Result<(), Failed> {
    let form = Form::parse(&common.write_out)?;
    match inspect {
        Inspect::State(at) => state::run(common, form, &at).await,
        Inspect::Verify(at) => verify::run(common, form, &at).await,
        Inspect::Log(log) => log::run(common, form, &log),
        Inspect::Keys(keys) => keys::run(common, form, &keys).await,
        Inspect::History(history) => history::run(common, form, &history).await,
        Inspect::Diff(diff) => diff::run(common, form, &diff).await,
        Inspect::Export(export) => export::run(common, form, &export),
    }
}

/// How to print: for persons, or one JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Simple,
    Json,
}

impl Form {
    fn parse(text: &str) -> Result<Form, Failed> {
        match text {
            "simple" => Ok(Form::Simple),
            "json" => Ok(Form::Json),
            "fields" | "table" | "protobuf" => {
                Err(Failed::feature(format!("{text} not supported as output format")))
            }
            _ => Err(Failed::feature(output::NO_FORM)),
        }
    }
}

/// Standard output, in large pieces.
struct Page(Vec<u8>);

impl Page {
    fn new() -> Page {
        Page(Vec::new())
    }

    fn line(&mut self, line: impl std::fmt::Display) -> Result<(), Failed> {
        // Memory takes everything.
        let _ = writeln!(self.0, "{line}");
        if self.0.len() < 64 * 1024 {
            return Ok(());
        }
        self.turn()
    }

    /// Prints what there is.
    fn turn(&mut self) -> Result<(), Failed> {
        let printed = output::print(&self.0).map_err(Failed::plain);
        self.0.clear();
        printed
    }
}

/// A list of JSON objects inside an object, printed as they come.
struct Listed {
    page: Page,
    first: bool,
}

impl Listed {
    /// Begins with the object's other fields, which end in the list's name.
    fn begin(head: Value, name: &str) -> Result<Listed, Failed> {
        let mut page = Page::new();
        let head = head.to_string();
        let head = head.strip_suffix('}').unwrap_or(&head);
        let comma = if head.len() > 1 { "," } else { "" };
        page.line(format_args!("{head}{comma}{}:[", Value::from(name)))?;
        Ok(Listed { page, first: true })
    }

    fn push(&mut self, item: &Value) -> Result<(), Failed> {
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        self.page.line(format_args!("{comma}{item}"))
    }

    fn end(mut self) -> Result<(), Failed> {
        self.page.line("]}")?;
        self.page.turn()
    }
}

/// Bytes as JSON has them in etcd's outputs.
fn base64(bytes: &[u8]) -> Value {
    Value::from(STANDARD.encode(bytes))
}

/// A key or value for a person's eyes: a long one is cut.
fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 64;
    match bytes.get(..LONGEST) {
        Some(front) if bytes.len() > LONGEST => {
            format!("{}... ({} bytes)", quoted(front), bytes.len())
        }
        _ => quoted(bytes),
    }
}

/// The keys that live at a revision, in order, a few at a time.
struct Living<'a> {
    view: &'a View,
    range: Range,
    page: std::vec::IntoIter<bytes::Bytes>,
    last: Option<bytes::Bytes>,
    begun: bool,
}

impl<'a> Living<'a> {
    fn new(view: &'a View, keys: Keys, revision: i64) -> Living<'a> {
        let range = Range { revision, ..Range::of(keys) };
        Living { view, range, page: Vec::new().into_iter(), last: None, begun: false }
    }

    /// The next record.
    fn next(&mut self) -> Result<Option<bytes::Bytes>, Failed> {
        loop {
            if let Some(record) = self.page.next() {
                return Ok(Some(record));
            }
            if self.begun && self.last.is_none() {
                return Ok(None);
            }
            self.begun = true;
            let page = self.view.page(&self.range, self.last.as_deref(), 1024);
            let page = page.map_err(|refusal| Failed::plain(super::database::told(&refusal)))?;
            self.page = page.records.into_iter();
            self.last = page.last;
        }
    }
}
