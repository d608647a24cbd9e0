//! What an entry of the log says, for persons and as JSON.

use super::{base64, shown};
use keel_core::command::{AlarmAction, Command, Compare, Op, Operand, Relation, Txn};
use keel_core::raft::{Change, ChangeStep};
use keel_core::{Keys, LeaseId, Payload, RawEntry};
use keel_proto::convert::decode_entry;
use serde_json::{Value, json};

/// An entry in words: its kind, the rest of the line, and the same as JSON.
pub(super) struct Described {
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) json: Value,
}

fn described(kind: &'static str, text: impl Into<String>, json: Value) -> Described {
    Described { kind, text: text.into(), json }
}

/// Describes an entry. One that this build does not know is shown as its bytes.
pub(super) fn entry(raw: &RawEntry) -> Described {
    match decode_entry(raw.clone()) {
        Ok(entry) => match &entry.payload {
            Payload::Empty => described("empty", "", json!({})),
            Payload::Command(proposal) => command(&proposal.command),
            Payload::Change { change, .. } => membership(change),
        },
        Err(why) => described(
            "unknown",
            format!("{} bytes: {}", raw.bytes.len(), why.0),
            json!({ "bytes": base64(&raw.bytes), "error": why.0 }),
        ),
    }
}

fn command(command: &Command) -> Described {
    match command {
        Command::Put(put) => {
            let mut text = format!("{} = {}", shown(&put.key), shown(&put.value));
            if put.lease != LeaseId::NONE {
                text += &format!(" lease {:x}", put.lease.0);
            }
            let (key, value) = (base64(&put.key), base64(&put.value));
            described("put", text, json!({ "key": key, "value": value, "lease": put.lease.0 }))
        }
        Command::Delete(delete) => {
            let (text, json) = keys(&delete.keys);
            described("delete", text, json)
        }
        Command::Txn(txn) => described("txn", transaction(txn), txn_json(txn)),
        Command::Compact { revision, physical } => {
            let text = format!("to {revision}{}", if *physical { ", physical" } else { "" });
            described("compact", text, json!({ "revision": revision, "physical": physical }))
        }
        Command::Grant { lease, ttl } => {
            let text = format!("{:x} for {ttl} s", lease.0);
            described("lease-grant", text, json!({ "lease": lease.0, "ttl": ttl }))
        }
        Command::Revoke { lease } => {
            let text = format!("{:x}", lease.0);
            described("lease-revoke", text, json!({ "lease": lease.0 }))
        }
        Command::Checkpoint(left) => {
            let text: Vec<String> =
                left.iter().map(|(lease, left)| format!("{:x}: {left} s", lease.0)).collect();
            let json: Vec<Value> = left
                .iter()
                .map(|(lease, left)| json!({ "lease": lease.0, "remaining": left }))
                .collect();
            described("lease-checkpoint", text.join(", "), json!({ "leases": json }))
        }
        Command::Alarm { action, member, kind } => {
            let action = match action {
                AlarmAction::Get => "get",
                AlarmAction::Activate => "activate",
                AlarmAction::Deactivate => "deactivate",
            };
            let kind = kind.map_or("all", super::state::named);
            let json = json!({ "action": action, "member": member.to_string(), "alarm": kind });
            described("alarm", format!("{action} {kind} of {member}"), json)
        }
        Command::Publish { member, name, client_urls } => {
            let text = format!("{member} is {name:?} at {}", client_urls.join(","));
            let member = member.to_string();
            let json = json!({ "member": member, "name": name, "clientURLs": client_urls });
            described("publish", text, json)
        }
        Command::ClusterVersion(version) => {
            described("cluster-version", version.as_str(), json!({ "version": version }))
        }
        Command::Downgrade { target } if target.is_empty() => {
            described("downgrade", "cancelled", json!({ "enabled": false }))
        }
        Command::Downgrade { target } => {
            let json = json!({ "enabled": true, "target": target });
            described("downgrade", format!("to {target}"), json)
        }
        Command::Range(range) => {
            let (text, json) = keys(&range.keys);
            described("range", text, json)
        }
    }
}

