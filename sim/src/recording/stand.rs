//! What a replay says to a person: how it went, how the node stands, what happens on the way.

use super::date;
use super::relive::{End, Life, Witness};
use keel_core::mvcc::record;
use keel_core::recording::{Event, Header, Replay};
use keel_core::{Instant, Output};
use std::fmt::{Debug, Write as _};

/// Characters of one input or output.
const SHOWN: usize = 300;

/// The date of a moment of the member's clock, and that clock's seconds.
fn moment(header: &Header, now: Instant) -> String {
    let date = date::format(header.epoch.saturating_add(now.0 / 1000));
    format!("{date}, {}.{:09} s of its clock", now.0 / 1_000_000_000, now.0 % 1_000_000_000)
}

/// How it went.
#[must_use]
pub fn told(life: &Life) -> String {
    let Header { code, number, steps, .. } = &life.header;
    let mut out = format!("recorded by keel {code}, from state {number} behind {steps} steps\n");
    if code != env!("CARGO_PKG_VERSION") {
        let mine = env!("CARGO_PKG_VERSION");
        out.push_str(&format!("warning: this is keel {mine}; a recording replays on its own\n"));
    }
    for missing in &life.gaps {
        out.push_str(&format!("gap: {missing} steps had no place; goes on from the next state\n"));
    }
    if life.torn > 0 {
        out.push_str(&format!("cut: {} bytes at the end are no whole step\n", life.torn));
    }
    out.push_str(&match &life.end {
        End::Complete => format!("complete: {} digests are equal\n", life.compared),
        End::Reached => format!("stopped: {} digests are equal\n", life.compared),
        End::Diverged(diverged) => format!("DIVERGED: {diverged}\n"),
        End::Elsewhere { recorded } => {
            format!("complete: the process broke down, not in the core: {recorded}\n")
        }
        End::Panic { replayed, went_on: true, .. } => {
            format!("DIVERGED: the core breaks down, and the member went on: {replayed}\n")
        }
        End::Panic { replayed, recorded: None, .. } => {
            format!("the core breaks down: {replayed}\n")
        }
        End::Panic { replayed, recorded: Some(recorded), .. } if replayed == recorded => {
            format!("the core breaks down, as it did: {replayed}\n")
        }
        End::Panic { replayed, recorded: Some(recorded), .. } => {
            format!("the core breaks down: {replayed}\nDIVERGED: it was recorded: {recorded}\n")
        }
    });
    out
}

/// How the node stands: what a person asks first.
#[must_use]
pub fn stand(life: &Life, replay: &Replay) -> String {
    let (status, view) = (replay.node().status(), replay.node().view());
    let usage = view.kv.usage();
    let hash = view.kv.hash(0).map_or(0, |hash| hash.hash);
    let mut lines = vec![
        ("member", status.id.to_string()),
        ("time", moment(&life.header, replay.now())),
        ("steps", replay.steps().to_string()),
        ("index", format!("{} applied, {} committed", view.index.0, status.commit.0)),
        ("term", format!("{}, leader {}", status.term.0, status.leader)),
        ("revision", format!("{}, compacted {}", view.kv.revision(), view.kv.compacted())),
        ("keys", format!("{}, {} bytes in use", usage.keys, usage.in_use)),
        ("hash", format!("{hash} (HashKV)")),
    ];
    for (id, member) in &view.cluster.members {
        let learns = if member.learner { ", learns" } else { "" };
        let urls = member.peer_urls.join(",");
        lines.push(("knows", format!("{id} {:?} {urls}{learns}", member.name)));
    }
    for (member, kind) in view.alarms.iter() {
        lines.push(("alarm", format!("{kind:?} of {member}")));
    }
    lines.push(("digest", format!("{:016x}", replay.node().digest())));
    lines.into_iter().map(|(name, what)| format!("{name:10}{what}\n")).collect()
}

/// A key's newest version.
#[must_use]
pub fn key(replay: &Replay, key: &str) -> String {
    let Some(found) = replay.node().view().kv.get(key.as_bytes()) else {
        return format!("{key:?} is not there");
    };
    let fields = record::fields(&found);
    format!(
        "{key:?} = {:?}, created {}, modified {}, version {}, lease {:x}",
        String::from_utf8_lossy(fields.value),
        fields.create,
        fields.modified,
        fields.version,
        fields.lease.0
    )
}

/// Prints every input and output.
#[derive(Debug, Default)]
pub struct Teller {
    line: String,
}

impl Teller {
    fn tell(&mut self, mark: &str, what: &dyn Debug) {
        self.line.clear();
        // Writing to a string does not fail.
        let _ = write!(self.line, "{what:?}");
        let shown = self.line.chars().take(SHOWN).collect::<String>();
        let more = if shown.len() < self.line.len() { " ..." } else { "" };
        println!("{mark} {shown}{more}");
    }
}

impl Witness for Teller {
    fn event(&mut self, replay: &Replay, event: &Event) {
        match event {
            Event::Step { now, input, .. } => {
                let (steps, now) = (replay.steps(), now.0);
                let mark = format!("{steps} {}.{:09} <-", now / 1_000_000_000, now % 1_000_000_000);
                self.tell(&mark, input);
            }
            Event::Rest { .. } => {}
            Event::Panic { words } => println!("the process broke down: {words}"),
        }
    }

    fn output(&mut self, output: &Output) {
        match output {
            // The states in them are not for eyes.
            Output::Store { mark, checkpoint } => {
                println!("    -> Store {{ mark: {mark:?}, index: {:?} }}", checkpoint.index);
            }
            Output::Applied(batch) => {
                let (index, revision) = (batch.view.index, batch.view.kv.revision());
                let events = batch.events.len();
                println!("    -> Applied {{ {index:?}, revision: {revision}, events: {events} }}");
            }
            Output::SendState { to, state, .. } => {
                println!("    -> SendState {{ to: {to}, index: {:?} }}", state.index);
            }
            other => self.tell("    ->", other),
        }
    }
}
