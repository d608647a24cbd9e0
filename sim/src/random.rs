//! Randomness that a seed determines, one stream a concern.
//!
//! The network, the disks, the clients and the nemesis each have their own: what one of them
//! draws more or less does not move the others, so that a plan can be shrunk piece by piece.

use keel_core::rng::Rng;
use std::time::Duration;

/// One concern's stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(Rng);

impl Random {
    /// The stream that `seed` gives to a concern.
    #[must_use]
    pub fn stream(seed: u64, concern: &str) -> Random {
        // FNV-1a: all that is asked of it is that names differ.
        let name = concern.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Random(Rng::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name))
    }

    /// A number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "nothing lies between {low} and {high}");
        low + self.0.below(high - low + 1)
    }

    /// Whether something happens that happens so many times in a thousand.
    pub fn happens(&mut self, per_mille: u64) -> bool {
        self.0.below(1000) < per_mille
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = usize::try_from(self.0.below(from.len() as u64)).expect("it is an index");
        &from[at]
    }

    /// A span around `mean` with a long tail: half of them are shorter, some several times longer.
    pub fn span(&mut self, mean: Duration) -> Duration {
        let nanos = u64::try_from(mean.as_nanos()).unwrap_or(u64::MAX);
        // The number of leading zeros of a random number is geometric: each step doubles.
        let doubled = u64::from(self.number().leading_zeros().min(5));
        let part = self.below(nanos.max(1)) / 2;
        Duration::from_nanos(nanos / 4 + part + (nanos / 4).saturating_mul(doubled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_equal_for_equal_names_and_differ_for_others() {
        let draw = |seed, name| {
            let mut stream = Random::stream(seed, name);
            [stream.number(), stream.number()]
        };
        assert_eq!(draw(1, "disk"), draw(1, "disk"));
        assert_ne!(draw(1, "disk"), draw(1, "network"));
        assert_ne!(draw(1, "disk"), draw(2, "disk"));
    }

    #[test]
    fn spans_spread_around_their_mean() {
        let mut stream = Random::stream(1, "spans");
        let mean = Duration::from_millis(1);
        let spans: Vec<Duration> = (0..10_000).map(|_| stream.span(mean)).collect();
        let average = spans.iter().sum::<Duration>() / 10_000;
        assert!(average > mean / 2 && average < mean * 2, "{average:?}");
        assert!(spans.iter().any(|span| *span > mean * 3 / 2));
    }
}
