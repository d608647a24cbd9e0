//! `inspect keys`: who fills the database.

use super::{At, Form, Listed, Living, Page, base64, shown};
use crate::ctl::Failed;
use crate::ctl::output::human;
use crate::progress;
use crate::utl::Common;
use clap::Args;
use keel_core::Keys;
use keel_core::mvcc::record;
use serde_json::json;
use std::collections::BTreeMap;

/// The command line.
#[derive(Debug, Args)]
pub(in crate::utl) struct KeysBy {
    #[command(flatten)]
    at: At,
    /// Only keys that begin like this.
    #[arg(long, default_value = "")]
    prefix: String,
    /// What divides a key into parts.
    #[arg(long, default_value = "/")]
    separator: String,
    /// How many parts make a group's name; zero is every key by itself.
    #[arg(long, default_value_t = 2)]
    depth: usize,
    /// Show so many groups at most, the largest first; zero is all.
    #[arg(long, default_value_t = 0)]
    limit: usize,
}

/// What is counted of a group.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    keys: u64,
    /// Bytes of the living keys and their values.
    living: u64,
    versions: u64,
    /// Bytes of all versions that are held.
    bytes: u64,
}

pub(super) async fn run(common: &Common, form: Form, by: &KeysBy) -> Result<(), Failed> {
    let state = by.at.open(common)?.state().await?;
    let mut groups: BTreeMap<Vec<u8>, Count> = BTreeMap::new();
    let mut living = Living::new(&state.kv, Keys::All, 0);
    while let Some(record) = living.next()? {
        let fields = record::fields(&record);
        if let Some(name) = by.group(fields.key) {
            let count = groups.entry(name.to_vec()).or_default();
            count.keys += 1;
            count.living += (fields.key.len() + fields.value.len()) as u64;
        }
    }
    let bar = progress::things(state.kv.usage().records, "versions");
    for stored in state.kv.records() {
        bar.inc(1);
        if let Some(name) = by.group(record::key_of(&stored.record)) {
            let count = groups.entry(name.to_vec()).or_default();
            count.versions += 1;
            count.bytes += stored.record.len() as u64;
        }
    }
    bar.finish_and_clear();
    let mut groups: Vec<(Vec<u8>, Count)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(count.bytes));
    if by.limit > 0 {
        groups.truncate(by.limit);
    }
    match form {
        Form::Simple => persons(&groups),
        Form::Json => {
            let mut listed = Listed::begin(json!({}), "groups")?;
            for (name, count) in &groups {
                listed.push(&json!({
                    "prefix": base64(name),
                    "keys": count.keys,
                    "livingBytes": count.living,
                    "versions": count.versions,
                    "bytes": count.bytes,
                }))?;
            }
            listed.end()
        }
    }
}

impl KeysBy {
    /// The group of a key: its first parts, up to and with the separator behind them.
    fn group<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        if !key.starts_with(self.prefix.as_bytes()) {
            return None;
        }
        let separator = self.separator.as_bytes();
        if self.depth == 0 || separator.is_empty() {
            return Some(key);
        }
        let mut end = 0;
        // A separator in front divides nothing.
        if key.starts_with(separator) {
            end = separator.len();
        }
        for _ in 0..self.depth {
            let rest = &key[end..];
            let found = rest.windows(separator.len()).position(|part| part == separator);
            match found {
                Some(at) => end += at + separator.len(),
                None => return Some(key),
            }
        }
        Some(&key[..end])
    }
}

fn persons(groups: &[(Vec<u8>, Count)]) -> Result<(), Failed> {
    let mut page = Page::new();
    let size = |bytes: u64| human(i64::try_from(bytes).unwrap_or(i64::MAX));
    page.line("      keys     living   versions       held  prefix")?;
    let mut sum = Count::default();
    for (name, count) in groups {
        sum.keys += count.keys;
        sum.living += count.living;
        sum.versions += count.versions;
        sum.bytes += count.bytes;
        page.line(line(count, &shown(name), size))?;
    }
    page.line(line(&sum, "all of these", size))?;
    page.turn()
}

fn line(count: &Count, name: &str, size: impl Fn(u64) -> String) -> String {
    format!(
        "{:>10} {:>10} {:>10} {:>10}  {name}",
        count.keys,
        size(count.living),
        count.versions,
        size(count.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_grouped_by_their_first_parts() {
        let by = |depth| KeysBy {
            at: At { path: String::new(), wal_dir: None },
            prefix: String::from("/"),
            separator: String::from("/"),
            depth,
            limit: 0,
        };
        let key = b"/registry/pods/default/a";
        for (depth, group) in [
            (0, "/registry/pods/default/a"),
            (1, "/registry/"),
            (2, "/registry/pods/"),
            (3, "/registry/pods/default/"),
            (4, "/registry/pods/default/a"),
        ] {
            assert_eq!(by(depth).group(key), Some(group.as_bytes()), "{depth}");
        }
        assert_eq!(by(1).group(b"other"), None);
    }
}
