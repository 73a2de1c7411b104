//! Whole histories of orders, made as the saga itself would have made them and appended at once, many in a commit.
use super::load::metadata;
use anyhow::{Context as _, Result, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use commands::{Change, History, history::SAGA_TIMER};
use domain::{
    Currency, Decider, Event, OrderId, StreamKind,
    fulfillment::Fulfillment,
    location::{self, LocationMode},
    order::{Destination, OnShortage, OrderLine, OrderPlaced},
    saga::{Action, Context, Next, Reply, WaitingOn},
    shipment::{Command, PackedParcel, Parcel, Shipment},
};
use eventstore::{Append, EventStore, TimerChange};
use std::{
    borrow::Cow,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::task::JoinSet;

/// How many append at a time.
const APPENDERS: usize = 512;
/// Until what waits is looked at again.
const A_DAY: TimeDelta = TimeDelta::days(1);

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Shipped by staff, and completed. Only of an order that costs nothing: no provider has to know of it.
    End,
    /// Released to a MANUAL location: staff are to ship it.
    Warehouse,
    /// The payment provider has not answered yet; it is tried again.
    PaymentRetry,
}

/// Appends what is made for each number, many at a time.
pub(super) async fn append_all(
    store: &Arc<dyn EventStore>,
    numbers: Range<usize>,
    make: impl Fn(usize) -> Result<Append> + Clone + Send + 'static,
) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(numbers.start));
    let mut tasks = JoinSet::new();
    for _ in 0..APPENDERS.min(numbers.len()) {
        let (store, next, make, end) = (Arc::clone(store), Arc::clone(&next), make.clone(), numbers.end);
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= end {
                    return anyhow::Ok(());
                }
                store.append(make(number)?).await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// As plain as an order can be.
pub(super) fn placed(
    order_ref: String,
    customer_ref: String,
    country: &str,
    currency: &str,
    lines: Vec<OrderLine>,
) -> OrderPlaced {
    let now = Utc::now();
    OrderPlaced {
        order_ref,
        placed_at: now,
        placed_at_given: None,
        received_at: now,
        channel: None,
        store_ref: None,
        customer_ref,
        person_id: None,
        ship_to: Destination { country: Some(country.to_owned()), postal_prefix: None, default: false },
        billing_country: None,
        currency: Currency { code: currency.to_owned(), digits: 2 },
        total: lines.iter().map(|line| line.line_total).sum(),
        lines,
        charges: vec![],
        prices_include_tax: false,
        shipping_method: None,
        promise: None,
        priority: 0,
        on_shortage: OnShortage::Cancel,
        payment: None,
    }
}

/// All of its history in one append; while it is under way its timer is due tomorrow.
pub(super) fn append(order: OrderId, shop: &str, placed: OrderPlaced, at: At, mut change: Change) -> Result<Append> {
    let history = History::new(order, shop);
    if at != At::End {
        let (stream, name, now) = (history.stream(StreamKind::Order), Cow::Borrowed(SAGA_TIMER), Utc::now());
        change.timers.push(TimerChange::Set { stream, name, due_at: now + A_DAY, set_at: now });
    }
    Ok(history.append(&events(order, placed, at)?, metadata(order.0), change)?)
}

fn events(order: OrderId, placed: OrderPlaced, at: At) -> Result<Vec<Event>> {
    let now = placed.received_at;
    let location_mode = if at == At::PaymentRetry { LocationMode::Auto } else { LocationMode::Manual };
    let context = Context { now, location: location::MAIN.into(), location_mode };
    let mut told = Told::default();
    told.take([placed.into()]);
    loop {
        let (action, reply) = match told.state.next(order) {
            Next::Act(action) => {
                let reply = answer(&action, at, now)?;
                (Some(action), reply)
            }
            Next::Wait(WaitingOn::Warehouse) if at == At::End => {
                told.is_shipped_by_staff()?;
                (None, Reply::Nothing)
            }
            Next::Wait(WaitingOn::Warehouse) if at == At::Warehouse => break,
            Next::Ended if at == At::End => break,
            other => bail!("the order is not at {at:?}: {other:?}"),
        };
        let is_unanswered = matches!(reply, Reply::Unanswered { .. });
        let more = told.state.react(order, action.as_ref(), reply, &context).context("an answer that doesn't fit")?;
        ensure!(!more.is_empty(), "nothing came of {action:?}");
        told.take(more);
        if is_unanswered {
            break;
        }
    }
    Ok(told.events)
}

fn answer(action: &Action, at: At, now: DateTime<Utc>) -> Result<Reply> {
    Ok(match action {
        Action::Reserve { .. } => Reply::Reserved,
        Action::Authorize { .. } if at == At::PaymentRetry => Reply::Unanswered { cause: "unavailable".to_owned() },
        Action::Authorize { amount, .. } => {
            Reply::Authorized { authorization_id: "aut_1".into(), amount: *amount, expires_at: now + A_DAY * 7 }
        }
        other => bail!("on the way to {at:?} nobody is asked for {other:?}"),
    })
}

/// What has happened so far, and what it comes to.
#[derive(Debug, Default)]
struct Told {
    state: Fulfillment,
    events: Vec<Event>,
}

impl Told {
    fn take(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.state.evolve(&event);
            self.events.push(event);
        }
    }

    fn is_shipped_by_staff(&mut self) -> Result<()> {
        let parcel = Parcel {
            weight_grams: Some(1_200),
            carrier: Some("hand".to_owned()),
            tracking_number: None,
            label_id: None,
        };
        let reports = [
            Command::Pick { lines: None },
            Command::Pack { lines: None, parcels: vec![PackedParcel { weight_grams: Some(1_200) }] },
            Command::Ship { lines: None, parcels: vec![parcel] },
        ];
        for report in reports {
            let events = Shipment::decide(&self.state.shipment, report)?;
            self.take(events.into_iter().map(Event::from));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn names(total: i64, at: At) -> Result<Vec<&'static str>> {
        let line = json!({"line_id": "1", "sku": "tea", "quantity": 2, "line_total": total});
        let placed = serde_json::from_value(json!({
            "order_ref": "r", "placed_at": "2026-11-24T00:00:00Z", "received_at": "2026-11-24T00:00:00Z", "customer_ref": "hh-1",
            "ship_to": {"country": "CH", "default": false}, "currency": {"code": "USD", "digits": 2}, "lines": [line], "charges": [],
            "prices_include_tax": false, "total": total, "priority": 0, "on_shortage": "CANCEL",
        }))?;
        Ok(events(OrderId(Uuid::now_v7()), placed, at)?.iter().map(Event::event_type).collect())
    }

    #[test]
    fn a_history_goes_as_far_as_it_is_to() {
        let to_the_warehouse = ["OrderPlaced", "SagaStarted", "StockReserved", "FulfillmentReleased"];
        assert_eq!(names(0, At::Warehouse).unwrap(), to_the_warehouse);
        let by_staff =
            ["FulfillmentPicked", "FulfillmentPacked", "FulfillmentShipped", "OrderCompleted", "SagaCompleted"];
        assert_eq!(names(0, At::End).unwrap(), [&to_the_warehouse[..], &by_staff[..]].concat());
        assert!(names(980, At::Warehouse).unwrap().contains(&"PaymentAuthorized"));
        assert_eq!(names(980, At::PaymentRetry).unwrap().len(), 4);
        assert!(names(980, At::End).is_err(), "a provider would have to know of it");
    }
}
