//! The `fields` format: a line a field, names in quotes.

use keel_proto::pb::{etcdserverpb as pb, mvccpb};
use std::fmt::Write;

/// Go's `%q` of bytes that are mostly text.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\x0b' => out.push_str("\\v"),
                '\x0c' => out.push_str("\\f"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// Lines under construction.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) text: String,
    /// Whether ids are shown in hexadecimal.
    hex: bool,
}

impl Lines {
    pub(super) fn new(hex: bool) -> Lines {
        Lines { text: String::new(), hex }
    }

    pub(super) fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        writeln!(self.text, "\"{name}\" : {value}").expect("writing to a string does not fail");
    }

    /// A line with the id of a cluster or a member.
    pub(super) fn id(&mut self, name: &str, id: u64) {
        if self.hex {
            self.line(name, format_args!("{id:x}"));
        } else {
            self.line(name, id);
        }
    }

    /// A line with the id of a lease.
    pub(super) fn lease(&mut self, name: &str, id: i64) {
        if self.hex {
            self.line(name, format_args!("{id:016x}"));
        } else {
            self.line(name, id);
        }
    }

    /// A header; the cluster's services know no revision.
    pub(super) fn header(&mut self, header: Option<&pb::ResponseHeader>) {
        let header = header.cloned().unwrap_or_default();
        self.id("ClusterID", header.cluster_id);
        self.id("MemberID", header.member_id);
        if header.revision > 0 {
            self.line("Revision", header.revision);
        }
        self.line("RaftTerm", header.raft_term);
    }

    pub(super) fn key_value(&mut self, prefix: &str, kv: &mvccpb::KeyValue) {
        self.line(&format!("{prefix}Key"), quoted(&kv.key));
        self.line(&format!("{prefix}CreateRevision"), kv.create_revision);
        self.line(&format!("{prefix}ModRevision"), kv.mod_revision);
        self.line(&format!("{prefix}Version"), kv.version);
        self.line(&format!("{prefix}Value"), quoted(&kv.value));
        self.lease(&format!("{prefix}Lease"), kv.lease);
    }

    pub(super) fn range(&mut self, range: &pb::RangeResponse) {
        self.header(range.header.as_ref());
        for kv in &range.kvs {
            self.key_value("", kv);
        }
        self.line("More", range.more);
        self.line("Count", range.count);
    }

    pub(super) fn put(&mut self, put: &pb::PutResponse) {
        self.header(put.header.as_ref());
        if let Some(kv) = &put.prev_kv {
            self.key_value("Prev", kv);
        }
    }

    pub(super) fn delete(&mut self, delete: &pb::DeleteRangeResponse) {
        self.header(delete.header.as_ref());
        self.line("Deleted", delete.deleted);
        for kv in &delete.prev_kvs {
            self.key_value("Prev", kv);
        }
    }

    pub(super) fn txn(&mut self, txn: &pb::TxnResponse) {
        use pb::response_op::Response;
        self.header(txn.header.as_ref());
        self.line("Succeeded", txn.succeeded);
        for op in &txn.responses {
            match &op.response {
                Some(Response::ResponseRange(one)) => self.range(one),
                Some(Response::ResponsePut(one)) => self.put(one),
                Some(Response::ResponseDeleteRange(one)) => self.delete(one),
                Some(Response::ResponseTxn(one)) => self.txn(one),
                None => {}
            }
        }
    }

    pub(super) fn watch(&mut self, watch: &pb::WatchResponse) {
        self.header(watch.header.as_ref());
        for event in &watch.events {
            self.line("Type", event.r#type().as_str_name());
            if let Some(kv) = &event.prev_kv {
                self.key_value("Prev", kv);
            }
            if let Some(kv) = &event.kv {
                self.key_value("", kv);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_quoted_as_go_quotes_them() {
        assert_eq!(quoted(b"a\"b\\\n\x00\xff"), "\"a\\\"b\\\\\\n\\x00\\xff\"");
        assert_eq!(quoted("gr\u{fc}n".as_bytes()), "\"gr\u{fc}n\"");
    }

    #[test]
    fn ids_are_hexadecimal_where_asked() {
        for (hex, text) in [
            (false, "\"ID\" : 31\n\"Lease\" : 31\n"),
            (true, "\"ID\" : 1f\n\"Lease\" : 000000000000001f\n"),
        ] {
            let mut lines = Lines::new(hex);
            lines.id("ID", 31);
            lines.lease("Lease", 31);
            assert_eq!(lines.text, text);
        }
    }
}
