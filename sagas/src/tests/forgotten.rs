//! Providers that really forget keys: sent again, a key acts again. Nobody is charged twice, and nothing is undone on a guess.
use super::crashes::at;
use super::faults::Fault;
use super::world::World;
use crate::participants::payment::AuthorizeRequest;
use crate::participants::{Amount, Kind};
use chrono::TimeDelta;
use domain::OrderId;
use domain::fulfillment::OrderStatus;
use domain::saga::SagaState;
use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
const KEYS: Duration = Duration::from_secs(3600);
/// Where an order's way first leads to the payment provider: an append lies behind it, with a point before and one after.
const BEFORE_AUTHORIZING: usize = 2;
const AFTER_AUTHORIZING: usize = 3;

/// An order whose process died at point `n` of its way, a while ago. `None`: its way has fewer points.
async fn died_at(n: usize, token: &str, ago: Duration) -> Option<(World, OrderId)> {
    let world = World::new(5_000 + n as u64).forgetting(KEYS);
    world.stock("a", 2).await;
    let order = world.place(token, &[("a", 1)]).await.order;
    let dead = Arc::new(Notify::new());
    let tell = Arc::clone(&dead);
    let reached = at(&world, n, move || {
        tell.notify_one();
        std::future::pending()
    });
    let first = world.run();
    tokio::select! {
        () = dead.notified() => {}
        _ = world.settle(10 * MINUTE) => {}
    }
    first.handle.crash();
    *world.faults.at_point.lock().unwrap() = None;
    sleep(ago).await;
    reached.load(Ordering::SeqCst).then_some((world, order))
}

