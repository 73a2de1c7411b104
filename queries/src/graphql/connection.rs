//! Relay connections: arguments, cursors, the page and the exact total.
use super::{
    error::{bad_input, database},
    snapshot::Snapshot,
};
use crate::sql::list::{self, FulfillmentFilter, OrderFilter, ReturnFilter, SagaFilter, Slice, StockFilter};
use async_graphql::{
    Context, Object, OutputType, Result,
    connection::{
        Connection, ConnectionNameType, DefaultConnectionName, DefaultEdgeName, Edge, EdgeNameType, EmptyFields,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

pub(super) const DEFAULT_PAGE: i32 = 50;
pub(super) const MAX_PAGE: i32 = 200;
/// Longer ones were not made here.
const MAX_CURSOR_BYTES: usize = 2_048;

pub(super) type Page<T, Name = DefaultConnectionName, EdgeName = DefaultEdgeName> =
    Connection<String, T, Total, EmptyFields, Name, EdgeName>;

pub(super) type Cost = usize;

/// What a page may hold at most, in fields.
pub(super) fn cost(first: Option<i32>, last: Option<i32>, of_each: Cost) -> Cost {
    let rows = first.or(last).unwrap_or(DEFAULT_PAGE).clamp(0, MAX_PAGE);
    usize::try_from(rows).unwrap_or(0).saturating_mul(of_each).saturating_add(1)
}

#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) first: Option<i32>,
    pub(super) after: Option<String>,
    pub(super) last: Option<i32>,
    pub(super) before: Option<String>,
}

impl Arguments {
    /// The part of the list that is asked for. `list` names the list and its order: a cursor of another one is refused.
    pub(super) fn slice<K: DeserializeOwned>(&self, list: &str) -> Result<Slice<K>> {
        let (limit, backward) = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(bad_input("first and last can't both be given")),
            (None, Some(last)) => (size("last", last)?, true),
            (first, None) => (size("first", first.unwrap_or(DEFAULT_PAGE))?, false),
        };
        let key = |name, cursor: &Option<String>| cursor.as_deref().map(|c| decode(name, list, c)).transpose();
        Ok(Slice { after: key("after", &self.after)?, before: key("before", &self.before)?, limit, backward })
    }
}

fn size(name: &str, size: i32) -> Result<i64> {
    match size {
        0..=MAX_PAGE => Ok(i64::from(size)),
        _ => Err(bad_input(format!("{name} must be from 0 to {MAX_PAGE}"))),
    }
}

/// Opaque to clients: the list's name and the row's key in it.
pub(super) fn encode<K: Serialize>(list: &str, key: &K) -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(list, key))?))
}

fn decode<K: DeserializeOwned>(name: &str, list: &str, cursor: &str) -> Result<K> {
    let parts = Some(cursor)
        .filter(|cursor| cursor.len() <= MAX_CURSOR_BYTES)
        .and_then(|cursor| URL_SAFE_NO_PAD.decode(cursor).ok())
        .and_then(|json| serde_json::from_slice::<(String, K)>(&json).ok());
    match parts {
        Some((of, key)) if of == list => Ok(key),
        Some(_) => Err(bad_input(format!("{name} is a cursor of another list, or of another order of this one"))),
        None => Err(bad_input(format!("{name} is not a cursor"))),
    }
}

/// Makes a page of the rows that a slice found: in the order of the list, with at most `limit` of them.
pub(super) fn page<T, R, K, Name, EdgeName>(
    slice: &Slice<K>,
    rows: Vec<R>,
    total: Total,
    list: &str,
    key: impl Fn(&R) -> K,
    node: impl Fn(R) -> T,
) -> Result<Page<T, Name, EdgeName>>
where
    T: OutputType,
    K: Serialize,
    Name: ConnectionNameType,
    EdgeName: EdgeNameType,
{
    let limit = usize::try_from(slice.limit).unwrap_or(0);
    let more = rows.len() > limit;
    // The row that an outer cursor names lies there itself.
    let (previous, next) = if slice.backward { (more, slice.before.is_some()) } else { (slice.after.is_some(), more) };
    let mut page = Connection::with_additional_fields(previous, next, total);
    for row in rows.into_iter().take(limit) {
        page.edges.push(Edge::new(encode(list, &key(&row))?, node(row)));
    }
    if slice.backward {
        page.edges.reverse();
    }
    Ok(page)
}

/// What a connection counts, once it is asked for.
pub(super) enum Total {
    Orders(OrderFilter),
    Fulfillments(FulfillmentFilter),
    Sagas(SagaFilter),
    Returns(ReturnFilter),
    Stock(StockFilter),
    /// Counted already.
    Known(i64),
}

#[Object]
impl Total {
    /// How many there are in all, whatever the page.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64> {
        let mut conn = ctx.data::<Arc<Snapshot>>()?.read().await;
        let count = match self {
            Total::Orders(filter) => list::count_orders(&mut conn, filter).await,
            Total::Fulfillments(filter) => list::count_fulfillments(&mut conn, filter).await,
            Total::Sagas(filter) => list::count_sagas(&mut conn, filter).await,
            Total::Returns(filter) => list::count_returns(&mut conn, filter).await,
            Total::Stock(filter) => list::count_stock(&mut conn, filter).await,
            Total::Known(count) => Ok(*count),
        };
        count.map_err(|error| database(&error))
    }
}
