//! The machine: streams and watches, and what every input does to them.

use super::index::Index;
use super::piece::{ANSWER_COST, Cut, Piece};
use super::slab::Slab;
use super::stream::{Standing, Stream, Watcher};
use super::{Answer, Delivery, HubInput, StreamId, Watch};
use crate::command::{Event, Keys};
use crate::limits::{
    GRPC_OVERHEAD_BYTES, REQUEST_BYTES_MAX, WATCH_ANSWER_BYTES, WATCH_CATCH_UP_MAX,
    WATCH_PROGRESS_INTERVAL, WATCH_SCAN_MAX,
};
use crate::output::Batch;
use crate::types::Instant;
use crate::view::View;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

/// The id in answers that mean no watch, or none that came to be.
const NO_WATCH: i64 = -1;

/// How a hub behaves.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How often idle watches that asked for it get a sign of progress.
    pub progress_interval: Duration,
    /// From this encoded size on an answer is split, if its watch allows it: etcd's bound on
    /// requests and 512 KiB.
    pub fragment_bytes: usize,
    /// Revisions are joined in one answer up to this encoded size.
    pub answer_bytes: usize,
    /// History records that are read in one step; a revision that is begun is ended.
    pub scan_max: usize,
    /// Watches that catch up together in one step.
    pub catch_up_max: usize,
    /// Feeds the jitter of progress timers and the balance of the index.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            progress_interval: WATCH_PROGRESS_INTERVAL,
            fragment_bytes: REQUEST_BYTES_MAX + GRPC_OVERHEAD_BYTES,
            answer_bytes: WATCH_ANSWER_BYTES,
            scan_max: WATCH_SCAN_MAX,
            catch_up_max: WATCH_CATCH_UP_MAX,
            seed: 0,
        }
    }
}

/// How many there are of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open streams.
    pub streams: usize,
    /// Watches, those that compaction ended among them.
    pub watches: usize,
    /// Watches that are behind: etcd calls them slow.
    pub behind: usize,
    /// Deliveries that wait for [`Hub::poll`].
    pub queued: usize,
}

/// Serves the watch streams of one shard.
///
/// Step as often as you like; then poll until `None`; only then sleep until `deadline()`.
/// Inputs for a stream that is not open are passed over: they crossed its end.
///
/// The driver's duties: every [`Batch`] in order (one that is missed is made good from the
/// history), and before any reply that follows from it, so that a client which saw a revision
/// creates its watches behind it; and no more requests of a stream while the answers to its
/// last ones wait to be taken, for those are given whatever the credit.
#[derive(Clone, Debug)]
pub struct Hub {
    pub(super) config: Config,
    pub(super) now: Instant,
    pub(super) view: View,
    /// The revision of the view: all live watches were offered what is up to here.
    pub(super) revision: i64,
    pub(super) streams: Slab<Stream>,
    slots: BTreeMap<StreamId, u32>,
    pub(super) watchers: Slab<Watcher>,
    /// The live watches.
    live: Index,
    /// Streams that may catch up now.
    pub(super) ready: BTreeSet<u32>,
    /// The stream that led the last piece of catching up: the next in order leads the next.
    pub(super) last_led: u32,
    /// Progress timers of streams that have a use for them.
    timers: BTreeSet<(Instant, u32)>,
    queue: VecDeque<Delivery>,
}

impl Hub {
    /// A hub without streams, at the state `view`.
    #[must_use]
    pub fn new(config: Config, view: View) -> Hub {
        assert!(config.scan_max > 0 && config.catch_up_max > 0, "a step must be able to do work");
        Hub {
            config,
            now: Instant::default(),
            revision: view.kv.revision(),
            view,
            streams: Slab::default(),
            slots: BTreeMap::new(),
            watchers: Slab::default(),
            live: Index::new(config.seed),
            ready: BTreeSet::new(),
            last_led: 0,
            timers: BTreeSet::new(),
            queue: VecDeque::new(),
        }
    }

