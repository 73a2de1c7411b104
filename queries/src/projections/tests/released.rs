//! A parked key is released, by itself or by an operator, and its rows are what they would have been.
use super::parked::{ask, assert_equal, has_parked, parked, shelf, status, stream, teleport};
use crate::{
    given::{Given, placed},
    projections::{
        Outcome, ParkedKeys, Verb,
        tests::{busy, taught::Taught},
        verify_projections,
    },
};
use domain::OrderId;
use eventstore::StreamId;
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_newer_program_releases_what_it_knows_by_itself_when_it_starts() {
    let given = Given::new().await;
    given.receive("dev", "a", 100).await;
    let order = given.place("dev", placed("r-1", &[("a", 2)])).await;
    given.goes_well(order, 1).await;
    teleport(&given, order).await;
    given.goes_well(order, 10).await;
    let unknown = given.place("dev", placed("r-2", &[("a", 1)])).await;
    given.record(stream(unknown), "OrderForgotten", 1, "{}").await;
    given.project().await;
    assert_eq!(parked(&given).await.len(), 2);
    assert_eq!(shelf(&given, "a").await, Some((100, 2)), "it is set aside still");

    let newer = Taught::new(&given.store, true);
    let mut running = given.run_on(newer.clone(), &given.pool.connect_options());
    has_parked(&mut running, 1).await;
    let [(key, ..)] = parked(&given).await.try_into().unwrap();
    assert_eq!(key, unknown.0, "what nobody knows stays parked");
    assert_eq!(shelf(&given, "a").await, Some((98, 0)), "the held-back shipment counts");
    assert_equal(&given, newer, 1).await;
    let told = running.told.0.lock().unwrap().clone();
    let ended: Vec<_> = told.iter().flat_map(|(_, orders)| orders).filter(|changed| changed.ended).collect();
    assert_eq!(ended.iter().map(|changed| changed.order_id).collect::<Vec<_>>(), [order], "whoever waits hears of it");
    running.stop().await;
}

#[tokio::test]
async fn an_operator_releases_an_order_once_the_program_knows_the_event() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 2)])).await;
    let at = teleport(&given, order).await;
    given.place("dev", placed("r-2", &[("a", 1)])).await;
    let store = Taught::new(&given.store, false);
    let mut running = given.run_on(store.clone(), &given.pool.connect_options());
    running.reaches(given.head().await).await;
    assert_eq!(ask(&given, order.0, Verb::Release).await, Outcome::Parked, "not yet");
    let keys = ParkedKeys::new(&given.pool.connect_options());
    let found = keys.get(order.0).await.unwrap().unwrap();
    assert_eq!((found.event.position, found.tries), (at, 1));
    assert_eq!(keys.orders_of_ref("r-1").await.unwrap(), [(order.0, "dev".to_owned())]);

    store.learn();
    assert_eq!(ask(&given, order.0, Verb::Release).await, Outcome::Released);
    assert_eq!(status(&given, order).await.as_deref(), Some("CANCELLING"));
    assert_eq!(keys.get(order.0).await.unwrap(), None);
    assert_equal(&given, store, 0).await;
    let asked: Vec<(String, String, String)> =
        sqlx::query_as("SELECT verb, reason, outcome FROM parked_requests ORDER BY id")
            .fetch_all(&given.pool)
            .await
            .unwrap();
    let record = |outcome: &str| ("release".to_owned(), "as agreed with the shop".to_owned(), outcome.to_owned());
    assert_eq!(asked, [record("parked"), record("released")]);
    running.stop().await;
}

