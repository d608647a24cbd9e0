//! How many watch streams and watches there are, and what they hear: the sum over all shards.

use prometheus::{IntCounter, IntGauge, Opts, Registry};

/// The gauges that all hubs share.
#[derive(Clone, Debug)]
pub(super) struct Watches {
    streams: IntGauge,
    watches: IntGauge,
    events: IntCounter,
}

impl Watches {
    pub(super) fn new(registry: &Registry) -> Watches {
        Watches {
            streams: metric!(
                registry,
                IntGauge,
                "etcd_debugging_mvcc_watch_stream_total",
                "Watch streams that are open."
            ),
            watches: metric!(
                registry,
                IntGauge,
                "etcd_debugging_mvcc_watcher_total",
                "Watches on them."
            ),
            events: metric!(
                registry,
                IntCounter,
                "etcd_debugging_mvcc_events_total",
                "Changes that were told to watches."
            ),
        }
    }

    pub(super) fn hub(&self) -> HubCounts {
        HubCounts { shared: self.clone(), before: (0, 0) }
    }
}

/// What one hub adds to the gauges; it takes that back when it is dropped.
#[derive(Debug)]
pub struct HubCounts {
    shared: Watches,
    /// Streams and watches.
    before: (usize, usize),
}

impl HubCounts {
    /// The hub has so many streams and watches now, and told so many changes since the last time.
    pub(crate) fn stand(&mut self, now: (usize, usize), told: usize) {
        let Watches { streams, watches, events } = &self.shared;
        let before = std::mem::replace(&mut self.before, now);
        for (gauge, before, now) in [(streams, before.0, now.0), (watches, before.1, now.1)] {
            if before != now {
                gauge.add(signed(now) - signed(before));
            }
        }
        if told > 0 {
            events.inc_by(told as u64);
        }
    }
}

impl Drop for HubCounts {
    fn drop(&mut self) {
        self.stand((0, 0), 0);
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs_add_up_and_take_back() {
        let watches = Watches::new(&Registry::new());
        let (mut one, mut other) = (watches.hub(), watches.hub());
        one.stand((2, 5), 3);
        other.stand((1, 1), 4);
        one.stand((1, 2), 0);
        let shown = || (watches.streams.get(), watches.watches.get(), watches.events.get());
        assert_eq!(shown(), (2, 3, 7));
        drop(one);
        assert_eq!(shown(), (1, 1, 7));
    }
}
