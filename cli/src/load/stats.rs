//! How long calls took.

use std::time::Duration;

/// Every sample of a run, microseconds.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    micros: Vec<u32>,
    /// Calls that failed.
    pub failed: u64,
}

impl Samples {
    /// One more call.
    pub fn add(&mut self, took: Duration) {
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Takes another task's samples in.
    pub fn merge(&mut self, other: Samples) {
        self.micros.extend(other.micros);
        self.failed += other.failed;
    }

    /// How many calls were answered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.micros.len()
    }

    /// The slowest of the fastest `share` of all calls, milliseconds.
    pub fn percentile(&mut self, share: f64) -> f64 {
        if self.micros.is_empty() {
            return 0.0;
        }
        let at = ((self.micros.len() - 1) as f64 * share).round() as usize;
        let (_, value, _) = self.micros.select_nth_unstable(at);
        f64::from(*value) / 1000.0
    }

    /// The slowest call, milliseconds.
    #[must_use]
    pub fn max(&self) -> f64 {
        f64::from(self.micros.iter().copied().max().unwrap_or(0)) / 1000.0
    }
}
