//! Requests in words, as a line of a slow one shows them: never a value, only its size.

use super::Said;
use crate::wire::etcdserverpb as pb;
use bytes::Bytes;
use prost::Message;

/// A range in words.
pub(crate) fn range(request: &pb::RangeRequest) -> String {
    let mut text = Words::default();
    text.bytes("key", &request.key);
    text.bytes("range_end", &request.range_end);
    text.number("limit", request.limit);
    text.number("revision", request.revision);
    text.number("sort_order", request.sort_order.into());
    text.number("sort_target", request.sort_target.into());
    text.flag("serializable", request.serializable);
    text.flag("keys_only", request.keys_only);
    text.flag("count_only", request.count_only);
    text.number("min_mod_revision", request.min_mod_revision);
    text.number("max_mod_revision", request.max_mod_revision);
    text.number("min_create_revision", request.min_create_revision);
    text.number("max_create_revision", request.max_create_revision);
    text.0
}

/// A put in words: the value only by its size.
fn put(request: &pb::PutRequest) -> String {
    let mut text = Words::default();
    text.bytes("key", &request.key);
    text.number("value_size", i64::try_from(request.value.len()).unwrap_or(i64::MAX));
    text.number("lease", request.lease);
    text.flag("prev_kv", request.prev_kv);
    text.flag("ignore_value", request.ignore_value);
    text.flag("ignore_lease", request.ignore_lease);
    text.0
}

fn delete(request: &pb::DeleteRangeRequest) -> String {
    let mut text = Words::default();
    text.bytes("key", &request.key);
    text.bytes("range_end", &request.range_end);
    text.flag("prev_kv", request.prev_kv);
    text.0
}

/// A transaction in words, values only by their sizes.
pub(crate) fn txn(request: &pb::TxnRequest) -> String {
    use pb::compare::TargetUnion;
    use pb::request_op::Request;
    let compares = request.compare.iter().map(|compare| {
        let mut text = Words::default();
        text.number("result", compare.result.into());
        text.number("target", compare.target.into());
        text.bytes("key", &compare.key);
        match &compare.target_union {
            Some(TargetUnion::Version(number)) => text.number("version", *number),
            Some(TargetUnion::CreateRevision(number)) => text.number("create_revision", *number),
            Some(TargetUnion::ModRevision(number)) => text.number("mod_revision", *number),
            Some(TargetUnion::Lease(number)) => text.number("lease", *number),
            Some(TargetUnion::Value(value)) => {
                text.number("value_size", i64::try_from(value.len()).unwrap_or(i64::MAX));
            }
            None => {}
        }
        text.bytes("range_end", &compare.range_end);
        text.0
    });
    let ops = |ops: &[pb::RequestOp]| {
        let op = |op: &pb::RequestOp| match &op.request {
            Some(Request::RequestRange(one)) => format!("request_range:<{}>", range(one)),
            Some(Request::RequestPut(one)) => format!("request_put:<{}>", put(one)),
            Some(Request::RequestDeleteRange(one)) => {
                format!("request_delete_range:<{}>", delete(one))
            }
            Some(Request::RequestTxn(one)) => format!("request_txn:<{}>", txn(one)),
            None => String::new(),
        };
        ops.iter().map(op).collect::<Vec<_>>().join(" ")
    };
    let (success, failure) = (ops(&request.success), ops(&request.failure));
    let compares = compares.collect::<Vec<_>>().join(" ");
    format!("compare:<{compares}> success:<{success}> failure:<{failure}>")
}

/// What stands in the log of a change, as numbers and words.
pub(crate) fn change(entry: &Bytes) -> Option<Said> {
    let request = pb::InternalRaftRequest::decode(entry.clone()).ok()?;
    if let Some(one) = request.put {
        let (request_bytes, content) = (one.encoded_len(), put(&one));
        return Some(Said { request_count: 1, request_bytes, content, ..Said::default() });
    }
    if let Some(one) = request.delete_range {
        let (request_bytes, content) = (one.encoded_len(), delete(&one));
        return Some(Said { request_bytes, content, ..Said::default() });
    }
    let one = request.txn?;
    let request_count = i64::try_from(one.success.len()).unwrap_or(i64::MAX);
    let request_bytes = one.success.iter().map(Message::encoded_len).sum();
    Some(Said { request_count, request_bytes, content: txn(&one), ..Said::default() })
}

/// Fields in protobuf's text form; what is zero is left out.
#[derive(Default)]
struct Words(String);

impl Words {
    fn word(&mut self, word: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(word);
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.word(&format!("{name}:\"{}\"", bytes.escape_ascii()));
        }
    }

    fn number(&mut self, name: &str, number: i64) {
        if number != 0 {
            self.word(&format!("{name}:{number}"));
        }
    }

    fn flag(&mut self, name: &str, flag: bool) {
        if flag {
            self.word(&format!("{name}:true"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_told() {
        let put = pb::PutRequest { key: "k".into(), value: "secret".into(), ..Default::default() };
        let entry = pb::InternalRaftRequest { put: Some(put.clone()), ..Default::default() };
        let said = change(&entry.encode_to_vec().into()).expect("a put");
        assert_eq!(said.content, "key:\"k\" value_size:6");
        let request = Some(pb::request_op::Request::RequestPut(put));
        let compare = pb::Compare {
            target: 3,
            key: "k".into(),
            target_union: Some(pb::compare::TargetUnion::Value("secret".into())),
            ..Default::default()
        };
        let request = pb::TxnRequest {
            compare: vec![compare],
            success: vec![pb::RequestOp { request }],
            failure: Vec::new(),
        };
        assert_eq!(
            txn(&request),
            "compare:<target:3 key:\"k\" value_size:6> \
             success:<request_put:<key:\"k\" value_size:6>> failure:<>"
        );
    }
}
