//! `inspect state`: whose it is, where it stands, and how much it holds.

use super::{At, Form, Page};
use crate::ctl::Failed;
use crate::ctl::output::human;
use crate::utl::Common;
use keel_core::command::AlarmKind;
use keel_core::state::Checkpoint;
use serde_json::{Value, json};

pub(super) async fn run(common: &Common, form: Form, at: &At) -> Result<(), Failed> {
    let source = at.open(common)?;
    let state = source.state().await?;
    let mut page = Page::new();
    match form {
        Form::Json => page.line(json(source.kind(), &state))?,
        Form::Simple => persons(&mut page, source.kind(), &state)?,
    }
    page.turn()
}

fn persons(page: &mut Page, kind: &str, state: &Checkpoint) -> Result<(), Failed> {
    let usage = state.kv.usage();
    let version = match state.cluster.version.as_str() {
        "" => "not decided",
        version => version,
    };
    page.line(kind)?;
    page.line(format_args!("entry {} of term {}", state.index.0, state.term.0))?;
    page.line(format_args!(
        "revision {}, compacted to {}",
        state.kv.revision(),
        state.kv.compacted()
    ))?;
    page.line(format_args!(
        "{} keys, {} versions, {} in use of {}",
        usage.keys,
        usage.records,
        human(usage.in_use),
        human(usage.total)
    ))?;
    // A database does not know whose cluster it is from.
    let cluster = match state.cluster.id {
        0 => String::new(),
        id => format!(" {id:x}"),
    };
    page.line(format_args!("cluster{cluster}, version {version}"))?;
    for (id, member) in &state.cluster.members {
        let votes = if state.config.votes(*id) { "votes" } else { "does not vote" };
        let clients = match member.client_urls.join(",") {
            urls if urls.is_empty() => String::from("not started yet"),
            urls => format!("clients at {urls}"),
        };
        let peers = member.peer_urls.join(",");
        page.line(format_args!(
            "member {id} {:?} {votes}, peers at {peers}, {clients}",
            member.name
        ))?;
    }
    for id in &state.cluster.removed {
        page.line(format_args!("member {id} was removed"))?;
    }
    for lease in &state.leases {
        let left = match lease.remaining {
            0 => String::new(),
            left => format!(", {left} s left when that was last written"),
        };
        page.line(format_args!("lease {:x} of {} s{left}", lease.lease.0, lease.ttl))?;
    }
    for (member, alarm) in state.alarms.iter() {
        page.line(format_args!("alarm {} of member {member}", named(*alarm)))?;
    }
    Ok(())
}

/// etcd's name of an alarm.
pub(super) fn named(alarm: AlarmKind) -> &'static str {
    match alarm {
        AlarmKind::NoSpace => "NOSPACE",
        AlarmKind::Corrupt => "CORRUPT",
    }
}

fn json(kind: &str, state: &Checkpoint) -> Value {
    let usage = state.kv.usage();
    let members = state.cluster.members.iter().map(|(id, member)| {
        json!({
            "id": id.to_string(),
            "name": member.name,
            "peerURLs": member.peer_urls,
            "clientURLs": member.client_urls,
            "votes": state.config.votes(*id),
        })
    });
    let leases = state.leases.iter().map(
        |lease| json!({ "id": lease.lease.0, "ttl": lease.ttl, "remaining": lease.remaining }),
    );
    let alarms = state
        .alarms
        .iter()
        .map(|(member, alarm)| json!({ "member": member.to_string(), "alarm": named(*alarm) }));
    let removed = state.cluster.removed.iter().map(ToString::to_string);
    json!({
        "kind": kind,
        "index": state.index.0,
        "term": state.term.0,
        "revision": state.kv.revision(),
        "compacted": state.kv.compacted(),
        "keys": usage.keys,
        "versions": usage.records,
        "bytesInUse": usage.in_use,
        "bytes": usage.total,
        "cluster": format!("{:x}", state.cluster.id),
        "version": state.cluster.version,
        "members": members.collect::<Vec<_>>(),
        "removed": removed.collect::<Vec<_>>(),
        "leases": leases.collect::<Vec<_>>(),
        "alarms": alarms.collect::<Vec<_>>(),
    })
}
