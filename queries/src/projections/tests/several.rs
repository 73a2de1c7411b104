//! Several runners on one read model: one drives, the others stand by and take over.
use crate::{
    given::{Given, Running},
    projections::{
        ProjectionError, RunnerState,
        builder::Builder,
        connection::live_pool,
        tests::{assert_equal_to_a_replay, busy},
    },
};
use eventstore::{
    EventStore,
    testing::{Proxy, Wire},
};
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};

/// What the design promises, and what the tests wait for at most.
const TAKEOVER: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);

async fn is(running: &mut Running, wanted: RunnerState) {
    let state = running.handle.state.wait_for(|state| *state == wanted);
    tokio::time::timeout(PATIENCE, state).await.expect("in time").expect("it runs");
}

/// Waits until it is clear who drives: `true` when it is the first.
async fn first_drives(given: &Given, one: &mut Running, other: &mut Running) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        busy(given, 1).await;
        let head = given.head().await;
        one.reaches(head).await;
        other.reaches(head).await;
        let states = [one.handle.state.borrow().clone(), other.handle.state.borrow().clone()];
        match states {
            [RunnerState::Running, RunnerState::Standby] => return true,
            [RunnerState::Standby, RunnerState::Running] => return false,
            states => assert!(Instant::now() < deadline, "one drives and one stands by: {states:?}"),
        }
    }
}

/// The one that drives, and the one that stands by.
async fn two(given: &Given) -> (Running, Running) {
    let (mut one, mut other) = (given.run(), given.run());
    if first_drives(given, &mut one, &mut other).await { (one, other) } else { (other, one) }
}

#[tokio::test]
async fn of_two_runners_one_drives_and_the_other_stands_by_and_follows() {
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    let (mut driving, mut other) = two(&given).await;
    for _ in 0..4 {
        busy(&given, 6).await;
        let head = given.head().await;
        driving.reaches(head).await;
        other.reaches(head).await;
    }
    assert_eq!(*driving.handle.state.borrow(), RunnerState::Running);
    assert_eq!(*other.handle.state.borrow(), RunnerState::Standby);
    driving.stop().await;
    other.stop().await;
    assert_equal_to_a_replay(&given).await;
}

#[tokio::test]
async fn a_runner_that_is_killed_is_followed_by_the_one_that_stands_by() {
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    let (driving, mut other) = two(&given).await;
    let orders = busy(&given, 6).await;
    driving.kill().await;
    for order in orders {
        given.goes_well(order, 2).await;
    }
    let began = Instant::now();
    other.reaches(given.head().await).await;
    assert!(began.elapsed() < TAKEOVER, "it took {:?}", began.elapsed());
    is(&mut other, RunnerState::Running).await;
    assert_equal_to_a_replay(&given).await;
    other.stop().await;
}

