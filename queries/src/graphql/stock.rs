//! Stock: what lies where, by SKU.
use super::{
    connection::{Arguments, Page, Total, page},
    error::{database, text},
    snapshot::Snapshot,
    viewer::shops,
};
use crate::sql::{
    list::{self, StockFilter},
    read::StockRecord,
};
use async_graphql::{Context, ID, Result, SimpleObject};
use std::sync::Arc;

pub(super) type StockConnection = Page<Stock>;

const LIST: &str = "stock";

/// How much of one SKU a shop has at one location, in units.
#[derive(SimpleObject)]
pub(super) struct Stock {
    shop: ID,
    sku: String,
    location: String,
    /// On the shelf; shipped goods have left.
    on_hand: i64,
    /// Of those, set aside for orders.
    reserved: i64,
    /// Free: on hand and not reserved.
    available: i64,
}

pub(super) async fn list(
    ctx: &Context<'_>,
    shop: Option<ID>,
    sku: Option<String>,
    location: Option<String>,
    arguments: Arguments,
) -> Result<StockConnection> {
    let filter = StockFilter {
        shops: shops(ctx, text("shop", shop.map(|id| id.0))?.as_deref())?,
        sku: text("sku", sku)?,
        location: text("location", location)?,
    };
    let slice = arguments.slice(LIST)?;
    let rows = {
        let mut conn = ctx.data::<Arc<Snapshot>>()?.read().await;
        list::stock(&mut conn, &filter, &slice).await.map_err(|error| database(&error))?
    };
    let key = |row: &StockRecord| (row.sku.clone(), row.shop.clone(), row.location.clone());
    let node = |row: StockRecord| Stock {
        shop: row.shop.into(),
        sku: row.sku,
        location: row.location,
        on_hand: row.on_hand,
        reserved: row.reserved,
        available: row.on_hand - row.reserved,
    };
    page(&slice, rows, Total::Stock(filter), LIST, key, node)
}
