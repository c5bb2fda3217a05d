//! Seeded, stable random numbers for jitter: the same seed gives the same run on every machine and
//! in every release. Not for secrets.

use core::time::Duration;

use crate::base::time::nanos;

/// `SplitMix64` (Steele, Lea, Flood 2014): one word of state, no bad seeds.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose whole future is `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is at least 1; the bias is below 2^-64 × `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        upper_half(u128::from(self.next_u64()) * u128::from(end))
    }

    /// A duration from `from` up to, not including, `to`; `from` when there is nothing between.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let room = nanos(to).saturating_sub(nanos(from)).max(1);
        from + Duration::from_nanos(self.below(room))
    }
}

fn upper_half(product: u128) -> u64 {
    u64::try_from(product >> 64).expect("the upper half of 128 bits has 64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_stable_promise() {
        let mut rng = Rng::new(0);
        assert_eq!(rng.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn jitter_stays_between_its_ends() {
        let (from, to) = (Duration::from_millis(20), Duration::from_millis(50));
        let mut rng = Rng::new(7);
        assert!((0..1000).map(|_| rng.between(from, to)).all(|d| d >= from && d < to));
        assert_eq!(rng.between(to, to), to);
    }
}