#[tokio::test]
async fn a_runner_that_is_stopped_hands_over_though_there_is_nothing_to_do() {
    let given = Given::new().await;
    let (driving, mut other) = two(&given).await;
    let epoch = async || -> i64 {
        sqlx::query_scalar("SELECT epoch FROM read.projections").fetch_one(&given.pool).await.unwrap()
    };
    let before = epoch().await;
    driving.stop().await;
    let deadline = Instant::now() + PATIENCE;
    while epoch().await == before {
        assert!(Instant::now() < deadline, "it takes over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    busy(&given, 2).await;
    other.reaches(given.head().await).await;
    is(&mut other, RunnerState::Running).await;
    assert_equal_to_a_replay(&given).await;
    other.stop().await;
}

#[tokio::test]
async fn a_runner_that_is_frozen_and_thawed_forgets_what_it_folded_and_stands_by() {
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    let proxies = [Proxy::before(&given.database).await, Proxy::before(&given.database).await];
    let [mut one, mut other] = proxies.each_ref().map(|proxy| {
        let behind = proxy.database(&given.database).url().parse().unwrap();
        given.run_on(given.store.clone(), &behind)
    });
    let (wire, mut frozen, mut awake) = match first_drives(&given, &mut one, &mut other).await {
        true => (&proxies[0], one, other),
        false => (&proxies[1], other, one),
    };
    wire.set(Wire::Frozen);
    let stood = *frozen.handle.applied.borrow();
    let orders = busy(&given, 6).await;
    let began = Instant::now();
    awake.reaches(given.head().await).await;
    assert!(began.elapsed() < TAKEOVER, "it took {:?}", began.elapsed());
    assert_eq!(*frozen.handle.applied.borrow(), stood);

    wire.set(Wire::Carries);
    is(&mut frozen, RunnerState::Standby).await;
    for order in orders {
        given.goes_well(order, 10).await;
    }
    let head = given.head().await;
    awake.reaches(head).await;
    frozen.reaches(head).await;
    assert_eq!(*awake.handle.state.borrow(), RunnerState::Running);
    assert_equal_to_a_replay(&given).await;
    awake.stop().await;
    frozen.stop().await;
}

#[tokio::test]
async fn a_process_frozen_in_the_midst_of_a_transaction_is_in_nobodys_way_for_long() {
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    given.project().await;
    // As a runner's: it holds the checkpoint's lock and says no more.
    let pool = live_pool(&given.pool.connect_options());
    let mut frozen = Builder::take_over(given.store.clone(), pool.clone()).await.unwrap();
    let orders = busy(&given, 4).await;
    let folded = frozen.fold(given.store.read_log(frozen.position(), 500).await.unwrap()).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    frozen.write(&mut transaction, &folded).await.unwrap();

    let began = Instant::now();
    let mut running = given.run();
    running.reaches(given.head().await).await;
    assert!(began.elapsed() < TAKEOVER, "it took {:?}", began.elapsed());
    assert!(began.elapsed() > Duration::from_secs(1), "it did hold the lock");
    assert!(transaction.commit().await.is_err(), "the server has ended it");
    for order in orders {
        given.goes_well(order, 10).await;
    }
    running.reaches(given.head().await).await;
    assert_equal_to_a_replay(&given).await;
    running.stop().await;
}

#[tokio::test]
async fn whoever_was_overtaken_writes_no_more_though_the_checkpoint_has_not_moved() {
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    given.project().await;
    let pools = [live_pool(&given.pool.connect_options()), live_pool(&given.pool.connect_options())];
    let mut before = Builder::take_over(given.store.clone(), pools[0].clone()).await.unwrap();
    let mut after = Builder::take_over(given.store.clone(), pools[1].clone()).await.unwrap();
    assert_eq!(before.position(), after.position());
    busy(&given, 2).await;
    let events = given.store.read_log(before.position(), 500).await.unwrap();
    let overtaken = before.apply(events.clone()).await.unwrap_err();
    assert!(matches!(overtaken, ProjectionError::Overtaken { .. }), "{overtaken}");
    after.apply(events).await.unwrap();
    assert_equal_to_a_replay(&given).await;
}

/// Runners that are killed and added at random moments while orders go on.
#[tokio::test]
async fn runners_come_and_go_and_the_rows_are_those_of_a_replay() {
    let seed = std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("WAYBILL_TEST_SEED={seed}");
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    let mut running = vec![given.run(), given.run()];
    for _ in 0..6 {
        let orders = busy(&given, 5).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        running.push(given.run());
        let victim = running.swap_remove(random.random_range(0..running.len()));
        if random.random_bool(0.7) {
            victim.kill().await
        } else {
            victim.stop().await
        }
        for order in orders {
            given.goes_well(order, 3).await;
        }
    }
    let head = given.head().await;
    for each in &mut running {
        each.reaches(head).await;
    }
    assert_equal_to_a_replay(&given).await;
    for each in running {
        each.stop().await;
    }
}
