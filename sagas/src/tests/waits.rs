//! Sagas that wait: what their timers say, what a takeover reads of them, and clocks that are put forward and back.
use super::world::{Running, World};
use crate::RunnerConfig;
use chrono::TimeDelta;
use commands::History;
use domain::location::LocationMode;
use domain::saga::Retry;
use domain::saga::{Next, WaitingOn};
use domain::{OrderId, StreamKind};
use eventstore::{Slot, Timer, TimerMove};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: i64 = 24 * 3600;

impl World {
    async fn timer(&self, order: OrderId) -> Option<Timer> {
        let slots: Vec<Slot> = (0..=u8::MAX).map(Slot).collect();
        let timers = self.inner().timers(&slots, None, 100_000).await.unwrap();
        timers.into_iter().find(|timer| timer.stream.id == order.0)
    }

    /// In how many seconds it is due, by the store's clock.
    async fn due_in(&self, order: OrderId) -> i64 {
        (self.timer(order).await.unwrap().due_at - self.store.now()).num_seconds()
    }

    /// As the release before leaves it: due in the past, and it isn't said since when.
    async fn make_due(&self, history: &History) {
        let (stream, past) = (history.stream(StreamKind::Order), self.store.now() - TimeDelta::hours(1));
        let to = TimerMove { stream, name: "saga".into(), due_at: past, set_at: past, upto: history.position };
        self.inner().move_timers(&[to]).await.unwrap();
    }

    fn reads(&self) -> usize {
        self.faults.reads.swap(0, Ordering::SeqCst)
    }

    fn moves(&self) -> usize {
        self.faults.moves.swap(0, Ordering::SeqCst)
    }
}

async fn released(world: &World, n: usize) -> Running {
    world.stock("a", 1_000).await;
    *world.mode.lock().unwrap() = LocationMode::Manual;
    // Days pass in some of these tests, and with them renewals.
    let runner = world.run_with(RunnerConfig { lease_ttl: 30 * SECOND, ..world.config() });
    sleep(SECOND).await;
    for _ in 0..n {
        let history = world.place("tok_ok", &[("a", 1)]).await;
        runner.placed(&history);
    }
    world.settle(MINUTE).await;
    runner
}

