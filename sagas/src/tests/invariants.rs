//! What must hold of every order that no longer moves, whatever happened to it.
//!
//! - Stock and money are conserved: what is free is what came in less what is reserved or gone; no charge without goods, none twice.
//! - What was done is undone exactly once and in reverse: label, warehouse, money, stock, by the order of the events and by the providers'
//!   own ledgers. The table's steps say what there is to undo, so a new step is checked as it is.
//! - Once compensation has begun no call forward is sent. One that was under way then may land, but no later than its undo, which
//!   releases what it did; after that its key is blocked.
//! - It has ended, or it is seen to wait: for whom, why, and with what still to do.
use super::world::{SHOP, World};
use crate::participants::{Entry, Kind};
use chrono::{DateTime, SubsecRound, Utc};
use domain::OrderId;
use domain::fulfillment::{Fulfillment, Step};
use domain::location::LocationMode;
use domain::order::Stock;
use domain::payment::Payment;
use domain::saga::{Direction, Next, SagaState, WaitingOn};
use domain::stock;
use eventstore::RecordedEvent;
use std::collections::HashMap;
use tokio::time::sleep;

impl World {
    /// Stock and money are conserved, nothing was done twice, and what has not ended is seen to wait.
    pub(super) async fn check(&self) {
        // Whatever is still on its way arrives first.
        sleep(self.late).await;
        let seed = self.seed;
        let mut acted: HashMap<(String, Kind), (usize, String)> = HashMap::new();
        let mut ledger: HashMap<String, Vec<Entry>> = HashMap::new();
        for entry in self.ledger().await {
            let sum = acted.entry((entry.reference.clone(), entry.kind)).or_default();
            *sum = (sum.0 + 1, entry.amount.clone());
            ledger.entry(entry.reference.clone()).or_default().push(entry);
        }
        let sent = self.sent_forward();
        let mut balances = self.received.lock().unwrap().clone();
        for order in self.orders() {
            let events = self.store.stamped(self.inner().read_streams(order.0).await.unwrap());
            let types: Vec<_> = events.iter().map(|event| event.event_type.to_string()).collect();
            let history = self.history(order).await;
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
            is_seen(state, order, &story);
            let entries = ledger.remove(&order.to_string()).unwrap_or_default();
            let sent = sent.get(&order.saga().to_string()).copied();
            undone_in_reverse(state, &events, &entries, sent, &story);
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

impl World {
    /// When each saga's last call forward was sent.
    fn sent_forward(&self) -> HashMap<String, DateTime<Utc>> {
        let (at, began) = self.store.began;
        let mut last = HashMap::new();
        for (key, sent) in self.faults.sent.lock().unwrap().iter() {
            let mut parts = key.split('/');
            let (saga, direction) = (parts.next().unwrap_or_default(), parts.nth(1));
            if direction == Some(Direction::Forward.name()) {
                let sent = at + chrono::TimeDelta::from_std(sent.duration_since(began)).unwrap();
                last.entry(saga.to_owned())
                    .and_modify(|last: &mut DateTime<Utc>| *last = sent.max(*last))
                    .or_insert(sent);
            }
        }
        last
    }
}

/// It has ended, or says for whom it waits, why, and what is still to be done.
fn is_seen(state: &Fulfillment, order: OrderId, story: &dyn Fn() -> String) {
    let (waiting_on, saga) = (state.plan().waiting_on(), state.saga_state());
    match state.next(order) {
        Next::Ended => {
            assert!(matches!(saga, SagaState::Completed | SagaState::Compensated), "{saga:?}; {}", story());
            assert_eq!((waiting_on, state.remaining_steps()), (None, vec![]), "{}", story());
        }
        Next::Wait(who) => {
            assert_eq!(waiting_on, Some(who), "{}", story());
            assert_eq!(state.remaining_steps().first(), Some(&state.step()), "{}", story());
            let expected = match who {
                WaitingOn::Operator => SagaState::Paused,
                _ => SagaState::Waiting,
            };
            assert_eq!(saga, expected, "{}", story());
            assert!(who != WaitingOn::Operator || state.status_reason().is_some(), "{}", story());
        }
        Next::Act(_) | Next::Advance => {}
    }
}

/// What a step leaves behind going forward, what undoes it, and what a provider's ledger says of both.
struct Trace {
    done: Option<&'static str>,
    undone: Option<&'static str>,
    acts: Option<(Kind, Kind)>,
}

fn trace(step: Step) -> Trace {
    let (done, undone, acts) = match step {
        Step::ReserveStock => (Some("StockReserved"), Some("StockReleased"), None),
        Step::AuthorizePayment => {
            (Some("PaymentAuthorized"), Some("AuthorizationVoided"), Some((Kind::Authorize, Kind::Void)))
        }
        Step::ReleaseToWarehouse => (Some("FulfillmentReleased"), Some("FulfillmentRecalled"), None),
        Step::Ship => (Some("LabelPurchased"), Some("LabelVoided"), Some((Kind::Label, Kind::VoidLabel))),
        // From the pivot on nothing is undone.
        Step::CapturePayment | Step::Complete => (None, None, None),
    };
    Trace { done, undone, acts }
}

fn undone_in_reverse(
    state: &Fulfillment,
    events: &[RecordedEvent],
    entries: &[Entry],
    sent: Option<DateTime<Utc>>,
    story: &dyn Fn() -> String,
) {
    let find = |name: &str| events.iter().find(|event| event.event_type == name);
    let undos = Step::ALL.into_iter().rev().map(trace);
    let Some(began) = find("CompensationStarted") else {
        for Trace { undone, acts, .. } in undos {
            assert!(undone.and_then(find).is_none(), "{undone:?} without a reason; {}", story());
            let undoing = |entry: &&Entry| acts.is_some_and(|(_, undoing)| entry.kind == undoing);
            assert!(!entries.iter().any(|entry| undoing(&entry)), "undone without a reason; {}", story());
        }
        return;
    };
    let at = |event: &RecordedEvent| event.recorded_at.trunc_subsecs(6);
    assert!(sent.is_none_or(|sent| sent <= began.recorded_at), "sent forward after compensation began; {}", story());
    assert!(!entries.iter().any(|entry| entry.kind == Kind::Capture), "captured and undone; {}", story());
    // The last undo, by position and by the clock.
    let mut last = (began.position, at(began));
    for Trace { done, undone, acts } in undos {
        let undo = undone.and_then(find);
        if let Some(undo) = undo {
            assert!(undo.position > last.0, "{undone:?} too early; {}", story());
        }
        if let Some((forward, undoing)) = acts {
            for entry in entries.iter().filter(|entry| entry.kind == undoing) {
                assert!(entry.at >= last.1, "{undoing} before its turn; {}", story());
                assert!(undo.is_none_or(|undo| entry.at <= at(undo)), "{undoing} after {undone:?}; {}", story());
            }
            for entry in entries.iter().filter(|entry| entry.kind == forward) {
                assert!(undo.is_none_or(|undo| entry.at <= at(undo)), "{forward} after {undone:?}; {}", story());
            }
        }
        let is_done = done.and_then(find).is_some();
        assert!(!state.has_ended() || !is_done || undo.is_some(), "{done:?} is left; {}", story());
        if let Some(undo) = undo {
            last = (undo.position, at(undo));
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
