//! What is shown of a message, a call and an answer: a kind, and a line that a person reads.

use crate::history::{Call, Outcome};
use crate::walk::Content;
use keel_core::LeaseId;
use keel_core::raft::{Body, Message};

/// The kinds of what members send, as the page groups them.
pub(super) const KINDS: [&str; 6] = ["append", "heartbeat", "vote", "read", "state", "other"];

/// The kind's number, and the line.
pub(super) fn content(content: &Content) -> (usize, String) {
    match content {
        Content::Message(message) => self::message(message),
        Content::State(term) => (4, format!("a whole state, term {term}")),
    }
}

fn message(message: &Message) -> (usize, String) {
    let (kind, line) = match &message.body {
        Body::Append { prev, prev_term, entries, commit } => {
            let many = entries.len();
            let line =
                format!("append {many} behind {}/{}, commit {}", prev.0, prev_term.0, commit.0);
            (0, line)
        }
        Body::AppendAck { index, reject: None } => (0, format!("has up to {}", index.0)),
        Body::AppendAck { index, reject: Some(hint) } => {
            (0, format!("rejects {}, may agree at {}/{}", index.0, hint.index.0, hint.term.0))
        }
        Body::Heartbeat { commit, .. } => (1, format!("heartbeat, commit {}", commit.0)),
        Body::HeartbeatAck { .. } => (1, String::from("heartbeat answered")),
        Body::Vote { pre, last, last_term, .. } => {
            let pre = if *pre { "pre-" } else { "" };
            (2, format!("asks for a {pre}vote, log ends at {}/{}", last.0, last_term.0))
        }
        Body::VoteReply { pre, reject } => {
            let pre = if *pre { "pre-" } else { "" };
            let gives = if *reject { "refuses its" } else { "gives its" };
            (2, format!("{gives} {pre}vote"))
        }
        Body::TimeoutNow => (2, String::from("campaign now")),
        Body::Transfer { to } => (2, format!("hand over to n{}", to.0)),
        Body::ReadIndex { .. } => (3, String::from("may I read?")),
        Body::ReadReply { index, .. } => (3, format!("read at {}", index.0)),
        Body::Snapshot { index, term, .. } => (4, format!("has a state at {}/{}", index.0, term.0)),
        Body::Propose { payloads } => (5, format!("proposes {}", payloads.len())),
    };
    (kind, format!("{line} (term {})", message.term.0))
}

/// What a client asks.
pub(super) fn call(call: &Call) -> String {
    match call {
        Call::Put { key, value, lease: LeaseId::NONE } => format!("put {key} = {value}"),
        Call::Put { key, value, lease } => format!("put {key} = {value}, lease {}", lease.0),
        Call::Delete { key } => format!("delete {key}"),
        Call::Swap { key, from, to } => {
            format!("put {key} = {to}, if it is {}", from.as_deref().unwrap_or("not there"))
        }
        Call::Both { key, value, other, past } => {
            format!("put {key} = {value}, put {other}, get {key} at {past}")
        }
        Call::Get { key } => format!("get {key}"),
        Call::Stale { key } => format!("get {key}, serializable"),
        Call::Grant { lease, ttl } => format!("grant lease {} for {ttl} s", lease.0),
        Call::Renew { lease } => format!("renew lease {}", lease.0),
        Call::Compact { revision } => format!("compact at {revision}"),
    }
}

/// What it is told.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Wrote { revision, changed: true } => format!("done at revision {revision}"),
        Outcome::Wrote { revision, changed: false } => format!("nothing to do, at {revision}"),
        Outcome::Read { revision, found: Some((value, modified)) } => {
            format!("{value}, written at {modified}; read at {revision}")
        }
        Outcome::Read { revision, found: None } => format!("not there; read at {revision}"),
        Outcome::Lease { ttl } => format!("lives for {ttl} s"),
        Outcome::Refused { why } => format!("refused: {why}"),
        Outcome::Done => String::from("done"),
    }
}
