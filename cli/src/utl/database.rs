//! `snapshot status`, `hashkv` and `defrag`.

use super::args::exactly_one;
use super::report::{Format, Report};
use super::source::{Source, damaged, database_of, size_of};
use super::{Common, go};
use crate::ctl::Failed;
use crate::ctl::output::human;
use crate::progress;
use keel_core::{Refusal, mvcc};
use keel_proto::bbolt::{self, Summing, Survey};
use keel_runtime_tokio::offline::{lock, map_open};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Instant;

/// The two pages that every database has. What is shorter etcd does not look into.
const SMALLEST: u64 = 8192;
/// Bytes that are written at a time.
const PIECE: usize = 1024 * 1024;
/// Items that are hashed between two looks at the bar.
const STEP: usize = 4096;

pub(super) async fn status(
    common: &Common,
    words: &[String],
    logs: Option<&str>,
) -> Result<(), Failed> {
    let [path] = words else {
        return Err(Failed::arguments("snapshot status requires exactly one argument"));
    };
    let source = Source::open_with(common, path, logs)?;
    let len = size_of(Path::new(path))?;
    if matches!(source, Source::Database(_)) && len < SMALLEST {
        return Err(Failed::plain(format!("file size too small {len}")));
    }
    let format = Format::parse(&common.write_out)?;
    let (buckets, size) = source.buckets(common).map_err(|failed| Failed {
        line: format!("snapshot file integrity check failed. 1 errors found.\n{}", failed.line),
        ..failed
    })?;
    let bar = progress::bytes(size.unwrap_or_default());
    let summary = Summing::new(buckets).finish(size, |bytes| bar.inc(bytes as u64));
    bar.finish_and_clear();
    let summary = summary.map_err(Failed::plain)?;
    let report = Report {
        heads: &["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"],
        row: vec![
            format!("{:x}", summary.hash),
            summary.revision.to_string(),
            summary.keys.to_string(),
            human(i64::try_from(summary.size).unwrap_or(i64::MAX)),
            summary.version.clone(),
        ],
        fields: vec![
            ("Hash", summary.hash.to_string()),
            ("Revision", summary.revision.to_string()),
            ("Keys", summary.keys.to_string()),
            ("Size", summary.size.to_string()),
            ("Version", summary.version.clone()),
        ],
        json: format!(
            r#"{{"hash":{},"revision":{},"totalKey":{},"totalSize":{},"version":{}}}"#,
            summary.hash,
            summary.revision,
            summary.keys,
            summary.size,
            serde_json::Value::from(summary.version.as_str())
        ),
    };
    report.print(format)
}

pub(super) async fn hashkv(
    common: &Common,
    words: &[String],
    rev: i64,
    logs: Option<&str>,
) -> Result<(), Failed> {
    let [path] = words else { return Err(exactly_one(words, &["hashkv"])) };
    let format = Format::parse(&common.write_out)?;
    let state = Source::open_with(common, path, logs)?.state().await?;
    let hash = hash(&state.kv, rev)?;
    let report = Report {
        heads: &["HASH", "HASH REVISION", "COMPACT REVISION"],
        row: vec![hash.hash.to_string(), hash.revision.to_string(), hash.compacted.to_string()],
        fields: vec![
            ("Hash", hash.hash.to_string()),
            ("Hash revision", hash.revision.to_string()),
            ("Compact revision", hash.compacted.to_string()),
        ],
        json: format!(
            r#"{{"hash":{},"hashRevision":{},"compactRevision":{}}}"#,
            hash.hash, hash.revision, hash.compacted
        ),
    };
    report.print(format)
}

fn hash(view: &mvcc::View, revision: i64) -> Result<mvcc::Hash, Failed> {
    let refused = |refusal| Failed::plain(told(&refusal));
    let mut hasher = match view.hasher(revision).map_err(refused)? {
        Ok(hash) => return Ok(hash),
        Err(hasher) => hasher,
    };
    let bar = progress::things(view.usage().records, "versions");
    while !hasher.step(STEP) {
        bar.inc(STEP as u64);
    }
    bar.finish_and_clear();
    Ok(hasher.hash())
}

