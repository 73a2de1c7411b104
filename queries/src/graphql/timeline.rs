//! An order's timeline: all that happened to it, in plain words.
use super::{
    as_of,
    connection::{Arguments, Page, Total, page},
    error::shared,
    loaders::{Loaders, Part, TimelineCountOf, TimelineOf},
    scalars::{DateTime, Position},
};
use crate::{
    projections::past::Past,
    sql::{list::Slice, read::TimelineRecord},
};
use async_graphql::{
    Context, ID, Object, OutputType, Result,
    connection::{ConnectionNameType, EdgeNameType},
    dataloader::DataLoader,
};
use domain::OrderId;
use std::sync::Arc;
use uuid::Uuid;

const LIST: &str = "timeline";

pub(super) type TimelineConnection = Page<TimelineEntry, Named, Named>;

/// Named after the list, not after its entries.
pub(super) struct Named;

impl ConnectionNameType for Named {
    fn type_name<T: OutputType>() -> String {
        "TimelineConnection".to_owned()
    }
}

impl EdgeNameType for Named {
    fn type_name<T: OutputType>() -> String {
        "TimelineEdge".to_owned()
    }
}

pub(super) struct TimelineEntry(Arc<TimelineRecord>);

/// One thing that happened to an order.
#[Object]
impl TimelineEntry {
    /// Its place in the log.
    async fn position(&self) -> Position {
        Position(self.0.position)
    }

    /// When it was recorded.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// The event's type, for example `OrderPlaced`.
    #[graphql(name = "type")]
    async fn event_type(&self) -> &str {
        &self.0.event_type
    }

    /// What happened, in a plain sentence.
    async fn summary(&self) -> &str {
        &self.0.summary
    }

    /// Who did it, in words, for example `shop dev`.
    async fn actor(&self) -> &str {
        &self.0.actor
    }

    /// `shop`, `warehouse`, `support`, `operator`, `saga`, `provider` or `system`.
    async fn actor_kind(&self) -> &str {
        &self.0.actor_kind
    }

    async fn order_id(&self) -> ID {
        OrderId(self.0.order_id).to_string().into()
    }
}

/// Of the order as it is, or as it was.
pub(super) async fn of(
    ctx: &Context<'_>,
    order: Uuid,
    past: Option<&Past>,
    arguments: Arguments,
) -> Result<TimelineConnection> {
    let slice: Slice<i64> = arguments.slice(LIST)?;
    if let Some(past) = past {
        let total = Total::Known(past.timeline.len() as i64);
        return page(&slice, as_of::timeline(past, &slice), total, LIST, |row| row.position, TimelineEntry);
    }
    let part = Part {
        after: slice.after.unwrap_or(0),
        before: slice.before.unwrap_or(i64::MAX),
        limit: slice.limit,
        backward: slice.backward,
    };
    let found = ctx.data::<DataLoader<Loaders>>()?.load_one(TimelineOf { order, part }).await.map_err(shared)?;
    page(&slice, found.unwrap_or_default(), Total::Timeline(order), LIST, |row| row.position, TimelineEntry)
}

pub(super) async fn count(ctx: &Context<'_>, order: Uuid) -> Result<i64> {
    let found = ctx.data::<DataLoader<Loaders>>()?.load_one(TimelineCountOf(order)).await.map_err(shared)?;
    Ok(found.unwrap_or(0))
}
