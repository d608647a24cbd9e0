//! Transactions as clients ask for them: the same on every level.

use crate::history::beside;
use bytes::Bytes;
use keel_proto::wire::etcdserverpb as pb;

/// Put, if the key holds this; else read.
pub(crate) fn swap(key: &str, from: Option<&str>, to: &str) -> pb::TxnRequest {
    use pb::compare::{CompareTarget, TargetUnion};
    let key = Bytes::copy_from_slice(key.as_bytes());
    let (target, union) = match from {
        Some(value) => {
            (CompareTarget::Value, TargetUnion::Value(Bytes::copy_from_slice(value.as_bytes())))
        }
        None => (CompareTarget::Create, TargetUnion::CreateRevision(0)),
    };
    let compare = pb::Compare {
        key: key.clone(),
        target: target.into(),
        target_union: Some(union),
        ..Default::default()
    };
    let value = Bytes::copy_from_slice(to.as_bytes());
    let put = pb::PutRequest { key: key.clone(), value, ..Default::default() };
    let range = pb::RangeRequest { key, ..Default::default() };
    let op = |request| pb::RequestOp { request: Some(request) };
    pb::TxnRequest {
        compare: vec![compare],
        success: vec![op(pb::request_op::Request::RequestPut(put))],
        failure: vec![op(pb::request_op::Request::RequestRange(range))],
    }
}

/// Put both, and read the first as it was: the whole is refused where that is forgotten.
pub(crate) fn both(key: &str, value: &str, other: &str, past: i64) -> pb::TxnRequest {
    use pb::request_op::Request;
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let put = |key, value: &str| {
        let (key, value) = (text(key), text(value));
        Request::RequestPut(pb::PutRequest { key, value, ..Default::default() })
    };
    let read = pb::RangeRequest { key: text(key), revision: past, ..Default::default() };
    let ops = [put(key, value), put(other, &beside(value)), Request::RequestRange(read)];
    let success = ops.map(|request| pb::RequestOp { request: Some(request) }).into();
    pb::TxnRequest { success, ..Default::default() }
}