#[tokio::test]
async fn a_skipped_event_is_left_out_and_the_next_one_may_park_the_order_again() {
    let given = Given::new().await;
    given.receive("dev", "a", 100).await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    teleport(&given, order).await;
    given.goes_well(order, 2).await;
    let again = teleport(&given, order).await;
    given.goes_well(order, 10).await;
    let mut running = given.run();
    running.reaches(given.head().await).await;

    assert_eq!(ask(&given, order.0, Verb::Skip).await, Outcome::Parked);
    let [(_, position, _)] = parked(&given).await.try_into().unwrap();
    assert_eq!(position, again.0);
    assert_eq!(status(&given, order).await.as_deref(), Some("RELEASED"), "up to the next one");
    assert_equal(&given, given.store.clone(), 1).await;
    assert_eq!(ask(&given, order.0, Verb::Skip).await, Outcome::Released);
    assert_eq!(status(&given, order).await.as_deref(), Some("COMPLETED"));
    assert_equal(&given, given.store.clone(), 0).await;

    // It goes on like any other.
    given.cancel(order).await;
    running.reaches(given.head().await).await;
    assert_equal(&given, given.store.clone(), 0).await;
    running.stop().await;
}

#[tokio::test]
async fn an_order_parked_at_its_placement_has_no_row_until_it_is_released() {
    let given = Given::new().await;
    given.receive("dev", "a", 100).await;
    let order = OrderId(uuid::Uuid::now_v7());
    given.record(stream(order), "OrderTeleported", 1, "{}").await;
    given.append("dev", order.0, eventstore::ActorKind::Shop, vec![placed("r-1", &[("a", 3)]).into()]).await;
    given.goes_well(order, 1).await;
    let mut running = given.run();
    running.reaches(given.head().await).await;
    assert_eq!(status(&given, order).await, None);
    assert_eq!(shelf(&given, "a").await, Some((100, 0)));

    assert_eq!(ask(&given, order.0, Verb::Skip).await, Outcome::Released);
    assert_eq!(status(&given, order).await.as_deref(), Some("ALLOCATED"));
    assert_eq!(shelf(&given, "a").await, Some((100, 3)));
    assert_equal(&given, given.store.clone(), 0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_row_that_the_database_refuses_is_parked_at_its_own_event_when_another_was_skipped() {
    let given = Given::new().await;
    given.place("dev", placed("r-1", &[("a", 1)])).await;
    let twin = OrderId(uuid::Uuid::now_v7());
    given.record(stream(twin), "OrderTeleported", 1, "{}").await;
    given.append("dev", twin.0, eventstore::ActorKind::Shop, vec![placed("r-1", &[("a", 1)]).into()]).await;
    let placed_at = given.head().await;
    given.goes_well(twin, 1).await;
    let mut running = given.run();
    running.reaches(given.head().await).await;
    assert_eq!(ask(&given, twin.0, Verb::Skip).await, Outcome::Parked);
    let [(_, position, cause)] = parked(&given).await.try_into().unwrap();
    assert_eq!(position, placed_at.0);
    assert!(cause.contains("orders_in_motion_ref"), "{cause}");
    assert_equal(&given, given.store.clone(), 1).await;
    running.stop().await;
}

#[tokio::test]
async fn one_thing_at_a_time_is_asked_of_a_key_and_a_skip_is_of_the_event_that_was_seen() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    teleport(&given, order).await;
    let again = teleport(&given, order).await;
    given.project().await;
    let keys = ParkedKeys::new(&given.pool.connect_options());
    let seen = keys.get(order.0).await.unwrap().unwrap();
    let first = keys.ask(&seen.event, Verb::Skip, "one", "ada").await.unwrap().unwrap();
    assert_eq!(keys.ask(&seen.event, Verb::Skip, "two", "bob").await.unwrap(), None);
    let running = given.run();
    while keys.outcome(first).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(parked(&given).await[0].1, again.0);
    // Asked of what it was parked at before.
    let late = keys.ask(&seen.event, Verb::Skip, "two", "bob").await.unwrap().unwrap();
    let outcome = loop {
        match keys.outcome(late).await.unwrap() {
            Some(outcome) => break outcome,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(outcome, Outcome::Gone);
    assert_eq!(parked(&given).await[0].1, again.0, "nothing else was skipped");
    running.stop().await;
}

#[tokio::test]
async fn what_is_released_skipped_or_parked_while_a_replay_runs_is_no_difference() {
    let given = Given::new().await;
    given.receive("dev", "a", 100).await;
    let mut orders = vec![];
    for n in 0..3 {
        let order = given.place("dev", placed(&format!("r-{n}"), &[("a", 1)])).await;
        given.goes_well(order, 1).await;
        teleport(&given, order).await;
        given.goes_well(order, 3).await;
        orders.push(order);
    }
    // The second is parked again further on, the third stays as it is.
    given.record(stream(orders[1]), "OrderForgotten", 1, "{}").await;
    given.goes_well(orders[1], 10).await;
    let live = Taught::new(&given.store, false);
    let mut running = given.run_on(live.clone(), &given.pool.connect_options());
    running.reaches(given.head().await).await;

    let replayed = Taught::new(&given.store, true);
    replayed.hold();
    let database = given.pool.connect_options();
    let replay = tokio::spawn({
        let (replayed, database) = (replayed.clone(), database.clone());
        async move { verify_projections(replayed, &database).await.unwrap() }
    });
    // It has read what is parked, and waits for the first page.
    while given.pool.acquire().await.is_ok() {
        let begun: bool = sqlx::query_scalar("SELECT to_regclass('read_replay.projections') IS NOT NULL")
            .fetch_one(&given.pool)
            .await
            .unwrap();
        if begun
            && sqlx::query("SELECT FROM read_replay.projections").fetch_optional(&given.pool).await.unwrap().is_some()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    live.learn();
    assert_eq!(ask(&given, orders[0].0, Verb::Skip).await, Outcome::Released);
    assert_eq!(ask(&given, orders[1].0, Verb::Release).await, Outcome::Parked);
    let late = given.place("dev", placed("late", &[("a", 1)])).await;
    given.record(stream(late), "OrderForgotten", 1, "{}").await;
    given.record(StreamId::new(uuid::Uuid::now_v7(), "stock"), "StockBlessed", 1, "{}").await;
    running.reaches(given.head().await).await;
    replayed.let_read();

    let compared = replay.await.unwrap();
    assert_eq!(compared.differences, vec![]);
    assert_eq!((compared.position, compared.parked), (given.head().await, 4));
    running.stop().await;
}

#[tokio::test]
async fn orders_that_park_are_released_and_skipped_at_random_and_the_rows_stay_those_of_a_replay() {
    let seed = std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("WAYBILL_TEST_SEED={seed}");
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    let store = Taught::new(&given.store, false);
    let database = given.pool.connect_options();
    let mut running = given.run_on(store.clone(), &database);
    // Somebody compares all the time.
    let stop = CancellationToken::new();
    let watching = tokio::spawn({
        let (store, database, stop): (Arc<Taught>, _, _) = (store.clone(), database.clone(), stop.clone());
        async move {
            let mut compared = 0;
            while !stop.is_cancelled() {
                let found = verify_projections(store.clone(), &database).await.unwrap();
                assert_eq!(found.differences, vec![], "at {}", found.position);
                compared += 1;
            }
            compared
        }
    });
    for round in 0..8 {
        let orders = busy(&given, 6).await;
        for _ in 0..3 {
            let order = *orders.choose(&mut random).unwrap();
            let unknown = if random.random_bool(0.5) { "OrderTeleported" } else { "OrderForgotten" };
            given.record(stream(order), unknown, 1, "{}").await;
            given.goes_well(order, random.random_range(0..4)).await;
        }
        if round == 4 {
            store.learn();
        }
        running.reaches(given.head().await).await;
        if random.random_bool(0.3) {
            running.kill().await;
            running = given.run_on(store.clone(), &database);
        }
        let keys: Vec<_> = parked(&given).await.into_iter().map(|(key, ..)| key).collect();
        for key in keys.sample(&mut random, 2) {
            let verb = if random.random_bool(0.5) { Verb::Release } else { Verb::Skip };
            ask(&given, *key, verb).await;
        }
    }
    stop.cancel();
    assert!(watching.await.unwrap() > 0);
    let left = parked(&given).await.len();
    assert_equal(&given, store, left).await;
    running.stop().await;
}
