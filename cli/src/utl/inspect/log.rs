//! `inspect log`: the entries that a log still holds.

use super::{At, Form, Listed, Page, describe};
use crate::ctl::Failed;
use crate::utl::Common;
use crate::utl::source::Logged;
use clap::Args;
use keel_core::RawEntry;
use serde_json::json;

/// The command line.
#[derive(Debug, Args)]
pub(in crate::utl) struct Log {
    #[command(flatten)]
    at: At,
    /// Begin at this index.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Show so many entries at most; zero is all.
    #[arg(long, default_value_t = 0)]
    limit: usize,
}

pub(super) fn run(common: &Common, form: Form, log: &Log) -> Result<(), Failed> {
    let found = log.at.open_log(common)?.log(common)?;
    let wanted = found.entries.iter().filter(|entry| entry.index.0 >= log.from);
    let limit = if log.limit == 0 { usize::MAX } else { log.limit };
    match form {
        Form::Simple => persons(&found, wanted.take(limit)),
        Form::Json => json(&found, wanted.take(limit)),
    }
}

fn persons<'a>(found: &Logged, entries: impl Iterator<Item = &'a RawEntry>) -> Result<(), Failed> {
    let mut page = Page::new();
    let (cluster, node) = found.owner;
    page.line(format_args!("log of member {node} of cluster {cluster:x}"))?;
    let hard = found.hard;
    let (first, last) = (found.base.0 + 1, found.base.0 + found.entries.len() as u64);
    let held = match found.entries.len() {
        0 => String::from("no entry"),
        _ => format!("entries {first} to {last}"),
    };
    page.line(format_args!(
        "term {}, vote {}, commit {}; {held}",
        hard.term.0, hard.vote, hard.commit.0
    ))?;
    for (name, note) in &found.files {
        page.line(format_args!("file {name}: {note}"))?;
    }
    page.line("     index  term  kind              what")?;
    for entry in entries {
        let what = describe::entry(entry);
        let (index, term) = (entry.index.0, entry.term.0);
        let pending = if entry.index > hard.commit { " (not known to be committed)" } else { "" };
        let line = format!("{index:>10} {term:>5}  {:<17} {}{pending}", what.kind, what.text);
        page.line(line.trim_end())?;
    }
    page.turn()
}

fn json<'a>(found: &Logged, entries: impl Iterator<Item = &'a RawEntry>) -> Result<(), Failed> {
    let (cluster, node) = found.owner;
    let files: Vec<_> =
        found.files.iter().map(|(name, note)| json!({ "name": name, "note": note })).collect();
    let head = json!({
        "cluster": format!("{cluster:x}"),
        "member": node.to_string(),
        "term": found.hard.term.0,
        "vote": found.hard.vote.to_string(),
        "commit": found.hard.commit.0,
        "first": found.base.0 + 1,
        "last": found.base.0 + found.entries.len() as u64,
        "files": files,
    });
    let mut listed = Listed::begin(head, "entries")?;
    for entry in entries {
        let what = describe::entry(entry);
        listed.push(&json!({
            "index": entry.index.0,
            "term": entry.term.0,
            "kind": what.kind,
            "what": what.json,
        }))?;
    }
    listed.end()
}
