//! How long the relay rests after a transaction, so that what comes meanwhile goes together.
//!
//! Most of what a transaction costs, the broker's part above all, it costs however many records it holds. Where records come fast there are
//! [`BEATS`] of them a second; elsewhere each record is written as soon as the one before is.
use std::time::{Duration, Instant};

/// Transactions a second, where records come fast.
const BEATS: u32 = 10;
/// Records a second that are fast, for as long as a beat lasts.
const FAST: f64 = 2_000.0;

#[derive(Debug)]
pub(super) struct Tempo {
    /// Since when records are counted.
    since: Instant,
    records: usize,
    is_fast: bool,
}

impl Tempo {
    pub(super) fn new() -> Tempo {
        Tempo { since: Instant::now(), records: 0, is_fast: false }
    }

    /// A transaction of so many records that took so long is written by `now`: how long to rest.
    pub(super) fn rest(&mut self, records: usize, took: Duration, now: Instant) -> Duration {
        let beat = Duration::from_secs(1) / BEATS;
        self.records += records;
        let counted = now - self.since;
        if counted >= beat {
            self.is_fast = self.records as f64 >= FAST * counted.as_secs_f64();
            (self.since, self.records) = (now, 0);
        }
        if self.is_fast { beat.saturating_sub(took) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::Tempo;
    use std::time::Duration;

    #[test]
    fn it_rests_where_records_come_fast_and_nowhere_else() {
        let ms = Duration::from_millis;
        let mut tempo = Tempo::new();
        let mut now = tempo.since;
        for (pause, records, took, rests) in [
            // A burst, and one after a silence.
            (ms(1), 150, ms(9), ms(0)),
            (ms(500), 700, ms(10), ms(0)),
            // 1,000 a second for 100 ms.
            (ms(40), 50, ms(10), ms(0)),
            (ms(40), 50, ms(10), ms(0)),
            // 5,000 a second: known after 100 ms, then ten times a second.
            (ms(30), 250, ms(20), ms(0)),
            (ms(30), 250, ms(20), ms(80)),
            (ms(80), 500, ms(30), ms(70)),
            // More than it can write in time.
            (ms(70), 4_000, ms(150), ms(0)),
            // It is over.
            (ms(0), 100, ms(10), ms(90)),
            (ms(90), 10, ms(5), ms(0)),
        ] {
            now += pause + took;
            assert_eq!(tempo.rest(records, took, now), rests, "{records} records after {pause:?}");
        }
    }
}