    /// Runs due timers, takes one input, and lets watches that are behind catch up by one
    /// bounded piece.
    pub fn step(&mut self, now: Instant, input: HubInput) {
        assert!(now >= self.now, "time never goes back");
        self.now = now;
        self.run_timers();
        match input {
            HubInput::Tick => {}
            HubInput::Open { stream } => self.on_open(stream),
            HubInput::Applied(batch) => self.on_applied(&batch),
            HubInput::Close { stream } => self.on_stream(stream, Hub::on_close),
            HubInput::Create { stream, watch } => {
                self.on_stream(stream, |hub, slot| hub.on_create(slot, watch));
            }
            HubInput::Cancel { stream, id } => {
                self.on_stream(stream, |hub, slot| hub.on_cancel(slot, id));
            }
            HubInput::Progress { stream } => self.on_stream(stream, Hub::on_progress),
            HubInput::Credit { stream, bytes } => self.on_stream(stream, |hub, slot| {
                hub.streams.get_mut(slot).earn(bytes);
                hub.note_ready(slot);
            }),
        }
        self.catch_up();
    }

    /// The next answer. Drain to `None` before you sleep.
    pub fn poll(&mut self) -> Option<Delivery> {
        self.queue.pop_front()
    }

    /// When the next timer is due: at once while watches can catch up.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(self.now);
        }
        self.timers.first().map(|(at, _)| *at)
    }

    /// The state that it stands at.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// How much it holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            streams: self.streams.len(),
            watches: self.watchers.len(),
            behind: self.streams.iter().map(|(_, stream)| stream.behind.len()).sum(),
            queued: self.queue.len(),
        }
    }

    /// Open streams and watches, in O(1).
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.streams.len(), self.watchers.len())
    }

    fn on_stream(&mut self, stream: StreamId, then: impl FnOnce(&mut Hub, u32)) {
        if let Some(slot) = self.slots.get(&stream).copied() {
            then(self, slot);
        }
    }

    fn on_open(&mut self, id: StreamId) {
        let Config { progress_interval, seed, .. } = self.config;
        let slot = self.streams.insert(Stream::new(id, self.now, progress_interval, seed));
        let before = self.slots.insert(id, slot);
        assert!(before.is_none(), "stream {id:?} is opened once");
    }

    fn on_close(&mut self, slot: u32) {
        let watches = mem::take(&mut self.streams.get_mut(slot).watches);
        for watcher in watches.into_values() {
            self.remove_watcher(watcher);
        }
        self.ready.remove(&slot);
        let stream = self.streams.remove(slot);
        if let Some(tick) = stream.next_tick {
            self.timers.remove(&(tick, slot));
        }
        self.slots.remove(&stream.id);
        self.queue.retain(|delivery| delivery.stream != stream.id);
    }

    /// The sequence and the texts of semantics §3.1.
    fn on_create(&mut self, slot: u32, watch: Watch) {
        if watch.start < 0 {
            return self.refuse(slot, "etcdserver: mvcc: required revision has been compacted");
        }
        let Some(keys) = watch.keys.clone().filter(|keys| !is_empty(keys)) else {
            return self.refuse(slot, "mvcc: watcher range is empty");
        };
        let Some(id) = self.streams.get_mut(slot).choose_id(watch.id) else {
            return self.refuse(slot, "mvcc: duplicate watch ID provided on the WatchStream");
        };
        let past = (1..=self.revision).contains(&watch.start);
        let start = if watch.start == 0 { self.revision + 1 } else { watch.start };
        let start = start + i64::from(mutant!(WatchSkipsFirst));
        let wants_progress = watch.progress;
        let standing = Standing::Behind(start);
        let watcher = Watcher { stream: slot, id, watch, start, standing, eventful: false };
        let watcher = self.watchers.insert(watcher);
        self.streams.get_mut(slot).watches.insert(id, watcher);
        if past && !mutant!(WatchForgetsPast) {
            self.streams.get_mut(slot).behind.insert((start, watcher));
            self.note_ready(slot);
        } else {
            let spot = self.live.insert(&keys, watcher);
            self.watchers.get_mut(watcher).standing = Standing::Live(spot);
        }
        if wants_progress {
            self.streams.get_mut(slot).progress_watches += 1;
            self.set_timer(slot);
        }
        self.answer(slot, id, self.revision, Answer::Created);
    }

    fn refuse(&mut self, slot: u32, reason: &str) {
        let answer = Answer::Refused { reason: reason.to_string() };
        self.answer(slot, NO_WATCH, self.revision, answer);
    }

    fn on_cancel(&mut self, slot: u32, id: i64) {
        let Some(watcher) = self.streams.get_mut(slot).watches.remove(&id) else {
            return; // etcd says nothing to an id that it does not know.
        };
        self.remove_watcher(watcher);
        let answer = Answer::Canceled { compacted: 0, reason: String::new() };
        self.answer(slot, id, self.revision, answer);
    }

    /// Forgets a watch that its stream already forgot.
    fn remove_watcher(&mut self, slot: u32) {
        let watcher = self.watchers.remove(slot);
        match watcher.standing {
            Standing::Live(spot) => self.leave_live(spot),
            Standing::Behind(from) => {
                self.streams.get_mut(watcher.stream).behind.remove(&(from, slot));
                self.note_ready(watcher.stream);
            }
            Standing::Ended => {}
        }
        if watcher.watch.progress {
            self.streams.get_mut(watcher.stream).progress_watches -= 1;
        }
    }

    fn leave_live(&mut self, spot: super::index::Spot) {
        if let Some(moved) = self.live.remove(spot) {
            self.watchers.get_mut(moved).standing = Standing::Live(spot);
        }
    }

    /// One answer for the whole stream, if it has watches and all of them heard of everything;
    /// else nothing (semantics §3.4). One that compaction ended holds it back until the client
    /// cancels it, as in etcd. It is best effort: without credit it is lost.
    fn on_progress(&mut self, slot: u32) {
        let stream = self.streams.get(slot);
        let informed = |watcher: &u32| self.is_informed(self.watchers.get(*watcher));
        let all = stream.watches.values().all(informed);
        if (all || mutant!(ProgressAhead)) && !stream.watches.is_empty() && stream.has_credit() {
            self.answer(slot, NO_WATCH, self.revision, Answer::Progress);
        }
    }

    /// Whether a watch heard of everything that it wants up to now, and wants it already.
    fn is_informed(&self, watcher: &Watcher) -> bool {
        matches!(watcher.standing, Standing::Live(_)) && self.revision >= watcher.watch.start
    }

    fn set_timer(&mut self, slot: u32) {
        let stream = self.streams.get_mut(slot);
        if stream.next_tick.is_none() {
            let tick = stream.tick_after(self.now);
            stream.next_tick = Some(tick);
            self.timers.insert((tick, slot));
        }
    }

    fn run_timers(&mut self) {
        while let Some((at, slot)) = self.timers.first().copied() {
            if at > self.now {
                return;
            }
            self.timers.pop_first();
            self.streams.get_mut(slot).next_tick = None;
            if self.streams.get(slot).progress_watches > 0 {
                self.on_progress_tick(slot);
                self.set_timer(slot);
            }
        }
    }

    /// A sign of progress for every watch that wants one, heard of everything, and was sent
    /// nothing since the tick before.
    fn on_progress_tick(&mut self, slot: u32) {
        let watches: Vec<_> = self.streams.get(slot).watches.values().copied().collect();
        for watch in watches {
            let watcher = self.watchers.get_mut(watch);
            let eventful = mem::replace(&mut watcher.eventful, false);
            let (id, wanted) = (watcher.id, watcher.watch.progress && !eventful);
            let due = wanted && self.is_informed(self.watchers.get(watch));
            if due && self.streams.get(slot).has_credit() {
                self.answer(slot, id, self.revision, Answer::Progress);
            }
        }
    }

    /// The state moved on: offers the events to the live watches. After a gap (a snapshot was
    /// installed, a batch was missed) they all read the history instead.
    fn on_applied(&mut self, batch: &Batch) {
        if batch.view.index < self.view.index {
            return; // The hub began with a newer state.
        }
        let before = self.revision;
        self.view = batch.view.clone();
        self.revision = self.view.kv.revision();
        assert!(self.revision >= before, "revisions never go back");
        if self.revision == before {
            return;
        }
        // Every revision has an event, so a batch without a gap ends at the state after it.
        let last = batch.events.last().map(|event| event.revision.main);
        let gap = batch.before != before || last != Some(self.revision);
        if gap && !mutant!(GapUnnoticed) {
            return self.fall_behind(before + 1);
        }
        let mut live = mem::take(&mut self.live);
        let withheld = self.offer(&mut live, &batch.events, Header::OfEvents);
        self.live = live;
        for (watcher, from) in withheld {
            self.fall_behind_one(watcher, from);
        }
    }

    /// Offers events to all watches of an index. Answers which of them could not take all,
    /// and from which revision on.
    pub(super) fn offer(
        &mut self,
        index: &mut Index,
        events: &[Event],
        header: Header,
    ) -> Vec<(u32, i64)> {
        let mut withheld = Vec::new();
        let mut shared: BTreeMap<(i64, Cut), Vec<Piece>> = BTreeMap::new();
        let bounds = self.config;
        index.touch(events);
        index.serve(|touched| {
            shared.clear();
            let first = events[touched.hits[0] as usize].revision.main;
            for slot in touched.watches {
                let watcher = self.watchers.get(*slot);
                let (from, cut) = (watcher.from().max(first), Cut::of(&watcher.watch));
                let cut_anew = || cut.pieces(events, touched.hits, from, &bounds);
                let pieces = shared.entry((from, cut)).or_insert_with(cut_anew);
                if let Some(from) = self.send(*slot, pieces, header) {
                    withheld.push((*slot, from));
                }
            }
        });
        withheld
    }

    /// Sends pieces to a watch while its stream has credit; a revision that is begun is
    /// ended. Answers the first revision that is held back.
    fn send(&mut self, slot: u32, pieces: &[Piece], header: Header) -> Option<i64> {
        let watcher = self.watchers.get_mut(slot);
        let stream = self.streams.get_mut(watcher.stream);
        for piece in pieces {
            if !piece.continues && !stream.has_credit() {
                stream.run_dry();
                return (!mutant!(WatchStarves)).then_some(piece.first);
            }
            stream.spend(piece.cost);
            watcher.eventful = true;
            self.queue.push_back(Delivery {
                stream: stream.id,
                id: watcher.id,
                revision: match header {
                    Header::OfEvents => piece.last,
                    Header::OfStore => self.revision,
                },
                cost: piece.cost,
                answer: Answer::Events {
                    events: piece.events.clone(),
                    prev_kv: watcher.watch.prev_kv,
                    fragment: piece.fragment,
                },
            });
        }
        None
    }

    /// All live watches were not offered what came from `from` on.
    fn fall_behind(&mut self, from: i64) {
        let live = |watcher: &Watcher| matches!(watcher.standing, Standing::Live(_));
        let all = self.watchers.iter().filter(|(_, watcher)| live(watcher));
        let all: Vec<_> = all.map(|(slot, watcher)| (slot, watcher.start.max(from))).collect();
        for (slot, from) in all {
            // One that waits for a later revision missed nothing.
            if from <= self.revision {
                self.fall_behind_one(slot, from);
            }
        }
    }

    fn fall_behind_one(&mut self, slot: u32, from: i64) {
        let watcher = self.watchers.get_mut(slot);
        let stream = watcher.stream;
        if let Standing::Live(spot) = mem::replace(&mut watcher.standing, Standing::Behind(from)) {
            self.leave_live(spot);
        }
        self.streams.get_mut(stream).behind.insert((from, slot));
        self.note_ready(stream);
    }

    /// A watch heard of everything.
    pub(super) fn go_live(&mut self, slot: u32) {
        let watcher = self.watchers.get_mut(slot);
        let keys = watcher.watch.keys.as_ref().expect("a watch without keys is refused");
        watcher.standing = Standing::Live(self.live.insert(keys, slot));
    }

    /// Keeps the set of streams that may catch up in step with a stream that changed.
    pub(super) fn note_ready(&mut self, slot: u32) {
        if self.streams.get(slot).is_ready() {
            self.ready.insert(slot);
        } else {
            self.ready.remove(&slot);
        }
    }

    /// Queues an answer without events. It costs credit, and may overdraw it.
    pub(super) fn answer(&mut self, slot: u32, id: i64, revision: i64, answer: Answer) {
        let stream = self.streams.get_mut(slot);
        stream.spend(ANSWER_COST);
        let stream = stream.id;
        self.queue.push_back(Delivery { stream, id, revision, cost: ANSWER_COST, answer });
        self.note_ready(slot);
    }
}

/// Which revision stands in the header of events (semantics §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Live: the last event's.
    OfEvents,
    /// Catching up: the store's, which may be ahead of them.
    OfStore,
}

/// Whether no key can be meant.
fn is_empty(keys: &Keys) -> bool {
    matches!(keys, Keys::Span { from, to } if to <= from)
}
