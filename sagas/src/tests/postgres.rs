//! On PostgreSQL and in real time: what the store in memory can't show.
use super::world::World;
use domain::fulfillment::OrderStatus;
use eventstore::testing::TestPostgres;
use eventstore::{Log, PgEventStore, sql};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_secs(60);

async fn world(seed: u64) -> World {
    let database = TestPostgres::shared().await.database().await;
    let store = PgEventStore::connect(database.pool().await, Log::MAIN, sql::Options::default()).await.unwrap();
    World::on(Arc::new(store), seed, Duration::from_secs(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_again_and_again_loses_and_doubles_nothing() {
    let world = world(50).await;
    world.stock("a", 1_000).await;
    world.stock("b", 60).await;
    let tokens = ["tok_ok", "tok_ok", "tok_decline", "tok_slow_300", "tok_decline_on_capture", "tok_flaky_1"];
    let mut runner = world.run();
    for n in 0..200 {
        let lines = [("a", 1), ("b", 1)];
        let history = world.place(tokens[n % tokens.len()], &lines[..1 + n % 2]).await;
        if n % 3 > 0 {
            runner.placed(&history);
        }
        if n % 40 == 39 {
            runner.handle.crash();
            // A killed process keeps its leases. Who it was is known here, so that nobody has to wait for their end.
            world.inner().depart(runner.owner).await.unwrap();
            runner = world.run();
        }
        if n % 10 == 9 {
            world.cancel(history.order).await;
        }
    }
    world.settle(MINUTE).await;
    world.check().await;
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_at_a_time_takes_milliseconds() {
    let world = world(51).await;
    world.stock("a", 1_000).await;
    let runner = world.run();
    while runner.handle.status().slots_held == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let mut took = vec![];
    for _ in 0..40 {
        let start = Instant::now();
        let history = world.place("tok_ok", &[("a", 1)]).await;
        runner.placed(&history);
        while world.history(history.order).await.fulfillment.status() != OrderStatus::Completed {
            sleep(Duration::from_millis(1)).await;
        }
        took.push(start.elapsed());
    }
    took.sort();
    eprintln!("p50 {:?}, p90 {:?}", took[20], took[36]);
    // Half a second would be a poll or a lost wake-up somewhere; what it really takes is for the benchmarks to say.
    assert!(took[20] < Duration::from_millis(500), "{took:?}");
    runner.stop().await;
}
