//! `migrate`: the schema's version of an etcd member's files.

use super::args::Migrate;
use super::database::{required, rewrite};
use super::home::write_etcd;
use super::source::{Source, damaged, database_of, plain, size_of};
use super::{Common, go};
use crate::ctl::Failed;
use keel_core::Index;
use keel_proto::bbolt::{Backend, at_version, copy};
use keel_proto::wal::Wal;
use keel_runtime_tokio::EtcdDir;
use keel_runtime_tokio::offline::{Stopped, map};
use std::path::Path;

/// A version of the schema: major and minor.
type Version = (u64, u64);

/// Since when the database says its schema's version.
const SAYS_ITS_VERSION: Version = (3, 6);
/// The oldest schema that a migration can start from or lead to.
const OLDEST: Version = (3, 5);
/// The newest.
const NEWEST: Version = (3, 7);

pub(super) fn run(common: &Common, migrate: Migrate) -> Result<(), Failed> {
    let force = migrate.force;
    let (data_dir, target) = match (migrate.data_dir, migrate.target_version) {
        (Some(data_dir), Some(target)) => (data_dir, target),
        (None, None) => return Err(required(&["data-dir", "target-version"], &["migrate"])),
        (None, Some(_)) => return Err(required(&["data-dir"], &["migrate"])),
        (Some(_), None) => return Err(required(&["target-version"], &["migrate"])),
    };
    let target = parse(&target).map_err(Failed::arguments)?;
    let logs = migrate.wal_dir.as_deref();
    match (Source::open_ours(common, &data_dir, logs)?, migrate.output_dir) {
        (Some(stopped), Some(out)) => return home(common, &stopped, &out, target),
        (Some(_), None) => {
            common.journal.info(
                "nothing to migrate: keel's own files have one form for all versions of etcd; \
                 with --output-dir a data directory of etcd's is written",
                &[("data-dir", data_dir.into())],
            );
            return Ok(());
        }
        (None, Some(_)) => {
            let line = "--output-dir is for a data directory of keel's: etcd's is changed in place";
            return Err(Failed::arguments(line));
        }
        (None, None) => {}
    }
    let db = database_of(&data_dir);
    size_of(&db)?;
    let bytes = map(&db, common.patience)
        .map_err(|error| go::path("open", &db.display().to_string(), &error))?;
    let current = current(&bytes)?;
    let Some(current) = current else {
        common.journal.error(
            "failed to detect storage version. Please make sure you are using data dir from \
             etcd v3.5 and older",
            &[],
        );
        return Err(Failed::plain("missing term information"));
    };
    if current == target {
        let version = short(current).into();
        common.journal.info("storage version up-to-date", &[("storage-version", version)]);
        return Ok(());
    }
    let etcds = EtcdDir::of(Path::new(&data_dir), logs.map(Path::new));
    let wal = etcds.wal(common.patience).map_err(plain).inspect_err(|failed| {
        let error = failed.line.as_str().into();
        common.journal.error("Failed to finalize config", &[("error", error)]);
    })?;
    // The reader's lock must go before the writer's can be had.
    drop(bytes);
    match steps(common, current, target, &wal) {
        Ok(steps) => {
            rewrite(common, &db, |bytes| Ok(at_version(copy(bytes)?, stored(target).as_deref())))?;
            for step in steps {
                let version = long(step).into();
                common.journal.info("updated storage version", &[("new-storage-version", version)]);
            }
            Ok(())
        }
        Err(why) if force => {
            let error = why.as_str().into();
            common.journal.info("normal migrate failed, trying with force", &[("error", error)]);
            rewrite(common, &db, |bytes| Ok(at_version(copy(bytes)?, stored(target).as_deref())))?;
            if target < SAYS_ITS_VERSION {
                common.journal.warn("forcefully cleared storage version", &[]);
            } else {
                let version = short(target).into();
                let fields = [("storage-version", version)];
                common.journal.warn("forcefully set storage version", &fields);
            }
            Ok(())
        }
        Err(why) => Err(Failed::plain(why)),
    }
}

