//! Orders under way, of one line each, and the goods for them.
use crate::cli::bench::{
    histories::{self, At},
    load::metadata,
};
use anyhow::Result;
use commands::{
    Change,
    history::{balance_changes, encode},
};
use domain::{
    Amount, Event, LineId, LocationCode, OrderId, Sku, StreamKind, location,
    order::{OrderLine, OrderPlaced},
    stock::StockReceived,
};
use eventstore::{Append, EventStore, Expected, StreamAppend, StreamId};
use std::sync::Arc;
use uuid::Uuid;

const SHOP: &str = "bench";
const SKU: &str = "tea";

/// Places so many, with the goods for them; their timers are due tomorrow. Answers their ids.
pub(super) async fn place(store: &Arc<dyn EventStore>, count: usize, at: At) -> Result<Vec<OrderId>> {
    receive(store, i64::try_from(count)?).await?;
    let orders: Arc<[OrderId]> = (0..count).map(|_| OrderId(Uuid::now_v7())).collect();
    let all = Arc::clone(&orders);
    let make = move |number: usize| histories::append(all[number], SHOP, placed(), at, Change::default());
    histories::append_all(store, 0..count, make).await?;
    Ok(orders.to_vec())
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

const PRICE: i64 = 1999;

fn placed() -> OrderPlaced {
    let line = OrderLine {
        line_id: LineId("1".to_owned()),
        sku: Sku::from(SKU),
        quantity: 1,
        line_total: Amount(PRICE),
        discount: None,
        unit: None,
    };
    histories::placed(Uuid::now_v7().to_string(), "hh-900".to_owned(), "US", "USD", vec![line])
}
