//! A provider that is down, hangs or is slow, with many sagas waiting for it.
use super::world::World;
use crate::participants::{Kind, Mode};
use domain::saga::SagaState;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_provider_down_for_a_minute_loses_no_order_and_is_not_stormed() {
    let world = World::new(30);
    world.stock("a", 1000).await;
    let runner = world.run();
    world.payment.control(Mode::Down);
    for _ in 0..600 {
        world.place("tok_ok", &[("a", 1)]).await;
        sleep(SECOND / 10).await;
    }
    let during = world.faults.calls.load(Ordering::SeqCst);
    assert!(during < 200, "{during} requests to a provider that is down");
    let status = runner.handle.status();
    assert_eq!(status.not_answering, ["payment"]);
    assert!(status.active < 20 && status.waiting_for_payment > 550, "{status:?}");
    for order in world.orders() {
        let state = world.history(order).await.fulfillment.saga_state();
        assert_eq!(state, SagaState::Waiting, "seen to wait: {:?}", world.types(order).await);
    }
    world.payment.control(Mode::Ok);
    let took = world.settle(10 * MINUTE).await;
    assert!(took < 15 * SECOND, "{took:?}");
    for order in world.orders() {
        assert!(world.history(order).await.fulfillment.is_completed());
    }
    let calls = world.faults.calls.load(Ordering::SeqCst) - during;
    assert!(calls < 600 * 3 + 100, "{calls} calls to complete 600 orders");
    world.check().await;
    assert!(runner.handle.status().not_answering.is_empty());
    runner.stop().await;
}

/// How many were authorized so far, by the provider's own ledger.
async fn authorized(world: &World) -> usize {
    let entries = world.payment.entries(0, usize::MAX).await.unwrap();
    entries.iter().filter(|entry| entry.kind == Kind::Authorize).count()
}

#[tokio::test(start_paused = true)]
async fn a_provider_down_for_ten_minutes_under_load_is_probed_and_then_drained_at_the_set_rate() {
    const DRAIN: u32 = 50;
    let world = World::new(34);
    world.stock("a", 5000).await;
    let mut config = world.config();
    config.payment.drain = DRAIN;
    let runner = world.run_with(config);
    world.payment.control(Mode::Down);
    for _ in 0..1200 {
        world.place("tok_ok", &[("a", 1)]).await;
        sleep(SECOND / 2).await;
    }
    // Sixteen until the breaker opens, then two each time it half-opens: after 1, 2, 4, 8 s and then every 10 s. Each may ask and then call.
    let during = world.faults.calls.load(Ordering::SeqCst);
    assert!(during < 16 + 16 + 4 * (4 + 60), "{during} requests to a provider that is down");
    assert!(runner.handle.status().waiting_for_payment > 1150, "{:?}", runner.handle.status());

    world.payment.control(Mode::Ok);
    let (mut before, mut a_second) = (authorized(&world).await, vec![]);
    while before < 1200 {
        sleep(SECOND).await;
        let now = authorized(&world).await;
        a_second.push(now - before);
        before = now;
        assert!(a_second.len() < 60, "{a_second:?}");
    }
    let most = a_second.iter().max().unwrap();
    println!("drained in {} s: {a_second:?}", a_second.len());
    assert!(*most <= 60, "at {DRAIN} a second, and those in memory: {a_second:?}");
    assert!(a_second.len() < 24 + 12, "as fast as it may, once a probe was answered: {a_second:?}");
    world.settle(10 * MINUTE).await;
    for order in world.orders() {
        assert!(world.history(order).await.fulfillment.is_completed());
    }
    let calls = world.faults.calls.load(Ordering::SeqCst) - during;
    assert!(calls <= 1200 * 3 + 64, "{calls} calls to complete 1200 orders");
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_payment_provider_slows_no_shipping() {
    let world = World::new(35);
    world.stock("a", 5000).await;
    let mut config = world.config();
    for gate in [&mut config.payment, &mut config.shipping] {
        (gate.concurrency, gate.max_waiting) = (8, 16);
    }
    // Slow is not down.
    config.payment.failures = usize::MAX;
    config.max_active = 8 + 16 + 8 + 16 + 8;
    let runner = world.run_with(config);
    world.shipping.control(Mode::Down);
    for _ in 0..200 {
        world.place("tok_ok", &[("a", 1)]).await;
    }
    sleep(MINUTE).await;
    assert!(runner.handle.status().waiting_for_shipping > 190, "paid, and not shipped: {:?}", runner.handle.status());
    let paid = world.orders();

    world.payment.control(Mode::Slow { ms: Some(4_000) });
    for _ in 0..300 {
        world.place("tok_ok", &[("a", 1)]).await;
    }
    sleep(SECOND).await;
    world.shipping.control(Mode::Ok);
    // Ten for a probe, and no more.
    sleep(15 * SECOND).await;
    for order in &paid {
        assert!(world.history(*order).await.fulfillment.shipment.is_shipped(), "{:?}", world.types(*order).await);
    }
    assert!(authorized(&world).await < 200 + 50, "while payment takes its time");
    world.payment.control(Mode::Ok);
    world.settle(10 * MINUTE).await;
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_survived_by_a_restart_in_its_midst() {
    let world = World::new(31);
    world.stock("a", 1000).await;
    let first = world.run();
    world.shipping.control(Mode::Down);
    for _ in 0..200 {
        world.place("tok_ok", &[("a", 1)]).await;
    }
    sleep(MINUTE).await;
    first.handle.crash();
    let second = world.run();
    sleep(MINUTE).await;
    let calls = world.faults.calls.load(Ordering::SeqCst);
    assert!(calls < 200 + 250, "{calls}");
    world.shipping.control(Mode::Ok);
    let took = world.settle(10 * MINUTE).await;
    assert!(took < 45 * SECOND, "{took:?}");
    world.check().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_holds_up_no_other_step() {
    let world = World::new(32);
    world.stock("a", 5000).await;
    let mut config = world.config();
    config.max_active = 64;
    (config.payment.concurrency, config.payment.max_waiting) = (8, 16);
    // Slow is not down.
    config.payment.failures = usize::MAX;
    let runner = world.run_with(config);
    world.payment.control(Mode::Slow { ms: Some(4_000) });
    for _ in 0..100 {
        world.place("tok_ok", &[("a", 1)]).await;
    }
    sleep(SECOND).await;
    // Others have nothing to pay, and go on.
    let free: Vec<_> = futures_util::future::join_all((0..50).map(|_| world.place_at("", &[("a", 1)], 0))).await;
    sleep(SECOND).await;
    for history in free {
        assert!(world.history(history.order).await.fulfillment.is_completed());
    }
    world.payment.control(Mode::Ok);
    world.settle(10 * MINUTE).await;
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_acts_and_never_answers_is_asked_not_told_again() {
    let world = World::new(33);
    world.stock("a", 1000).await;
    let runner = world.run();
    world.payment.control(Mode::HangAfterActing);
    for _ in 0..100 {
        world.place("tok_ok", &[("a", 1)]).await;
    }
    sleep(MINUTE).await;
    world.payment.control(Mode::Ok);
    world.settle(10 * MINUTE).await;
    world.check().await;
    runner.stop().await;
}
