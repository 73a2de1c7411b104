//! Returns: goods that come back, for the shop that is asked about them and the warehouse that takes them in.
use super::{
    connection::{Arguments, Cost, Page, Total, page},
    error::{corrupt, database, shared, text},
    loaders::{Loaders, ReturnById},
    order::{self, Order},
    saga::{self, Saga},
    scalars::Decimal,
    snapshot::Snapshot,
    viewer::{sees, shops},
};
use crate::{
    projections::{
        past::Past,
        sagas::{SagaKey, return_number},
    },
    sql::{
        list::{self, ReturnFilter},
        read::ReturnRecord,
    },
};
use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject, dataloader::DataLoader};
use domain::{OrderId, ReturnId, returns::Stage, saga::Which};
use std::sync::Arc;

pub(super) type ReturnConnection = Page<Return>;

const LIST: &str = "returns";
/// Returns that an order has at most, but for the rarest.
const OF_AN_ORDER: Cost = 10;

/// How far a return is.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum ReturnStage {
    /// Support has to approve or reject it.
    Requested,
    /// A label is being bought.
    Approved,
    /// The customer can send it; the warehouse waits for it.
    InTransit,
    /// Someone has to look at what came.
    Received,
    /// The money is given back next, if there is any to give back.
    Inspected,
    Refunded,
    /// What was found good is for sale again.
    Completed,
    /// Nothing will come back; the label is being given back.
    Closing,
    /// Rejected, cancelled or undeliverable.
    Closed,
}

/// Which returns: all that is given must hold.
#[derive(Debug, Default, InputObject)]
pub(super) struct ReturnWhere {
    /// For the warehouse: `IN_TRANSIT` is to be received, `RECEIVED` to be inspected.
    stage: Option<ReturnStage>,
    /// Where the goods came from, and go back to.
    location: Option<String>,
    order_ref: Option<String>,
    shop: Option<ID>,
}

/// Its row, and its order as it was when that is a row of then.
pub(super) struct Return(pub(super) Arc<ReturnRecord>, pub(super) Option<Arc<Past>>);

/// A line of a return, in units; what is not known yet is 0.
#[derive(SimpleObject)]
pub(super) struct ReturnLine {
    /// The order's line.
    line_id: ID,
    sku: String,
    /// To come back.
    quantity: i64,
    /// Came back.
    received: i64,
    /// Found as good as new: for sale again once the return is completed.
    restocked: i64,
    /// Taken back and lost.
    written_off: i64,
    /// Not taken back, and not refunded.
    refused: i64,
}

/// What the customer sends it back with.
#[derive(SimpleObject)]
pub(super) struct ReturnLabel {
    carrier: String,
    tracking_number: String,
}

/// Goods of a completed order that are to come back, or have.
#[Object]
impl Return {
    /// `ret_…`, as in REST; its saga has the same.
    pub(super) async fn id(&self) -> ID {
        ReturnId { order: self.0.order_id, number: self.number_of() }.to_string().into()
    }

    async fn order(&self, ctx: &Context<'_>) -> Result<Order> {
        if let Some(past) = &self.1 {
            return Ok(Order::of_past(past.clone()));
        }
        let id = OrderId(self.0.order_id);
        order::by_id(ctx, id).await?.ok_or_else(|| corrupt("returns.order_id", &id.to_string()))
    }

    /// Within the order, from 1.
    async fn number(&self) -> i32 {
        i32::from(self.0.number)
    }

    async fn stage(&self) -> Result<ReturnStage> {
        let found = STAGES.iter().find(|(_, stage)| stage.name() == self.0.stage);
        found.map(|(stage, _)| *stage).ok_or_else(|| corrupt("returns.stage", &self.0.stage))
    }

    /// The code of the location where the goods came from, and go back to.
    async fn location(&self) -> &str {
        &self.0.location
    }

    async fn lines(&self) -> Vec<ReturnLine> {
        let lines = self.0.lines.0.iter().map(|line| ReturnLine {
            line_id: line.line_id.clone().into(),
            sku: line.sku.clone(),
            quantity: line.quantity,
            received: line.received,
            restocked: line.restocked,
            written_off: line.written_off,
            refused: line.refused,
        });
        lines.collect()
    }

