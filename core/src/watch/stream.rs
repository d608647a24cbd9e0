//! One client's stream: its watches, its credit, its progress timer.

use super::index::Spot;
use super::intervals::mix;
use super::{StreamId, Watch};
use crate::types::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

/// Where a watch stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was offered everything up to the hub's revision, and hears of what comes next.
    Live(Spot),
    /// The first revision that it was not offered.
    Behind(i64),
    /// Compaction overtook it. Its id stays taken until the client cancels it.
    Ended,
}

/// A watch that was created.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    /// The slot of its stream.
    pub(super) stream: u32,
    /// Its id on the stream.
    pub(super) id: i64,
    /// What it asked for.
    pub(super) watch: Watch,
    /// The first revision that it wants at all.
    pub(super) start: i64,
    /// Where it is.
    pub(super) standing: Standing,
    /// It was sent events since the last tick of the stream's progress timer.
    pub(super) eventful: bool,
}

/// An open stream.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// Its watches, by id.
    pub(super) watches: BTreeMap<i64, u32>,
    /// The next id to try when the hub chooses.
    next_id: i64,
    /// Bytes that may be sent. The last answer may overdraw it.
    credit: i64,
    /// The most credit that it ever had at once.
    window: i64,
    /// It ran out of credit with events at hand. It goes on when half its window is free:
    /// less would cost a search of the history for every few bytes.
    dry: bool,
    /// Its watches that are behind, by position.
    pub(super) behind: BTreeSet<(i64, u32)>,
    /// How many of its watches want signs of progress.
    pub(super) progress_watches: usize,
    /// When the progress timer first ticks, and how long after that again.
    first_tick: Instant,
    period: Duration,
    /// The tick that is waited for.
    pub(super) next_tick: Option<Instant>,
}

impl Stream {
    /// A stream without watches and credit. Its progress period is `interval` and up to a
    /// tenth more, so that streams don't tick together (semantics §3.4).
    pub(super) fn new(id: StreamId, now: Instant, interval: Duration, seed: u64) -> Stream {
        let tenth = u64::try_from(interval.as_nanos() / 10).unwrap_or(u64::MAX).max(1);
        let period = interval + Duration::from_nanos(mix(seed ^ mix(id.0)) % tenth);
        Stream {
            id,
            watches: BTreeMap::new(),
            next_id: 0,
            credit: 0,
            window: 0,
            dry: false,
            behind: BTreeSet::new(),
            progress_watches: 0,
            first_tick: now.after(period),
            period,
            next_tick: None,
        }
    }

    /// The id for a new watch: the wanted one, or for zero the next free one; `None` where
    /// the wanted one is taken.
    pub(super) fn choose_id(&mut self, wanted: i64) -> Option<i64> {
        if wanted != 0 {
            return (!self.watches.contains_key(&wanted)).then_some(wanted);
        }
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Some(self.next_id - 1)
    }

    /// Whether something may be sent.
    pub(super) fn has_credit(&self) -> bool {
        self.credit > 0
    }

    /// Something is sent.
    pub(super) fn spend(&mut self, cost: usize) {
        self.credit = self.credit.saturating_sub_unsigned(cost as u64);
    }

    /// Something that waits could not be sent.
    pub(super) fn run_dry(&mut self) {
        self.dry = true;
    }

    /// The client took something.
    pub(super) fn earn(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_add_unsigned(bytes as u64);
        self.window = self.window.max(self.credit);
        if self.has_credit() && self.credit >= self.window / 2 {
            self.dry = false;
        }
    }

    /// Whether it has watches that may catch up now.
    pub(super) fn is_ready(&self) -> bool {
        !self.behind.is_empty() && !self.dry && self.has_credit()
    }

    /// The first tick of the progress timer after `now`. The timer runs from the opening of
    /// the stream; ticks that nobody waited for are missed.
    pub(super) fn tick_after(&self, now: Instant) -> Instant {
        let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX).max(1);
        let missed = match now.0.checked_sub(self.first_tick.0) {
            Some(late) => late / period + 1,
            None => 0,
        };
        Instant(self.first_tick.0.saturating_add(missed.saturating_mul(period)))
    }
}
