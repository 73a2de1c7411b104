//! The second saga through the same engine: returns, with the providers' own ledgers as witnesses.
use super::restores::lose_and_restore;
use super::world::World;
use crate::participants::{Kind, Mode};
use domain::returns::{Command, InspectedLine, Stage};
use domain::saga::{SagaState, WaitingOn, Which};
use domain::{OrderId, stock};
use eventstore::MemoryEventStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);

/// A completed order of four pieces at 10.00.
async fn completed(world: &World) -> OrderId {
    world.stock("a", 10).await;
    let order = world.place("tok_ok", &[("a", 4)]).await.order;
    world.settle(MINUTE).await;
    order
}

async fn stage(world: &World, order: OrderId) -> Stage {
    world.history(order).await.fulfillment.returns.one(1).unwrap().stage()
}

/// Waits until nobody but a person could carry the order's returns on.
async fn until(world: &World, order: OrderId, wanted: Stage) {
    for _ in 0..20_000 {
        if stage(world, order).await == wanted {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it is {:?}, not {wanted:?}: {:?}", stage(world, order).await, world.types(order).await);
}

async fn free(world: &World) -> i64 {
    let account = stock::account(super::world::SHOP, &"main".into(), &"a".into());
    world.inner().balances(&[account]).await.unwrap()[0].1
}

async fn count(world: &World, kind: Kind) -> usize {
    world.ledger().await.into_iter().filter(|entry| entry.kind == kind).count()
}

fn found(restock: i64, write_off: i64, refuse: i64) -> Option<Vec<InspectedLine>> {
    Some(vec![InspectedLine { line_id: "1".into(), restock, write_off, refuse }])
}

#[tokio::test(start_paused = true)]
async fn a_return_of_an_order_that_has_ended_is_heard_of_labelled_refunded_and_restocked_once() {
    let world = World::new(1);
    let runner = world.run();
    let order = completed(&world).await;
    let lines = vec![domain::returns::ReturnLine { line_id: "1".into(), quantity: 3 }];
    assert!(world.returning(order, Command::Request { lines: Some(lines), note_id: None }).await);
    assert!(world.returning(order, Command::Approve { number: 1, note_id: None }).await);
    until(&world, order, Stage::InTransit).await;
    assert_eq!(count(&world, Kind::Label).await, 2, "one to send it with, one to send it back");
    world.returning(order, Command::Receive { number: 1, lines: None }).await;
    world.returning(order, Command::Inspect { number: 1, lines: found(1, 1, 1) }).await;
    until(&world, order, Stage::Completed).await;
    let refunds: Vec<_> = world.ledger().await.into_iter().filter(|entry| entry.kind == Kind::Refund).collect();
    assert_eq!(refunds.iter().map(|entry| entry.amount.as_str()).collect::<Vec<_>>(), ["20.00"]);
    assert_eq!(free(&world).await, 7, "ten, less four, and one back");
    let history = world.history(order).await;
    assert!(history.fulfillment.all_ended());
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_return_s_label_is_given_back_though_it_was_bought_unseen() {
    let world = World::new(2);
    let runner = world.run();
    let order = completed(&world).await;
    world.returning(order, Command::Request { lines: None, note_id: None }).await;
    world.shipping.control(Mode::HangAfterActing);
    world.returning(order, Command::Approve { number: 1, note_id: None }).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!((count(&world, Kind::Label).await, stage(&world, order).await), (2, Stage::Approved), "bought unseen");
    world.returning(order, Command::Cancel { number: 1, note_id: None }).await;
    world.shipping.control(Mode::Ok);
    until(&world, order, Stage::Closed).await;
    assert_eq!(count(&world, Kind::VoidLabel).await, 1);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn closed_after_a_restore_to_before_its_approval_it_gives_back_the_label_of_the_lost_life() {
    let close = [Command::Reject { number: 1, note_id: None }, Command::Cancel { number: 1, note_id: None }];
    for (n, (close, approved)) in
        close.into_iter().flat_map(|close| [(close.clone(), true), (close, false)]).enumerate()
    {
        let memory = Arc::new(MemoryEventStore::default());
        let world = World::on(memory.clone(), 20 + n as u64, MINUTE);
        let runner = world.run();
        let order = completed(&world).await;
        world.returning(order, Command::Request { lines: None, note_id: None }).await;
        let backup = Arc::new(memory.backup());
        if approved {
            world.returning(order, Command::Approve { number: 1, note_id: None }).await;
            until(&world, order, Stage::InTransit).await;
        }
        runner.handle.crash();
        let restored = lose_and_restore(&world, backup).await;
        let runner = restored.run();
        restored.returning(order, close).await;
        until(&restored, order, Stage::Closed).await;
        let labels = (count(&restored, Kind::Label).await, count(&restored, Kind::VoidLabel).await);
        assert_eq!(labels, if approved { (2, 1) } else { (1, 0) }, "{:?}", restored.types(order).await);
        runner.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refund_whose_answer_is_lost_or_whose_owner_dies_is_made_once() {
    for seed in 0..50 {
        let world = World::new(seed);
        let mut runner = world.run();
        let order = completed(&world).await;
        *world.faults.rate.lock().unwrap() = 0.3;
        world.returning(order, Command::Request { lines: None, note_id: None }).await;
        world.returning(order, Command::Approve { number: 1, note_id: None }).await;
        let crash = async |runner: &mut super::world::Running| {
            sleep(Duration::from_millis(world.faults.up_to(8_000))).await;
            let next = world.run();
            std::mem::replace(runner, next).handle.crash();
        };
        crash(&mut runner).await;
        until(&world, order, Stage::InTransit).await;
        world.returning(order, Command::Receive { number: 1, lines: None }).await;
        world.payment.control(if seed % 2 == 0 { Mode::HangAfterActing } else { Mode::Down });
        world.returning(order, Command::Inspect { number: 1, lines: None }).await;
        crash(&mut runner).await;
        world.payment.control(Mode::Ok);
        until(&world, order, Stage::Completed).await;
        assert_eq!(count(&world, Kind::Refund).await, 1, "seed {seed}: {:?}", world.types(order).await);
        assert_eq!(free(&world).await, 10, "seed {seed}");
        runner.stop().await;
    }
}

/// One of an order's sagas that waits keeps no other from going on.
#[tokio::test(start_paused = true)]
async fn a_return_that_waits_for_the_carrier_keeps_another_from_nothing() {
    let world = World::new(3);
    let runner = world.run();
    let order = completed(&world).await;
    let ask = |quantity| {
        let lines = vec![domain::returns::ReturnLine { line_id: "1".into(), quantity }];
        Command::Request { lines: Some(lines), note_id: None }
    };
    world.returning(order, ask(1)).await;
    world.returning(order, Command::Approve { number: 1, note_id: None }).await;
    until(&world, order, Stage::InTransit).await;
    world.shipping.control(Mode::Down);
    world.returning(order, ask(2)).await;
    world.returning(order, Command::Approve { number: 2, note_id: None }).await;
    sleep(MINUTE).await;
    let history = world.history(order).await;
    let second = history.fulfillment.one(order, Which::Return(2)).unwrap();
    assert_eq!((second.state(), second.waiting_on()), (SagaState::Waiting, Some(WaitingOn::Shipping)));
    world.returning(order, Command::Receive { number: 1, lines: None }).await;
    world.returning(order, Command::Inspect { number: 1, lines: None }).await;
    until(&world, order, Stage::Completed).await;
    assert_eq!(count(&world, Kind::Refund).await, 1);
    runner.stop().await;
}