/// Writes what etcd of that version starts on.
fn home(common: &Common, stopped: &Stopped, out: &str, target: Version) -> Result<(), Failed> {
    if target > NEWEST {
        return Err(Failed::plain(format!("version {:?} is not supported", long(target))));
    }
    let written = write_etcd(stopped, Path::new(out), target, stored(target).as_deref())?;
    let fields = [
        ("output-dir", out.into()),
        ("index", written.index.0.into()),
        ("revision", written.revision.into()),
        ("entries", written.entries.into()),
    ];
    common.journal.info("wrote a data directory of etcd's", &fields);
    Ok(())
}

/// Reads `X.Y`.
fn parse(text: &str) -> Result<Version, String> {
    let mut parts = text.split('.');
    let (Some(major), Some(minor), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("wrong target version format, expected \"X.Y\", got {text:?}"));
    };
    let number = |part: &str| {
        part.parse::<u64>().map_err(|_| {
            let why = format!("strconv.ParseInt: parsing {part:?}: invalid syntax");
            format!("failed to parse target version: {why}")
        })
    };
    let target = (number(major)?, number(minor)?);
    if target < OLDEST {
        return Err(format!("target version {:?} not supported. Minimal \"3.5\"", short(target)));
    }
    Ok(target)
}

fn short((major, minor): Version) -> String {
    format!("{major}.{minor}")
}

fn long((major, minor): Version) -> String {
    format!("{major}.{minor}.0")
}

/// How the database says it.
fn stored(version: Version) -> Option<String> {
    (version >= SAYS_ITS_VERSION).then(|| long(version))
}

/// The schema's version; `None` where nothing tells it.
fn current(bytes: &[u8]) -> Result<Option<Version>, Failed> {
    let backend = Backend::open(bytes).map_err(damaged)?;
    if let Some(said) = backend.storage_version().map_err(damaged)? {
        return Ok(keel_core::members::minor(&said));
    }
    let term = backend.term().map_err(damaged)?;
    Ok((term.0 > 0).then_some(OLDEST))
}

/// The versions on the way, or why there is none.
fn steps(
    common: &Common,
    current: Version,
    target: Version,
    wal: &Wal,
) -> Result<Vec<Version>, String> {
    let plan = "cannot create migration plan";
    if current.0 != target.0 {
        common.journal.error(
            "Changing major storage version is not supported",
            &[
                ("storage-version", long(current).into()),
                ("target-storage-version", long(target).into()),
            ],
        );
        return Err(format!("{plan}: changing major storage version is not supported"));
    }
    let mut steps = Vec::new();
    let mut at = current;
    while at != target {
        let up = at < target;
        // What changed is noted at the higher of both versions.
        let higher = if up { (at.0, at.1 + 1) } else { at };
        if !(SAYS_ITS_VERSION..=NEWEST).contains(&higher) {
            return Err(format!("{plan}: version {:?} is not supported", long(higher)));
        }
        at = if up { higher } else { (at.0, at.1 - 1) };
        steps.push(at);
    }
    if target < current {
        let start = wal.snapshots().next_back().map_or(Index(0), |snapshot| snapshot.index);
        let entries = wal.entries_after(start).map_err(|damage| damage.to_string())?;
        if let Some(minimal) = Wal::minimal_version(&entries).filter(|minimal| target < *minimal) {
            return Err(format!(
                "cannot downgrade storage, WAL contains newer entries, as the target version \
                 ({}) is lower than the version ({}) detected from WAL logs",
                long(target),
                long(minimal)
            ));
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_etcd_reads_it() {
        assert_eq!(parse("3.7"), Ok((3, 7)));
        for (text, why) in [
            ("3", "wrong target version format, expected \"X.Y\", got \"3\""),
            ("3.7.0", "wrong target version format, expected \"X.Y\", got \"3.7.0\""),
            ("3.4", "target version \"3.4\" not supported. Minimal \"3.5\""),
        ] {
            assert_eq!(parse(text), Err(why.to_owned()));
        }
    }
}
