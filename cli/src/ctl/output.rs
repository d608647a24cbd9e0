//! Answers on the terminal, in etcd's formats.

use super::fields::Lines;
use super::json;
use clap::ValueEnum;
use keel_proto::pb::{etcdserverpb as pb, mvccpb};
use prost::Message;
use std::io::Write;

/// etcd's `--write-out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Simple,
    Fields,
    Json,
    Protobuf,
    Table,
}

/// How and what to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) format: Format,
    /// Keys and values as `\x` bytes.
    pub(super) hex: bool,
}

/// What a format cannot show.
pub(crate) const NO_FORM: &str = "unsupported output format";
/// What etcd says where an answer has no protobuf.
pub(crate) const NO_PROTOBUF: &str = "protobuf not supported as output format";
/// What etcd says where an answer has no fields.
pub(crate) const NO_FIELDS: &str = "fields not supported as output format";
/// What etcd says where an answer has no table.
pub(crate) const NO_TABLE: &str = "table not supported as output format";

impl Output {
    pub(super) fn bytes(self, bytes: &[u8]) -> Vec<u8> {
        if !self.hex {
            return bytes.to_vec();
        }
        bytes.iter().flat_map(|byte| format!("\\x{byte:02x}").into_bytes()).collect()
    }

    pub(super) fn key_value(self, out: &mut Vec<u8>, kv: &mvccpb::KeyValue, value_only: bool) {
        if !value_only {
            out.extend(self.bytes(&kv.key));
            out.push(b'\n');
        }
        out.extend(self.bytes(&kv.value));
        out.push(b'\n');
    }

    /// Prints an answer: simple through `simple`, the others by their rules.
    fn message(
        self,
        message: &impl Message,
        json: impl FnOnce() -> String,
        fields: impl FnOnce(&mut Lines),
        simple: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), String> {
        let mut out = Vec::new();
        match self.format {
            Format::Simple => simple(&mut out),
            Format::Json => out.extend((json() + "\n").into_bytes()),
            Format::Protobuf => out.extend(message.encode_to_vec()),
            Format::Fields => {
                let mut lines = Lines::new(self.hex);
                fields(&mut lines);
                out.extend(lines.text.into_bytes());
            }
            Format::Table => return Err(String::from(NO_TABLE)),
        }
        print(&out)
    }

    pub(super) fn put(self, put: &pb::PutResponse) -> Result<(), String> {
        self.message(
            put,
            || json::put(put),
            |lines| lines.put(put),
            |out| self.simple_put(put, out),
        )
    }

    fn simple_put(self, put: &pb::PutResponse, out: &mut Vec<u8>) {
        out.extend(b"OK\n");
        if let Some(kv) = &put.prev_kv {
            self.key_value(out, kv, false);
        }
    }

    pub(super) fn range(self, range: &pb::RangeResponse, value_only: bool) -> Result<(), String> {
        self.message(
            range,
            || json::range(range),
            |lines| lines.range(range),
            |out| {
                for kv in &range.kvs {
                    self.key_value(out, kv, value_only);
                }
            },
        )
    }

    pub(super) fn delete(self, delete: &pb::DeleteRangeResponse) -> Result<(), String> {
        self.message(
            delete,
            || json::delete(delete),
            |lines| lines.delete(delete),
            |out| self.simple_delete(delete, out),
        )
    }

    fn simple_delete(self, delete: &pb::DeleteRangeResponse, out: &mut Vec<u8>) {
        out.extend(format!("{}\n", delete.deleted).into_bytes());
        for kv in &delete.prev_kvs {
            self.key_value(out, kv, false);
        }
    }

    pub(super) fn txn(self, txn: &pb::TxnResponse) -> Result<(), String> {
        self.message(
            txn,
            || json::txn(txn),
            |lines| lines.txn(txn),
            |out| self.simple_txn(txn, out),
        )
    }

    fn simple_txn(self, txn: &pb::TxnResponse, out: &mut Vec<u8>) {
        use pb::response_op::Response;
        let verdict: &[u8] = if txn.succeeded { b"SUCCESS\n" } else { b"FAILURE\n" };
        out.extend(verdict);
        for op in &txn.responses {
            out.push(b'\n');
            match &op.response {
                Some(Response::ResponseRange(range)) => {
                    for kv in &range.kvs {
                        self.key_value(out, kv, false);
                    }
                }
                Some(Response::ResponsePut(put)) => self.simple_put(put, out),
                Some(Response::ResponseDeleteRange(delete)) => self.simple_delete(delete, out),
                Some(Response::ResponseTxn(inner)) => self.simple_txn(inner, out),
                None => {}
            }
        }
    }

