//! Clients that watch, over streams that break with their member and go on elsewhere.

use super::member::Life;
use super::{Happening, World};
use crate::ear::Ear;
use crate::oracle::Broken;
use crate::oracle::canon::Change;
use crate::oracle::watch::Heard;
use crate::seen::Place;
use keel_core::Event;
use keel_core::mvcc::record;
use keel_core::watch::{Answer, HubInput, StreamId, Watch};
use std::time::Duration;

/// How often a watcher looks whether its stream still lives.
const LOOK: Duration = Duration::from_millis(200);
/// What a stream may have under way, bytes.
const CREDIT: usize = 4 << 10;

/// In the lower bits of a stream's id: whose it is.
const WHOSE: u64 = 0xffff;

/// One watcher.
pub(super) struct Watcher {
    pub(super) ear: Ear,
    /// Where its stream is.
    at: Option<At>,
    /// How many streams it has opened.
    opened: u64,
}

/// Where a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    member: usize,
    /// In which of the member's lives.
    boot: u64,
    stream: StreamId,
}

impl Watcher {
    pub(super) fn new(seed: u64, number: u64) -> Watcher {
        Watcher { ear: Ear::new(seed, number), at: None, opened: 0 }
    }
}

impl World {
    /// A watcher whose stream broke opens another one, wherever somebody lives.
    pub(super) fn look_at_stream(&mut self, number: usize) -> Result<(), Broken> {
        self.soon(LOOK, Happening::Watch { watcher: number });
        let serving = self.serving();
        let lives = self.stream_of(number).filter(|at| serving.contains(&at.member));
        let watcher = &mut self.watchers[number];
        // Now and then it moves on by itself: a client's connection may break at any time.
        if let Some(at) = lives
            && !watcher.ear.random.happens(20)
        {
            return match watcher.ear.random.happens(100) {
                true => self.tell_hub(at.member, HubInput::Progress { stream: at.stream }),
                false => Ok(()),
            };
        }
        watcher.ear.seen.broke();
        watcher.at = None;
        if !self.quiet && number > 0 && watcher.ear.random.happens(100) {
            watcher.ear.begin_anew();
        }
        if let Some(at) = lives {
            self.tell_hub(at.member, HubInput::Close { stream: at.stream })?;
        }
        match serving.is_empty() {
            true => Ok(()),
            false => self.open_stream(number, &serving),
        }
    }

    /// Opens a watcher's next stream at one of these, if that one can be reached.
    fn open_stream(&mut self, number: usize, serving: &[usize]) -> Result<(), Broken> {
        let watcher = &mut self.watchers[number];
        let at = *watcher.ear.random.pick(serving);
        let member = &self.members[at];
        let Some(life) = &member.life else { return Ok(()) };
        if member.hidden || member.still > self.now {
            return Ok(());
        }
        if watcher.ear.seen.told > 1 {
            self.places.saw(Place::WatchMoved);
        }
        if watcher.ear.seen.next() > life.node.view().kv.revision() + 1 {
            self.places.saw(Place::WatchFuture);
        }
        watcher.opened += 1;
        let stream = StreamId(watcher.opened * (WHOSE + 1) + number as u64);
        watcher.at = Some(At { member: at, boot: member.boot, stream });
        watcher.ear.seen.opens();
        let wish = watcher.ear.seen.wish.clone();
        let watch = Watch {
            id: 0,
            keys: Some(wish.keys),
            start: watcher.ear.seen.next(),
            progress: true,
            no_put: wish.no_put,
            no_delete: wish.no_delete,
            prev_kv: wish.prev_kv,
            fragment: wish.fragment,
        };
        self.tell_hub(at, HubInput::Open { stream })?;
        self.tell_hub(at, HubInput::Credit { stream, bytes: CREDIT })?;
        self.tell_hub(at, HubInput::Create { stream, watch })
    }

