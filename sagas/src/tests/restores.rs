//! The store is lost and restored as it was at some earlier moment; the providers remember everything.
use super::seeds;
use super::world::World;
use crate::participants::Kind;
use domain::fulfillment::OrderStatus;
use domain::location::LocationMode;
use domain::saga::Next;
use eventstore::{EventStore, Incarnation, MemoryEventStore, Position};
use futures_util::FutureExt;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
/// In each run of the tests; `WAYBILL_SEEDS` sets another number.
const STORMS: u64 = 1_000;
const TOKENS: [&str; 4] = ["tok_ok", "tok_decline", "tok_decline_on_capture", "tok_hang_after_acting"];

type Backup = Arc<Mutex<Option<Arc<MemoryEventStore>>>>;

/// A world on a store that is backed up at point `n` of its run, once; right after it, in what will be lost, all orders are cancelled if so
/// wished.
fn backed_up_at(n: usize, seed: u64, cancelled: bool) -> (World, Backup) {
    let memory = Arc::new(MemoryEventStore::default());
    let world = World::on(memory.clone(), seed, MINUTE);
    let backup: Backup = Arc::default();
    let (taken, then) = (backup.clone(), world.clone());
    *world.faults.at_point.lock().unwrap() = Some(Box::new(move |point| {
        (point == n).then(|| {
            *taken.lock().unwrap() = Some(Arc::new(memory.backup()));
            let then = then.clone();
            async move {
                for order in then.orders().into_iter().filter(|_| cancelled) {
                    then.cancel(order).await;
                }
            }
            .boxed()
        })
    }));
    (world, backup)
}

/// The server is lost; what was backed up is restored, and sagas go on.
pub(super) async fn lose_and_restore(world: &World, backup: Arc<MemoryEventStore>) -> World {
    *world.faults.at_point.lock().unwrap() = None;
    backup.begin_incarnation(Position(i64::MAX), Incarnation(1), "restored");
    world.restored(backup).await
}

impl World {
    /// Nobody is charged twice, no label bought twice, what has ended has ended clean, and what has not is seen to wait.
    async fn check_restored(&self) {
        sleep(self.late).await;
        let mut acted: HashMap<(String, Kind), usize> = HashMap::new();
        for entry in self.ledger().await {
            *acted.entry((entry.reference, entry.kind)).or_default() += 1;
        }
        for order in self.orders() {
            let (history, types) = (self.history(order).await, self.types(order).await);
            let state = &history.fulfillment;
            let count = |kind| acted.get(&(order.to_string(), kind)).copied().unwrap_or(0);
            let counts = [Kind::Authorize, Kind::Void, Kind::Capture, Kind::Label, Kind::VoidLabel].map(count);
            let [authorized, voided, captured, labels, labels_voided] = counts;
            let story = || format!("seed {}, {order}: {counts:?} after {types:?}", self.seed);
            assert!(authorized <= 1 && captured <= 1 && labels <= 1, "twice: {}", story());
            let must_pay = usize::from(state.must_pay());
            match state.next(order) {
                Next::Ended if state.is_completed() => {
                    assert_eq!((authorized, voided, captured), (must_pay, 0, must_pay), "{}", story());
                    let auto =
                        state.shipment.released.as_ref().is_some_and(|released| released.mode == LocationMode::Auto);
                    assert!(!auto || (labels, labels_voided) == (1, 0), "{}", story());
                }
                Next::Ended => {
                    assert_eq!((voided, captured, labels_voided), (authorized, 0, labels), "{}", story());
                }
                Next::Wait(_) => {}
                other => panic!("still to do {other:?}: {}", story()),
            }
        }
    }
}

