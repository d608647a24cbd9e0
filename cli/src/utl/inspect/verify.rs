//! `inspect verify`: reads everything there is.

use super::{At, Form, Page};
use crate::ctl::Failed;
use crate::utl::Common;
use serde_json::json;

/// Opening a source looks at its pages, and putting the state together at every record, frame
/// and checksum; the log is read from its first file on, which a start would not do.
pub(super) async fn run(common: &Common, form: Form, at: &At) -> Result<(), Failed> {
    let source = at.open(common)?;
    source.buckets(common)?;
    let state = source.state().await?;
    let log = match source.has_log() {
        true => Some(source.log(common)?),
        false => None,
    };
    let entries = log.as_ref().map_or(0, |log| log.entries.len());
    let files = log.as_ref().map_or(0, |log| log.files.len());
    let usage = state.kv.usage();
    let mut page = Page::new();
    match form {
        Form::Json => page.line(json!({
            "kind": source.kind(),
            "sound": true,
            "versions": usage.records,
            "entries": entries,
            "logFiles": files,
        }))?,
        Form::Simple => page.line(format_args!(
            "sound: {}, {} versions of keys, {entries} entries in {files} files of the log",
            source.kind(),
            usage.records
        ))?,
    }
    page.turn()
}