#[tokio::test(start_paused = true)]
async fn a_saga_left_waiting_for_staff_is_due_when_it_would_wait_too_long_by_the_append_that_leaves_it() {
    let world = World::new(60);
    let runner = released(&world, 1).await;
    let order = world.orders()[0];
    assert_eq!(world.history(order).await.fulfillment.next(order), Next::Wait(WaitingOn::Warehouse));
    assert!((DAY - 10..=DAY).contains(&world.due_in(order).await));
    assert_eq!((world.appends(order).await, world.faults.appends.load(Ordering::SeqCst)), (3, 2), "no append more");
    assert_eq!(world.moves(), 0, "and no statement");
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_waits_for_nobody_has_its_timer_left_alone() {
    let world = World::new(61);
    world.stock("a", 10).await;
    let runner = world.run();
    sleep(SECOND).await;
    let history = world.place("tok_ok", &[("a", 1)]).await;
    runner.placed(&history);
    world.settle(MINUTE).await;
    assert!(world.history(history.order).await.fulfillment.is_completed());
    assert_eq!((world.moves(), world.timer(history.order).await), (0, None));
    assert_eq!(world.reads(), 0);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_takeover_reads_no_history_of_those_that_wait_for_people() {
    let world = World::new(62);
    let first = released(&world, 200).await;
    first.handle.crash();
    world.reads();
    let second = world.run();
    sleep(MINUTE).await;
    assert_eq!((world.reads(), world.moves()), (0, 0));
    let status = second.handle.status();
    assert_eq!((status.put_down, status.active, status.queued), (200, 0, 0));
    for order in world.orders() {
        assert!(world.ship(order).await);
    }
    world.settle(MINUTE).await;
    world.check().await;
    second.stop().await;
}

/// Nobody owned its slot when it was reported on: whoever comes looks at it at once, and finds that it waits on.
#[tokio::test(start_paused = true)]
async fn what_others_append_makes_it_due_at_once_and_once_looked_at_it_is_put_off_again() {
    let world = World::new(63);
    let first = released(&world, 1).await;
    let order = world.orders()[0];
    first.handle.crash();
    assert!(world.pick(order).await);
    assert_eq!(world.due_in(order).await, 0);
    world.reads();
    let second = world.run();
    sleep(MINUTE).await;
    assert_eq!((world.reads(), world.moves()), (1, 1));
    assert!(world.due_in(order).await > DAY - 200);
    second.handle.crash();
    let third = world.run();
    sleep(MINUTE).await;
    assert_eq!(world.reads(), 0, "known to wait");
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_saga_waits_for_a_day_and_a_retry_is_heard_at_once() {
    let world = World::new(64);
    world.stock("a", 10).await;
    let runner = world.run();
    let order = world.place("tok_decline_on_capture", &[("a", 1)]).await.order;
    world.settle(MINUTE).await;
    assert_eq!(world.types(order).await.last().unwrap(), "SagaPaused");
    assert!((DAY - 10..=DAY).contains(&world.due_in(order).await));
    assert!(world.retry(order).await);
    world.settle(MINUTE).await;
    assert!(world.due_in(order).await > DAY - 200, "tried, and paused again");
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_too_long_is_looked_at_again_once_for_each_time_as_long() {
    let world = World::new(65);
    let runner = released(&world, 3).await;
    world.reads();
    sleep(23 * HOUR).await;
    assert_eq!(world.reads(), 0, "idle sagas cost nothing");
    sleep(2 * HOUR).await;
    assert_eq!((world.reads(), world.moves()), (3, 3));
    sleep(24 * HOUR).await;
    assert_eq!((world.reads(), world.moves()), (3, 3));
    for order in world.orders() {
        assert!(world.due_in(order).await > 0);
        assert!(world.ship(order).await);
    }
    world.settle(MINUTE).await;
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sagas_of_the_release_before_whose_timers_are_due_are_read_once() {
    let world = World::new(66);
    let first = released(&world, 50).await;
    first.handle.crash();
    for order in world.orders() {
        let history = world.history(order).await;
        world.make_due(&history).await;
    }
    world.reads();
    for reads in [50, 0] {
        let next = world.run();
        sleep(MINUTE).await;
        assert_eq!((world.reads(), world.moves()), (reads, reads));
        next.handle.crash();
    }
    let last = world.run();
    for order in world.orders() {
        assert!(world.ship(order).await);
    }
    world.settle(MINUTE).await;
    world.check().await;
    last.stop().await;
}

/// A saga between two tries that are twenty minutes apart, its owner gone, the clock put by `step` seconds: how long until it ends?
async fn after_a_step(seed: u64, step: i64) -> Duration {
    let world = World::new(seed);
    world.stock("a", 10).await;
    let mut config = world.config();
    config.retry.instead = Some(Retry { base: 20 * MINUTE, cap: 20 * MINUTE, ..Retry::CALL });
    let first = world.run_with(config.clone());
    let order = world.place("tok_flaky_1", &[("a", 1)]).await.order;
    sleep(10 * SECOND).await;
    assert_eq!(world.types(order).await.last().unwrap(), "StepRetrying", "seed {seed}");
    let calls = world.faults.calls.load(Ordering::SeqCst);
    first.handle.crash();
    *world.faults.skew.lock().unwrap() = TimeDelta::seconds(step);
    config.owner = world.config().owner;
    let second = world.run_with(config);
    let took = world.settle(HOUR).await;
    world.check().await;
    assert!(world.history(order).await.fulfillment.is_completed());
    assert!(world.faults.calls.load(Ordering::SeqCst) <= calls + 4, "once in effect, and no storm");
    second.stop().await;
    took
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_put_back_or_forward_by_hours_while_nobody_was_there_moves_no_retry() {
    for seed in 0..20 {
        let as_meant = after_a_step(7_000 + seed, 0).await;
        for step in [-5 * 3600, 5 * 3600] {
            let took = after_a_step(7_000 + seed, step).await;
            assert!(took.abs_diff(as_meant) < 10 * SECOND, "seed {seed}: {took:?} and not {as_meant:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_process_runs_no_step_of_the_clock_moves_its_waits() {
    let world = World::new(68);
    world.stock("a", 10).await;
    let mut config = world.config();
    config.retry.instead = Some(Retry { base: 20 * MINUTE, cap: 20 * MINUTE, ..Retry::CALL });
    let runner = world.run_with(config);
    let order = world.place("tok_flaky_1", &[("a", 1)]).await.order;
    sleep(10 * SECOND).await;
    let due = Duration::from_secs(u64::try_from(world.due_in(order).await).unwrap());
    let start = Instant::now();
    *world.faults.skew.lock().unwrap() = TimeDelta::hours(-5);
    world.settle(HOUR).await;
    assert!(start.elapsed() < due + 20 * SECOND, "{:?} and not {due:?}", start.elapsed());
    runner.stop().await;
}
