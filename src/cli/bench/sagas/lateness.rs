//! How late timers were, each of them: a recorder that keeps that one metric, in full digits.
use crate::cli::bench::figures::{histogram, record};
use hdrhistogram::Histogram as Exact;
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const METRIC: &str = "waybill_saga_timer_late_seconds";

/// Clones share one.
#[derive(Clone)]
pub(super) struct Lateness(Arc<Mutex<Exact<u64>>>);

impl Lateness {
    /// Installs it for the whole process; later ones hear nothing.
    pub(super) fn install() -> Lateness {
        let lateness = Lateness(Arc::new(Mutex::new(histogram())));
        // One that is there already keeps its place: then nothing is counted, and the benchmark says so.
        let _ = metrics::set_global_recorder(lateness.clone());
        lateness
    }

    /// All since it was last taken.
    pub(super) fn take(&self) -> Exact<u64> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), histogram())
    }

    pub(super) fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl HistogramFn for Lateness {
    fn record(&self, seconds: f64) {
        let late = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        record(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), late);
    }
}

impl Recorder for Lateness {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == METRIC { Histogram::from_arc(Arc::new(self.clone())) } else { Histogram::noop() }
    }
}