/// Backs up at each point in turn and goes on from there, to the end or into a cancel; that is lost, and the backup restored. Answers how
/// each restored order stood at its end.
async fn at_every_point(
    mode: LocationMode,
    token: &str,
    cancelled: bool,
    cancelled_again: bool,
    keys: Option<Duration>,
) -> Vec<(OrderStatus, Option<String>)> {
    let mut ends = vec![];
    for n in 0.. {
        let (mut world, backup) = backed_up_at(n, 7_000 + n as u64, cancelled);
        if let Some(keys) = keys {
            world = world.forgetting(keys);
        }
        *world.mode.lock().unwrap() = mode;
        world.stock("a", 2).await;
        let running = world.run();
        let order = world.place(token, &[("a", 1)]).await.order;
        world.settle(60 * MINUTE).await;
        sleep(world.late).await;
        running.handle.crash();
        sleep(keys.unwrap_or_default() * 2).await;
        let Some(backup) = backup.lock().unwrap().take() else { return ends };
        let restored = lose_and_restore(&world, backup).await;
        let running = restored.run();
        restored.settle(60 * MINUTE).await;
        if cancelled_again {
            restored.cancel(order).await;
            restored.settle(60 * MINUTE).await;
        }
        restored.check_restored().await;
        let fulfillment = restored.history(order).await.fulfillment;
        ends.push((fulfillment.status(), fulfillment.saga.paused.as_ref().map(|paused| paused.cause.clone())));
        running.stop().await;
    }
    ends
}

