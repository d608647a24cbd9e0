//! The only randomness: a small generator (PCG XSH-RR), seeded once.

/// Pseudo-random numbers that a seed determines.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

crate::recording::code!(struct Rng { state });

impl Rng {
    const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
    const INCREMENT: u64 = 1_442_695_040_888_963_407;

    /// The numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Rng {
        let mut rng = Rng { state: seed.wrapping_add(Rng::INCREMENT) };
        rng.next_u32();
        rng
    }

    fn next_u32(&mut self) -> u32 {
        let old = self.state;
        self.state = old.wrapping_mul(Rng::MULTIPLIER).wrapping_add(Rng::INCREMENT);
        let mixed = u32::try_from(((old >> 18 ^ old) >> 27) & 0xffff_ffff).unwrap_or(0);
        mixed.rotate_right(u32::try_from(old >> 59).unwrap_or(0))
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    /// The next number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing lies below zero");
        self.next_u64() % bound
    }
}
