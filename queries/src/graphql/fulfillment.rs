//! Fulfillments: what a warehouse works on.
use super::{
    connection::{Arguments, Page, Total, page},
    error::{corrupt, database, shared, text},
    loaders::{FulfillmentById, Loaders},
    order::{self, Order},
    snapshot::Snapshot,
    viewer::{sees, shops},
};
use crate::{
    projections::past::Past,
    sql::{
        list::{self, FulfillmentFilter},
        read::FulfillmentRecord,
    },
};
use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject, dataloader::DataLoader};
use domain::{FulfillmentId, OrderId};
use std::sync::Arc;

pub(super) type FulfillmentConnection = Page<Fulfillment>;

const LIST: &str = "fulfillments";

/// How far the work at a warehouse is.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum FulfillmentStage {
    ToPick,
    Picking,
    Picked,
    Packed,
    Shipped,
    /// Given back before it left.
    Cancelled,
}

/// Which fulfillments: all that is given must hold.
#[derive(Debug, Default, InputObject)]
pub(super) struct FulfillmentWhere {
    stage: Option<FulfillmentStage>,
    location: Option<String>,
    order_ref: Option<String>,
}

/// Its row, and its order as it was when that is a row of then.
pub(super) struct Fulfillment(pub(super) Arc<FulfillmentRecord>, pub(super) Option<Arc<Past>>);

/// A line of a fulfillment, in units.
#[derive(SimpleObject)]
pub(super) struct FulfillmentLine {
    /// The order's line.
    line_id: ID,
    sku: String,
    quantity: i64,
    picked: i64,
    packed: i64,
    shipped: i64,
}

/// The goods of an order at one location, released to the warehouse there.
#[Object]
impl Fulfillment {
    /// `ful_…`, as in REST.
    pub(super) async fn id(&self) -> ID {
        FulfillmentId(self.0.fulfillment_id).to_string().into()
    }

    async fn order(&self, ctx: &Context<'_>) -> Result<Order> {
        if let Some(past) = &self.1 {
            return Ok(Order::of_past(past.clone()));
        }
        let id = OrderId(self.0.order_id);
        order::by_id(ctx, id).await?.ok_or_else(|| corrupt("fulfillments.order_id", &id.to_string()))
    }

    /// The code of the location where the goods lie.
    async fn location(&self) -> &str {
        &self.0.location
    }

    async fn stage(&self) -> Result<FulfillmentStage> {
        let found = STAGES.iter().find(|(_, name)| *name == self.0.stage);
        found.map(|(stage, _)| *stage).ok_or_else(|| corrupt("fulfillments.stage", &self.0.stage))
    }

    async fn lines(&self) -> Vec<FulfillmentLine> {
        let lines = self.0.lines.0.iter().map(|line| FulfillmentLine {
            line_id: line.line_id.clone().into(),
            sku: line.sku.clone(),
            quantity: line.quantity,
            picked: line.picked,
            packed: line.packed,
            shipped: line.shipped,
        });
        lines.collect()
    }

    /// Who carries it, once that is known.
    async fn carrier(&self) -> Option<&str> {
        self.0.carrier.as_deref()
    }

    async fn tracking_number(&self) -> Option<&str> {
        self.0.tracking_number.as_deref()
    }
}

/// The fulfillment of this id, if it exists for the viewer.
pub(super) async fn by_id(ctx: &Context<'_>, id: FulfillmentId) -> Result<Option<Fulfillment>> {
    let found = ctx.data::<DataLoader<Loaders>>()?.load_one(FulfillmentById(id.0)).await.map_err(shared)?;
    match found {
        Some(fulfillment) if sees(ctx, &fulfillment.shop)? => Ok(Some(Fulfillment(fulfillment, None))),
        _ => Ok(None),
    }
}

pub(super) async fn list(
    ctx: &Context<'_>,
    filter: Option<FulfillmentWhere>,
    arguments: Arguments,
) -> Result<FulfillmentConnection> {
    let filter = filter.unwrap_or_default();
    let filter = FulfillmentFilter {
        shops: shops(ctx, None)?,
        stage: filter.stage.and_then(|stage| STAGES.iter().find(|(other, _)| *other == stage)).map(|(_, name)| *name),
        location: text("location", filter.location)?,
        order_ref: text("orderRef", filter.order_ref)?,
    };
    let slice = arguments.slice(LIST)?;
    let rows = {
        let mut conn = ctx.data::<Arc<Snapshot>>()?.read().await;
        list::fulfillments(&mut conn, &filter, &slice).await.map_err(|error| database(&error))?
    };
    let total = Total::Fulfillments(filter);
    page(&slice, rows, total, LIST, |row| row.fulfillment_id, |row| Fulfillment(Arc::new(row), None))
}

const STAGES: [(FulfillmentStage, &str); 6] = [
    (FulfillmentStage::ToPick, "TO_PICK"),
    (FulfillmentStage::Picking, "PICKING"),
    (FulfillmentStage::Picked, "PICKED"),
    (FulfillmentStage::Packed, "PACKED"),
    (FulfillmentStage::Shipped, "SHIPPED"),
    (FulfillmentStage::Cancelled, "CANCELLED"),
];
