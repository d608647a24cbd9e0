//! `inspect history`: every version of a key that is still held.

use super::{At, Form, Listed, Page, base64, shown};
use crate::ctl::Failed;
use crate::progress;
use crate::utl::Common;
use clap::Args;
use keel_core::LeaseId;
use keel_core::mvcc::{Stored, record};
use serde_json::{Value, json};

/// The command line.
#[derive(Debug, Args)]
pub(in crate::utl) struct History {
    #[command(flatten)]
    at: At,
    /// The key.
    key: String,
}

pub(super) async fn run(common: &Common, form: Form, history: &History) -> Result<(), Failed> {
    let state = history.at.open(common)?.state().await?;
    let view = &state.kv;
    let key = history.key.as_bytes();
    let bar = progress::things(view.usage().records, "versions");
    let versions = view.records().inspect(|_| bar.inc(1));
    let versions = versions
        .filter(|stored| !stored.record.is_empty() && record::key_of(&stored.record) == key);
    match form {
        Form::Simple => {
            let mut page = Page::new();
            let (newest, compacted) = (view.revision(), view.compacted());
            page.line(format_args!(
                "{} at revision {newest}, compacted to {compacted}",
                shown(key)
            ))?;
            page.line("  revision    create  version  value")?;
            for stored in versions {
                page.line(line(&stored))?;
            }
            bar.finish_and_clear();
            page.turn()
        }
        Form::Json => {
            let head = json!({
                "key": base64(key),
                "revision": view.revision(),
                "compacted": view.compacted(),
            });
            let mut listed = Listed::begin(head, "versions")?;
            for stored in versions {
                listed.push(&json(&stored))?;
            }
            bar.finish_and_clear();
            listed.end()
        }
    }
}

fn line(stored: &Stored) -> String {
    let at = stored.revision.main;
    if stored.tombstone {
        return format!("{at:>10}                    deleted");
    }
    let fields = record::fields(&stored.record);
    let lease = match fields.lease {
        LeaseId::NONE => String::new(),
        LeaseId(lease) => format!(" lease {lease:x}"),
    };
    let (create, version) = (fields.create, fields.version);
    format!("{at:>10} {create:>9} {version:>8}  {}{lease}", shown(fields.value))
}

fn json(stored: &Stored) -> Value {
    let (revision, sub) = (stored.revision.main, stored.revision.sub);
    if stored.tombstone {
        return json!({ "revision": revision, "sub": sub, "deleted": true });
    }
    let fields = record::fields(&stored.record);
    json!({
        "revision": revision,
        "sub": sub,
        "createRevision": fields.create,
        "version": fields.version,
        "lease": fields.lease.0,
        "value": base64(fields.value),
    })
}
