//! One peer as its leader sees it: what it holds, what it was sent, and how it is fed
//! (semantics §8.8).

use crate::types::Index;
use alloc::collections::VecDeque;

/// How a peer is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// One append at a time, until it is known where the logs agree.
    Probe,
    /// Appends one behind the other, without waiting.
    Stream,
    /// It needs a state up to this position; until it has that it gets nothing.
    Snapshot(Index),
}

crate::recording::code!(enum Feed { 1 Probe, 2 Stream, 3 Snapshot(to) });

/// What a leader knows of a peer.
#[derive(Clone, Debug)]
pub struct Progress {
    /// It is known to hold the log up to here.
    pub matched: Index,
    /// What it is sent next.
    pub next: Index,
    /// How it is fed.
    pub feed: Feed,
    /// Whether it was heard of since the last look at the quorum.
    pub active: bool,
    /// A probe, or a full window, waits for an answer.
    paused: bool,
    /// The last positions of appends that were not acknowledged.
    flying: VecDeque<Index>,
    window: usize,
}

crate::recording::code!(struct Progress { matched, next, feed, active, paused, flying, window });

impl Progress {
    pub(super) fn new(next: Index, window: usize) -> Progress {
        Progress {
            matched: Index::default(),
            next,
            feed: Feed::Probe,
            active: false,
            paused: false,
            flying: VecDeque::new(),
            window,
        }
    }

    /// Whether nothing may be sent now.
    pub(super) fn is_paused(&self) -> bool {
        match self.feed {
            Feed::Probe => self.paused,
            Feed::Stream => self.paused || self.flying.len() >= self.window,
            Feed::Snapshot(_) => true,
        }
    }

    /// A heartbeat's answer shows that the link lives: one more append may try.
    pub(super) fn unpause(&mut self) {
        self.paused &= mutant!(ProbesOnce);
        if self.feed == Feed::Stream && self.flying.len() >= self.window {
            self.flying.pop_front();
        }
    }

    /// An append of entries up to `last` was sent; `None` was a probe without entries.
    pub(super) fn sent(&mut self, last: Option<Index>) {
        match (self.feed, last) {
            (Feed::Stream, Some(last)) => {
                self.next = last.next();
                self.flying.push_back(last);
            }
            (Feed::Probe, _) => self.paused = true,
            _ => {}
        }
    }

    /// It holds the log up to `index`; `false` where that is no news.
    pub(super) fn acked(&mut self, index: Index) -> bool {
        let news = index > self.matched;
        if news {
            self.matched = index;
            self.paused = false;
        }
        self.next = self.next.max(index.next());
        while self.flying.front().is_some_and(|flying| *flying <= index) {
            self.flying.pop_front();
        }
        news
    }

    /// It refused an append behind `index`, and may agree at `hint`; `false` for an old refusal.
    pub(super) fn refused(&mut self, index: Index, hint: Index) -> bool {
        if self.feed == Feed::Stream {
            if index <= self.matched {
                return false;
            }
            self.next = self.matched.next();
            return true;
        }
        if self.next.prev() != index || mutant!(RefusalsIgnored) {
            return false;
        }
        self.next = index.min(hint.next()).max(self.matched.next());
        self.paused = false;
        true
    }

    pub(super) fn probe(&mut self) {
        self.next = match self.feed {
            // It may have taken the state in: ask behind it.
            Feed::Snapshot(index) => self.matched.next().max(index.next()),
            _ => self.matched.next(),
        };
        self.reset(Feed::Probe);
    }

    pub(super) fn stream(&mut self) {
        self.next = self.matched.next();
        self.reset(Feed::Stream);
    }

    pub(super) fn snapshot(&mut self, index: Index) {
        self.reset(Feed::Snapshot(index));
    }

    /// The state could not be brought to it: begin where the logs last agreed.
    pub(super) fn snapshot_failed(&mut self) {
        if !mutant!(StateSentOnce)
            && let Feed::Snapshot(_) = self.feed
        {
            self.feed = Feed::Snapshot(Index::default());
            self.probe();
        }
    }

    fn reset(&mut self, feed: Feed) {
        self.feed = feed;
        self.paused = false;
        self.flying.clear();
    }
}
