//! Finding orders: one by its id or ref, and lists of them.
use super::{
    as_of::{self, AsOf, Then},
    connection::{Arguments, Page, Total, page},
    error::{bad_input, database, text},
    order::{Order, OrderStatus, by_id, status_name},
    scalars::DateTime,
    snapshot::Snapshot,
    viewer::shops,
};
use crate::sql::{
    list::{self, OrderFilter, OrderKey},
    read::{self, OrderRecord},
};
use async_graphql::{Context, Enum, Error, ErrorExtensions, ID, InputObject, Name, Result, Value};
use domain::OrderId;
use std::sync::Arc;
use uuid::Uuid;

pub(super) type OrderConnection = Page<Order>;

/// How many orders of an ambiguous ref are named.
const MAX_CANDIDATES: i64 = 20;

/// By what a list of orders is sorted.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum OrderOrder {
    PlacedAtAsc,
    PlacedAtDesc,
    UpdatedAtAsc,
    UpdatedAtDesc,
}

impl OrderOrder {
    /// The column, whether it descends, and the name that cursors carry.
    fn key(self) -> (OrderKey, bool, &'static str) {
        match self {
            OrderOrder::PlacedAtAsc => (OrderKey::PlacedAt, false, "orders/placed"),
            OrderOrder::PlacedAtDesc => (OrderKey::PlacedAt, true, "orders/-placed"),
            OrderOrder::UpdatedAtAsc => (OrderKey::UpdatedAt, false, "orders/updated"),
            OrderOrder::UpdatedAtDesc => (OrderKey::UpdatedAt, true, "orders/-updated"),
        }
    }
}

/// A span of time; either end may be open.
#[derive(Debug, InputObject)]
pub(super) struct TimeRange {
    /// Inclusive.
    from: Option<DateTime>,
    /// Exclusive.
    to: Option<DateTime>,
}

/// Which orders: all that is given must hold.
#[derive(Debug, Default, InputObject)]
pub(super) struct OrderWhere {
    status: Option<OrderStatus>,
    status_in: Option<Vec<OrderStatus>>,
    #[graphql(name = "ref")]
    order_ref: Option<String>,
    customer_ref: Option<String>,
    shop: Option<ID>,
    /// In one of the order's lines.
    sku: Option<String>,
    placed_at: Option<TimeRange>,
}

impl OrderWhere {
    fn filter(self, ctx: &Context<'_>) -> Result<OrderFilter> {
        let placed_at = self.placed_at.unwrap_or(TimeRange { from: None, to: None });
        Ok(OrderFilter {
            shops: shops(ctx, text("shop", self.shop.map(|id| id.0))?.as_deref())?,
            status: self.status.map(status_name),
            status_in: self.status_in.map(|any| any.into_iter().map(status_name).collect()),
            order_ref: text("ref", self.order_ref)?,
            customer_ref: text("customerRef", self.customer_ref)?,
            sku: text("sku", self.sku)?,
            placed_from: placed_at.from.map(|at| at.0),
            placed_to: placed_at.to.map(|at| at.0),
        })
    }
}

pub(super) async fn one(
    ctx: &Context<'_>,
    id: Option<ID>,
    order_ref: Option<String>,
    shop: Option<ID>,
    as_of: Option<AsOf>,
) -> Result<Option<Order>> {
    let then = match as_of {
        Some(as_of) => Some(as_of::then(ctx, as_of).await?),
        None => None,
    };
    match (id, text("ref", order_ref)?) {
        (Some(id), None) => {
            let Ok(id) = id.parse::<OrderId>() else { return Ok(None) };
            let order = match then {
                Some(then) => as_of::by_id(ctx, id.0, then).await?,
                None => by_id(ctx, id).await?,
            };
            Ok(order.filter(|order| shop.is_none_or(|shop| shop.0 == order.0.shop)))
        }
        (None, Some(order_ref)) => by_ref(ctx, &order_ref, text("shop", shop.map(|id| id.0))?, then).await,
        (None, None) => Err(bad_input("say which order: id or ref")),
        (Some(_), Some(_)) => Err(bad_input("id and ref can't both be given")),
    }
}

async fn by_ref(ctx: &Context<'_>, order_ref: &str, shop: Option<String>, then: Option<Then>) -> Result<Option<Order>> {
    let shops = shops(ctx, shop.as_deref())?;
    let Some(all_one) = shops.windows(2).all(|pair| pair[0] == pair[1]).then(|| shops.first()) else { return Ok(None) };
    let found = {
        let mut conn = ctx.data::<Arc<Snapshot>>()?.read().await;
        let found = read::orders_by_ref(&mut conn, order_ref, all_one.map(String::as_str), MAX_CANDIDATES).await;
        found.map_err(|error| database(&error))?
    };
    if let Some(then) = then {
        return of_these(ctx, order_ref, &found, then).await;
    }
    match &found[..] {
        [] => Ok(None),
        [(id, _)] => by_id(ctx, OrderId(*id)).await,
        candidates => Err(ambiguous(order_ref, candidates)),
    }
}

/// The one of them that was placed by then.
async fn of_these(ctx: &Context<'_>, order_ref: &str, found: &[(Uuid, String)], then: Then) -> Result<Option<Order>> {
    let mut orders = Vec::new();
    let mut candidates = Vec::new();
    for (id, shop) in found {
        if let Some(order) = as_of::by_id(ctx, *id, then).await? {
            orders.push(order);
            candidates.push((*id, shop.clone()));
        }
    }
    // Where not all of them were looked at, another may have been placed by then.
    let all = i64::try_from(found.len()).unwrap_or(i64::MAX) < MAX_CANDIDATES;
    match orders.len() {
        0 if found.is_empty() => as_of::known_by(ctx, then.position).map(|()| None),
        0 | 1 if all => Ok(orders.pop()),
        _ => Err(ambiguous(order_ref, if all { &candidates } else { found })),
    }
}

fn ambiguous(order_ref: &str, candidates: &[(Uuid, String)]) -> Error {
    let candidate = |(id, shop): &(Uuid, String)| {
        let fields = [("id", OrderId(*id).to_string()), ("shop", shop.clone())];
        Value::Object(fields.map(|(name, value)| (Name::new(name), Value::String(value))).into_iter().collect())
    };
    Error::new(format!("several shops have an order of the ref {order_ref}: name the shop too")).extend_with(|_, e| {
        e.set("code", "AMBIGUOUS_REF");
        e.set("candidates", Value::List(candidates.iter().map(candidate).collect()));
    })
}

pub(super) async fn list(
    ctx: &Context<'_>,
    filter: Option<OrderWhere>,
    order_by: OrderOrder,
    arguments: Arguments,
) -> Result<OrderConnection> {
    let filter = filter.unwrap_or_default().filter(ctx)?;
    let (key, descending, name) = order_by.key();
    let slice = arguments.slice(name)?;
    let rows = {
        let mut conn = ctx.data::<Arc<Snapshot>>()?.read().await;
        list::orders(&mut conn, (key, descending), &filter, &slice).await.map_err(|error| database(&error))?
    };
    let of = |row: &OrderRecord| match key {
        OrderKey::PlacedAt => (row.placed_at, row.order_id),
        OrderKey::UpdatedAt => (row.updated_at, row.order_id),
    };
    page(&slice, rows, Total::Orders(filter), name, of, |row| Order::of_now(Arc::new(row)))
}
