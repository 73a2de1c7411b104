//! Leases: two runners, one that dies, one that is cut off and comes back, one that stops with good manners.
use super::faults::Fault;
use super::world::{Running, World};
use domain::location::LocationMode;
use domain::saga::Retry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn two_runners_on_one_store_do_nothing_twice() {
    let world = World::new(20);
    world.stock("a", 1000).await;
    let runners = [world.run(), world.run()];
    sleep(10 * SECOND).await;
    for _ in 0..200 {
        let history = world.place("tok_ok", &[("a", 1)]).await;
        runners.iter().for_each(|runner| runner.placed(&history));
    }
    world.settle(MINUTE).await;
    world.check().await;
    assert_eq!(world.faults.calls.load(Ordering::SeqCst), 600);
    let held: Vec<usize> = runners.iter().map(|runner| runner.handle.status().slots_held).collect();
    assert_eq!(held, [128, 128]);
    for runner in runners {
        runner.stop().await;
    }
}

/// Everything is under way somewhere while owners come and go: each finishes what it has begun in a slot before it is another's.
#[tokio::test(start_paused = true)]
async fn slots_are_dealt_anew_when_owners_come_and_go_and_nothing_is_done_twice() {
    let world = World::new(28);
    world.stock("a", 10_000).await;
    let held = |runners: &[&Running]| -> Vec<usize> {
        runners.iter().map(|runner| runner.handle.status().slots_held).collect()
    };
    let place = async |runners: &[&Running]| {
        for _ in 0..100 {
            let history = world.place("tok_slow_900", &[("a", 1)]).await;
            // As the API of any process does.
            runners.iter().for_each(|runner| runner.placed(&history));
        }
    };
    let one = world.run();
    sleep(SECOND).await;
    assert_eq!(held(&[&one]), [256]);
    place(&[&one]).await;
    sleep(SECOND / 2).await;
    let two = world.run();
    sleep(5 * SECOND).await;
    assert_eq!(held(&[&one, &two]), [128, 128], "within five seconds");
    place(&[&one, &two]).await;
    let three = world.run();
    sleep(5 * SECOND).await;
    let mut of_three = held(&[&one, &two, &three]);
    of_three.sort_unstable();
    assert!(of_three.iter().sum::<usize>() == 256 && of_three[2] <= 86 && of_three[0] >= 84, "{of_three:?}");
    place(&[&one, &two, &three]).await;
    sleep(SECOND / 3).await;
    one.stop().await;
    place(&[&two, &three]).await;
    sleep(5 * SECOND).await;
    assert_eq!(held(&[&two, &three]), [128, 128]);
    world.settle(MINUTE).await;
    world.check().await;
    assert_eq!(world.faults.calls.load(Ordering::SeqCst), 1200, "no call was made twice");
    for runner in [two, three] {
        runner.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_sagas_of_a_dead_owner_go_on_elsewhere_within_ten_seconds() {
    let world = World::new(21);
    world.stock("a", 1000).await;
    let first = world.run();
    sleep(SECOND).await;
    let second = world.run();
    for _ in 0..50 {
        world.place("tok_slow_3000", &[("a", 1)]).await;
    }
    sleep(SECOND).await;
    first.handle.crash();
    let died = Instant::now();
    world.settle(MINUTE).await;
    assert!(died.elapsed() < 14 * SECOND, "{:?}, of which a call takes 3 s", died.elapsed());
    world.check().await;
    second.stop().await;
}

/// Its client is gone, or its answer was lost: nobody hands it over.
#[tokio::test(start_paused = true)]
async fn an_order_that_began_with_its_saga_and_is_not_handed_over_is_driven_all_the_same() {
    let world = World::new(29);
    world.stock("a", 10).await;
    let runner = world.run();
    sleep(SECOND).await;
    let order = world.place_beside(&runner, "tok_ok", &[("a", 1)], 1000).await;
    sleep(SECOND / 10).await;
    assert_eq!(world.types(order.order).await.len(), 3, "placed, begun, reserved, and left to who placed it");
    sleep(SECOND).await;
    assert!(world.history(order.order).await.fulfillment.is_completed());
    world.check().await;
    runner.stop().await;
}

/// Handed over long after another owner's lease has begun: what was known then is not what is so now.
#[tokio::test(start_paused = true)]
async fn what_began_under_a_lease_that_is_gone_is_read_again() {
    let world = World::new(30);
    world.stock("a", 100).await;
    *world.mode.lock().unwrap() = LocationMode::Manual;
    let first = world.run();
    sleep(SECOND).await;
    let mut orders = Vec::new();
    for _ in 0..20 {
        orders.push(world.place_beside(&first, "tok_ok", &[("a", 1)], 1000).await);
    }
    world.settle(MINUTE).await;
    first.stop().await;
    let calls = || world.faults.calls.load(Ordering::SeqCst);
    let (second, before) = (world.run(), calls());
    sleep(SECOND).await;
    orders.iter().for_each(|order| second.placed(order));
    sleep(SECOND).await;
    assert_eq!((before, calls()), (20, 20), "each was authorized, and waits for the warehouse");
    second.stop().await;
}

/// The next owner may have undone the step that the question was about.
#[tokio::test(start_paused = true)]
async fn an_owner_that_loses_the_slot_while_it_asks_sends_nothing_after_the_answer() {
    let world = World::new(31);
    world.stock("a", 10).await;
    let first = world.run();
    sleep(SECOND).await;
    world.faults.aim_at("/authorize_payment/forward/", Fault::Lost, 1);
    let (faults, ice, before) = (world.faults.clone(), first.ice.clone(), AtomicBool::new(true));
    *world.faults.at_point.lock().unwrap() = Some(Box::new(move |_| {
        // Before the question, and after it: it is answered, and the answer not heard.
        let is_asked = faults.queries.load(Ordering::SeqCst) == 1;
        if is_asked && !before.swap(false, Ordering::SeqCst) {
            ice.freeze();
        }
        None
    }));
    let order = world.place("tok_ok", &[("a", 1)]).await.order;
    let asked = || world.faults.queries.load(Ordering::SeqCst);
    while asked() == 0 {
        sleep(SECOND).await;
    }
    *world.faults.at_point.lock().unwrap() = None;
    let second = world.run();
    assert!(world.cancel(order).await);
    world.settle(MINUTE).await;
    assert!(world.history(order).await.fulfillment.has_ended());
    let calls = || world.faults.calls.load(Ordering::SeqCst);
    let before = calls();
    first.ice.thaw();
    sleep(MINUTE).await;
    assert_eq!(calls(), before, "the owner that was frozen calls nobody");
    world.check().await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_can_not_renew_stops_before_its_lease_is_over() {
    let world = World::new(22);
    world.stock("a", 1000).await;
    let first = world.run();
    sleep(SECOND).await;
    world.store.cut_off.lock().unwrap().push(first.owner);
    let start = Instant::now();
    while first.handle.status().slots_held > 0 {
        sleep(SECOND / 10).await;
    }
    assert!(start.elapsed() < 6 * SECOND, "{:?}", start.elapsed());
    // What is placed now waits for another owner.
    let order = world.place("tok_ok", &[("a", 1)]).await;
    first.placed(&order);
    sleep(MINUTE).await;
    assert_eq!(world.types(order.order).await.len(), 1);
    let second = world.run();
    world.settle(MINUTE).await;
    world.check().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_gets_its_slots_back_knows_what_happened_meanwhile() {
    let world = World::new(27);
    world.stock("a", 10).await;
    *world.mode.lock().unwrap() = LocationMode::Manual;
    let runner = world.run();
    let order = world.place("tok_ok", &[("a", 1)]).await.order;
    world.settle(MINUTE).await;
    world.store.cut_off.lock().unwrap().push(runner.owner);
    while runner.handle.status().slots_held > 0 {
        sleep(SECOND / 10).await;
    }
    assert!(world.ship(order).await);
    sleep(10 * SECOND).await;
    world.store.cut_off.lock().unwrap().clear();
    sleep(10 * SECOND).await;
    assert!(world.history(order).await.fulfillment.is_completed());
    world.check().await;
    runner.stop().await;
}

/// Put down for minutes, with nobody there to hear of the cancel: whoever comes looks at it at once.
#[tokio::test(start_paused = true)]
async fn a_cancel_that_nobody_heard_is_acted_on_as_soon_as_somebody_owns_its_slot() {
    let world = World::new(29);
    world.stock("a", 10).await;
    let mut config = world.config();
    config.retry.instead = Some(Retry { base: 20 * MINUTE, cap: 20 * MINUTE, ..Retry::CALL });
    let first = world.run_with(config);
    let order = world.place("tok_flaky_100", &[("a", 1)]).await.order;
    sleep(SECOND * 30).await;
    assert_eq!(world.types(order).await.last().unwrap(), "StepRetrying");
    first.handle.crash();
    assert!(world.cancel(order).await);
    sleep(10 * SECOND).await;
    let second = world.run();
    let took = world.settle(MINUTE).await;
    assert!(took < 10 * SECOND, "{took:?}");
    assert_eq!(world.types(order).await.last().unwrap(), "SagaCompensated");
    world.check().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_was_fenced_writes_nothing_more() {
    let world = World::new(23);
    world.stock("a", 1000).await;
    let first = world.run();
    sleep(SECOND).await;
    for _ in 0..20 {
        world.place("tok_slow_2000", &[("a", 1)]).await;
    }
    sleep(SECOND).await;
    // As if it had been frozen and its leases had run out: the store gives them to someone else behind its back.
    world.store.cut_off.lock().unwrap().push(first.owner);
    eventstore::EventStore::depart(&*world.store, first.owner).await.unwrap();
    let second = world.run();
    world.settle(MINUTE).await;
    world.check().await;
    assert_eq!(first.handle.status().active, 0);
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_stops_lets_its_calls_finish_and_hands_over_at_once() {
    let world = World::new(24);
    world.stock("a", 1000).await;
    let first = world.run();
    for _ in 0..20 {
        world.place("tok_slow_1500", &[("a", 1)]).await;
    }
    sleep(SECOND).await;
    let start = Instant::now();
    first.stop().await;
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    for order in world.orders() {
        assert_eq!(world.types(order).await.last().unwrap(), "FulfillmentReleased", "its call's answer is kept");
    }
    let second = world.run();
    let took = world.settle(MINUTE).await;
    assert!(took < SECOND, "{took:?}: nobody waits for a lease");
    world.check().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_does_not_hold_up_a_stop() {
    let world = World::new(25);
    world.stock("a", 1000).await;
    let first = world.run();
    world.place("tok_slow_4900", &[("a", 1)]).await;
    sleep(SECOND).await;
    let start = Instant::now();
    first.stop().await;
    assert!(start.elapsed() <= 3 * SECOND, "{:?}", start.elapsed());
    let second = world.run();
    world.settle(MINUTE).await;
    world.check().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn more_sagas_than_drivers_queue_and_all_end() {
    let world = World::new(26);
    world.stock("a", 5000).await;
    for _ in 0..300 {
        world.place("tok_ok", &[("a", 1)]).await;
    }
    let mut config = world.config();
    (config.max_active, config.max_seeds, config.page) = (4, 8, 10);
    let runner = world.run_with(config);
    for _ in 0..300 {
        world.place("tok_ok", &[("a", 1)]).await;
        assert!(runner.handle.status().active <= 4);
    }
    world.settle(MINUTE).await;
    world.check().await;
    runner.stop().await;
}

/// It may be minutes until who holds a part of its share lets go, or longer.
#[tokio::test(start_paused = true)]
async fn an_owner_that_goes_without_a_part_of_its_share_for_long_asks_on_and_gets_it() {
    let world = World::new(32);
    let (another, slots) = (uuid::Uuid::from_u128(1), [eventstore::Slot(7), eventstore::Slot(8)]);
    world.inner().take_leases(&slots, another, 86_400 * SECOND).await.unwrap();
    let runner = world.run();
    sleep(60 * MINUTE).await;
    assert_eq!(runner.handle.status().slots_held, 254);
    world.inner().release_leases(&slots, another).await.unwrap();
    sleep(3 * SECOND).await;
    assert_eq!(runner.handle.status().slots_held, 256);
    runner.stop().await;
}
