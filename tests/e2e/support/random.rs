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
        // Splitmix: near seeds have nothing in common. None is zero.
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random(state ^ (state >> 31) | 1)
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

#[test]
fn what_near_seeds_choose_first_is_as_likely_as_told() {
    for first in [0, 101, 945_015_681_141_908_963_u64] {
        let chosen = |n: u64| {
            let mut random = Random::new(first ^ (n << 20));
            (random.below(100) < 8, random.one_in(40), random.below(3), random.below(20_000), random.one_in(10))
        };
        let chosen: Vec<_> = (0..10_000).map(chosen).collect();
        let (eight_in_100, one_in_10) = (chosen.iter().filter(|c| c.0).count(), chosen.iter().filter(|c| c.4).count());
        assert!((700..900).contains(&eight_in_100) && (880..1_120).contains(&one_in_10), "{eight_in_100} {one_in_10}");
    }
}
