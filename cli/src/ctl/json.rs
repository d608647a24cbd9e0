//! Go's `encoding/json` of etcd's messages: snake case, base64, and nothing that is zero.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keel_proto::pb::{etcdserverpb as pb, mvccpb};
use serde_json::Value;

/// An object under construction. Fields come out in the order they are put in.
#[derive(Debug, Default)]
pub(super) struct Object(Vec<String>);

impl Object {
    pub(super) fn new() -> Object {
        Object::default()
    }

    /// A field that is always there; `value` is JSON already.
    pub(super) fn raw(mut self, name: &str, value: impl Into<String>) -> Object {
        self.0.push(format!("{}:{}", Value::from(name), value.into()));
        self
    }

    /// A field that is there if it says something.
    fn optional(self, name: &str, there: bool, value: impl Into<String>) -> Object {
        if there { self.raw(name, value) } else { self }
    }

    pub(super) fn uint(self, name: &str, value: u64) -> Object {
        self.optional(name, value != 0, value.to_string())
    }

    pub(super) fn int(self, name: &str, value: i64) -> Object {
        self.optional(name, value != 0, value.to_string())
    }

    pub(super) fn flag(self, name: &str, value: bool) -> Object {
        self.optional(name, value, "true")
    }

    pub(super) fn text(self, name: &str, value: &str) -> Object {
        self.optional(name, !value.is_empty(), quoted(value))
    }

    fn bytes(self, name: &str, value: &[u8]) -> Object {
        self.optional(name, !value.is_empty(), base64(value))
    }

    pub(super) fn list(self, name: &str, values: Vec<String>) -> Object {
        self.optional(name, !values.is_empty(), array(values))
    }

    pub(super) fn header(self, name: &str, header: Option<&pb::ResponseHeader>) -> Object {
        match header {
            Some(value) => self.raw(name, Object::new().header_fields(value).done()),
            None => self,
        }
    }

    /// A header's fields, where Go embeds it.
    pub(super) fn header_fields(self, header: &pb::ResponseHeader) -> Object {
        self.uint("cluster_id", header.cluster_id)
            .uint("member_id", header.member_id)
            .int("revision", header.revision)
            .uint("raft_term", header.raft_term)
    }

