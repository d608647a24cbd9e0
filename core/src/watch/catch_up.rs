//! Watches that are behind read the history, a bounded piece a step.
//!
//! In every step one stream leads: what its farthest watch has missed decides where to read.
//! Watches of all other streams that stand there or later come along, so that many watches
//! that fell behind together read the history together. The lead goes round, so that a long
//! way back of one stream doesn't hold up the others.

use super::hub::{Header, Hub};
use super::index::Index;
use super::stream::Standing;
use super::{Answer, stream::Watcher};
use crate::command::Event;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

impl Hub {
    /// One piece for whoever may catch up.
    pub(super) fn catch_up(&mut self) {
        let Some(lead) = self.next_lead() else { return };
        let (base, _) = *self.streams.get(lead).behind.first().expect("a ready stream is behind");
        if base < self.view.kv.compacted() {
            return self.end_compacted(lead);
        }
        let members = self.members(lead, base);
        let mut index = Index::new(self.config.seed);
        for (_, slot) in &members {
            let keys = self.watchers.get(*slot).watch.keys.as_ref();
            index.insert(keys.expect("a watch without keys is refused"), *slot);
        }
        let (events, next) = self.read(base, &index);
        let withheld = self.offer(&mut index, &events, Header::OfStore);
        let withheld: BTreeMap<u32, i64> = withheld.into_iter().collect();
        for (from, slot) in members {
            let reached = withheld.get(&slot).copied().unwrap_or(from.max(next));
            self.advance(slot, from, reached);
        }
    }

    /// The ready stream that follows the last one that led.
    fn next_lead(&mut self) -> Option<u32> {
        let after = self.ready.range(self.last_led + 1..).next();
        let lead = *after.or_else(|| self.ready.first())?;
        self.last_led = lead;
        Some(lead)
    }

    /// The watches that come along from `base` on: the leader's first.
    fn members(&self, lead: u32, base: i64) -> Vec<(i64, u32)> {
        let streams = self.ready.range(lead..).chain(self.ready.range(..lead));
        let behind = streams.flat_map(|slot| self.streams.get(*slot).behind.range((base, 0)..));
        behind.take(self.config.catch_up_max).copied().collect()
    }

    /// What `index` wants of the history from `base` on, up to the end of the revision in
    /// which the budget runs out, and the revision that comes after it.
    fn read(&self, base: i64, index: &Index) -> (Vec<Event>, i64) {
        let mut events = Vec::new();
        let mut last = 0;
        let mut history = self.view.kv.history(base).expect("who is compacted was ended before");
        let mut count = 0;
        while let Some((main, event)) = history.next_where(|key| index.wants(key)) {
            if count >= self.config.scan_max && main != last {
                return (events, main);
            }
            last = main;
            count += 1;
            events.extend(event);
        }
        (events, self.revision + 1)
    }

    /// Moves a watch that is behind to the next revision that it was not offered.
    fn advance(&mut self, slot: u32, from: i64, reached: i64) {
        let watcher = self.watchers.get_mut(slot);
        let stream = watcher.stream;
        let behind = &mut self.streams.get_mut(stream).behind;
        behind.remove(&(from, slot));
        if reached > self.revision {
            self.go_live(slot);
        } else {
            watcher.standing = Standing::Behind(reached);
            behind.insert((reached, slot));
        }
        self.note_ready(stream);
    }

    /// Ends the stream's watches that compaction overtook: what they missed is gone.
    fn end_compacted(&mut self, lead: u32) {
        let compacted = self.view.kv.compacted();
        for _ in 0..self.config.catch_up_max {
            let stream = self.streams.get_mut(lead);
            let Some((from, slot)) = stream.behind.first().copied() else { break };
            if from >= compacted || !stream.has_credit() {
                break;
            }
            stream.behind.pop_first();
            if mutant!(CompactedWatchGoesOn) {
                self.advance(slot, from, compacted);
                continue;
            }
            let watcher = self.watchers.get_mut(slot);
            watcher.standing = Standing::Ended;
            let id = watcher.id;
            let answer = Answer::Canceled { compacted, reason: String::new() };
            self.answer(lead, id, 0, answer);
        }
        self.note_ready(lead);
    }
}

impl Watcher {
    /// The first revision that it still wants.
    pub(super) fn from(&self) -> i64 {
        match self.standing {
            Standing::Behind(from) => from,
            Standing::Live(_) if mutant!(FutureWatchHearsPast) => 0,
            Standing::Live(_) | Standing::Ended => self.start,
        }
    }
}
