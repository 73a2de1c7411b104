//! On real threads and real time, where a saga is put down in the very moment in which someone appends to it.
use super::world::World;
use domain::location::LocationMode;
use domain::saga::{Next, WaitingOn};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shipment_is_heard_of_though_it_comes_the_moment_the_saga_begins_to_wait() {
    let world = World::new(40);
    world.stock("a", 1_000).await;
    *world.mode.lock().unwrap() = LocationMode::Manual;
    let runner = world.run();
    let mut staff = vec![];
    for n in 0..400 {
        let history = world.place("tok_ok", &[("a", 1)]).await;
        if n % 2 == 0 {
            runner.placed(&history);
        }
        let (world, order) = (world.clone(), history.order);
        staff.push(tokio::spawn(async move {
            while world.history(order).await.fulfillment.next(order) != Next::Wait(WaitingOn::Warehouse) {
                tokio::task::yield_now().await;
            }
            assert!(if n % 3 == 0 { world.cancel(order).await } else { world.ship(order).await });
        }));
    }
    futures_util::future::join_all(staff).await.into_iter().for_each(|done| done.unwrap());
    let start = Instant::now();
    for order in world.orders() {
        while !world.history(order).await.fulfillment.has_ended() {
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", world.types(order).await);
            sleep(Duration::from_millis(5)).await;
        }
    }
    runner.stop().await;
}