    /// Null before it is bought, and once it is given back.
    async fn label(&self) -> Option<ReturnLabel> {
        let (carrier, tracking_number) = (self.0.carrier.clone()?, self.0.tracking_number.clone()?);
        Some(ReturnLabel { carrier, tracking_number })
    }

    /// What the customer gets, or got, back for it, in the order's currency; null until it is inspected.
    async fn refund(&self) -> Option<Decimal> {
        self.0.refund.map(|minor| Decimal::new(minor, self.0.digits))
    }

    /// The process that carries it out.
    async fn saga(&self, ctx: &Context<'_>) -> Result<Saga> {
        let key = SagaKey::of(OrderId(self.0.order_id), Which::Return(self.number_of()));
        let found = match &self.1 {
            Some(past) => {
                let of_then = past.returns.iter().find(|(row, _)| row.number == self.0.number);
                of_then.map(|(_, saga)| Saga(saga.clone(), Some(past.clone())))
            }
            None => saga::by_key(ctx, key).await?,
        };
        found.ok_or_else(|| corrupt("returns.number", &self.0.number.to_string()))
    }
}

impl Return {
    fn number_of(&self) -> u16 {
        self.0.number.unsigned_abs()
    }
}

/// The return of this id, if it exists for the viewer.
pub(super) async fn by_id(ctx: &Context<'_>, id: ReturnId) -> Result<Option<Return>> {
    let key = ReturnById(id.order, return_number(id.number));
    let found = ctx.data::<DataLoader<Loaders>>()?.load_one(key).await.map_err(shared)?;
    match found {
        Some(found) if sees(ctx, &found.shop)? => Ok(Some(Return(found, None))),
        _ => Ok(None),
    }
}

/// The return of a saga; of then, when that is one of then.
pub(super) async fn of_saga(
    ctx: &Context<'_>,
    order: OrderId,
    number: u16,
    past: Option<&Arc<Past>>,
) -> Result<Option<Return>> {
    match past {
        Some(past) => {
            let of_then = past.returns.iter().find(|(row, _)| row.number == return_number(number));
            Ok(of_then.map(|(row, _)| Return(row.clone(), Some(past.clone()))))
        }
        None => by_id(ctx, order.returned(number)).await,
    }
}

pub(super) async fn list(
    ctx: &Context<'_>,
    filter: Option<ReturnWhere>,
    arguments: Arguments,
) -> Result<ReturnConnection> {
    let filter = filter.unwrap_or_default();
    let name = |stage| STAGES.iter().find(|(other, _)| *other == stage).map(|(_, stage)| stage.name());
    let filter = ReturnFilter {
        shops: shops(ctx, text("shop", filter.shop.map(|id| id.0))?.as_deref())?,
        stage: filter.stage.and_then(name),
        location: text("location", filter.location)?,
        order_ref: text("orderRef", filter.order_ref)?,
    };
    let slice = arguments.slice(LIST)?;
    let rows = {
        let mut conn = ctx.data::<Arc<Snapshot>>()?.read().await;
        list::returns(&mut conn, &filter, &slice).await.map_err(|error| database(&error))?
    };
    let key = |row: &ReturnRecord| (row.order_id, row.number);
    page(&slice, rows, Total::Returns(filter), LIST, key, |row| Return(Arc::new(row), None))
}

pub(super) fn cost_of_an_order_s(of_each: Cost) -> Cost {
    OF_AN_ORDER.saturating_mul(of_each).saturating_add(1)
}

const STAGES: [(ReturnStage, Stage); 9] = [
    (ReturnStage::Requested, Stage::Requested),
    (ReturnStage::Approved, Stage::Approved),
    (ReturnStage::InTransit, Stage::InTransit),
    (ReturnStage::Received, Stage::Received),
    (ReturnStage::Inspected, Stage::Inspected),
    (ReturnStage::Refunded, Stage::Refunded),
    (ReturnStage::Completed, Stage::Completed),
    (ReturnStage::Closing, Stage::Closing),
    (ReturnStage::Closed, Stage::Closed),
];
