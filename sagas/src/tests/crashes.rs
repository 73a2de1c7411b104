//! At every point of an order's way, before and after each append and each call: the process dies, or a cancel comes.
use super::world::World;
use domain::fulfillment::OrderStatus;
use futures_util::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

const MINUTE: Duration = Duration::from_secs(60);
const TOKENS: [&str; 5] = ["tok_ok", "tok_decline", "tok_decline_on_capture", "tok_hang_after_acting", "tok_flaky_3"];

/// Does `then` at point `n`, once; `false` when the run had fewer.
pub(super) fn at<F: Future<Output = ()> + Send + 'static>(
    world: &World,
    n: usize,
    then: impl Fn() -> F + Send + Sync + 'static,
) -> Arc<AtomicBool> {
    let reached = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&reached);
    *world.faults.at_point.lock().unwrap() = Some(Box::new(move |point| {
        (point == n).then(|| {
            mark.store(true, Ordering::SeqCst);
            then().boxed()
        })
    }));
    reached
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_at_any_point_leaves_nothing_half_done() {
    for token in TOKENS {
        for n in 0.. {
            let world = World::new(1000 + n as u64);
            world.stock("a", 2).await;
            let dead = Arc::new(Notify::new());
            let tell = Arc::clone(&dead);
            let reached = at(&world, n, move || {
                let tell = Arc::clone(&tell);
                async move {
                    tell.notify_one();
                    std::future::pending::<()>().await;
                }
            });
            let first = world.run();
            let order = world.place(token, &[("a", 1)]).await.order;
            tokio::select! {
                () = dead.notified() => {}
                _ = world.settle(10 * MINUTE) => {}
            }
            first.handle.crash();
            let second = world.run();
            world.settle(10 * MINUTE).await;
            world.check().await;
            let status = world.history(order).await.fulfillment.status();
            let expected = match token {
                "tok_decline" => OrderStatus::Cancelled,
                "tok_decline_on_capture" => OrderStatus::Shipped,
                _ => OrderStatus::Completed,
            };
            assert_eq!(status, expected, "{token}, died at point {n}");
            second.stop().await;
            if !reached.load(Ordering::SeqCst) {
                assert!(n >= 6, "{token} has only {n} points");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_at_any_point_ends_clean_or_comes_too_late() {
    for token in TOKENS {
        for n in 0.. {
            let world = World::new(2000 + n as u64);
            world.stock("a", 2).await;
            let order = world.place(token, &[("a", 1)]).await.order;
            let taken = Arc::new(AtomicBool::new(false));
            let (there, mark) = (world.clone(), Arc::clone(&taken));
            let reached = at(&world, n, move || {
                let (there, mark) = (there.clone(), Arc::clone(&mark));
                async move { mark.store(there.cancel(order).await, Ordering::SeqCst) }
            });
            let runner = world.run();
            world.settle(10 * MINUTE).await;
            world.check().await;
            let status = world.history(order).await.fulfillment.status();
            let taken = taken.load(Ordering::SeqCst);
            if taken {
                assert_eq!(status, OrderStatus::Cancelled, "{token}, cancelled at point {n}");
            }
            runner.stop().await;
            *world.faults.at_point.lock().unwrap() = None;
            if !reached.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_and_then_a_death_at_any_two_points_end_clean() {
    for first_point in 0..14 {
        for second_point in first_point..first_point + 12 {
            let world = World::new(3000 + first_point as u64);
            world.stock("a", 2).await;
            let order = world.place("tok_ok", &[("a", 1)]).await.order;
            let dead = Arc::new(Notify::new());
            let (there, tell) = (world.clone(), Arc::clone(&dead));
            *world.faults.at_point.lock().unwrap() = Some(Box::new(move |point| {
                let (there, tell) = (there.clone(), Arc::clone(&tell));
                match point {
                    _ if point == first_point => Some(
                        async move {
                            there.cancel(order).await;
                        }
                        .boxed(),
                    ),
                    _ if point == second_point => Some(
                        async move {
                            tell.notify_one();
                            std::future::pending::<()>().await;
                        }
                        .boxed(),
                    ),
                    _ => None,
                }
            }));
            let first = world.run();
            tokio::select! {
                () = dead.notified() => {}
                _ = world.settle(10 * MINUTE) => {}
            }
            first.handle.crash();
            let second = world.run();
            world.settle(10 * MINUTE).await;
            world.check().await;
            second.stop().await;
            *world.faults.at_point.lock().unwrap() = None;
        }
    }
}

/// The point where an order has its first answer of the payment provider: an append, and the call.
const AFTER_AUTHORIZING: usize = 3;

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_though_a_cancel_came_before_it_was_written_down() {
    let world = World::new(4000);
    world.stock("a", 2).await;
    let order = world.place("tok_ok", &[("a", 1)]).await.order;
    let there = world.clone();
    at(&world, AFTER_AUTHORIZING, move || {
        let there = there.clone();
        async move { assert!(there.cancel(order).await) }
    });
    let runner = world.run();
    world.settle(MINUTE).await;
    let types = world.types(order).await;
    assert!(types.iter().any(|name| name == "PaymentAuthorized"), "{types:?}");
    world.check().await;
    runner.stop().await;
    *world.faults.at_point.lock().unwrap() = None;
}
