//! The saga by model: thousands of orders, each in a world that fails in its own way, from a seed that a failure prints.
//!
//! Whatever happens, an order ends complete or clean, or it visibly waits for a person. `WAYBILL_TEST_SEED=…
//! cargo test -p domain storm` runs one world again; `WAYBILL_SEEDS` sets how many.
mod calm;
mod provider;
mod world;

use super::Fulfillment;
use crate::{
    Amount, Event,
    location::LocationMode,
    order::{CancelReason, ChargeKind, OrderPlaced, Outcome},
    saga::{SagaState, WaitingOn},
    testing::{self, Random},
};
use provider::{Hold, Plan};
use std::collections::BTreeMap;
use world::{Scenario, World};

const SEEDS: u64 = 10_000;

/// Everything goes well.
fn fair(placed: OrderPlaced, mode: LocationMode) -> Scenario {
    Scenario {
        placed,
        mode,
        stock: 10,
        plan: Plan::default(),
        faults: 0,
        cancels: 0,
        cancel_at: None,
        staff_ship: true,
        operator_retries: true,
    }
}

fn free_of_charge() -> OrderPlaced {
    testing::placed(&[("1095275", 1, 0)], &[])
}

fn stormy(random: &mut Random) -> Scenario {
    let lines = [("1095275", 1, 50), ("820165", 2, 1_250), ("995242", 3, 0)];
    let lines = &lines[..=usize::try_from(random.below(3)).expect("an index")];
    let placed = match random.percent(15) {
        true => free_of_charge(),
        false => testing::placed(lines, &[(ChargeKind::Shipping, 490), (ChargeKind::Discount, 40)]),
    };
    Scenario {
        mode: random.pick(&[LocationMode::Auto, LocationMode::Manual]),
        stock: if random.percent(5) { 0 } else { 3 },
        plan: Plan {
            authorization_refused: random.pick(&[None, None, None, None, None, Some("declined"), Some("fraud")]),
            label_refused: random.percent(10),
            captures_declined: random.pick(&[0, 0, 0, 1, 2]),
            voids_refused: random.pick(&[0, 0, 0, 1, 2]),
        },
        faults: random.pick(&[0, 10, 30, 60]),
        cancels: random.pick(&[0, 20, 100]),
        staff_ship: random.percent(90),
        operator_retries: random.percent(80),
        ..fair(placed, LocationMode::Auto)
    }
}

/// The seed, should the run fail.
struct Printed(u64);

impl Drop for Printed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("WAYBILL_TEST_SEED={}", self.0);
        }
    }
}

/// Checks how it came to rest, and says it in a word.
fn rest(world: &World, state: &Fulfillment) -> String {
    let placed = &world.scenario.placed;
    let back = placed.lines.iter().all(|line| world.free[&line.sku.0] == world.scenario.stock);
    match state.order.outcome {
        Some(Outcome::Completed) => {
            assert!(!world.cancel_accepted, "a cancel that was accepted holds");
            assert!(state.shipment.is_shipped() && !back);
            assert_eq!(state.payment.captured(), placed.total);
            assert_eq!(world.provider.captured, placed.total);
            let is_auto = world.scenario.mode == LocationMode::Auto;
            assert_eq!(world.provider.label, if is_auto { Hold::Held } else { Hold::Nothing });
            assert_eq!(state.saga_state(), SagaState::Completed);
            assert_eq!(state.status_reason(), None);
            "completed".to_owned()
        }
        Some(Outcome::Cancelled(reason)) => {
            assert_ne!(world.provider.money, Hold::Held, "an authorization is left");
            assert_ne!(world.provider.label, Hold::Held, "a label is left");
            assert!(back, "stock is left reserved");
            assert_eq!(world.provider.captured, Amount::ZERO);
            assert_eq!(state.saga_state(), SagaState::Compensated);
            assert!(world.cancel_accepted || reason != CancelReason::Requested);
            reason.code().to_owned()
        }
        None => {
            let waiting_on = state.plan().waiting_on().expect("it says whom it waits for");
            assert!(matches!(waiting_on, WaitingOn::Operator | WaitingOn::Warehouse));
            assert!(matches!(state.saga_state(), SagaState::Paused | SagaState::Waiting));
            assert!(waiting_on != WaitingOn::Operator || state.status_reason().is_some());
            format!("waits for {}", waiting_on.name())
        }
    }
}

fn weather(seed: u64) -> String {
    let _printed = Printed(seed);
    let mut random = Random::new(seed);
    let mut world = World::new(stormy(&mut random), random.below(u64::MAX));
    let state = world.run();
    rest(&world, &state)
}

#[test]
fn an_order_ends_complete_or_clean_or_visibly_waits_whatever_the_storm() {
    if let Ok(seed) = std::env::var("WAYBILL_TEST_SEED") {
        println!("{}", weather(seed.parse().expect("a number")));
        return;
    }
    let mut ends = BTreeMap::<String, u64>::new();
    let seeds = std::env::var("WAYBILL_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    for seed in 0..seeds {
        *ends.entry(weather(seed)).or_default() += 1;
    }
    println!("{ends:?}");
    let reached = [
        "completed",
        "requested",
        "out_of_stock",
        "payment_declined",
        "fraud",
        "undeliverable",
        "waits for operator",
        "waits for warehouse",
    ];
    for end in reached {
        assert!(ends.get(end).is_some_and(|count| *count >= seeds / 200), "{end} is hardly ever reached: {ends:?}");
    }
}

#[test]
fn a_happy_order_takes_five_appends_nine_events_and_three_calls() {
    let mut world = World::new(fair(testing::two_lines(), LocationMode::Auto), 1);
    let state = world.run();
    assert_eq!(rest(&world, &state), "completed");
    let types: Vec<_> = world.history.iter().map(Event::event_type).collect();
    let expected = [
        "OrderPlaced",
        "SagaStarted",
        "StockReserved",
        "PaymentAuthorized",
        "FulfillmentReleased",
        "FulfillmentShipped",
        "PaymentCaptured",
        "OrderCompleted",
        "SagaCompleted",
    ];
    assert_eq!(types, expected);
    assert_eq!((world.appends, world.calls), (5, 3));
}

#[test]
fn an_order_free_of_charge_never_asks_for_money() {
    for mode in [LocationMode::Auto, LocationMode::Manual] {
        let mut world = World::new(fair(free_of_charge(), mode), 1);
        let state = world.run();
        assert_eq!(rest(&world, &state), "completed");
        assert_eq!(world.calls, usize::from(mode == LocationMode::Auto), "a label at most");
    }
}

#[test]
fn a_cancel_at_any_point_leaves_nothing_behind_or_comes_too_late() {
    for placed in [testing::two_lines(), free_of_charge()] {
        for mode in [LocationMode::Auto, LocationMode::Manual] {
            let mut ends = vec![];
            for turn in 0..8 {
                let mut world =
                    World::new(Scenario { cancel_at: Some(turn), ..fair(placed.clone(), mode) }, turn as u64);
                let state = world.run();
                ends.push(rest(&world, &state));
            }
            ends.dedup();
            assert_eq!(ends, ["requested", "completed"], "first it holds, then never again");
        }
    }
}
