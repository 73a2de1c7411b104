//! A provider that is down, hangs or is slow, with many sagas waiting for it.
use super::world::World;
use crate::participants::Mode;
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
