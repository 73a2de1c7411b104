//! An order and all that hangs on it.
use super::{
    connection::Arguments,
    error::{corrupt, shared},
    fulfillment::Fulfillment,
    loaders::{FulfillmentsOf, Loaders, OrderById, ParkedOf, ReturnsOf, SagaOf},
    returned::{self, Return},
    saga::Saga,
    scalars::{DateTime, Decimal, Position},
    timeline::{self, TimelineConnection},
    viewer::sees,
};
use crate::{
    projections::{orders::Progress, past::Past},
    sql::read::OrderRecord,
};
use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject, dataloader::DataLoader};
use domain::OrderId;
use std::sync::Arc;

/// Where an order stands, in a word.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum OrderStatus {
    /// Accepted; nothing is set aside yet.
    Placed,
    /// Someone has to decide before it goes on.
    OnHold,
    /// Waits for goods to come in.
    Backordered,
    /// All goods are set aside.
    Allocated,
    /// The payment is authorized.
    Authorized,
    /// The warehouse may pick, pack and ship.
    Released,
    /// Some goods have left.
    PartiallyShipped,
    /// All goods have left; the payment is not captured yet.
    Shipped,
    /// Shipped, and paid for if there was anything to pay.
    Completed,
    /// Being undone.
    Cancelling,
    /// Undone: nothing is set aside, nothing is charged.
    Cancelled,
}

/// How much of an order's payment is authorized.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum AuthorizeStatus {
    None,
    Partial,
    Full,
}

/// How much of an order's total the customer was charged, refunds taken off.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum ChargeStatus {
    None,
    Partial,
    Full,
    Overcharged,
}

/// How much of an order has left.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum FulfillmentStatus {
    Unfulfilled,
    Partial,
    Fulfilled,
}

/// Its row, and what hung on it when that is a row of then.
pub(super) struct Order(pub(super) Arc<OrderRecord>, Option<Arc<Past>>);

/// A line of an order.
#[derive(SimpleObject)]
pub(super) struct OrderLine {
    /// Unique within the order.
    id: ID,
    sku: String,
    quantity: i64,
    /// What is paid for the whole line.
    line_total: Decimal,
    /// Units set aside now and not yet shipped.
    reserved: i64,
    /// Units that have left.
    shipped: i64,
    /// Units that will not be shipped any more.
    cancelled: i64,
}

/// What is paid besides the lines. As given: a `discount` or `gift_card` lowers the total though it has no sign.
#[derive(SimpleObject)]
pub(super) struct Charge {
    /// `shipping`, `tax`, `fee`, `discount` or `gift_card`.
    kind: String,
    amount: Decimal,
    /// The line that it belongs to, if it belongs to one.
    line_id: Option<ID>,
}

/// Why an order is shown as it was before an event.
#[derive(SimpleObject)]
pub(super) struct Parked {
    /// Of the event that can't be taken in; it and all later ones of the order are not shown.
    position: Position,
    /// For an operator.
    cause: String,
    since: DateTime,
}

/// What happened to an order's money.
#[derive(SimpleObject)]
pub(super) struct Payment {
    authorize_status: AuthorizeStatus,
    charge_status: ChargeStatus,
    /// What is or was held for capture, and not given back.
    authorized: Decimal,
    /// What the customer was charged.
    captured: Decimal,
    /// What the customer got back.
    refunded: Decimal,
}

/// An order as a shop placed it, and where it stands.
#[Object]
impl Order {
    /// `ord_…`, as in REST.
    pub(super) async fn id(&self) -> ID {
        OrderId(self.0.order_id).to_string().into()
    }

    /// The shop's own name for it, unique within the shop.
    #[graphql(name = "ref")]
    async fn order_ref(&self) -> &str {
        &self.0.order_ref
    }

    /// The shop's id.
    async fn shop(&self) -> ID {
        self.0.shop.clone().into()
    }

    /// Where it stands, in a word.
    async fn status(&self) -> Result<OrderStatus> {
        status_of(&self.0.status)
    }

