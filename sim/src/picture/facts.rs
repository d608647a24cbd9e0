//! The facts that the page shows, as JSON. Times are milliseconds; members and clients are numbers.

use super::words;
use crate::history::{Operation, Outcome};
use crate::plan::Plan;
use crate::walk::{Fate, Role, Sent, Stand, Timeline, Verdict};
use keel_core::Instant;
use serde_json::{Value, json};

pub(super) fn facts(plan: &Plan, verdict: &Verdict, timeline: &Timeline) -> Value {
    let Timeline { stands, parcels, operations, reached, .. } = timeline;
    let operation =
        |(number, one): (usize, &Operation)| operation(one, reached.get(&number).copied());
    json!({
        "why": plan.why.join(" "),
        "plan": plan.to_string(),
        "broken": verdict.broken.as_ref().map(ToString::to_string),
        "lasted": millis(Instant(0).after(verdict.lasted)),
        "members": plan.knobs.members,
        "clients": plan.knobs.clients,
        "kinds": words::KINDS,
        "story": verdict.story,
        "stands": stands.iter().map(stand).collect::<Vec<_>>(),
        "parcels": parcels.iter().map(parcel).collect::<Vec<_>>(),
        "operations": operations.iter().enumerate().map(operation).collect::<Vec<_>>(),
    })
}

fn millis(at: Instant) -> f64 {
    // Microseconds are exact for many years.
    (at.0 / 1000) as f64 / 1000.0
}

fn stand(stand: &Stand) -> Value {
    let (role, leader) = match stand.role {
        Role::Down => ("down", 0),
        Role::Still => ("still", 0),
        Role::Seeks => ("seeks", 0),
        Role::Follows(leader) => ("follows", leader.0),
        Role::Leads => ("leads", 0),
    };
    json!([millis(stand.at), stand.member, role, stand.term, stand.commit, leader])
}

fn parcel(sent: &Sent) -> Value {
    let (kind, line) = words::content(&sent.what);
    let (fate, arrives) = match sent.fate {
        Fate::Arrives(at) => ("arrives", Some(millis(at))),
        Fate::Held => ("held", None),
        Fate::Cut => ("cut", None),
        Fate::Lost => ("lost", None),
    };
    json!([millis(sent.at), arrives, sent.from, sent.to, kind, fate, line])
}

fn operation(operation: &Operation, reached: Option<usize>) -> Value {
    let Operation { client, call, begun, end } = operation;
    // The plan's own operations are no client's.
    let client = (*client != usize::MAX).then_some(client);
    let told = end.as_ref().map(|(_, outcome)| words::outcome(outcome));
    let fine = match end {
        None => "unknown",
        Some((_, Outcome::Refused { .. })) => "refused",
        Some(_) => "done",
    };
    let end = end.as_ref().map(|(at, _)| millis(*at));
    json!([millis(*begun), end, client, words::call(call), told, fine, reached])
}
