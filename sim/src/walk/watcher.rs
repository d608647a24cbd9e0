//! Clients that watch everything, over streams that break with their member and go on elsewhere.

use super::member::Life;
use super::{Happening, World};
use crate::oracle::Broken;
use crate::oracle::canon::Change;
use crate::oracle::watch::Seen;
use crate::random::Random;
use keel_core::command::Keys;
use keel_core::watch::{Answer, HubInput, StreamId, Watch};
use std::time::Duration;

/// How often a watcher looks whether its stream still lives.
const LOOK: Duration = Duration::from_millis(200);
/// What a stream may have under way, bytes.
const CREDIT: usize = 4 << 10;

/// One watcher.
pub(super) struct Watcher {
    random: Random,
    pub(super) seen: Seen,
    /// At which member its stream is, and in which of its lives.
    at: Option<(usize, u64)>,
}

impl Watcher {
    pub(super) fn new(seed: u64, number: u64) -> Watcher {
        let random = Random::stream(seed, &format!("watcher {number}"));
        Watcher { random, seen: Seen::from(2), at: None }
    }
}

impl World {
    /// A watcher whose stream broke opens another one, wherever somebody lives.
    pub(super) fn look_at_stream(&mut self, number: usize) -> Result<(), Broken> {
        self.soon(LOOK, Happening::Watch { watcher: number });
        let size = self.members.len() as u64;
        let watcher = &mut self.watchers[number];
        let lives = |(at, boot): (usize, u64)| {
            self.members[at].life.is_some() && self.members[at].boot == boot
        };
        // Now and then it moves on by itself: a client's connection may break at any time.
        if watcher.at.is_some_and(lives) && !watcher.random.happens(20) {
            return Ok(());
        }
        if let Some((at, _)) = watcher.at.take_if(|at| lives(*at)) {
            let clock = self.members[at].clock(self.now);
            let life = self.members[at].life.as_mut().expect("it lives");
            life.hub.step(clock, HubInput::Close { stream: StreamId(number as u64) });
        }
        let at = usize::try_from(watcher.random.below(size)).expect("clusters are small");
        let member = &self.members[at];
        if member.hidden || member.still > self.now || member.life.is_none() {
            return Ok(());
        }
        watcher.at = Some((at, member.boot));
        let watch = Watch {
            id: 0,
            keys: Some(Keys::All),
            start: watcher.seen.next(),
            progress: false,
            no_put: false,
            no_delete: false,
            prev_kv: false,
            fragment: false,
        };
        let clock = member.clock(self.now);
        let mut life = self.members[at].life.take().expect("it lives");
        let stream = StreamId(number as u64);
        life.hub.step(clock, HubInput::Open { stream });
        life.hub.step(clock, HubInput::Credit { stream, bytes: CREDIT });
        life.hub.step(clock, HubInput::Create { stream, watch });
        let delivered = self.deliver(at, &mut life);
        self.members[at].life = Some(life);
        delivered?;
        self.turn(at, None)
    }

    /// Everything that a hub has for its streams reaches the watchers.
    pub(super) fn deliver(&mut self, at: usize, life: &mut Life) -> Result<(), Broken> {
        let clock = self.members[at].clock(self.now);
        while let Some(delivery) = life.hub.poll() {
            let number = usize::try_from(delivery.stream.0).expect("watchers are few");
            let watcher = &mut self.watchers[number];
            match delivery.answer {
                Answer::Events { events, .. } => {
                    let changes = events
                        .iter()
                        .map(|event| (event.revision.main, event.revision.sub, Change::of(event)));
                    watcher.seen.heard(changes.collect())?;
                }
                Answer::Progress => watcher.seen.progressed(delivery.revision),
                Answer::Canceled { compacted, .. } if compacted > 0 => {
                    // What was forgotten can be told by nobody: it begins anew behind it.
                    watcher.seen.forgotten(compacted);
                    watcher.at = None;
                    life.hub.step(clock, HubInput::Close { stream: delivery.stream });
                }
                Answer::Created | Answer::Canceled { .. } | Answer::Refused { .. } => {}
            }
            let (stream, bytes) = (delivery.stream, delivery.cost);
            life.hub.step(clock, HubInput::Credit { stream, bytes });
        }
        Ok(())
    }
}
