//! A member's own clock: it runs a little faster or slower than the world's, and never back.

use keel_core::Instant;

/// How one runs: by so many thousandths of the world's speed, since a moment.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    rate: u64,
    /// What the world's clock said when this rate began, and what this one did.
    since: (Instant, Instant),
}

impl Clock {
    pub(super) fn new(rate: u64) -> Clock {
        Clock { rate, since: (Instant(0), Instant(0)) }
    }

    /// What it says.
    pub(super) fn at(&self, now: Instant) -> Instant {
        let (world, own) = self.since;
        let passed = now.0 - world.0;
        Instant(own.0 + passed / 1000 * self.rate + passed % 1000 * self.rate / 1000)
    }

    /// When it will say this, not before it does.
    pub(super) fn when(&self, clock: Instant) -> Instant {
        let (world, own) = self.since;
        let passes = clock.0.saturating_sub(own.0);
        let passed = passes / self.rate * 1000 + (passes % self.rate * 1000).div_ceil(self.rate);
        Instant(world.0 + passed + 1)
    }

    /// From now on it runs so fast.
    pub(super) fn drift(&mut self, now: Instant, rate: u64) {
        self.since = (now, self.at(now));
        self.rate = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_never_goes_back_and_wakes_in_time() {
        let mut clock = Clock::new(1200);
        assert_eq!(clock.at(Instant(1_000_000)), Instant(1_200_000));
        clock.drift(Instant(1_000_000), 800);
        assert_eq!(clock.at(Instant(1_000_000)), Instant(1_200_000));
        assert_eq!(clock.at(Instant(2_000_000)), Instant(2_000_000));
        for due in [1_200_001, 1_234_567, 9_999_999] {
            let wakes = clock.when(Instant(due));
            assert!(clock.at(wakes) >= Instant(due), "it wakes too early for {due}");
        }
    }
}
