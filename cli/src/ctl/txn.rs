//! `txn`: compares, then two lists of operations, a line each, empty lines between.

use super::Failed;
use super::args::{Del, Get, Put, Txn};
use super::client::Client;
use super::keys::{delete_request, lease_id, put_request, range_request};
use super::output::Output;
use super::words::split;
use clap::Parser;
use keel_proto::pb::etcdserverpb as pb;
use std::io::BufRead;

/// A line of a list, read as a command of its own.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_help_subcommand = true)]
enum Line {
    Put(Put),
    Get(Get),
    Del(Del),
}

pub(super) async fn run(client: &Client, output: Output, txn: Txn) -> Result<(), Failed> {
    let mut lines = std::io::stdin().lock().lines();
    let mut part = |title: &str| -> Result<Vec<String>, Failed> {
        if txn.interactive {
            println!("{title}:");
        }
        let mut part = Vec::new();
        for line in lines.by_ref() {
            let line = line.map_err(|error| Failed::plain(error.to_string()))?;
            if line.trim().is_empty() {
                break;
            }
            part.push(line);
        }
        Ok(part)
    };
    let compare = part("compares")?.iter().map(|line| compare(line)).collect::<Result<_, _>>()?;
    let success = part("success requests (get, put, del)")?;
    let failure = part("failure requests (get, put, del)")?;
    let ops = |lines: Vec<String>| lines.iter().map(|line| op(line)).collect::<Result<_, _>>();
    let request = pb::TxnRequest { compare, success: ops(success)?, failure: ops(failure)? };
    let answer = client.short(client.kv().txn(request)).await?;
    output.txn(&answer)?;
    Ok(())
}

/// `mod("key") > "5"`: a target, a key, a relation, an operand.
fn compare(line: &str) -> Result<pb::Compare, Failed> {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let malformed = || Failed::input(format!("malformed comparison: {line}"));
    let (target, rest) = line.trim().split_once('(').ok_or_else(malformed)?;
    let (key, rest) = quoted(rest.trim_start()).ok_or_else(malformed)?;
    let rest = rest.trim_start().strip_prefix(')').ok_or_else(malformed)?.trim_start();
    let (relation, rest) = rest.split_at_checked(1).ok_or_else(malformed)?;
    let (result, rest) = match relation {
        "=" => (CompareResult::Equal, rest),
        ">" => (CompareResult::Greater, rest),
        "<" => (CompareResult::Less, rest),
        "!" => (CompareResult::NotEqual, rest.strip_prefix('=').ok_or_else(malformed)?),
        _ => return Err(malformed()),
    };
    let rest = rest.trim();
    let value = match quoted(rest) {
        Some((value, "")) => value,
        _ => rest.to_owned(),
    };
    let number = || {
        let parsed = value.parse::<i64>();
        parsed.map_err(|_| Failed::input(format!("invalid txn compare request: {line}")))
    };
    let (target, union) = match target.trim() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(value.clone().into())),
        "lease" => {
            let lease = lease_id(&value).map_err(Failed::arguments)?;
            (CompareTarget::Lease, TargetUnion::Lease(lease))
        }
        _ => return Err(malformed()),
    };
    Ok(pb::Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        target_union: Some(union),
        ..Default::default()
    })
}

/// A word in double quotes at the front, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut word = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((word, &inside[at + 1..])),
            '\\' => word.push(chars.next()?.1),
            c => word.push(c),
        }
    }
    None
}

fn op(line: &str) -> Result<pb::RequestOp, Failed> {
    use pb::request_op::Request;
    let malformed = |why: String| Failed::input(format!("invalid txn request: {line}{why}"));
    let words = split(line).ok_or_else(|| malformed(String::from(": a quote is open")))?;
    let parsed = Line::try_parse_from(words).map_err(|_| malformed(String::new()))?;
    let request = match parsed {
        Line::Put(put) => Request::RequestPut(put_request(put, false)?),
        Line::Get(get) => Request::RequestRange(range_request(get)?),
        Line::Del(del) => Request::RequestDeleteRange(delete_request(del)?),
    };
    Ok(pb::RequestOp { request: Some(request) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read_as_etcd_reads_them() {
        let read = compare("mod(\"k 1\") != \"5\"").expect("a comparison");
        assert_eq!((read.key.as_ref(), read.result, read.target), (&b"k 1"[..], 3, 2));
        assert_eq!(read.target_union, Some(pb::compare::TargetUnion::ModRevision(5)));
        let read = compare("value(\"a\") = \"x=y\"").expect("a comparison");
        assert_eq!(read.target_union, Some(pb::compare::TargetUnion::Value("x=y".into())));
        assert!(compare("mod(\"k\") = \"x\"").is_err());
        assert!(compare("nonsense").is_err());
    }
}
