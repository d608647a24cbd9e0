//! How the world is: sizes, speeds and how often what goes wrong by itself.

use super::{Span, span};
use std::fmt;
use std::time::Duration;

/// The knobs, at their calm values by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// What feeds all that the others leave open.
    pub seed: u64,
    /// Members of the cluster.
    pub members: u64,
    /// Members that may be added, numbered behind the others.
    pub spare: u64,
    /// Whether a change of members that could cost the quorum is refused: 0 or 1.
    pub strict: u64,
    /// Clients that read and write.
    pub clients: u64,
    /// Clients that watch.
    pub watchers: u64,
    /// How long a watcher takes for an answer before it wants more.
    pub linger: Duration,
    /// Keys that they share.
    pub keys: u64,
    /// How long a client thinks between two operations.
    pub think: Duration,
    /// How long a client waits for an answer.
    pub patience: Duration,
    /// Per mille of operations that only read.
    pub reads: u64,
    /// Per mille of operations that grant, renew or use leases.
    pub leases: u64,
    /// A raft tick: a heartbeat; ten are an election.
    pub tick: Duration,
    /// How long a message takes on average.
    pub delay: Duration,
    /// Per mille of messages that are lost.
    pub drop: u64,
    /// Per mille of messages that come twice.
    pub duplicate: u64,
    /// Per mille of messages that take a hundred times as long.
    pub straggle: u64,
    /// Messages under way from one member to another, at most; zero is as many as there are.
    pub queue: u64,
    /// How long a sync takes on average.
    pub sync: Duration,
    /// Per mille of syncs before which a device writes some sector back by itself.
    pub write_back: u64,
    /// Entries between two checkpoints.
    pub checkpoint: u64,
    /// Entries kept in memory behind a checkpoint.
    pub catch_up: u64,
    /// Bytes of a log segment.
    pub segment: u64,
    /// How much faster or slower members' clocks run, at most, per mille.
    pub skew: u64,
    /// Whether candidates ask first whether they could win: 0 or 1.
    pub pre_vote: u64,
    /// How long the storm lasts; the quiet phase follows.
    pub run: Duration,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            seed: 1,
            members: 3,
            spare: 0,
            strict: 1,
            clients: 3,
            watchers: 1,
            linger: Duration::ZERO,
            keys: 3,
            think: Duration::from_millis(20),
            patience: Duration::from_secs(3),
            reads: 400,
            leases: 50,
            tick: Duration::from_millis(100),
            delay: Duration::from_micros(500),
            drop: 0,
            duplicate: 0,
            straggle: 0,
            queue: 0,
            sync: Duration::from_micros(300),
            write_back: 0,
            checkpoint: 200,
            catch_up: 50,
            segment: 64 << 10,
            skew: 0,
            pre_vote: 1,
            run: Duration::from_secs(10),
        }
    }
}

/// One knob, to read or to turn.
pub enum Slot<'a> {
    /// It counts.
    Count(&'a mut u64),
    /// It lasts.
    Span(&'a mut Duration),
}

impl Knobs {
    /// Every knob's name.
    pub const NAMES: [&'static str; 26] = [
        "seed",
        "members",
        "spare",
        "strict",
        "clients",
        "watchers",
        "linger",
        "keys",
        "think",
        "patience",
        "reads",
        "leases",
        "tick",
        "delay",
        "drop",
        "duplicate",
        "straggle",
        "queue",
        "sync",
        "write-back",
        "checkpoint",
        "catch-up",
        "segment",
        "skew",
        "pre-vote",
        "run",
    ];

    /// A knob by its name.
    pub fn slot(&mut self, name: &str) -> Option<Slot<'_>> {
        Some(match name {
            "seed" => Slot::Count(&mut self.seed),
            "members" => Slot::Count(&mut self.members),
            "spare" => Slot::Count(&mut self.spare),
            "strict" => Slot::Count(&mut self.strict),
            "clients" => Slot::Count(&mut self.clients),
            "watchers" => Slot::Count(&mut self.watchers),
            "linger" => Slot::Span(&mut self.linger),
            "keys" => Slot::Count(&mut self.keys),
            "think" => Slot::Span(&mut self.think),
            "patience" => Slot::Span(&mut self.patience),
            "reads" => Slot::Count(&mut self.reads),
            "leases" => Slot::Count(&mut self.leases),
            "tick" => Slot::Span(&mut self.tick),
            "delay" => Slot::Span(&mut self.delay),
            "drop" => Slot::Count(&mut self.drop),
            "duplicate" => Slot::Count(&mut self.duplicate),
            "straggle" => Slot::Count(&mut self.straggle),
            "queue" => Slot::Count(&mut self.queue),
            "sync" => Slot::Span(&mut self.sync),
            "write-back" => Slot::Count(&mut self.write_back),
            "checkpoint" => Slot::Count(&mut self.checkpoint),
            "catch-up" => Slot::Count(&mut self.catch_up),
            "segment" => Slot::Count(&mut self.segment),
            "skew" => Slot::Count(&mut self.skew),
            "pre-vote" => Slot::Count(&mut self.pre_vote),
            "run" => Slot::Span(&mut self.run),
            _ => return None,
        })
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match self.slot(name).ok_or_else(|| format!("there is no knob {name:?}"))? {
            Slot::Span(slot) => *slot = span(value)?,
            Slot::Count(slot) => {
                *slot = value.parse().map_err(|_| format!("{value:?} is no number"))?;
            }
        }
        Ok(())
    }

    /// What no world can be.
    pub(super) fn check(&self) -> Result<(), String> {
        let least = |name, value: u64, least: u64| match value >= least {
            true => Ok(()),
            false => Err(format!("{name} must be {least} at least")),
        };
        least("members", self.members, 1)?;
        least("keys", self.keys, 1)?;
        least("segment", self.segment, 16 << 10)?;
        least("checkpoint", self.checkpoint, 1)?;
        least("tick", u64::try_from(self.tick.as_micros()).unwrap_or(u64::MAX), 1000)?;
        match self.skew {
            0..=500 => Ok(()),
            _ => Err(String::from("skew is 500 per mille at most")),
        }
    }
}

impl fmt::Display for Knobs {
    /// Only what is not calm.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut mine, mut calm) = (self.clone(), Knobs::default());
        for name in Knobs::NAMES {
            match (mine.slot(name), calm.slot(name)) {
                (Some(Slot::Count(mine)), Some(Slot::Count(calm))) if mine != calm => {
                    writeln!(f, "{name} {mine}")?;
                }
                (Some(Slot::Span(mine)), Some(Slot::Span(calm))) if mine != calm => {
                    writeln!(f, "{name} {}", Span(*mine))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
