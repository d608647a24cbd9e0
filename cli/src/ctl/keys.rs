//! `put`, `get`, `del` and `compaction`.

use super::Failed;
use super::args::{Compaction, Del, Get, Put};
use super::client::Client;
use super::output::{Output, print};
use keel_proto::pb::etcdserverpb as pb;
use std::io::Read;

pub(super) async fn put(client: &Client, output: Output, put: Put) -> Result<(), Failed> {
    let request = put_request(put, true)?;
    output.put(&client.short(client.kv().put(request)).await?)?;
    Ok(())
}

const PUT_NEEDS: &str = "put command needs 1 argument and input from stdin or 2 arguments";

/// A put from words; a value that is missing may come from standard input.
pub(super) fn put_request(put: Put, stdin: bool) -> Result<pb::PutRequest, Failed> {
    let (key, value) = match put.words.as_slice() {
        [key] if put.ignore_value => (key, Vec::new()),
        [_, ..] if put.ignore_value => {
            return Err(Failed::arguments(
                "put command needs only 1 argument when 'ignore-value' is set",
            ));
        }
        [key] if stdin => (key, standard_input()?),
        [key, value] => (key, value.clone().into_bytes()),
        _ => {
            return Err(Failed::arguments(PUT_NEEDS));
        }
    };
    let lease = lease_id(&put.lease)
        .map_err(|why| Failed::arguments(format!("bad lease ID ({why}), expecting ID in Hex")))?;
    Ok(pb::PutRequest {
        key: key.clone().into(),
        value: value.into(),
        lease,
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    })
}

fn standard_input() -> Result<Vec<u8>, Failed> {
    let mut value = Vec::new();
    let read = std::io::stdin().read_to_end(&mut value);
    read.map_err(|error| Failed::plain(error.to_string()))?;
    if value.is_empty() {
        return Err(Failed::arguments(PUT_NEEDS));
    }
    Ok(value)
}

/// A lease's id in hexadecimal, as Go parses it.
pub(super) fn lease_id(text: &str) -> Result<i64, String> {
    i64::from_str_radix(text, 16)
        .map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

pub(super) async fn get(client: &Client, output: Output, get: Get) -> Result<(), Failed> {
    let (keys_only, value_only) = (get.keys_only, get.print_value_only);
    let (count_only, format) = (get.count_only, output.format);
    let request = range_request(get)?;
    if count_only && format == super::output::Format::Simple {
        return Err(Failed::arguments("--count-only is only for `--write-out=fields`"));
    }
    let answer = client.short(client.kv().range(request)).await?;
    output.range(&answer, keys_only, value_only)?;
    Ok(())
}

/// A range from words and flags.
pub(super) fn range_request(get: Get) -> Result<pb::RangeRequest, Failed> {
    // What comes behind a range's end is passed over, as in etcd.
    if get.words.is_empty() {
        return Err(Failed::arguments(
            "get command needs one argument as key and an optional argument as range_end",
        ));
    }
    if get.prefix && get.from_key {
        return Err(Failed::arguments(
            "`--prefix` and `--from-key` cannot be set at the same time, choose one",
        ));
    }
    if get.keys_only && get.count_only {
        return Err(Failed::arguments(
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one",
        ));
    }
    if get.words.len() == 2 && (get.prefix || get.from_key) {
        return Err(Failed::arguments(
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        ));
    }
    let serializable = match get.consistency.as_str() {
        "l" => false,
        "s" => true,
        other => {
            return Err(Failed::feature(format!("unknown consistency flag {other:?}")));
        }
    };
    let order = match get.order.to_ascii_uppercase().as_str() {
        "" => pb::range_request::SortOrder::None,
        "ASCEND" => pb::range_request::SortOrder::Ascend,
        "DESCEND" => pb::range_request::SortOrder::Descend,
        _ => return Err(Failed::feature(format!("bad sort order {}", get.order))),
    };
    use pb::range_request::SortTarget;
    let target = match get.sort_by.to_ascii_uppercase().as_str() {
        "" | "KEY" => SortTarget::Key,
        "CREATE" => SortTarget::Create,
        "MODIFY" => SortTarget::Mod,
        "VALUE" => SortTarget::Value,
        "VERSION" => SortTarget::Version,
        _ => return Err(Failed::feature(format!("bad sort target {}", get.sort_by))),
    };
    let (key, range_end) = span(&get.words, get.prefix, get.from_key);
    Ok(pb::RangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        limit: get.limit,
        revision: get.rev,
        sort_order: order.into(),
        sort_target: target.into(),
        serializable,
        keys_only: get.keys_only,
        count_only: get.count_only,
        min_mod_revision: get.min_mod_rev,
        max_mod_revision: get.max_mod_rev,
        min_create_revision: get.min_create_rev,
        max_create_revision: get.max_create_rev,
    })
}