async fn kinds(world: &World) -> Vec<Kind> {
    world.ledger().await.into_iter().map(|entry| entry.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_forgotten_key_did_is_found_and_what_it_did_not_do_is_not_done_now() {
    let mut ends = BTreeSet::new();
    // Whatever a clock that was put back meanwhile makes of their age.
    for (token, step) in [("tok_ok", 0), ("tok_hang_after_acting", 0), ("tok_hang_after_acting", -5)] {
        for n in 0.. {
            let Some((world, order)) = died_at(n, token, 2 * KEYS).await else { break };
            *world.faults.skew.lock().unwrap() = TimeDelta::hours(step);
            let before = world.ledger().await.len();
            let second = world.run();
            world.settle(10 * MINUTE).await;
            world.check().await;
            let state = world.history(order).await.fulfillment;
            let cause = state.saga.paused.as_ref().map(|paused| (paused.step, paused.cause.clone()));
            if let Some((step, cause)) = &cause {
                assert_eq!(cause, "outcome_unknown", "{token}, died at point {n}");
                assert!(world.retry(order).await);
                world.settle(10 * MINUTE).await;
                let state = world.history(order).await.fulfillment;
                assert_eq!(state.status_reason(), Some("outcome_unknown"), "a person's wish makes no key younger");
                assert_eq!(world.ledger().await.len(), before, "nothing is done at {step:?} on a guess");
                assert_eq!(world.cancel(order).await, !state.shipment.has_left());
                world.settle(10 * MINUTE).await;
                let state = world.history(order).await.fulfillment;
                assert!(state.has_ended() != state.shipment.has_left(), "{token}, died at point {n}");
                world.check().await;
            } else {
                assert!(state.is_completed(), "{token}, died at point {n}");
            }
            ends.insert(cause.map(|(step, _)| step));
            second.stop().await;
        }
    }
    assert_eq!(ends.len(), 4, "it completes, or stops at any of the three calls: {ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_about_to_be_forgotten_is_not_sent_either() {
    for (ago, completes) in [(50 * MINUTE, true), (55 * MINUTE, false)] {
        let (world, order) = died_at(BEFORE_AUTHORIZING, "tok_ok", ago).await.unwrap();
        let second = world.run();
        world.settle(10 * MINUTE).await;
        let state = world.history(order).await.fulfillment;
        assert_eq!((state.is_completed(), state.saga_state() == SagaState::Paused), (completes, !completes));
        world.check().await;
        second.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_forgotten_while_it_is_asked_after_is_not_sent() {
    let world = World::new(5_900).forgetting(KEYS);
    world.stock("a", 1).await;
    world.faults.aim_at("/authorize_payment/forward/", Fault::Unheard, 1);
    let (faults, slow) = (world.faults.clone(), AtomicBool::new(true));
    *world.faults.at_point.lock().unwrap() = Some(Box::new(move |_| {
        let is_question = faults.queries.load(Ordering::SeqCst) == 1;
        (is_question && slow.swap(false, Ordering::SeqCst)).then(|| sleep(2 * KEYS).boxed())
    }));
    let order = world.place("tok_ok", &[("a", 1)]).await.order;
    let runner = world.run();
    world.settle(3 * KEYS).await;
    assert!(world.history(order).await.fulfillment.is_completed(), "it was found by its reference");
    assert_eq!(kinds(&world).await.iter().filter(|kind| **kind == Kind::Authorize).count(), 1);
    world.check().await;
    runner.stop().await;
}

/// Someone authorizes under the order's reference, past us.
async fn authorized_by_another(world: &World, order: OrderId, minor: i64) {
    let request = AuthorizeRequest {
        key: format!("another's/{minor}"),
        reference: order.to_string(),
        amount: Amount::new(minor, 2, "USD"),
        token: "tok_ok".to_owned(),
    };
    world.payment.authorize(&request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn among_several_that_it_may_have_been_none_is_chosen_neither_to_go_on_nor_to_undo() {
    for (point, others) in [
        (AFTER_AUTHORIZING, &[1000][..]),
        (AFTER_AUTHORIZING, &[4711]),
        (BEFORE_AUTHORIZING, &[4711]),
        (BEFORE_AUTHORIZING, &[1000, 1000]),
    ] {
        let (world, order) = died_at(point, "tok_ok", Duration::ZERO).await.unwrap();
        for (n, minor) in others.iter().enumerate() {
            authorized_by_another(&world, order, *minor).await;
            // The same amount again is another one only once its key is forgotten.
            sleep(KEYS * u32::try_from(n + 1).unwrap()).await;
        }
        sleep(KEYS).await;
        let before = kinds(&world).await;
        let second = world.run();
        world.settle(10 * MINUTE).await;
        let state = world.history(order).await.fulfillment;
        assert_eq!(state.status_reason(), Some("outcome_unknown"), "{others:?}");
        assert_eq!(kinds(&world).await, before);
        if before.len() > 1 {
            assert!(world.cancel(order).await);
            world.settle(10 * MINUTE).await;
            let state = world.history(order).await.fulfillment;
            let paused = state.saga.paused.as_ref().map(|paused| paused.cause.as_str());
            assert_eq!((state.status(), paused), (OrderStatus::Cancelling, Some("outcome_unknown")));
            assert_eq!(kinds(&world).await, before, "none is given back on a guess");
        }
        second.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn money_under_another_key_that_is_still_known_is_not_taken_for_ours() {
    let (world, order) = died_at(AFTER_AUTHORIZING, "tok_ok", 2 * KEYS).await.unwrap();
    authorized_by_another(&world, order, 1000).await;
    let second = world.run();
    world.settle(10 * MINUTE).await;
    assert!(world.history(order).await.fulfillment.is_completed());
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_undoes_what_a_forgotten_key_did_once_and_blocks_what_it_did_not() {
    for (point, held) in [(BEFORE_AUTHORIZING, &[][..]), (AFTER_AUTHORIZING, &[Kind::Authorize, Kind::Void])] {
        let (world, order) = died_at(point, "tok_ok", 2 * KEYS).await.unwrap();
        assert!(world.cancel(order).await);
        let second = world.run();
        world.settle(10 * MINUTE).await;
        assert_eq!(world.history(order).await.fulfillment.status(), OrderStatus::Cancelled);
        assert_eq!(kinds(&world).await, held);
        world.check().await;
        second.stop().await;
    }
}

/// It dies on its way back, and nobody is there until all keys are forgotten; the undo that was under way as well.
#[tokio::test(start_paused = true)]
async fn an_undo_is_gone_on_with_though_its_own_key_is_forgotten() {
    for token in ["tok_ok", "tok_hang_after_acting"] {
        for n in 0..12 {
            let world = World::new(6_000 + n).forgetting(KEYS);
            world.stock("a", 2).await;
            let order = world.place(token, &[("a", 1)]).await.order;
            let dead = Arc::new(Notify::new());
            let (there, tell) = (world.clone(), Arc::clone(&dead));
            let cancelled = std::sync::atomic::AtomicUsize::new(usize::MAX);
            *world.faults.at_point.lock().unwrap() = Some(Box::new(move |point| {
                use futures_util::FutureExt;
                let (there, tell) = (there.clone(), Arc::clone(&tell));
                if point == AFTER_AUTHORIZING {
                    cancelled.store(point, Ordering::SeqCst);
                    return Some(async move { assert!(there.cancel(order).await) }.boxed());
                }
                let since = point.checked_sub(cancelled.load(Ordering::SeqCst))?;
                (since == 1 + usize::try_from(n).unwrap()).then(|| {
                    async move {
                        tell.notify_one();
                        std::future::pending::<()>().await;
                    }
                    .boxed()
                })
            }));
            let first = world.run();
            tokio::select! {
                () = dead.notified() => {}
                _ = world.settle(10 * MINUTE) => {}
            }
            first.handle.crash();
            *world.faults.at_point.lock().unwrap() = None;
            sleep(2 * KEYS).await;
            let second = world.run();
            world.settle(10 * MINUTE).await;
            assert_eq!(world.history(order).await.fulfillment.status(), OrderStatus::Cancelled, "{token}, {n}");
            assert_eq!(kinds(&world).await, [Kind::Authorize, Kind::Void], "{token}, {n}");
            world.check().await;
            second.stop().await;
        }
    }
}
