//! A participant's gate: how many calls at once, how many a second, and whether any at all.
//!
//! Who finds it shut does not stand in line with a task and a history in memory: it is put down, and the gate calls it when the
//! participant is back: first as many as it probes with, then at a set rate. So neither a participant that is down nor one that is
//! slow takes drivers away from other steps, and its coming back is no storm.
use crate::breaker::{self, Breaker, Outcome, Pass, State};
use crate::config::GateConfig;
use crate::metrics;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;
use uuid::Uuid;

/// How often the gate looks after those it put down, while there are any.
const TICK: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Participant {
    Payment,
    Shipping,
}

impl Participant {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Participant::Payment => "payment",
            Participant::Shipping => "shipping",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) participant: Participant,
    config: GateConfig,
    permits: Semaphore,
    waiting: AtomicUsize,
    breaker: Mutex<Breaker>,
    pace: Mutex<Option<Instant>>,
    /// Put down here, the first first. One that went on for another reason is passed over.
    parked: Mutex<VecDeque<Uuid>>,
    changed: Notify,
}

/// Why not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// The breaker is open: the participant does not answer.
    Open,
    /// Too many wait already.
    Full,
}

/// The right to one call. Dropped without an outcome it says nothing about the participant.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    gate: &'a Gate,
    pass: Pass,
    settled: bool,
    _one: SemaphorePermit<'a>,
}

