//! How long to wait before a call is tried again: growing with the time tried so far, with full jitter, under a cap.
use crate::config::RetryPolicy;
use domain::saga::Retry;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// No wait is shorter.
const SHORTEST: Duration = Duration::from_millis(10);

/// Random numbers for jitter, repeatable when seeded.
#[derive(Debug)]
pub(crate) struct Jitter(Mutex<SmallRng>);

impl Jitter {
    pub(crate) fn new(seed: Option<u64>) -> Jitter {
        Jitter(Mutex::new(seed.map_or_else(rand::make_rng, SmallRng::seed_from_u64)))
    }

    /// Anything up to `most`.
    pub(crate) fn up_to(&self, most: Duration) -> Duration {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        most.mul_f64(rng.random::<f64>())
    }
}

impl RetryPolicy {
    /// The wait before the next try of a step that has been tried for `tried`. The longest possible wait is as long as that, so that
    /// waits grow exponentially, and go on growing after a restart, with nothing to count. `asked` is the participant's own wish.
    pub(crate) fn wait(&self, retry: &Retry, tried: Duration, asked: Option<Duration>, jitter: &Jitter) -> Duration {
        let most = tried.max(retry.base).min(retry.cap);
        let wait = jitter.up_to(most).max(SHORTEST);
        match asked.map(|asked| asked.min(self.retry_after_cap)) {
            // Not before it is wished for, and not all at the same moment.
            Some(asked) if asked > wait => asked + jitter.up_to(asked / 10),
            _ => wait,
        }
    }
}

/// For the store: it is ours, and soon back.
#[derive(Debug)]
pub(crate) struct StoreBackoff {
    tries: u32,
}

impl StoreBackoff {
    const BASE: Duration = Duration::from_millis(50);
    const CAP: Duration = Duration::from_secs(2);

    pub(crate) const fn new() -> StoreBackoff {
        StoreBackoff { tries: 0 }
    }

    pub(crate) async fn pause(&mut self, jitter: &Jitter) {
        let most = Self::BASE.saturating_mul(1 << self.tries.min(8)).min(Self::CAP);
        self.tries += 1;
        tokio::time::sleep(jitter.up_to(most).max(SHORTEST)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Jitter;
    use crate::config::RetryPolicy;
    use domain::saga::Retry;
    use std::time::Duration;

    #[test]
    fn waits_grow_with_the_time_tried_and_stay_under_the_cap() {
        let (policy, jitter) = (RetryPolicy::default(), Jitter::new(Some(1)));
        let (mut tried, mut tries) = (Duration::ZERO, 0);
        while tried < Duration::from_secs(600) {
            let wait = policy.wait(&Retry::CALL, tried, None, &jitter);
            assert!(wait <= Retry::CALL.cap);
            tried += wait;
            tries += 1;
        }
        assert!((20..120).contains(&tries), "{tries} tries in ten minutes");
    }

    #[test]
    fn a_participants_wish_is_kept_up_to_a_bound() {
        let (policy, jitter) = (RetryPolicy::default(), Jitter::new(Some(1)));
        let wait = policy.wait(&Retry::CALL, Duration::ZERO, Some(Duration::from_secs(10)), &jitter);
        assert!((10.0..=11.0).contains(&wait.as_secs_f64()), "{wait:?}");
        let wait = policy.wait(&Retry::CALL, Duration::ZERO, Some(Duration::from_secs(100_000)), &jitter);
        assert!(wait <= policy.retry_after_cap * 11 / 10, "{wait:?}");
    }
}