    pub(super) fn watch(self, watch: &pb::WatchResponse) -> Result<(), String> {
        self.message(
            watch,
            || json::watch(watch),
            |lines| lines.watch(watch),
            |out| {
                for event in &watch.events {
                    out.extend(event.r#type().as_str_name().as_bytes());
                    out.push(b'\n');
                    for kv in event.prev_kv.iter().chain(&event.kv) {
                        self.key_value(out, kv, false);
                    }
                }
            },
        )
    }

    /// Prints an answer that has a form of its own in each format but table. `message` is its
    /// protobuf, where etcd prints one.
    pub(super) fn forms(
        self,
        message: Option<Vec<u8>>,
        simple: impl FnOnce() -> String,
        json: impl FnOnce() -> String,
        fields: impl FnOnce(&mut Lines),
    ) -> Result<(), String> {
        match self.format {
            Format::Simple => print(simple().as_bytes()),
            Format::Json => print((json() + "\n").as_bytes()),
            Format::Fields => {
                let mut lines = Lines::new(self.hex);
                fields(&mut lines);
                print(lines.text.as_bytes())
            }
            Format::Protobuf => print(&message.ok_or_else(|| String::from(NO_PROTOBUF))?),
            Format::Table => Err(String::from(NO_TABLE)),
        }
    }
}

/// Writes to standard output. A reader that went away is a reason to end.
pub(crate) fn print(bytes: &[u8]) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// A table as etcd draws it: heads in the middle, numbers and truths to the right.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let rule = |left: char, middle: &str, right: char| {
        let bars: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", bars.join(middle))
    };
    let centre = |text: &str, width: usize| {
        let room = width - text.chars().count();
        format!(" {}{text}{} ", " ".repeat(room / 2), " ".repeat(room - room / 2))
    };
    let cell = |text: &str, width: usize| {
        let room = " ".repeat(width - text.chars().count());
        if is_number(text) { format!(" {room}{text} ") } else { format!(" {text}{room} ") }
    };
    let mut out = rule('┌', "┬", '┐');
    let line = |cells: Vec<String>| format!("│{}│\n", cells.join("│"));
    out += &line(heads.iter().zip(&widths).map(|(head, width)| centre(head, *width)).collect());
    if !rows.is_empty() {
        out += &rule('├', "┼", '┤');
    }
    for row in rows {
        out += &line(row.iter().zip(&widths).map(|(text, width)| cell(text, *width)).collect());
    }
    out + &rule('└', "┴", '┘')
}

/// What stands to the right in etcd's tables.
fn is_number(text: &str) -> bool {
    let digits = text.trim_end_matches('%');
    matches!(text, "true" | "false")
        || digits.parse::<f64>().is_ok()
        || text.ends_with(" B")
        || text.ends_with("kB")
        || text.ends_with("MB")
        || text.ends_with("GB")
        || text.matches('.').count() == 2 && text.split('.').all(|p| p.parse::<u32>().is_ok())
}

/// Bytes as people read them, in powers of ten.
pub(crate) fn human(bytes: i64) -> String {
    let mut value = bytes as f64;
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let rounded = (value * 10.0 + 0.5).floor() / 10.0;
    if rounded < 10.0 && unit != "B" {
        format!("{rounded:.1} {unit}")
    } else {
        format!("{rounded:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_etcd_writes_them() {
        let shown = [22, 20_480, 16_384, 2_147_483_648, 5].map(human);
        assert_eq!(shown, ["22 B", "20 kB", "16 kB", "2.1 GB", "5 B"]);
    }

    #[test]
    fn a_table_is_drawn_as_etcd_draws_it() {
        let row = vec!["127.0.0.1:1".to_owned(), "true".to_owned()];
        let expected = "┌─────────────┬────────┐\n│  ENDPOINT   │ HEALTH │\n├─────────────┼────────┤\n\
                        │ 127.0.0.1:1 │   true │\n└─────────────┴────────┘\n";
        assert_eq!(table(&["ENDPOINT", "HEALTH"], &[row]), expected);
    }
}
