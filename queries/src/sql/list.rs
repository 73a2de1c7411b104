//! Lists with optional filters, in either direction, from a key on. Built at run time: with `($1 IS NULL OR …)` one plan would have
//! to fit all filters, and would read whole tables. Only constants of this file become SQL; values are bound.
use super::read::{FulfillmentRecord, OrderRecord, ReturnRecord, SagaRecord, StockRecord};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

/// Which part of a list: at most `limit` rows after the one key and before the other, from the front or (`backward`) from the end.
#[derive(Clone, Debug)]
pub(crate) struct Slice<K> {
    pub(crate) after: Option<K>,
    pub(crate) before: Option<K>,
    pub(crate) limit: i64,
    pub(crate) backward: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderKey {
    PlacedAt,
    UpdatedAt,
}

/// `shops`: the row's shop must equal each of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderFilter {
    pub(crate) shops: Vec<String>,
    pub(crate) status: Option<&'static str>,
    pub(crate) status_in: Option<Vec<&'static str>>,
    pub(crate) order_ref: Option<String>,
    pub(crate) customer_ref: Option<String>,
    pub(crate) sku: Option<String>,
    pub(crate) placed_from: Option<DateTime<Utc>>,
    pub(crate) placed_to: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FulfillmentFilter {
    pub(crate) shops: Vec<String>,
    pub(crate) stage: Option<&'static str>,
    pub(crate) location: Option<String>,
    pub(crate) order_ref: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ReturnFilter {
    pub(crate) shops: Vec<String>,
    pub(crate) stage: Option<&'static str>,
    pub(crate) location: Option<String>,
    pub(crate) order_ref: Option<String>,
}

/// Sagas of one definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fulfillment,
    Return,
    /// Of none that there is.
    Unknown,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SagaFilter {
    pub(crate) shops: Vec<String>,
    pub(crate) kind: Option<Kind>,
    pub(crate) state: Option<&'static str>,
    pub(crate) step: Option<String>,
    pub(crate) direction: Option<String>,
    pub(crate) cause: Option<String>,
    pub(crate) waiting_on: Option<String>,
    pub(crate) overdue: Option<bool>,
    pub(crate) ended: Option<bool>,
    /// Waits for the same one since longer than this.
    pub(crate) waiting_longer_than_seconds: Option<i32>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct StockFilter {
    pub(crate) shops: Vec<String>,
    pub(crate) sku: Option<String>,
    pub(crate) location: Option<String>,
}

type Builder = QueryBuilder<Postgres>;

/// As the index `sagas_under_way` of what is at rest has it.
const UNDER_WAY: &str = " AND state NOT IN ('COMPLETED', 'COMPENSATED')";

pub(crate) trait Filter {
    /// Adds ` AND …` for each condition.
    fn push(&self, sql: &mut Builder);
}

fn equals<'a>(sql: &mut Builder, column: &'static str, values: impl IntoIterator<Item = &'a str>) {
    for value in values {
        sql.push(" AND ").push(column).push(" = ").push_bind(value.to_owned());
    }
}

fn shops(sql: &mut Builder, shops: &[String]) {
    equals(sql, "shop", shops.iter().map(String::as_str));
}

fn of_order(sql: &mut Builder, order_ref: Option<&str>) {
    if let Some(order_ref) = order_ref {
        sql.push(" AND order_id IN (SELECT o.order_id FROM read.orders AS o WHERE o.ref = ");
        sql.push_bind(order_ref.to_owned()).push(")");
    }
}

impl Filter for OrderFilter {
    fn push(&self, sql: &mut Builder) {
        shops(sql, &self.shops);
        equals(sql, "status", self.status);
        equals(sql, "ref", self.order_ref.as_deref());
        equals(sql, "customer_ref", self.customer_ref.as_deref());
        if let Some(any) = &self.status_in {
            sql.push(" AND status = ANY(").push_bind(any.iter().map(|&s| s.to_owned()).collect::<Vec<_>>()).push(")");
        }
        if let Some(sku) = &self.sku {
            sql.push(" AND order_id IN (SELECT s.order_id FROM read.order_skus AS s WHERE s.sku = ");
            sql.push_bind(sku.clone()).push(")");
        }
        if let Some(from) = self.placed_from {
            sql.push(" AND placed_at >= ").push_bind(from);
        }
        if let Some(to) = self.placed_to {
            sql.push(" AND placed_at < ").push_bind(to);
        }
    }
}

impl Filter for FulfillmentFilter {
    fn push(&self, sql: &mut Builder) {
        shops(sql, &self.shops);
        equals(sql, "stage", self.stage);
        equals(sql, "location", self.location.as_deref());
        of_order(sql, self.order_ref.as_deref());
    }
}

impl Filter for ReturnFilter {
    fn push(&self, sql: &mut Builder) {
        shops(sql, &self.shops);
        equals(sql, "stage", self.stage);
        equals(sql, "location", self.location.as_deref());
        of_order(sql, self.order_ref.as_deref());
    }
}

impl Filter for SagaFilter {
    fn push(&self, sql: &mut Builder) {
        shops(sql, &self.shops);
        match self.kind {
            Some(Kind::Fulfillment) => sql.push(" AND return_number = 0"),
            // As the index `sagas_returns` has it.
            Some(Kind::Return) => sql.push(" AND return_number > 0"),
            Some(Kind::Unknown) => sql.push(" AND false"),
            None => sql,
        };
        equals(sql, "state", self.state);
        equals(sql, "step", self.step.as_deref());
        if let Some(direction) = self.direction.as_deref() {
            // A row of the release before says none until it is made anew.
            equals(sql.push(UNDER_WAY), "COALESCE(direction, 'forward')", [direction]);
        }
        equals(sql, "cause", self.cause.as_deref());
        equals(sql, "waiting_on", self.waiting_on.as_deref());
        match self.overdue {
            Some(true) => sql.push(UNDER_WAY).push(" AND expected_by < now()"),
            Some(false) => sql.push(" AND (expected_by < now()) IS NOT TRUE"),
            None => sql,
        };
        match self.ended {
            Some(true) => sql.push(" AND state IN ('COMPLETED', 'COMPENSATED')"),
            Some(false) => sql.push(UNDER_WAY),
            None => sql,
        };
        if let Some(seconds) = self.waiting_longer_than_seconds {
            sql.push(" AND waiting_since < now() - make_interval(secs => ").push_bind(f64::from(seconds)).push(")");
        }
    }
}

impl Filter for StockFilter {
    fn push(&self, sql: &mut Builder) {
        shops(sql, &self.shops);
        equals(sql, "sku", self.sku.as_deref());
        equals(sql, "location", self.location.as_deref());
    }
}

/// The rows from the end that the slice begins at, and one more than `limit` when there are more.
async fn fetch<R, K>(
    conn: &mut PgConnection,
    (select, key): (&'static str, &'static [&'static str]),
    descending: bool,
    filter: &impl Filter,
    slice: &Slice<K>,
    bind: impl Fn(&mut Builder, &K),
) -> sqlx::Result<Vec<R>>
where
    R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    let mut sql = Builder::new(select);
    filter.push(&mut sql);
    let columns = key.join(", ");
    let (later, earlier) = if descending { ("<", ">") } else { (">", "<") };
    for (bound, comparison) in [(&slice.after, later), (&slice.before, earlier)] {
        if let Some(value) = bound {
            sql.push(" AND (").push(&columns).push(") ").push(comparison).push(" (");
            bind(&mut sql, value);
            sql.push(")");
        }
    }
    let direction = if descending ^ slice.backward { " DESC" } else { " ASC" };
    sql.push(" ORDER BY ").push(key.map_joined(direction)).push(" LIMIT ").push_bind(slice.limit + 1);
    // Not kept prepared: there are many combinations, and each is planned for its own values.
    sql.build_query_as().persistent(false).fetch_all(conn).await
}

trait MapJoined {
    fn map_joined(&self, suffix: &str) -> String;
}

impl MapJoined for [&'static str] {
    fn map_joined(&self, suffix: &str) -> String {
        self.iter().map(|column| format!("{column}{suffix}")).collect::<Vec<_>>().join(", ")
    }
}

pub(crate) async fn orders(
    conn: &mut PgConnection,
    by: (OrderKey, bool),
    filter: &OrderFilter,
    slice: &Slice<(DateTime<Utc>, Uuid)>,
) -> sqlx::Result<Vec<OrderRecord>> {
    let select = "SELECT order_id, placed_at, received_at, shop, ref AS order_ref, customer_ref, currency, digits, total, lines, \
                  charges, status, status_reason, fulfillment_status, authorized, captured, refunded, progress, customer_erased_at, updated_at, \
                  version, position FROM read.orders WHERE true";
    let (key, descending) = by;
    let columns: &[&str] = match key {
        OrderKey::PlacedAt => &["placed_at", "order_id"],
        OrderKey::UpdatedAt => &["updated_at", "order_id"],
    };
    fetch(conn, (select, columns), descending, filter, slice, |sql, (at, id)| {
        sql.push_bind(*at).push(", ").push_bind(*id);
    })
    .await
}

pub(crate) async fn fulfillments(
    conn: &mut PgConnection,
    filter: &FulfillmentFilter,
    slice: &Slice<Uuid>,
) -> sqlx::Result<Vec<FulfillmentRecord>> {
    let select = "SELECT fulfillment_id, order_id, shop, location, stage, carrier, tracking_number, lines \
                  FROM read.fulfillments WHERE true";
    fetch(conn, (select, &["fulfillment_id"]), false, filter, slice, |sql, id| {
        sql.push_bind(*id);
    })
    .await
}

pub(crate) async fn sagas(
    conn: &mut PgConnection,
    filter: &SagaFilter,
    slice: &Slice<(Uuid, i16)>,
) -> sqlx::Result<Vec<SagaRecord>> {
    let select = "SELECT saga_id, return_number, order_id, shop, state, step, attempt, cause, waiting_on, waiting_since, \
                  remaining_steps, expected_by, direction, COALESCE(expected_by < now(), false) AS overdue \
                  FROM read.sagas WHERE true";
    fetch(conn, (select, &["saga_id", "return_number"]), false, filter, slice, |sql, (id, number)| {
        sql.push_bind(*id).push(", ").push_bind(*number);
    })
    .await
}

pub(crate) async fn returns(
    conn: &mut PgConnection,
    filter: &ReturnFilter,
    slice: &Slice<(Uuid, i16)>,
) -> sqlx::Result<Vec<ReturnRecord>> {
    let select = "SELECT order_id, number, shop, location, stage, carrier, tracking_number, refund, digits, lines \
                  FROM read.returns WHERE true";
    fetch(conn, (select, &["order_id", "number"]), false, filter, slice, |sql, (order, number)| {
        sql.push_bind(*order).push(", ").push_bind(*number);
    })
    .await
}

pub(crate) async fn stock(
    conn: &mut PgConnection,
    filter: &StockFilter,
    slice: &Slice<(String, String, String)>,
) -> sqlx::Result<Vec<StockRecord>> {
    let select = "SELECT shop, sku, location, on_hand, reserved FROM read.stock WHERE true";
    fetch(conn, (select, &["sku", "shop", "location"]), false, filter, slice, |sql, (sku, shop, location)| {
        sql.push_bind(sku.clone()).push(", ").push_bind(shop.clone()).push(", ").push_bind(location.clone());
    })
    .await
}

async fn count(conn: &mut PgConnection, select: &'static str, filter: &impl Filter) -> sqlx::Result<i64> {
    let mut sql = Builder::new(select);
    filter.push(&mut sql);
    sql.build_query_scalar().persistent(false).fetch_one(conn).await
}

pub(crate) async fn count_orders(conn: &mut PgConnection, filter: &OrderFilter) -> sqlx::Result<i64> {
    count(conn, "SELECT count(*) FROM read.orders WHERE true", filter).await
}

pub(crate) async fn count_fulfillments(conn: &mut PgConnection, filter: &FulfillmentFilter) -> sqlx::Result<i64> {
    count(conn, "SELECT count(*) FROM read.fulfillments WHERE true", filter).await
}

pub(crate) async fn count_sagas(conn: &mut PgConnection, filter: &SagaFilter) -> sqlx::Result<i64> {
    count(conn, "SELECT count(*) FROM read.sagas WHERE true", filter).await
}

pub(crate) async fn count_returns(conn: &mut PgConnection, filter: &ReturnFilter) -> sqlx::Result<i64> {
    count(conn, "SELECT count(*) FROM read.returns WHERE true", filter).await
}

pub(crate) async fn count_stock(conn: &mut PgConnection, filter: &StockFilter) -> sqlx::Result<i64> {
    count(conn, "SELECT count(*) FROM read.stock WHERE true", filter).await
}