impl Gate {
    pub(crate) fn new(participant: Participant, config: GateConfig) -> Gate {
        let limits = breaker::Limits {
            failures: config.failures,
            open_for: config.open_for,
            open_at_most: config.open_at_most,
            probes: config.probes,
        };
        let permits = Semaphore::new(config.concurrency.clamp(1, Semaphore::MAX_PERMITS));
        metrics::breaker(participant, State::Closed);
        Gate {
            participant,
            config,
            permits,
            waiting: AtomicUsize::new(0),
            breaker: Mutex::new(Breaker::new(limits)),
            pace: Mutex::default(),
            parked: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Waits for a place, and for the participant's rate; not for the breaker.
    pub(crate) async fn enter(&self) -> Result<Permit<'_>, Shut> {
        if let State::Open { .. } = self.state() {
            return Err(Shut::Open);
        }
        let one = match self.permits.try_acquire() {
            Ok(one) => one,
            Err(_) => self.stand_in_line().await?,
        };
        self.keep_pace().await;
        let pass = lock(&self.breaker).admit(Instant::now()).ok_or(Shut::Open)?;
        Ok(Permit { gate: self, pass, settled: false, _one: one })
    }

    async fn stand_in_line(&self) -> Result<SemaphorePermit<'_>, Shut> {
        struct Place<'a>(&'a AtomicUsize);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.waiting);
        if before >= self.config.max_waiting {
            return Err(Shut::Full);
        }
        self.permits.acquire().await.map_err(|_| Shut::Full)
    }

    async fn keep_pace(&self) {
        let Some(rate) = self.config.rate.filter(|rate| *rate > 0) else { return };
        let turn = {
            let mut pace = lock(&self.pace);
            let turn = pace.map_or_else(Instant::now, |next| next.max(Instant::now()));
            *pace = Some(turn + Duration::from_secs(1) / rate);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    /// This saga was put down until the participant is back.
    pub(crate) fn park(&self, order: Uuid) {
        lock(&self.parked).push_back(order);
        self.changed.notify_one();
    }

    pub(crate) fn parked(&self) -> usize {
        lock(&self.parked).len()
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.breaker).state(Instant::now())
    }

    /// Calls those it put down. `wake` answers `false` for one that no longer waits here.
    pub(crate) async fn look_after(&self, wake: impl Fn(Uuid) -> bool) {
        let mut drain = Drain::new(self.config.drain);
        loop {
            if self.parked() == 0 {
                self.changed.notified().await;
                drain.rest();
                continue;
            }
            match self.state() {
                State::Closed => {
                    let called = self.call(drain.may(Instant::now()).min(self.room()), &wake);
                    drain.took(called);
                }
                State::HalfOpen { under_way, answered } => {
                    self.call(self.config.probes.max(1).saturating_sub(under_way + answered), &wake);
                    drain.rest();
                }
                State::Open { until } => {
                    tokio::time::sleep_until(until).await;
                    drain.rest();
                    continue;
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// How many find a place before the gate.
    fn room(&self) -> usize {
        let line = self.config.max_waiting.saturating_sub(self.waiting.load(Ordering::Relaxed));
        line.max(self.permits.available_permits())
    }

    /// How many were called.
    fn call(&self, most: usize, wake: &impl Fn(Uuid) -> bool) -> usize {
        let mut called = 0;
        while called < most {
            let Some(order) = lock(&self.parked).pop_front() else { break };
            called += usize::from(wake(order));
        }
        called
    }
}

/// The rate at which those put down go on: what is not used in two ticks is forfeited, so that no pause is followed by a rush.
struct Drain {
    a_second: f64,
    earned: f64,
    at: Option<Instant>,
}

impl Drain {
    fn new(a_second: u32) -> Drain {
        Drain { a_second: f64::from(a_second.max(1)), earned: 0.0, at: None }
    }

    /// How many may go on now.
    fn may(&mut self, now: Instant) -> usize {
        let since = self.at.replace(now).map_or(TICK, |at| now - at);
        let most = (self.a_second * 2.0 * TICK.as_secs_f64()).max(1.0);
        self.earned = (self.earned + self.a_second * since.as_secs_f64()).min(most);
        self.earned as usize
    }

    fn took(&mut self, count: usize) {
        self.earned -= count as f64;
    }

    fn rest(&mut self) {
        (self.earned, self.at) = (0.0, None);
    }
}

impl Permit<'_> {
    /// How the call ended, for the breaker.
    pub(crate) fn settle(mut self, order: Uuid, answered: bool) {
        self.settled = true;
        self.record(order, if answered { Outcome::Answered } else { Outcome::Failed });
    }

    fn record(&self, order: Uuid, outcome: Outcome) {
        let (_, saga) = order.as_u64_pair();
        let mut breaker = lock(&self.gate.breaker);
        let now = Instant::now();
        if breaker.record(self.pass, saga, outcome, now) {
            let state = breaker.state(now);
            drop(breaker);
            metrics::breaker(self.gate.participant, state);
            let participant = self.gate.participant.name();
            match state {
                State::Closed => tracing::info!(participant, "the participant is back"),
                _ => tracing::warn!(participant, "the participant does not answer: sagas queue at this step"),
            }
            self.gate.changed.notify_one();
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.record(Uuid::nil(), Outcome::Dropped);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Gate, Participant, Shut};
    use crate::config::GateConfig;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::time::Instant;
    use uuid::Uuid;

    fn gate(config: GateConfig) -> Gate {
        Gate::new(Participant::Payment, config)
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_calls_at_once_than_it_allows_and_no_longer_a_line() {
        let gate = gate(GateConfig { concurrency: 1, max_waiting: 1, ..GateConfig::default() });
        let first = gate.enter().await.unwrap();
        let (second, third) = tokio::join!(
            async {
                let wait = tokio::time::timeout(Duration::from_secs(1), gate.enter());
                wait.await.is_err()
            },
            gate.enter()
        );
        assert!(second, "it waits while the first is under way");
        assert_eq!(third.unwrap_err(), Shut::Full);
        first.settle(Uuid::nil(), true);
        assert!(gate.enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_keep_to_the_rate() {
        let gate = gate(GateConfig { rate: Some(10), ..GateConfig::default() });
        let start = Instant::now();
        for _ in 0..11 {
            gate.enter().await.unwrap().settle(Uuid::nil(), true);
        }
        assert_eq!(start.elapsed().as_millis() / 100, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn those_put_down_are_called_as_probes_first_and_then_at_the_set_rate() {
        let gate = gate(GateConfig { failures: 1, probes: 1, drain: 100, ..GateConfig::default() });
        gate.enter().await.unwrap().settle(Uuid::max(), false);
        assert_eq!(gate.enter().await.unwrap_err(), Shut::Open);
        (0..100).for_each(|n| gate.park(Uuid::from_u128(n)));

        let (woken, start) = (Mutex::new(Vec::new()), Instant::now());
        let wake = |order| {
            woken.lock().unwrap().push((order, start.elapsed()));
            // The first probe never calls: it was cancelled meanwhile. The second answers for the participant.
            if order == Uuid::from_u128(1) {
                let entered = futures_util::FutureExt::now_or_never(gate.enter());
                entered.unwrap().unwrap().settle(order, true);
            }
            true
        };
        let all = tokio::time::timeout(Duration::from_secs(60), gate.look_after(wake));
        assert!(all.await.is_err());
        let woken = woken.into_inner().unwrap();
        assert_eq!(woken.len(), 100);
        assert!(woken[0].1 >= Duration::from_secs(1), "not while it is open");
        let took = woken[99].1 - woken[1].1;
        assert!((0.9..1.2).contains(&took.as_secs_f64()), "98 at 100 a second took {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_of_less_than_one_a_tick_is_kept_too() {
        let gate = gate(GateConfig { drain: 4, ..GateConfig::default() });
        (0..21).for_each(|n| gate.park(Uuid::from_u128(n)));
        let (woken, start) = (Mutex::new(Vec::new()), Instant::now());
        let wake = |_| {
            woken.lock().unwrap().push(start.elapsed());
            true
        };
        assert!(tokio::time::timeout(Duration::from_secs(60), gate.look_after(wake)).await.is_err());
        let woken = woken.into_inner().unwrap();
        let took = (woken[20] - woken[0]).as_secs_f64();
        assert!((4.8..5.4).contains(&took), "20 at 4 a second took {took} s");
    }
}
