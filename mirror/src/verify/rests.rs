//! Rests after work, so that it takes no more than its share of the time.
use std::time::{Duration, Instant};

/// A rest is no longer than this, however long the work took.
const LONGEST: Duration = Duration::from_secs(60);
/// The smallest share.
const MIN_SHARE: f64 = 0.001;

#[derive(Debug)]
pub(crate) struct Rests {
    share: f64,
    /// Since when it has worked.
    since: Instant,
}

impl Rests {
    /// Work begins now. `share`: of the time, 1 is all of it.
    pub(crate) fn begin(share: f64) -> Rests {
        Rests { share: share.clamp(MIN_SHARE, 1.0), since: Instant::now() }
    }

    /// Rests for the work since the last rest.
    pub(crate) async fn rest(&mut self) {
        tokio::time::sleep(self.due(self.since.elapsed())).await;
        self.since = Instant::now();
    }

    fn due(&self, worked: Duration) -> Duration {
        worked.mul_f64(1.0 / self.share - 1.0).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_works_its_share_and_rests_a_minute_at_most() {
        let due = |share, ms| Rests::begin(share).due(Duration::from_millis(ms)).as_millis();
        assert_eq!((due(0.05, 10), due(0.5, 10), due(1.0, 10)), (190, 10, 0));
        assert_eq!((due(0.0, 10), due(7.0, 10)), (9_990, 0));
        assert_eq!(due(0.05, 30_000), 60_000);
    }
}
