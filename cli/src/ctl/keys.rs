//! `put`, `get`, `del` and `compaction`.

use super::Failed;
use super::client::Client;
use super::output::{Format, Output, print};
use clap::Args as ClapArgs;
use keel_proto::pb::etcdserverpb as pb;
use std::io::Read;
use std::time::Duration;

/// `put`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Put {
    /// Key and value; the value may come from standard input.
    pub(crate) words: Vec<String>,
    /// Lease id in hexadecimal.
    #[arg(long, default_value = "0")]
    pub(crate) lease: String,
    /// Return the pair before.
    #[arg(long)]
    pub(crate) prev_kv: bool,
    /// Keep the current value.
    #[arg(long)]
    pub(crate) ignore_value: bool,
    /// Keep the current lease.
    #[arg(long)]
    pub(crate) ignore_lease: bool,
}

/// `get`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Get {
    /// Key, and perhaps the end of a range.
    pub(crate) words: Vec<String>,
    /// Linearizable (l) or serializable (s).
    #[arg(long, default_value = "l")]
    pub(crate) consistency: String,
    /// ASCEND or DESCEND.
    #[arg(long, default_value = "")]
    pub(crate) order: String,
    /// CREATE, KEY, MODIFY, VALUE or VERSION.
    #[arg(long, default_value = "")]
    pub(crate) sort_by: String,
    /// At most so many results.
    #[arg(long, default_value_t = 0)]
    pub(crate) limit: i64,
    /// Keys that begin like this one.
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Keys from this one on.
    #[arg(long)]
    pub(crate) from_key: bool,
    /// As of this revision.
    #[arg(long, default_value_t = 0)]
    pub(crate) rev: i64,
    /// Only keys.
    #[arg(long)]
    pub(crate) keys_only: bool,
    /// Only the count; with -w fields.
    #[arg(long)]
    pub(crate) count_only: bool,
    /// Only values, with the simple form.
    #[arg(long)]
    pub(crate) print_value_only: bool,
    /// Drop smaller creation revisions.
    #[arg(long, default_value_t = 0)]
    pub(crate) min_create_rev: i64,
    /// Drop larger creation revisions.
    #[arg(long, default_value_t = 0)]
    pub(crate) max_create_rev: i64,
    /// Drop smaller modification revisions.
    #[arg(long, default_value_t = 0)]
    pub(crate) min_mod_rev: i64,
    /// Drop larger modification revisions.
    #[arg(long, default_value_t = 0)]
    pub(crate) max_mod_rev: i64,
    /// Fetch in pieces, by RangeStream.
    #[arg(long)]
    pub(crate) stream: bool,
}

/// `del`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Del {
    /// Key, and perhaps the end of a range.
    pub(crate) words: Vec<String>,
    /// Keys that begin like this one.
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Keys from this one on.
    #[arg(long)]
    pub(crate) from_key: bool,
    /// Delete the half-open range of both words.
    #[arg(long)]
    pub(crate) range: bool,
    /// Return what was deleted.
    #[arg(long)]
    pub(crate) prev_kv: bool,
}

/// `compaction`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Compaction {
    /// The oldest revision to keep.
    pub(crate) words: Vec<String>,
    /// Wait until the old versions are gone.
    #[arg(long)]
    pub(crate) physical: bool,
}

pub(super) async fn put(client: &Client, output: Output, put: Put) -> Result<(), Failed> {
    let request = put_request(put, true)?;
    output.put(&client.short(client.kv().put(client.fits(request)?)).await?)?;
    Ok(())
}

/// How long a person may think about a range that is to be deleted.
const SECOND_THOUGHTS: Duration = Duration::from_secs(2);

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
        // What comes behind the value is passed over, as in etcd.
        [key, value, ..] => (key, value.clone().into_bytes()),
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
    let (value_only, count_only, stream) = (get.print_value_only, get.count_only, get.stream);
    let request = range_request(get)?;
    let answer = match stream {
        true => client.in_time(streamed(client, request)).await?,
        false => client.short(client.kv().range(client.fits(request)?)).await?,
    };
    if count_only && output.format != Format::Fields {
        return Err(Failed::arguments("--count-only is only for `--write-out=fields`"));
    }
    if value_only && output.format != Format::Simple {
        return Err(Failed::arguments("print-value-only is only for `--write-out=simple`"));
    }
    output.range(&answer, value_only)?;
    Ok(())
}

/// Puts the pieces of a range together.
async fn streamed(client: &Client, request: pb::RangeRequest) -> Result<pb::RangeResponse, Failed> {
    let mut pieces = client.kv().range_stream(request).await?.into_inner();
    let mut whole = pb::RangeResponse::default();
    while let Some(piece) = pieces.message().await? {
        let piece = piece.range_response.unwrap_or_default();
        whole.header = piece.header.or(whole.header);
        whole.kvs.extend(piece.kvs);
        whole.more |= piece.more;
        whole.count += piece.count;
    }
    Ok(whole)
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
    if get.words.len() > 1 && (get.prefix || get.from_key) {
        return Err(Failed::arguments(
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        ));
    }
    let serializable = is_serializable(&get.consistency)?;
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
    check_bounds("CreateRev", get.min_create_rev, get.max_create_rev)?;
    check_bounds("ModRev", get.min_mod_rev, get.max_mod_rev)?;
    let (key, range_end) = span(&get.words, get.prefix, get.from_key);
    Ok(pb::RangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        limit: get.limit,
        revision: get.rev.max(0),
        sort_order: order.into(),
        sort_target: target.into(),
        serializable,
        keys_only: get.keys_only,
        count_only: get.count_only,
        min_mod_revision: get.min_mod_rev.max(0),
        max_mod_revision: get.max_mod_rev.max(0),
        min_create_revision: get.min_create_rev.max(0),
        max_create_revision: get.max_create_rev.max(0),
    })
}

/// Whether reads may be answered from one member's own state.
pub(super) fn is_serializable(consistency: &str) -> Result<bool, Failed> {
    match consistency {
        "l" => Ok(false),
        "s" => Ok(true),
        other => Err(Failed::feature(format!("unknown consistency flag {other:?}"))),
    }
}

fn check_bounds(name: &str, min: i64, max: i64) -> Result<(), Failed> {
    if max > 0 && min > max {
        let line = format!("getMin{name}(={min}) > getMax{name}(={max})");
        return Err(Failed::feature(line));
    }
    Ok(())
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
pub(super) fn behind_prefix(key: &[u8]) -> Vec<u8> {
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
    let warned = (!del.range).then(|| del.words.clone());
    let request = delete_request(del)?;
    if let Some([first, end]) = warned.as_deref() {
        eprintln!(
            "Warning: Keys between {first:?} and {end:?} will be deleted. Please interrupt the \
             command within next 2 seconds to cancel. You can provide `--range` flag to avoid the \
             delay."
        );
        tokio::time::sleep(SECOND_THOUGHTS).await;
    }
    output.delete(&client.short(client.kv().delete_range(client.fits(request)?)).await?)?;
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
    client.short(client.kv().compact(request)).await?;
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
