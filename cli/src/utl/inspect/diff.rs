//! `inspect diff`: what differs between two revisions, or between two directories or databases.

use super::{At, Form, Listed, Living, Page, base64, shown};
use crate::ctl::Failed;
use crate::utl::Common;
use crate::utl::source::Source;
use bytes::Bytes;
use clap::Args;
use keel_core::Keys;
use keel_core::mvcc::record::{self, Fields};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// The command line.
#[derive(Debug, Args)]
pub(in crate::utl) struct Diff {
    #[command(flatten)]
    at: At,
    /// Another directory or database to compare with; without one, two revisions are compared.
    other: Option<String>,
    /// The revision before; zero is the newest.
    #[arg(long, default_value_t = 0)]
    from: i64,
    /// The revision after, of the other one if there is one; zero is the newest.
    #[arg(long, default_value_t = 0)]
    to: i64,
}

/// How a key differs.
enum Change {
    Added(Bytes),
    Removed(Bytes),
    Changed(Bytes, Bytes),
}

pub(super) async fn run(common: &Common, form: Form, diff: &Diff) -> Result<(), Failed> {
    if diff.other.is_none() && diff.from == 0 {
        return Err(Failed::arguments("inspect diff needs a second path, or --from"));
    }
    let before = diff.at.open(common)?.state().await?;
    let after = match &diff.other {
        Some(other) => Source::open(common, other)?.state().await?,
        None => before.clone(),
    };
    let named = |revision: i64, view: &keel_core::mvcc::View| {
        if revision == 0 { view.revision() } else { revision }
    };
    let (from, to) = (named(diff.from, &before.kv), named(diff.to, &after.kv));
    let mut pairs = Pairs {
        before: Living::new(&before.kv, Keys::All, diff.from),
        after: Living::new(&after.kv, Keys::All, diff.to),
        heads: (None, None),
    };
    pairs.heads = (pairs.before.next()?, pairs.after.next()?);
    match form {
        Form::Simple => {
            let mut page = Page::new();
            let mut counts = [0_u64; 3];
            while let Some(change) = pairs.next()? {
                let (nth, line) = told(&change);
                counts[nth] += 1;
                page.line(line)?;
            }
            let [added, removed, changed] = counts;
            page.line(format_args!(
                "revision {from} to {to}: {added} keys added, {removed} removed, {changed} changed"
            ))?;
            page.turn()
        }
        Form::Json => {
            let mut listed = Listed::begin(json!({ "from": from, "to": to }), "differences")?;
            while let Some(change) = pairs.next()? {
                listed.push(&json(&change))?;
            }
            listed.end()
        }
    }
}

/// Both sides in the order of keys, side by side.
struct Pairs<'a> {
    before: Living<'a>,
    after: Living<'a>,
    heads: (Option<Bytes>, Option<Bytes>),
}

impl Pairs<'_> {
    /// The next difference.
    fn next(&mut self) -> Result<Option<Change>, Failed> {
        loop {
            let order = match &self.heads {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(before), Some(after)) => record::key_of(before).cmp(record::key_of(after)),
            };
            let mut step = (None, None);
            if order.is_le() {
                let next = self.before.next()?;
                step.0 = std::mem::replace(&mut self.heads.0, next);
            }
            if order.is_ge() {
                let next = self.after.next()?;
                step.1 = std::mem::replace(&mut self.heads.1, next);
            }
            return Ok(Some(match step {
                (Some(before), Some(after)) if before == after => continue,
                (Some(before), Some(after)) => Change::Changed(before, after),
                (Some(before), None) => Change::Removed(before),
                (None, Some(after)) => Change::Added(after),
                (None, None) => return Ok(None),
            }));
        }
    }
}

fn told(change: &Change) -> (usize, String) {
    match change {
        Change::Added(after) => {
            let after = record::fields(after);
            (0, format!("+ {} = {} @{}", shown(after.key), shown(after.value), after.modified))
        }
        Change::Removed(before) => {
            let before = record::fields(before);
            (1, format!("- {} = {} @{}", shown(before.key), shown(before.value), before.modified))
        }
        Change::Changed(before, after) => {
            let (before, after) = (record::fields(before), record::fields(after));
            let values = if before.value == after.value {
                String::from("same value")
            } else {
                format!("{} -> {}", shown(before.value), shown(after.value))
            };
            let line = format!(
                "~ {} {values} @{} -> @{}",
                shown(after.key),
                before.modified,
                after.modified
            );
            (2, line)
        }
    }
}

fn json(change: &Change) -> Value {
    let side = |fields: &Fields<'_>| {
        json!({
            "value": base64(fields.value),
            "createRevision": fields.create,
            "modRevision": fields.modified,
            "version": fields.version,
            "lease": fields.lease.0,
        })
    };
    match change {
        Change::Added(after) => {
            let after = record::fields(after);
            json!({ "key": base64(after.key), "after": side(&after) })
        }
        Change::Removed(before) => {
            let before = record::fields(before);
            json!({ "key": base64(before.key), "before": side(&before) })
        }
        Change::Changed(before, after) => {
            let (before, after) = (record::fields(before), record::fields(after));
            json!({ "key": base64(after.key), "before": side(&before), "after": side(&after) })
        }
    }
}
