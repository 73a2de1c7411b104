//! What was measured, for people and for programs.
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// The figures of a benchmark, each the median of its repeats.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    min: f64,
    max: f64,
}

impl Figures {
    /// Adds a figure by all its repeats; answers the median and the spread, as a text.
    pub(super) fn add(&mut self, name: impl Into<String>, unit: &'static str, repeats: &[f64]) -> Spread {
        let spread = Spread::of(repeats);
        let Spread { median: value, min, max } = spread;
        self.figures.push(Figure { name: name.into(), value, unit, min, max });
        spread
    }

    /// One line.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of nothing it is all zero. Of an even number the lower middle counts.
    fn of(repeats: &[f64]) -> Spread {
        let mut sorted = repeats.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default();
        let (min, max) = (sorted.first().copied(), sorted.last().copied());
        Spread { median, min: min.unwrap_or_default(), max: max.unwrap_or_default() }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Spread { median, min, max } = self;
        match *median >= 100.0 {
            true => write!(f, "{median:.0} ({min:.0}–{max:.0})"),
            false => write!(f, "{median:.2} ({min:.2}–{max:.2})"),
        }
    }
}

/// Latencies from a microsecond to a minute, in three digits.
pub(super) fn histogram() -> Histogram<u64> {
    const MAX_US: u64 = 60_000_000;
    // Its bounds are sound; a default has none.
    Histogram::new_with_max(MAX_US, 3).unwrap_or_else(|_| Histogram::new(3).unwrap_or_else(|_| unreachable!()))
}

pub(super) fn record(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

pub(super) fn quantile_ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_its_repeats_with_the_lowest_and_the_highest() {
        let mut figures = Figures::default();
        let spread = figures.add("append.store.c64.events_per_s", "events/s", &[3.0, 1.0, 9.0]);
        assert_eq!(spread, Spread { median: 3.0, min: 1.0, max: 9.0 });
        let json = r#"{"figures":[{"name":"append.store.c64.events_per_s","value":3.0,"unit":"events/s","min":1.0,"max":9.0}]}"#;
        assert_eq!(figures.json(), json);
    }
}
