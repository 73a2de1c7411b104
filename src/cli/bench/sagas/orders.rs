//! Orders under way, made as the saga itself would have made them, many in a commit.
use crate::cli::bench::load::metadata;
use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use commands::{
    Change, History,
    history::{SAGA_TIMER, balance_changes, encode},
};
use domain::{
    Amount, Currency, Event, LineId, LocationCode, OrderId, Sku, StreamKind,
    location::{self, LocationMode},
    order::{Destination, OnShortage, OrderLine, OrderPlaced},
    saga::{Action, Context, Next, Reply},
    stock::StockReceived,
};
use eventstore::{Append, EventStore, Expected, StreamAppend, StreamId, TimerChange};
use std::{borrow::Cow, sync::Arc};
use tokio::task::JoinSet;
use uuid::Uuid;

const SHOP: &str = "bench";
const SKU: &str = "tea";
/// How many append at a time.
const APPENDERS: usize = 512;
const A_DAY: TimeDelta = TimeDelta::days(1);

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Released to a MANUAL location: staff are to ship it.
    Warehouse,
    /// The payment provider has not answered yet; it is tried again.
    PaymentRetry,
}

/// Places so many, with the goods for them; their timers are due tomorrow. Answers their ids.
pub(super) async fn place(store: &Arc<dyn EventStore>, count: usize, at: At) -> Result<Vec<OrderId>> {
    receive(store, i64::try_from(count)?).await?;
    let orders: Vec<OrderId> = (0..count).map(|_| OrderId(Uuid::now_v7())).collect();
    let mut tasks = JoinSet::new();
    for lane in 0..APPENDERS.min(count) {
        let mine: Vec<OrderId> = orders.iter().copied().skip(lane).step_by(APPENDERS).collect();
        let store = store.clone();
        tasks.spawn(async move {
            for order in mine {
                store.append(under_way(order, at)?).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(orders)
}

async fn receive(store: &Arc<dyn EventStore>, quantity: i64) -> Result<()> {
    let (location, sku) = (LocationCode::from(location::MAIN), Sku::from(SKU));
    let received = StockReceived { location, sku, lot: None, quantity, receipt_ref: "bench".to_owned() };
    let (event, id) = (Event::from(received), Uuid::now_v7());
    let stream = StreamAppend {
        stream: StreamId::new(id, StreamKind::Stock.name()),
        expected: Expected::NO_STREAM,
        events: vec![encode(&event, 0)?],
    };
    let balances = balance_changes(SHOP, &[event]);
    store.append(Append { streams: vec![stream], balances, ..Append::new(SHOP, metadata(id)) }).await?;
    Ok(())
}

/// All of its history in one append.
fn under_way(order: OrderId, at: At) -> Result<Append> {
    let now = Utc::now();
    let mode = if at == At::Warehouse { LocationMode::Manual } else { LocationMode::Auto };
    let context = Context { now, location: location::MAIN.into(), location_mode: mode };
    let mut events = vec![Event::from(placed(now))];
    let mut state = domain::fulfillment::Fulfillment::fold(&events);
    let mut answer = |events: &mut Vec<Event>, reply: &dyn Fn(&Action) -> Reply| -> Result<()> {
        let Next::Act(action) = state.next(order) else { anyhow::bail!("nothing is to be done") };
        let more = state.react(order, Some(&action), reply(&action), &context).context("an answer that doesn't fit")?;
        more.iter().for_each(|event| state.evolve(event));
        events.extend(more);
        Ok(())
    };
    answer(&mut events, &|_| Reply::Reserved)?;
    answer(&mut events, &|_| match at {
        At::Warehouse => {
            Reply::Authorized { authorization_id: "aut_1".into(), amount: Amount(PRICE), expires_at: now + A_DAY * 7 }
        }
        At::PaymentRetry => Reply::Unanswered { cause: "unavailable".to_owned() },
    })?;
    let waits_for_staff = matches!(state.next(order), Next::Wait(_));
    ensure!(waits_for_staff == (at == At::Warehouse), "the order is not at {at:?}");
    let history = History::new(order, SHOP);
    let (stream, name) = (history.stream(StreamKind::Order), Cow::Borrowed(SAGA_TIMER));
    let timer = TimerChange::Set { stream, name, due_at: now + A_DAY, set_at: now };
    Ok(history.append(&events, metadata(order.0), Change { timers: vec![timer], ..Change::default() })?)
}

const PRICE: i64 = 1999;

fn placed(now: DateTime<Utc>) -> OrderPlaced {
    let line = OrderLine {
        line_id: LineId("1".to_owned()),
        sku: Sku::from(SKU),
        quantity: 1,
        line_total: Amount(PRICE),
        discount: None,
        unit: None,
    };
    OrderPlaced {
        order_ref: Uuid::now_v7().to_string(),
        placed_at: now,
        placed_at_given: None,
        received_at: now,
        channel: None,
        store_ref: None,
        customer_ref: "hh-900".to_owned(),
        person_id: None,
        ship_to: Destination { country: Some("US".to_owned()), postal_prefix: None, default: false },
        billing_country: None,
        currency: Currency { code: "USD".to_owned(), digits: 2 },
        total: Amount(PRICE),
        lines: vec![line],
        charges: vec![],
        prices_include_tax: false,
        shipping_method: None,
        promise: None,
        priority: 0,
        on_shortage: OnShortage::Cancel,
        payment: None,
    }
}