fn keys(keys: &Keys) -> (String, Value) {
    match keys {
        Keys::One(key) => (shown(key), json!({ "key": base64(key) })),
        Keys::Span { from, to } => (
            format!("{} up to {}", shown(from), shown(to)),
            json!({ "key": base64(from), "rangeEnd": base64(to) }),
        ),
        Keys::From(from) => (
            format!("{} and all behind it", shown(from)),
            json!({ "key": base64(from), "rangeEnd": base64(&[0]) }),
        ),
        Keys::All => {
            (String::from("all"), json!({ "key": base64(&[0]), "rangeEnd": base64(&[0]) }))
        }
    }
}

fn transaction(txn: &Txn) -> String {
    let list = |ops: &[Op]| ops.iter().map(op_text).collect::<Vec<_>>().join("; ");
    let compared: Vec<String> = txn.compares.iter().map(compare_text).collect();
    format!(
        "if [{}] then [{}] else [{}]",
        compared.join("; "),
        list(&txn.success),
        list(&txn.failure)
    )
}

fn compare_text(compare: &Compare) -> String {
    let relation = match compare.relation {
        Relation::Equal => "=",
        Relation::Greater => ">",
        Relation::Less => "<",
        Relation::NotEqual => "!=",
        Relation::Unknown => "?",
    };
    let (target, with) = match &compare.operand {
        Operand::Version(version) => ("version", version.to_string()),
        Operand::Create(revision) => ("create", revision.to_string()),
        Operand::Mod(revision) => ("mod", revision.to_string()),
        Operand::Value(value) => ("value", shown(value)),
        Operand::Lease(lease) => ("lease", format!("{lease:x}")),
        Operand::Unknown => ("?", String::from("?")),
    };
    format!("{target}({}) {relation} {with}", keys(&compare.keys).0)
}

fn op_text(op: &Op) -> String {
    match op {
        Op::Range(range) => format!("range {}", keys(&range.keys).0),
        Op::Put(put) => format!("put {} = {}", shown(&put.key), shown(&put.value)),
        Op::Delete(delete) => format!("delete {}", keys(&delete.keys).0),
        Op::Txn(txn) => format!("txn {}", transaction(txn)),
    }
}

fn txn_json(txn: &Txn) -> Value {
    let list = |ops: &[Op]| ops.iter().map(op_json).collect::<Vec<Value>>();
    let compares: Vec<Value> = txn.compares.iter().map(|one| compare_text(one).into()).collect();
    json!({ "compare": compares, "success": list(&txn.success), "failure": list(&txn.failure) })
}

fn op_json(op: &Op) -> Value {
    match op {
        Op::Range(range) => json!({ "range": keys(&range.keys).1 }),
        Op::Put(put) => json!({ "put": command(&Command::Put(put.clone())).json }),
        Op::Delete(delete) => json!({ "delete": keys(&delete.keys).1 }),
        Op::Txn(txn) => json!({ "txn": txn_json(txn) }),
    }
}

fn membership(change: &Change) -> Described {
    let step = |step: &ChangeStep| match step {
        ChangeStep::AddVoter(id) if change.promote => ("promote", id.to_string()),
        ChangeStep::AddVoter(id) => ("add", id.to_string()),
        ChangeStep::AddLearner(id) => ("add-learner", id.to_string()),
        ChangeStep::Remove(id) => ("remove", id.to_string()),
        ChangeStep::Update(id) => ("update", id.to_string()),
    };
    let steps: Vec<(&str, String)> = change.steps.iter().map(step).collect();
    let mut text: Vec<String> = steps.iter().map(|(what, id)| format!("{what} {id}")).collect();
    let member = change.member.as_ref();
    text.extend(member.map(|member| format!("at {}", member.peer_urls.join(","))));
    let steps: Vec<Value> =
        steps.iter().map(|(what, id)| json!({ "step": what, "member": id })).collect();
    let urls = member.map(|member| member.peer_urls.clone()).unwrap_or_default();
    described("membership", text.join(" "), json!({ "steps": steps, "peerURLs": urls }))
}
