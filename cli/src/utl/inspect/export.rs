//! `inspect export`: the log that a data directory still holds, as etcd's own files.
//!
//! What lies in them begins with the first entry that is still there, also where a checkpoint made
//! it void long ago. Where entries before it are gone, a snapshot stands in front: etcd's tools
//! begin behind the newest one that they find.

use super::{At, Form, Page};
use crate::ctl::Failed;
use crate::utl::home::{LogFiles, put};
use crate::utl::source::Logged;
use crate::utl::{Common, go};
use clap::Args;
use keel_core::raft::Config;
use keel_core::state::Checkpoint;
use keel_core::{Index, Term, mvcc};
use keel_proto::wal::{Record, Snapshot, Writer, snap_file};
use serde_json::json;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

/// The command line.
#[derive(Debug, Args)]
pub(in crate::utl) struct Export {
    #[command(flatten)]
    at: At,
    /// Where to write; a data directory of etcd's without a database.
    #[arg(long)]
    output_dir: String,
}

pub(super) fn run(common: &Common, form: Form, export: &Export) -> Result<(), Failed> {
    let found = export.at.open_log(common)?.log(common)?;
    let out = Path::new(&export.output_dir);
    let shown = export.output_dir.as_str();
    if out.exists() && !fs::read_dir(out).is_ok_and(|mut all| all.next().is_none()) {
        return Err(Failed::plain(format!("output-dir {shown:?} not empty or could not be read")));
    }
    if found.entries.is_empty() {
        return Err(Failed::plain("the log holds no entry any more"));
    }
    write(out, &found).map_err(|error| go::path("write", shown, &error))?;
    let (first, last) = (found.base.0 + 1, found.base.0 + found.entries.len() as u64);
    let mut page = Page::new();
    match form {
        Form::Simple => page.line(format_args!("entries {first} to {last} written to {shown}"))?,
        Form::Json => page.line(json!({ "outputDir": shown, "first": first, "last": last }))?,
    }
    page.turn()
}

fn write(out: &Path, found: &Logged) -> io::Result<()> {
    let (snap, wal) = (out.join("member/snap"), out.join("member/wal"));
    for dir in [&snap, &wal] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let (cluster, node) = found.owner;
    let mut files = LogFiles::begin(Writer::new(cluster, node), &wal);
    files.writer.record(&Record::Snapshot(Snapshot::default()));
    if found.base > Index(0) {
        // Nobody remembers that entry's term: it was no later than the next one's.
        let (index, term) = (found.base, found.entries[0].term);
        let config = Some(found.config.clone());
        files.writer.record(&Record::Snapshot(Snapshot { index, term, config }));
        let (name, bytes) = snap_file(&empty(found, index, term));
        put(&snap.join(name), &bytes)?;
    }
    for entry in &found.entries {
        files.entry(entry)?;
    }
    files.writer.record(&Record::State(found.hard));
    files.finish()
}

/// A state that says where the log begins, and no more.
fn empty(found: &Logged, index: Index, term: Term) -> Checkpoint {
    let (cluster, _) = found.owner;
    Checkpoint {
        index,
        term,
        lineage: 0,
        kv: mvcc::Store::new().view(),
        leases: Vec::new(),
        alarms: Arc::default(),
        cluster: Arc::new(keel_core::members::Cluster { id: cluster, ..Default::default() }),
        config: Config { ..found.config.clone() },
    }
}