#[tokio::test(start_paused = true)]
async fn an_order_restored_to_any_moment_comes_to_the_end_that_it_came_to_before() {
    for token in TOKENS {
        let ends = at_every_point(LocationMode::Auto, token, false, false, None).await;
        assert!(ends.len() > 5, "{token}: {ends:?}");
        let cause = match token {
            "tok_decline_on_capture" => Some("capture_declined".to_owned()),
            _ => None,
        };
        println!("{token}: {ends:?}");
        for end in &ends {
            assert_eq!(end.1, cause, "{token}: {ends:?}");
            assert_eq!(end.0, ends[0].0, "{token}: {ends:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_before_anyone_drives_it_on_it_gives_back_what_was_done_in_the_lost_life() {
    let (mut clean, mut stopped) = (0, 0);
    for token in ["tok_ok", "tok_flaky_3"] {
        for n in 0.. {
            let (world, backup) = backed_up_at(n, 9_000 + n as u64, false);
            world.stock("a", 2).await;
            let running = world.run();
            let order = world.place(token, &[("a", 1)]).await.order;
            // Not always to its end: some have bought a label and not captured yet.
            while backup.lock().unwrap().is_none() && world.history(order).await.fulfillment.next(order) != Next::Ended
            {
                sleep(Duration::from_millis(1)).await;
            }
            sleep(Duration::from_millis(60 * (n as u64 % 5))).await;
            running.handle.crash();
            sleep(world.late).await;
            let Some(backup) = backup.lock().unwrap().take() else { break };
            let restored = lose_and_restore(&world, backup).await;
            if !restored.orders().contains(&order) {
                continue;
            }
            restored.cancel(order).await;
            let running = restored.run();
            restored.settle(60 * MINUTE).await;
            restored.check_restored().await;
            match restored.history(order).await.fulfillment.status() {
                OrderStatus::Cancelled => clean += 1,
                OrderStatus::Cancelling => stopped += 1,
                // It had left by the backup.
                OrderStatus::Completed => {}
                other => panic!("{token}, {n}: {other:?}"),
            }
            running.stop().await;
        }
    }
    assert!(clean > 3, "{clean} clean, {stopped} stopped for a person");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_cancelled_in_the_lost_life_stops_for_a_person_before_goods_leave_for_money_that_is_gone() {
    let mut stopped = 0;
    let (auto, manual) = (LocationMode::Auto, LocationMode::Manual);
    for (mode, token) in [(auto, "tok_ok"), (manual, "tok_ok"), (auto, "tok_flaky_3")] {
        let ends = at_every_point(mode, token, true, false, None).await;
        println!("{mode:?} {token}: {ends:?}");
        stopped += ends.iter().filter(|(_, cause)| cause.as_deref() == Some("undone_before_restore")).count();
    }
    assert!(stopped > 3, "it happens");
}

#[tokio::test(start_paused = true)]
async fn cancelled_again_after_the_restore_it_ends_clean() {
    let ends = at_every_point(LocationMode::Auto, "tok_ok", true, true, None).await;
    println!("{ends:?}");
    let unclean: Vec<_> = ends
        .iter()
        .filter(|(status, cause)| {
            *status != OrderStatus::Completed && (*status != OrderStatus::Cancelled || cause.is_some())
        })
        .collect();
    assert!(unclean.is_empty(), "{unclean:?} of {ends:?}");
    assert!(ends.iter().any(|(status, _)| *status == OrderStatus::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn restored_when_all_keys_are_forgotten_it_goes_by_what_is_held_or_stops_for_a_person() {
    let keys = Some(60 * MINUTE);
    for (cancelled, again) in [(false, false), (true, false), (true, true)] {
        let ends = at_every_point(LocationMode::Auto, "tok_ok", cancelled, again, keys).await;
        println!("cancelled: {cancelled}, again: {again}: {ends:?}");
        for (status, cause) in &ends {
            let causes = [None, Some("outcome_unknown"), Some("undone_before_restore")];
            assert!(causes.contains(&cause.as_deref()), "{ends:?}");
            assert!(!again || cause.is_none() || *status == OrderStatus::Cancelling, "{ends:?}");
        }
        assert!(cancelled || ends.iter().filter(|end| end.0 == OrderStatus::Completed).count() > 3, "{ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restored_saga_asks_before_it_calls_and_calls_nobody_who_has_acted() {
    let (world, _) = backed_up_at(usize::MAX, 1, false);
    let memory = Arc::new(MemoryEventStore::default());
    let world = world.restored(memory.clone()).await;
    world.stock("a", 2).await;
    let order = world.place("tok_ok", &[("a", 1)]).await.order;
    let placed = Arc::new(memory.backup());
    let running = world.run();
    world.settle(MINUTE).await;
    running.handle.crash();

    let asked_and_called = || {
        let [asked, all] = [&world.faults.queries, &world.faults.calls].map(|count| count.load(Ordering::SeqCst));
        (asked, all - asked)
    };
    assert_eq!(asked_and_called(), (0, 3), "authorized, labelled, captured");
    let restored = lose_and_restore(&world, placed).await;
    let running = restored.run();
    restored.settle(60 * MINUTE).await;
    assert!(restored.history(order).await.fulfillment.is_completed());
    let (asked, called) = asked_and_called();
    assert!(asked >= 3, "each of the three is asked after, {asked} times in all");
    assert_eq!(called, 3, "nobody is called again");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sagas_placed_after_the_restore_ask_nobody_first() {
    let (world, _) = backed_up_at(usize::MAX, 1, false);
    let memory = Arc::new(MemoryEventStore::default());
    let world = lose_and_restore(&world, memory).await;
    world.stock("a", 2).await;
    let running = world.run();
    world.place("tok_ok", &[("a", 1)]).await;
    world.settle(MINUTE).await;
    assert_eq!(world.faults.queries.load(Ordering::SeqCst), 0);
    running.stop().await;
}

#[test]
fn many_orders_in_a_storm_restored_to_a_random_moment_are_charged_once() {
    seeds::each(STORMS, storm);
}

async fn storm(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let (world, backup) = backed_up_at(random.random_range(0..150), seed, false);
    world.stock("a", 100).await;
    *world.faults.rate.lock().unwrap() = 0.2;
    let running = world.run();
    let mut placed = vec![];
    for _ in 0..12 {
        let token = TOKENS[random.random_range(0..TOKENS.len())];
        placed.push(world.place(token, &[("a", 1)]).await.order);
        sleep(Duration::from_millis(random.random_range(0..400))).await;
        if random.random_range(0..3) == 0 {
            world.cancel(placed[random.random_range(0..placed.len())]).await;
        }
    }
    sleep(Duration::from_millis(random.random_range(0..30_000))).await;
    let Some(backup) = backup.lock().unwrap().take() else { return };
    running.handle.crash();
    // A restore takes longer than a call that is on its way.
    sleep(world.late).await;
    let restored = lose_and_restore(&world, backup).await;
    // Some are cancelled before anyone drives them on, some while they are under way.
    let cancel_some = async |random: &mut SmallRng| {
        for order in restored.orders() {
            if random.random_range(0..4) == 0 {
                restored.cancel(order).await;
            }
        }
    };
    cancel_some(&mut random).await;
    let running = restored.run();
    sleep(Duration::from_secs(20)).await;
    cancel_some(&mut random).await;
    *restored.faults.rate.lock().unwrap() = 0.0;
    restored.settle(600 * MINUTE).await;
    restored.check_restored().await;
    assert_eq!(restored.store.head().await.unwrap().incarnation, Incarnation(2));
    running.stop().await;
}