    /// Where a watcher's stream is, if its member still lives the same life.
    fn stream_of(&self, watcher: usize) -> Option<At> {
        let lives = |at: &At| {
            let member = &self.members[at.member];
            member.life.is_some() && member.boot == at.boot
        };
        self.watchers[watcher].at.filter(lives)
    }

    /// Gives a member's hub an input, and carries out all that follows, once the process goes on.
    fn tell_hub(&mut self, at: usize, input: HubInput) -> Result<(), Broken> {
        if self.members[at].still > self.now {
            return Ok(());
        }
        let clock = self.members[at].clock.at(self.now);
        let Some(mut life) = self.members[at].life.take() else { return Ok(()) };
        life.hub.step(clock, input);
        let delivered = self.deliver(at, &mut life);
        self.members[at].life = Some(life);
        delivered?;
        self.turn(at, None)
    }

    /// A watcher has read an answer: as much may follow.
    pub(super) fn took(
        &mut self,
        watcher: usize,
        stream: StreamId,
        bytes: usize,
    ) -> Result<(), Broken> {
        match self.stream_of(watcher).filter(|at| at.stream == stream) {
            Some(at) => self.tell_hub(at.member, HubInput::Credit { stream, bytes }),
            None => Ok(()),
        }
    }

    /// Everything that a hub has for its streams reaches the watchers.
    pub(super) fn deliver(&mut self, at: usize, life: &mut Life) -> Result<(), Broken> {
        let clock = self.members[at].clock.at(self.now);
        while let Some(delivery) = life.hub.poll() {
            let number = usize::try_from(delivery.stream.0 & WHOSE).expect("watchers are few");
            let watcher = &mut self.watchers[number];
            // It has turned to another stream: nobody reads this one any more.
            if watcher.at.is_none_or(|at| at.stream != delivery.stream) {
                continue;
            }
            match delivery.answer {
                Answer::Events { events, prev_kv, fragment } => {
                    let changes: Vec<Heard> =
                        events.iter().map(|event| heard(event, prev_kv)).collect();
                    let forgotten = watcher.ear.seen.forgotten.last();
                    let last = |heard: &Heard| Some(&heard.at.0) == forgotten;
                    if changes.iter().any(|heard| last(heard) && heard.change.value.is_none()) {
                        self.places.saw(Place::DeletedAtCompaction);
                    }
                    if fragment {
                        self.places.saw(Place::WatchPieces);
                    }
                    watcher.ear.seen.heard(changes, fragment)?;
                }
                Answer::Progress => {
                    self.places.saw(Place::WatchProgress);
                    watcher.ear.seen.progressed(delivery.revision)?;
                }
                Answer::Canceled { compacted, .. } if compacted > 0 => {
                    // What was forgotten can be told by nobody: it begins anew behind it.
                    self.places.saw(Place::WatchCompacted);
                    watcher.ear.seen.forgot(compacted);
                    watcher.at = None;
                    life.hub.step(clock, HubInput::Close { stream: delivery.stream });
                }
                Answer::Created | Answer::Canceled { .. } | Answer::Refused { .. } => {}
            }
            let (stream, bytes) = (delivery.stream, delivery.cost);
            if self.quiet || self.plan.knobs.linger.is_zero() {
                life.hub.step(clock, HubInput::Credit { stream, bytes });
                continue;
            }
            let takes = self.watchers[number].ear.random.span(self.plan.knobs.linger);
            self.soon(takes, Happening::Took { watcher: number, stream, bytes });
        }
        Ok(())
    }
}

/// An event as its watcher hears it.
fn heard(event: &Event, prev_kv: bool) -> Heard {
    let prev = event.prev.as_ref().filter(|_| prev_kv).map(|record| {
        let fields = record::fields(record);
        (String::from_utf8_lossy(fields.value).into_owned(), fields.modified)
    });
    Heard { at: (event.revision.main, event.revision.sub), change: Change::of(event), prev }
}