    pub(super) fn done(self) -> String {
        format!("{{{}}}", self.0.join(","))
    }
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    // Go escapes what could end a script element.
    let plain = Value::from(text).to_string();
    plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn base64(bytes: &[u8]) -> String {
    format!("\"{}\"", STANDARD.encode(bytes))
}

/// Go's slice that was never made where there is nothing in it.
pub(super) fn slice(values: Vec<String>) -> String {
    if values.is_empty() { String::from("null") } else { array(values) }
}

/// A JSON array.
pub(super) fn array(values: Vec<String>) -> String {
    format!("[{}]", values.join(","))
}

pub(super) fn key_value(kv: &mvccpb::KeyValue) -> String {
    Object::new()
        .bytes("key", &kv.key)
        .int("create_revision", kv.create_revision)
        .int("mod_revision", kv.mod_revision)
        .int("version", kv.version)
        .bytes("value", &kv.value)
        .int("lease", kv.lease)
        .done()
}

pub(super) fn range(range: &pb::RangeResponse) -> String {
    Object::new()
        .header("header", range.header.as_ref())
        .list("kvs", range.kvs.iter().map(key_value).collect())
        .flag("more", range.more)
        .int("count", range.count)
        .done()
}

pub(super) fn put(put: &pb::PutResponse) -> String {
    let object = Object::new().header("header", put.header.as_ref());
    match &put.prev_kv {
        Some(kv) => object.raw("prev_kv", key_value(kv)).done(),
        None => object.done(),
    }
}

pub(super) fn delete(delete: &pb::DeleteRangeResponse) -> String {
    Object::new()
        .header("header", delete.header.as_ref())
        .int("deleted", delete.deleted)
        .list("prev_kvs", delete.prev_kvs.iter().map(key_value).collect())
        .done()
}

pub(super) fn txn(txn: &pb::TxnResponse) -> String {
    use pb::response_op::Response;
    let responses = txn.responses.iter().map(|op| {
        let (name, value) = match &op.response {
            Some(Response::ResponseRange(one)) => ("response_range", range(one)),
            Some(Response::ResponsePut(one)) => ("response_put", put(one)),
            Some(Response::ResponseDeleteRange(one)) => ("response_delete_range", delete(one)),
            Some(Response::ResponseTxn(one)) => ("response_txn", self::txn(one)),
            None => return Object::new().raw("Response", "null").done(),
        };
        Object::new().raw("Response", Object::new().raw(name, value).done()).done()
    });
    Object::new()
        .header("header", txn.header.as_ref())
        .flag("succeeded", txn.succeeded)
        .list("responses", responses.collect())
        .done()
}

pub(super) fn watch(watch: &pb::WatchResponse) -> String {
    let events = watch.events.iter().map(|event| {
        let mut object = Object::new().int("type", i64::from(event.r#type));
        if let Some(kv) = &event.kv {
            object = object.raw("kv", key_value(kv));
        }
        if let Some(kv) = &event.prev_kv {
            object = object.raw("prev_kv", key_value(kv));
        }
        object.done()
    });
    let events: Vec<String> = events.collect();
    let header = watch.header.unwrap_or_default();
    Object::new()
        .raw("Header", Object::new().header_fields(&header).done())
        .raw("Events", slice(events))
        .raw("CompactRevision", watch.compact_revision.to_string())
        .raw("Canceled", watch.canceled.to_string())
        .raw("Created", watch.created.to_string())
        .raw("CancelReason", quoted(&watch.cancel_reason))
        .done()
}

pub(super) fn status(status: &pb::StatusResponse) -> String {
    Object::new()
        .header("header", status.header.as_ref())
        .text("version", &status.version)
        .int("dbSize", status.db_size)
        .uint("leader", status.leader)
        .uint("raftIndex", status.raft_index)
        .uint("raftTerm", status.raft_term)
        .uint("raftAppliedIndex", status.raft_applied_index)
        .list("errors", status.errors.iter().map(|error| quoted(error)).collect())
        .int("dbSizeInUse", status.db_size_in_use)
        .flag("isLearner", status.is_learner)
        .text("storageVersion", &status.storage_version)
        .int("dbSizeQuota", status.db_size_quota)
        .raw("downgradeInfo", downgrade_info(&status.downgrade_info.clone().unwrap_or_default()))
        .done()
}

fn downgrade_info(info: &pb::DowngradeInfo) -> String {
    Object::new().flag("enabled", info.enabled).text("targetVersion", &info.target_version).done()
}

/// What `downgrade` answers.
pub(super) fn downgrade(answer: &pb::DowngradeResponse) -> String {
    Object::new().header("header", answer.header.as_ref()).text("version", &answer.version).done()
}

/// A list of members; with `hex`, its ids are texts in hexadecimal, as nowhere else in etcdctl.
pub(super) fn members(list: &pb::MemberListResponse, hex: bool) -> String {
    change_of_members(list.header, &list.members, None, hex)
}

/// What a change of the membership answers: the member that it made, if it did, and all.
pub(super) fn change_of_members(
    header: Option<pb::ResponseHeader>,
    members: &[pb::Member],
    member: Option<&pb::Member>,
    hex: bool,
) -> String {
    let id = |object: Object, name: &str, id: u64| match hex {
        true => object.raw(name, quoted(&format!("{id:x}"))),
        false => object.uint(name, id),
    };
    let shown = |member: &pb::Member| {
        let texts = |texts: &[String]| texts.iter().map(|text| quoted(text)).collect();
        id(Object::new(), "ID", member.id)
            .text("name", &member.name)
            .list("peerURLs", texts(&member.peer_ur_ls))
            .list("clientURLs", texts(&member.client_ur_ls))
            .flag("isLearner", member.is_learner)
            .done()
    };
    let header = header.unwrap_or_default();
    let ids = id(Object::new(), "cluster_id", header.cluster_id);
    let ids = id(ids, "member_id", header.member_id).int("revision", header.revision);
    let header = ids.uint("raft_term", header.raft_term).done();
    let object = Object::new().raw("header", header);
    let object = match member {
        Some(member) => object.raw("member", shown(member)),
        None => object,
    };
    object.list("members", members.iter().map(shown).collect()).done()
}

pub(super) fn alarms(list: &pb::AlarmResponse) -> String {
    let alarms = list.alarms.iter().map(|alarm| {
        Object::new().uint("memberID", alarm.member_id).int("alarm", i64::from(alarm.alarm)).done()
    });
    Object::new().header("header", list.header.as_ref()).list("alarms", alarms.collect()).done()
}
