//! A process that answers and doesn't run the projections knows how far they are, and how the orders stand that it waits for.
use crate::{
    given::{Given, Told, placed},
    projections::{Awaited, ChangedOrder, Handle, Runner, RunnerState, Watch},
};
use domain::{OrderId, fulfillment::OrderStatus};
use eventstore::Position;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Waiting(Mutex<BTreeSet<Uuid>>);

impl Waiting {
    fn on(&self, order: OrderId) {
        self.0.lock().unwrap().insert(order.0);
    }
    fn no_longer(&self, order: OrderId) {
        self.0.lock().unwrap().remove(&order.0);
    }
}

impl Awaited for Waiting {
    fn orders(&self) -> Vec<Uuid> {
        self.0.lock().unwrap().iter().copied().collect()
    }
}

struct Watching {
    told: Arc<Told>,
    waiting: Arc<Waiting>,
    handle: Handle,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Watching {
    fn begin(given: &Given) -> Watching {
        let (told, waiting, stop) = (Arc::new(Told::default()), Arc::new(Waiting::default()), CancellationToken::new());
        let (watch, handle) = Watch::new(&given.pool.connect_options(), told.clone(), waiting.clone());
        let task = tokio::spawn(watch.run(stop.clone()));
        Watching { told, waiting, handle, stop, task }
    }

    async fn reaches(&mut self, position: Position) {
        let applied = self.handle.applied.wait_for(|applied| *applied >= position);
        tokio::time::timeout(PATIENCE, applied).await.expect("in time").expect("it runs");
    }

    async fn hears(&self, wanted: impl Fn(&ChangedOrder) -> bool) -> ChangedOrder {
        hears(&self.told, wanted).await
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn hears(told: &Told, wanted: impl Fn(&ChangedOrder) -> bool) -> ChangedOrder {
    let heard = async {
        loop {
            let found =
                told.0.lock().unwrap().iter().flat_map(|(_, orders)| orders).find(|order| wanted(order)).cloned();
            match found {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("it hears of it")
}

#[tokio::test]
async fn it_hears_of_each_commit_and_of_the_orders_that_are_awaited_alone() {
    let given = Given::new().await;
    let mut running = given.run();
    let mut watching = Watching::begin(&given);
    let awaited = given.place("dev", placed("r-1", &[("a", 1)])).await;
    watching.waiting.on(awaited);
    watching.hears(|order| order.order_id == awaited && order.status == OrderStatus::Placed).await;
    given.goes_well(awaited, 10).await;
    let other = given.completed("dev", placed("r-2", &[("a", 1)])).await;
    let ended = watching.hears(|order| order.ended).await;
    assert_eq!((ended.order_id, ended.status), (awaited, OrderStatus::Completed));
    watching.reaches(given.head().await).await;
    running.reaches(given.head().await).await;
    let by_runner = hears(&running.told, |order| order.order_id == awaited && order.ended).await;
    assert_eq!(ended, by_runner, "word for word what the runner tells beside it");
    let told = watching.told.0.lock().unwrap().clone();
    assert!(told.iter().all(|(_, orders)| orders.iter().all(|order| order.order_id != other)));
    assert!(told.iter().all(|(position, orders)| orders.iter().all(|order| order.position <= *position)));
    assert_eq!(*watching.handle.state.borrow(), RunnerState::Standby);
    watching.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn an_order_that_ended_before_anybody_awaited_it_is_told_all_the_same_and_to_each_who_awaits_it() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 1)])).await;
    let mut running = given.run();
    running.reaches(given.head().await).await;
    let mut watching = Watching::begin(&given);
    watching.reaches(given.head().await).await;
    // Everything that can be notified of was; the log is idle from here on.
    for _ in 0..2 {
        watching.told.0.lock().unwrap().clear();
        watching.waiting.on(order);
        watching.hears(|changed| changed.order_id == order && changed.ended).await;
        watching.waiting.no_longer(order);
    }
    // The next one begins to wait while the one before still does.
    watching.waiting.on(order);
    watching.hears(|changed| changed.ended).await;
    watching.told.0.lock().unwrap().clear();
    watching.hears(|changed| changed.ended).await;
    watching.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_again_and_nothing_is_missed() {
    let given = Given::new().await;
    let mut watching = Watching::begin(&given);
    let running = given.run();
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    watching.waiting.on(order);
    watching.reaches(given.head().await).await;
    // All but this one's: also the runner's.
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&given.pool)
    .await
    .unwrap();
    given.goes_well(order, 10).await;
    watching.hears(|changed| changed.order_id == order && changed.ended).await;
    watching.reaches(given.head().await).await;
    watching.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn it_knows_how_many_keys_are_parked_and_hears_of_an_order_that_is_released() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    super::parked::teleport(&given, order).await;
    given.goes_well(order, 10).await;
    let mut watching = Watching::begin(&given);
    watching.waiting.on(order);
    let mut running = given.run();
    running.reaches(given.head().await).await;
    let parked = watching.handle.parked.wait_for(|parked| *parked == 1);
    tokio::time::timeout(PATIENCE, parked).await.expect("in time").unwrap();
    watching.hears(|changed| changed.status == OrderStatus::Placed).await;
    super::parked::ask(&given, order.0, crate::projections::Verb::Skip).await;
    watching.hears(|changed| changed.order_id == order && changed.ended).await;
    watching.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn whoever_waits_beside_a_runner_that_stands_by_is_told_too() {
    let given = Given::new().await;
    let (told, waiting, stop) = (Arc::new(Told::default()), Arc::new(Waiting::default()), CancellationToken::new());
    let (runner, mut handle) = Runner::new(given.store.clone(), &given.pool.connect_options(), told.clone());
    let task = tokio::spawn(runner.with_awaited(waiting.clone()).run(stop.clone()));
    given.receive("dev", "a", 1_000).await;
    // Another one comes and drives.
    let running = loop {
        let mut running = given.run();
        given.completed("dev", placed(&format!("r-{}", given.head().await), &[("a", 1)])).await;
        running.reaches(given.head().await).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        if *handle.state.borrow() == RunnerState::Standby {
            break running;
        }
        running.stop().await;
    };
    let order = given.place("dev", placed("awaited", &[("a", 1)])).await;
    waiting.on(order);
    given.goes_well(order, 10).await;
    let ended = hears(&told, |changed| changed.order_id == order && changed.ended).await;
    assert_eq!(ended.status, OrderStatus::Completed);
    let head = given.head().await;
    let applied = handle.applied.wait_for(|applied| *applied >= head);
    tokio::time::timeout(PATIENCE, applied).await.expect("in time").unwrap();
    stop.cancel();
    task.await.unwrap();
    running.stop().await;
}