    /// Why it stands there, for example `out_of_stock`, `payment_declined` or `capture_declined`; null when there is nothing to explain.
    async fn status_reason(&self) -> Option<&str> {
        self.0.status_reason.as_deref()
    }

    /// When the customer placed it, as the shop says.
    async fn placed_at(&self) -> DateTime {
        DateTime(self.0.placed_at)
    }

    /// When we received it.
    async fn received_at(&self) -> DateTime {
        DateTime(self.0.received_at)
    }

    /// When something last happened to it.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// The shop's own name for the customer.
    async fn customer_ref(&self) -> &str {
        &self.0.customer_ref
    }

    /// When the customer's personal data was erased; null as long as it is kept.
    async fn customer_erased_at(&self) -> Option<DateTime> {
        self.0.customer_erased_at.map(DateTime)
    }

    /// ISO 4217; all amounts of the order are in it.
    async fn currency(&self) -> &str {
        &self.0.currency
    }

    /// Lines and charges in all.
    async fn total(&self) -> Decimal {
        self.decimal(self.0.total)
    }

    async fn lines(&self) -> Vec<OrderLine> {
        let progress = self.0.progress.0.iter().copied().chain(std::iter::repeat(Progress::default()));
        let lines =
            self.0.lines.0.iter().zip(progress).map(|(line, Progress(reserved, shipped, cancelled))| OrderLine {
                id: line.id.clone().into(),
                sku: line.sku.clone(),
                quantity: line.quantity,
                line_total: self.decimal(line.line_total),
                reserved,
                shipped,
                cancelled,
            });
        lines.collect()
    }

    async fn charges(&self) -> Vec<Charge> {
        let charges = self.0.charges.0.iter().map(|charge| Charge {
            kind: charge.kind.clone(),
            amount: self.decimal(charge.amount),
            line_id: charge.line_id.clone().map(ID::from),
        });
        charges.collect()
    }

    /// Null when there is nothing to pay.
    async fn payment(&self) -> Option<Payment> {
        let OrderRecord { total, authorized, captured, refunded, .. } = *self.0;
        (total > 0).then(|| Payment {
            authorize_status: match authorized {
                ..=0 => AuthorizeStatus::None,
                _ if authorized < total => AuthorizeStatus::Partial,
                _ => AuthorizeStatus::Full,
            },
            charge_status: match captured - refunded {
                ..=0 => ChargeStatus::None,
                charged if charged < total => ChargeStatus::Partial,
                charged if charged == total => ChargeStatus::Full,
                _ => ChargeStatus::Overcharged,
            },
            authorized: self.decimal(authorized),
            captured: self.decimal(captured),
            refunded: self.decimal(refunded),
        })
    }

    /// How much of it has left.
    async fn fulfillment_status(&self) -> Result<FulfillmentStatus> {
        match self.0.fulfillment_status.as_str() {
            "UNFULFILLED" => Ok(FulfillmentStatus::Unfulfilled),
            "PARTIAL" => Ok(FulfillmentStatus::Partial),
            "FULFILLED" => Ok(FulfillmentStatus::Fulfilled),
            other => Err(corrupt("orders.fulfillment_status", other)),
        }
    }

    /// The goods by location, once they are released to a warehouse.
    #[graphql(complexity = "1 + 2 * child_complexity")]
    async fn fulfillments(&self, ctx: &Context<'_>) -> Result<Vec<Fulfillment>> {
        if let Some(past) = &self.1 {
            return Ok(past.fulfillments.iter().map(|row| Fulfillment(row.clone(), Some(past.clone()))).collect());
        }
        let found =
            ctx.data::<DataLoader<Loaders>>()?.load_one(FulfillmentsOf(self.0.order_id)).await.map_err(shared)?;
        Ok(found.unwrap_or_default().into_iter().map(|row| Fulfillment(row, None)).collect())
    }