/// etcd's words for a revision that cannot be read.
pub(super) fn told(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Compacted => "mvcc: required revision has been compacted",
        _ => "mvcc: required revision is a future revision",
    }
}

pub(super) fn defrag(common: &Common, data_dir: Option<String>) -> Result<(), Failed> {
    let data_dir = data_dir.ok_or_else(|| required(&["data-dir"], &["defrag"]))?;
    defragmented(common, &data_dir).map_err(|failed| Failed {
        line: format!("Failed to defragment etcd data[{data_dir}] ({})", failed.line),
        ..failed
    })
}

fn defragmented(common: &Common, data_dir: &str) -> Result<(), Failed> {
    let begun = Instant::now();
    if Source::open_ours(common, data_dir, None)?.is_some() {
        common.journal.info(
            "nothing to defragment: keel rewrites files that are half dead while it runs",
            &[("path", data_dir.into())],
        );
        return Ok(());
    }
    let db = database_of(data_dir);
    let path = db.display().to_string();
    let before = size_of(&db)?;
    common.journal.info(
        "defragmenting",
        &[
            ("path", path.as_str().into()),
            ("current-db-size-bytes", before.into()),
            ("current-db-size", shown(before).into()),
        ],
    );
    rewrite(common, &db, bbolt::copy)?;
    let after = size_of(&db)?;
    common.journal.info(
        "finished defragmenting directory",
        &[
            ("path", path.into()),
            ("current-db-size-bytes-diff", (after.cast_signed() - before.cast_signed()).into()),
            ("current-db-size-bytes", after.into()),
            ("current-db-size", shown(after).into()),
            ("took", format!("{:?}", begun.elapsed()).into()),
        ],
    );
    Ok(())
}

fn shown(bytes: u64) -> String {
    human(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// Puts a database anew beside itself and then in its place: at each moment of a crash one of
/// both is there whole.
pub(super) fn rewrite(
    common: &Common,
    db: &Path,
    buckets: impl FnOnce(&bytes::Bytes) -> Result<Vec<bbolt::Bucket>, bbolt::Damage>,
) -> Result<(), Failed> {
    let shown = db.display().to_string();
    let cannot = |verb: &'static str| {
        let shown = shown.clone();
        move |error: io::Error| go::path(verb, &shown, &error)
    };
    let old = File::open(db).map_err(cannot("open"))?;
    // Nobody may read what is about to go, or write it. The lock is the open file's, so it
    // becomes the one that the mapping then shares with itself.
    lock(&old, true, common.patience).map_err(cannot("lock"))?;
    let bytes = map_open(old).map_err(cannot("read"))?;
    let mut survey = Survey::new(buckets(&bytes).map_err(damaged)?);
    while !survey.step(usize::MAX) {}
    let beside = db.with_file_name("db.tmp.defrag");
    let permissions = fs::metadata(db).map_err(cannot("stat"))?.permissions();
    let written = write(survey.finish(), &beside);
    let placed = written
        .and_then(|()| fs::set_permissions(&beside, permissions))
        .and_then(|()| fs::rename(&beside, db));
    if let Err(error) = placed {
        // Half a database is of no use to anybody.
        let _ = fs::remove_file(&beside);
        return Err(go::path("write", &beside.display().to_string(), &error));
    }
    let home = db.parent().unwrap_or(Path::new("."));
    File::open(home).and_then(|home| home.sync_all()).map_err(cannot("sync"))
}

/// Writes a database file, durably.
pub(super) fn write(mut export: bbolt::Export, path: &Path) -> io::Result<()> {
    let bar = progress::bytes(export.total_len());
    let mut file = private().write(true).create(true).truncate(true).open(path)?;
    while let Some(piece) = export.next_piece(PIECE) {
        file.write_all(&piece)?;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    file.sync_all()
}

/// A file that only its owner may read, as etcd's are.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// What etcd says of flags that are missing.
pub(super) fn required(flags: &[&str], command: &'static [&'static str]) -> Failed {
    let flags: Vec<String> = flags.iter().map(|flag| format!("{flag:?}")).collect();
    let line = format!("required flag(s) {} not set", flags.join(", "));
    Failed::plain(line).with_usage(command)
}