/// The first key and the end of a range that words and flags mean.
pub(super) fn span(words: &[String], prefix: bool, from_key: bool) -> (Vec<u8>, Vec<u8>) {
    let key = words.first().map_or(Vec::new(), |word| word.clone().into_bytes());
    match words.get(1) {
        Some(end) => (key, end.clone().into_bytes()),
        // All keys, whichever way they are asked for.
        None if (prefix || from_key) && key.is_empty() => (vec![0], vec![0]),
        None if prefix => {
            let end = behind_prefix(&key);
            (key, end)
        }
        None if from_key => (key, vec![0]),
        None => (key, Vec::new()),
    }
}

/// The first key behind all that begin like this one.
fn behind_prefix(key: &[u8]) -> Vec<u8> {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

pub(super) async fn del(client: &Client, output: Output, del: Del) -> Result<(), Failed> {
    let request = delete_request(del)?;
    output.delete(&client.short(client.kv().delete_range(request)).await?)?;
    Ok(())
}

/// A delete from words and flags.
pub(super) fn delete_request(del: Del) -> Result<pb::DeleteRangeRequest, Failed> {
    if del.words.is_empty() || del.words.len() > 2 {
        return Err(Failed::arguments(
            "del command needs one argument as key and an optional argument as range_end",
        ));
    }
    if del.prefix && del.from_key {
        return Err(Failed::arguments(
            "`--prefix` and `--from-key` cannot be set at the same time, choose one",
        ));
    }
    if del.words.len() == 2 && (del.prefix || del.from_key) {
        return Err(Failed::arguments(
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        ));
    }
    if del.range && del.words.len() != 2 {
        return Err(Failed::arguments("`--range` needs a key and a range_end"));
    }
    let (key, range_end) = span(&del.words, del.prefix, del.from_key);
    Ok(pb::DeleteRangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        prev_kv: del.prev_kv,
    })
}

pub(super) async fn compaction(client: &Client, compaction: Compaction) -> Result<(), Failed> {
    let [revision] = compaction.words.as_slice() else {
        return Err(Failed::arguments("compaction command needs 1 argument"));
    };
    let revision = revision.parse().map_err(|_| {
        Failed::plain(format!("strconv.ParseInt: parsing {revision:?}: invalid syntax"))
    })?;
    let request = pb::CompactionRequest { revision, physical: compaction.physical };
    if compaction.physical {
        // Without a bound, as in etcd: large histories take their time.
        client.kv().compact(request).await?;
    } else {
        client.short(client.kv().compact(request)).await?;
    }
    Ok(print(format!("compacted revision {revision}\n").as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_etcd_says() {
        assert_eq!(behind_prefix(b"a"), b"b");
        assert_eq!(behind_prefix(b"a\xff"), b"b");
        assert_eq!(behind_prefix(b"\xff\xff"), [0]);
        assert_eq!(span(&[String::new()], true, false), (vec![0], vec![0]));
    }
}
