//! Chance, from a seed that is printed and can be given again.

/// `WAYBILL_TEST_SEED`, or a new one; it is printed.
pub(crate) fn seed() -> u64 {
    let seed: u64 =
        std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: repeat with WAYBILL_TEST_SEED={seed}");
    seed
}

/// Xorshift.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // Near seeds are spread, and none is zero.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Milliseconds, `from` included, `to` not.
    pub(crate) fn millis(&mut self, from: usize, to: usize) -> std::time::Duration {
        std::time::Duration::from_millis((from + self.below(to - from)) as u64)
    }

    pub(crate) fn shuffle<T>(&mut self, cards: &mut [T]) {
        for at in (1..cards.len()).rev() {
            cards.swap(at, self.below(at + 1));
        }
    }
}
