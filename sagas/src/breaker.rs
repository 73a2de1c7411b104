//! A participant's circuit breaker: closed, open, half-open with a bounded number of probes. Pure: time and outcomes are given.
//!
//! A definite answer, yes or no, is a success: the participant is there. Failures count only from different sagas in a row, so
//! that one sick order never closes the way for the others.
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Breaker {
    limits: Limits,
    state: State,
    /// The sagas that failed since the last success, each once; no longer than `limits.failures`.
    failing: Vec<u64>,
    /// How often it opened since it was last closed.
    openings: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) failures: usize,
    pub(crate) open_for: Duration,
    pub(crate) open_at_most: Duration,
    pub(crate) probes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { under_way: usize, answered: usize },
}

/// The right to one call; it is given back with the call's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Plain,
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    Failed,
    /// The call was dropped: nothing is known.
    Dropped,
}

impl Breaker {
    pub(crate) fn new(limits: Limits) -> Breaker {
        Breaker { limits, state: State::Closed, failing: Vec::new(), openings: 0 }
    }

    /// As of now: an open one whose time is over is half-open.
    pub(crate) fn state(&mut self, now: Instant) -> State {
        if let State::Open { until } = self.state
            && until <= now
        {
            self.state = State::HalfOpen { under_way: 0, answered: 0 };
        }
        self.state
    }

    /// `None`: not now.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Pass> {
        match self.state(now) {
            State::Closed => Some(Pass::Plain),
            State::Open { .. } => None,
            State::HalfOpen { under_way, answered } => (under_way + answered < self.limits.probes.max(1)).then(|| {
                self.state = State::HalfOpen { under_way: under_way + 1, answered };
                Pass::Probe
            }),
        }
    }

    /// Takes in a call's outcome; `true` when the state changed.
    pub(crate) fn record(&mut self, pass: Pass, saga: u64, outcome: Outcome, now: Instant) -> bool {
        match (pass, self.state, outcome) {
            (Pass::Plain, State::Closed, Outcome::Answered) => {
                self.failing.clear();
                false
            }
            (Pass::Plain, State::Closed, Outcome::Failed) => {
                if !self.failing.contains(&saga) {
                    self.failing.push(saga);
                }
                let opens = self.failing.len() >= self.limits.failures.max(1);
                if opens {
                    self.open(now);
                }
                opens
            }
            (Pass::Probe, State::HalfOpen { under_way, answered }, Outcome::Answered) => {
                let (under_way, answered) = (under_way.saturating_sub(1), answered + 1);
                if answered >= self.limits.probes.max(1) {
                    self.state = State::Closed;
                    self.openings = 0;
                    self.failing.clear();
                    return true;
                }
                self.state = State::HalfOpen { under_way, answered };
                false
            }
            (Pass::Probe, State::HalfOpen { .. }, Outcome::Failed) => {
                self.open(now);
                true
            }
            (Pass::Probe, State::HalfOpen { under_way, answered }, Outcome::Dropped) => {
                self.state = State::HalfOpen { under_way: under_way.saturating_sub(1), answered };
                false
            }
            // Begun before the state changed: it says nothing of how things are now.
            _ => false,
        }
    }

    fn open(&mut self, now: Instant) {
        let factor = 1_u32.checked_shl(self.openings).unwrap_or(u32::MAX);
        let wait = self.limits.open_for.saturating_mul(factor).min(self.limits.open_at_most);
        self.openings = self.openings.saturating_add(1).min(31);
        self.failing.clear();
        self.state = State::Open { until: now + wait };
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, Limits, Outcome, Pass, State};
    use std::time::Duration;
    use tokio::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(Limits { failures: 3, open_for: SECOND, open_at_most: 3 * SECOND, probes: 2 })
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = breaker();
        for saga in 0..3 {
            let pass = breaker.admit(now).unwrap();
            breaker.record(pass, saga, Outcome::Failed, now);
        }
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_of_different_sagas_in_a_row() {
        let (mut breaker, now) = (breaker(), Instant::now());
        for _ in 0..10 {
            assert!(!breaker.record(Pass::Plain, 1, Outcome::Failed, now), "one sick saga is not the participant");
        }
        breaker.record(Pass::Plain, 2, Outcome::Failed, now);
        breaker.record(Pass::Plain, 2, Outcome::Answered, now);
        breaker.record(Pass::Plain, 3, Outcome::Failed, now);
        breaker.record(Pass::Plain, 4, Outcome::Failed, now);
        assert_eq!(breaker.state(now), State::Closed);
        assert!(breaker.record(Pass::Plain, 5, Outcome::Failed, now));
        assert_eq!(breaker.admit(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_lets_through_no_more_than_its_probes_and_closes_when_all_are_answered() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + SECOND;
        assert_eq!(breaker.admit(later), Some(Pass::Probe));
        assert_eq!(breaker.admit(later), Some(Pass::Probe));
        assert_eq!(breaker.admit(later), None);
        assert!(!breaker.record(Pass::Probe, 1, Outcome::Answered, later));
        assert_eq!(breaker.admit(later), None);
        assert!(breaker.record(Pass::Probe, 2, Outcome::Answered, later));
        assert_eq!(breaker.admit(later), Some(Pass::Plain));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again_for_longer_up_to_a_bound() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for wait in [1, 2, 3, 3] {
            let State::Open { until } = breaker.state(now) else { panic!("not open") };
            assert_eq!(until - now, wait * SECOND);
            now = until;
            let probe = breaker.admit(now).unwrap();
            assert!(breaker.record(probe, 9, Outcome::Failed, now));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_probe_makes_room_for_another_and_late_outcomes_change_nothing() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + SECOND;
        let (first, _second) = (breaker.admit(later).unwrap(), breaker.admit(later).unwrap());
        breaker.record(first, 1, Outcome::Dropped, later);
        assert_eq!(breaker.admit(later), Some(Pass::Probe));
        assert!(!breaker.record(Pass::Plain, 7, Outcome::Answered, later));
        assert!(!breaker.record(Pass::Plain, 7, Outcome::Failed, later));
        assert!(matches!(breaker.state(later), State::HalfOpen { .. }));
    }
}
