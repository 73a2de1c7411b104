//! How long the relay rests after a transaction, so that what comes meanwhile goes together.
//!
//! Most of what a transaction costs, the broker's part above all, it costs however many records it holds. Where records come fast there are few of
//! them a second, where they come faster yet fewer ([`BEATS`]); elsewhere each record is written as soon as the one before is.
use std::time::{Duration, Instant};

/// From so many records a second on: how many transactions a second. The fastest first.
const BEATS: [(f64, u32); 3] = [(5_000.0, 4), (2_000.0, 10), (700.0, 20)];
/// How long records are counted, at least, before it is said how fast they come.
const COUNTED: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Tempo {
    /// Since when records are counted.
    since: Instant,
    records: usize,
    /// From one transaction's beginning to the next one's, at least.
    beat: Duration,
}

impl Tempo {
    pub(super) fn new() -> Tempo {
        Tempo { since: Instant::now(), records: 0, beat: Duration::ZERO }
    }

    /// A transaction of so many records that took so long is written by `now`: how long to rest.
    pub(super) fn rest(&mut self, records: usize, took: Duration, now: Instant) -> Duration {
        self.records += records;
        let counted = now - self.since;
        if counted >= COUNTED {
            let rate = self.records as f64 / counted.as_secs_f64();
            let beats = BEATS.iter().find(|(fast, _)| rate >= *fast);
            self.beat = beats.map_or(Duration::ZERO, |(_, beats)| Duration::from_secs(1) / *beats);
            (self.since, self.records) = (now, 0);
        }
        self.beat.saturating_sub(took)
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
            (ms(500), 200, ms(10), ms(0)),
            // 500 a second for 100 ms.
            (ms(40), 25, ms(10), ms(0)),
            (ms(40), 25, ms(10), ms(0)),
            // 1,000 a second: twenty times a second.
            (ms(40), 50, ms(10), ms(0)),
            (ms(40), 50, ms(10), ms(40)),
            (ms(40), 50, ms(10), ms(40)),
            (ms(40), 50, ms(10), ms(40)),
            // 4,000 a second: known after 100 ms, then ten times.
            (ms(30), 200, ms(20), ms(30)),
            (ms(30), 200, ms(20), ms(80)),
            (ms(80), 400, ms(20), ms(80)),
            // 10,000 a second: four times.
            (ms(80), 1_000, ms(20), ms(230)),
            (ms(230), 2_500, ms(30), ms(220)),
            // More than it can write in time.
            (ms(220), 4_000, ms(300), ms(0)),
            // 3,000 a second, and then it is over.
            (ms(100), 400, ms(20), ms(80)),
            (ms(80), 20, ms(10), ms(90)),
            (ms(90), 10, ms(5), ms(0)),
        ] {
            now += pause + took;
            assert_eq!(tempo.rest(records, took, now), rests, "{records} records after {pause:?}");
        }
    }
}
