//! What a cluster does is bounded: more happenings than that in a simulated second are a storm
//! that feeds itself, and would never end.

use super::Broken;
use keel_core::Instant;

/// Happenings in a simulated second, at most.
const EVENTS_A_SECOND: u64 = 200_000;

/// How many things have happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events(pub u64);

impl Events {
    /// One more happens now.
    ///
    /// # Errors
    ///
    /// They are too many for the time.
    pub fn happen(&mut self, now: Instant) -> Result<(), Broken> {
        self.0 += 1;
        if self.0 <= EVENTS_A_SECOND * (1 + now.0 / 1_000_000_000) {
            return Ok(());
        }
        Err(Broken::new("storm", format!("{} events by {now:?}", self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_seen_and_a_busy_hour_is_none() {
        let mut events = Events::default();
        for _ in 0..EVENTS_A_SECOND {
            events.happen(Instant(1)).expect("that many may happen");
        }
        assert!(events.happen(Instant(999_999_999)).is_err(), "one too many");
        events.happen(Instant(1_000_000_000)).expect("a second has passed");
    }
}