    /// The process that carries it out.
    async fn saga(&self, ctx: &Context<'_>) -> Result<Option<Saga>> {
        if let Some(past) = &self.1 {
            return Ok(Some(Saga(past.saga.clone(), Some(past.clone()))));
        }
        let found = ctx.data::<DataLoader<Loaders>>()?.load_one(SagaOf(self.0.order_id)).await.map_err(shared)?;
        Ok(found.map(|row| Saga(row, None)))
    }

    /// What is to come back of it, or has, the earliest first.
    #[graphql(complexity = "returned::cost_of_an_order_s(child_complexity)")]
    async fn returns(&self, ctx: &Context<'_>) -> Result<Vec<Return>> {
        if let Some(past) = &self.1 {
            return Ok(past.returns.iter().map(|(row, _)| Return(row.clone(), Some(past.clone()))).collect());
        }
        let found = ctx.data::<DataLoader<Loaders>>()?.load_one(ReturnsOf(self.0.order_id)).await.map_err(shared)?;
        Ok(found.unwrap_or_default().into_iter().map(|row| Return(row, None)).collect())
    }

    /// All that happened to it, in plain words, the earliest first.
    #[graphql(complexity = "timeline::cost(first, last, child_complexity)")]
    async fn timeline(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<TimelineConnection> {
        timeline::of(ctx, &self.0, self.1.as_deref(), Arguments { first, after, last, before }).await
    }

    /// Set when what is said here is not all that happened: an event of the order can't be taken in, and until an operator has seen to it the
    /// order is shown as it was before. Null as a rule, and for an order of then.
    async fn parked(&self, ctx: &Context<'_>) -> Result<Option<Parked>> {
        if self.1.is_some() {
            return Ok(None);
        }
        let found = ctx.data::<DataLoader<Loaders>>()?.load_one(ParkedOf(self.0.order_id)).await.map_err(shared)?;
        Ok(found.map(|row| Parked {
            position: Position(row.position),
            cause: row.cause,
            since: DateTime(row.parked_at),
        }))
    }

    /// How many events the order's own stream holds, as in REST.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// The last event that this reflects.
    async fn position(&self) -> Position {
        Position(self.0.position)
    }
}

impl Order {
    pub(super) fn of_now(row: Arc<OrderRecord>) -> Order {
        Order(row, None)
    }

    pub(super) fn of_past(past: Arc<Past>) -> Order {
        Order(past.order.clone(), Some(past))
    }

    fn decimal(&self, minor: i64) -> Decimal {
        Decimal::new(minor, self.0.digits)
    }
}

/// The order of this id, if it exists for the viewer.
pub(super) async fn by_id(ctx: &Context<'_>, id: OrderId) -> Result<Option<Order>> {
    let found = ctx.data::<DataLoader<Loaders>>()?.load_one(OrderById(id.0)).await.map_err(shared)?;
    match found {
        Some(order) if sees(ctx, &order.shop)? => Ok(Some(Order::of_now(order))),
        _ => Ok(None),
    }
}

const STATUSES: [(OrderStatus, &str); 11] = [
    (OrderStatus::Placed, "PLACED"),
    (OrderStatus::OnHold, "ON_HOLD"),
    (OrderStatus::Backordered, "BACKORDERED"),
    (OrderStatus::Allocated, "ALLOCATED"),
    (OrderStatus::Authorized, "AUTHORIZED"),
    (OrderStatus::Released, "RELEASED"),
    (OrderStatus::PartiallyShipped, "PARTIALLY_SHIPPED"),
    (OrderStatus::Shipped, "SHIPPED"),
    (OrderStatus::Completed, "COMPLETED"),
    (OrderStatus::Cancelling, "CANCELLING"),
    (OrderStatus::Cancelled, "CANCELLED"),
];

fn status_of(name: &str) -> Result<OrderStatus> {
    let found = STATUSES.iter().find(|(_, other)| *other == name);
    found.map(|(status, _)| *status).ok_or_else(|| corrupt("orders.status", name))
}

pub(super) fn status_name(status: OrderStatus) -> &'static str {
    STATUSES.iter().find(|(other, _)| *other == status).map_or("", |(_, name)| name)
}
