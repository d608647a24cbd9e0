//! `txn`: compares, then two lists of operations, a line each, empty lines between.

use super::Failed;
use super::client::Client;
use super::keys::{Del, Get, Put, delete_request, lease_id, put_request, range_request};
use super::output::Output;
use super::words::split;
use crate::command_line;
use clap::{Args as ClapArgs, CommandFactory, FromArgMatches, Parser};
use keel_proto::pb::etcdserverpb as pb;
use std::io::BufRead;

/// `txn`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Txn {
    /// Ask for each part
    #[arg(short, long)]
    pub(crate) interactive: bool,
    #[arg(hide = true)]
    pub(crate) words: Vec<String>,
}

/// A line of a list, read as a command of its own.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true)]
enum Line {
    Put(Put),
    Get(Get),
    Del(Del),
}

pub(super) async fn run(client: &Client, output: Output, txn: Txn) -> Result<(), Failed> {
    if !txn.words.is_empty() {
        return Err(Failed::arguments("txn command does not accept argument"));
    }
    let ask = |title| {
        if txn.interactive {
            println!("{title}:");
        }
    };
    ask("compares");
    let compare = part(compare)?;
    ask("success requests (get, put, del)");
    let success = part(op)?;
    ask("failure requests (get, put, del)");
    let failure = part(op)?;
    // Without a bound, as in etcd.
    let request = client.fits(pb::TxnRequest { compare, success, failure })?;
    let answer = client.kv().txn(request).await?;
    output.txn(&answer.into_inner())?;
    Ok(())
}

/// Reads lines up to an empty one, each as it comes. An input that ends before is cut off.
fn part<T>(read: impl Fn(&str) -> Result<T, Failed>) -> Result<Vec<T>, Failed> {
    let mut all = Vec::new();
    loop {
        let mut line = String::new();
        let length = std::io::stdin().lock().read_line(&mut line);
        length.map_err(|error| Failed::input(error.to_string()))?;
        if !line.ends_with('\n') {
            return Err(Failed::input("EOF"));
        }
        match line.trim() {
            "" => return Ok(all),
            line => all.push(read(line)?),
        }
    }
}

/// `mod("key") > "5"`: a target, a key, a relation, an operand.
fn compare(line: &str) -> Result<pb::Compare, Failed> {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let (target, key, relation, value) = scan(line)?;
    let result = match relation.as_str() {
        "=" => CompareResult::Equal,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        "!=" => CompareResult::NotEqual,
        other => {
            let line = format!("malformed comparison: {line} (unknown relation {other})");
            return Err(Failed::input(line));
        }
    };
    let number = || {
        let parsed = value.parse::<i64>();
        parsed.map_err(|_| Failed::input(format!("invalid txn compare request: {line}")))
    };
    let (target, union) = match target.as_str() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(value.into())),
        "lease" => {
            let lease = lease_id(&value).map_err(Failed::input)?;
            (CompareTarget::Lease, TargetUnion::Lease(lease))
        }
        other => {
            let line = format!("malformed comparison: {line} (unknown target {other})");
            return Err(Failed::input(line));
        }
    };
    Ok(pb::Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        target_union: Some(union),
        ..Default::default()
    })
}

/// The four parts of a comparison: blanks stand around the relation, quotes around key and
/// operand. A mistake is told with what was understood before it.
fn scan(line: &str) -> Result<(String, String, String, String), Failed> {
    let Some((target, rest)) = line.split_once('(') else {
        return Err(Failed::input(format!("malformed comparison: {line}")));
    };
    let (mut key, mut relation) = (String::new(), String::new());
    let mut read = || {
        let (word, rest) = quoted(rest)?;
        key = word;
        let rest = rest.strip_prefix(')')?.trim_start();
        let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        relation = word.to_owned();
        Some(quoted(rest.trim_start())?.0)
    };
    match read() {
        Some(value) => Ok((target.to_owned(), key, relation, value)),
        None => Err(Failed::input(format!(
            "malformed comparison: {line}; got {target}({key:?}) {relation} \"\""
        ))),
    }
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
    let words = split(line).unwrap_or_default();
    if words.len() < 2 {
        return Err(Failed::input(format!("invalid txn compare request: {line}")));
    }
    let tree = command_line::shaped(Line::command());
    let matches = tree.clone().try_get_matches_from(&words);
    let parsed = matches.and_then(|matches| Line::from_arg_matches(&matches)).map_err(|_| {
        if tree.find_subcommand(&words[0]).is_some() {
            eprintln!("{}", command_line::usage(&tree, &[&words[0]]));
        }
        Failed::input(format!("invalid txn request: {line}"))
    })?;
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
        for (line, told) in [
            ("mod(\"k\") = \"x\"", "invalid txn compare request: mod(\"k\") = \"x\""),
            ("nonsense", "malformed comparison: nonsense"),
            (
                "mod(\"k\")=\"1\"",
                "malformed comparison: mod(\"k\")=\"1\"; got mod(\"k\") =\"1\" \"\"",
            ),
            (
                "bogus(\"k\") = \"1\"",
                "malformed comparison: bogus(\"k\") = \"1\" (unknown target bogus)",
            ),
        ] {
            assert_eq!(compare(line).expect_err("a mistake").line, told);
        }
    }
}
