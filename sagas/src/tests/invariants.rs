//! What must hold of every order that no longer moves, whatever happened to it.
use super::world::{SHOP, World};
use crate::participants::Kind;
use domain::location::LocationMode;
use domain::order::Stock;
use domain::payment::Payment;
use domain::saga::Next;
use domain::stock;
use std::collections::HashMap;
use tokio::time::sleep;

impl World {
    /// Stock and money are conserved, nothing was done twice, and what has not ended is seen to wait.
    pub(super) async fn check(&self) {
        // Whatever is still on its way arrives first.
        sleep(self.late).await;
        let seed = self.seed;
        let mut acted: HashMap<(String, Kind), (usize, String)> = HashMap::new();
        for entry in self.ledger().await {
            let sum = acted.entry((entry.reference, entry.kind)).or_default();
            *sum = (sum.0 + 1, entry.amount);
        }
        let mut balances = self.received.lock().unwrap().clone();
        for order in self.orders() {
            let (history, types) = (self.history(order).await, self.types(order).await);
            let state = &history.fulfillment;
            let count = |kind| acted.get(&(order.to_string(), kind)).map_or(0, |(count, _)| *count);
            let story = || format!("seed {seed}, {order}: {types:?}");
            for once in ONCE {
                let times = types.iter().filter(|name| *name == once).count();
                assert!(times <= 1, "{once} {times} times; {}", story());
            }
            assert!(count(Kind::Authorize) <= 1 && count(Kind::Capture) <= 1 && count(Kind::Label) <= 1, "{}", story());
            let must_pay = usize::from(state.must_pay());
            let expected = match state.next(order) {
                Next::Ended if state.is_completed() => (must_pay, must_pay, 0, 0),
                Next::Ended => (count(Kind::Void), 0, count(Kind::Authorize), count(Kind::Label)),
                Next::Wait(_) if state.saga.paused.is_some() => (count(Kind::Authorize), 0, 0, count(Kind::VoidLabel)),
                Next::Wait(_) => (must_pay, 0, 0, 0),
                other => panic!("still to do {other:?}; {}", story()),
            };
            let found = (count(Kind::Authorize), count(Kind::Capture), count(Kind::Void), count(Kind::VoidLabel));
            assert_eq!(found, expected, "authorized, captured, voided, labels voided; {}", story());
            if let Payment::Captured { captured, .. } = &state.payment {
                let taken = &acted[&(order.to_string(), Kind::Capture)].1;
                assert_eq!(*taken, captured.display(2).to_string(), "{}", story());
            }
            if state.is_completed() && state.shipment.released.as_ref().unwrap().mode == LocationMode::Auto {
                assert_eq!(count(Kind::Label), 1, "{}", story());
            }
            if let Stock::Reserved(lines) = &state.order.stock {
                for line in lines.iter() {
                    *balances.entry(stock::account(SHOP, &line.location, &line.sku)).or_default() -= line.quantity;
                }
            }
            let slot = eventstore::slot_of(order.0);
            let timers = self.inner().timers(&[slot], None, 100_000).await.unwrap();
            let has_timer = timers.iter().any(|timer| timer.stream.id == order.0);
            assert_eq!(has_timer, !state.has_ended(), "its timer; {}", story());
        }
        for (account, expected) in balances {
            let held = self.inner().balances(std::slice::from_ref(&account)).await.unwrap();
            let held = held.first().map_or(0, |(_, held)| *held);
            assert_eq!(held, expected, "seed {seed}: {account}");
            assert!(held >= 0, "seed {seed}: {account}");
        }
    }
}

/// Events of which an order has one at most.
const ONCE: [&str; 16] = [
    "SagaStarted",
    "StockReserved",
    "ReservationRefused",
    "StockReleased",
    "PaymentAuthorized",
    "PaymentDeclined",
    "AuthorizationVoided",
    "PaymentCaptured",
    "FulfillmentReleased",
    "FulfillmentRecalled",
    "LabelPurchased",
    "LabelVoided",
    "CompensationStarted",
    "OrderCancelled",
    "OrderCompleted",
    "SagaCompleted",
];
