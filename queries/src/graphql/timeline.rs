//! An order's timeline: all that happened to it, in plain words.
use super::{
    connection::{self, Arguments, Cost, Page, Total, page},
    loaders::{Loaders, StoryOf},
    scalars::{DateTime, Position},
};
use crate::{
    narrative::Entry,
    projections::past::Past,
    sql::{list::Slice, read::OrderRecord},
};
use async_graphql::{
    Context, ID, Object, OutputType, Result,
    connection::{ConnectionNameType, EdgeNameType},
    dataloader::DataLoader,
};
use domain::OrderId;
use eventstore::Position as LogPosition;
use std::sync::Arc;

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

pub(super) struct TimelineEntry(Arc<Entry>);

/// One thing that happened to an order.
#[Object]
impl TimelineEntry {
    /// Its place in the log.
    async fn position(&self) -> Position {
        Position(self.0.position.0)
    }

    /// When it was recorded.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// The event's type, for example `OrderPlaced`.
    #[graphql(name = "type")]
    async fn event_type(&self) -> &str {
        self.0.event_type
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
        self.0.actor_kind
    }

    async fn order_id(&self) -> ID {
        OrderId(self.0.order_id).to_string().into()
    }
}

/// Of the order as its row shows it, or as it was.
pub(super) async fn of(
    ctx: &Context<'_>,
    row: &OrderRecord,
    past: Option<&Past>,
    arguments: Arguments,
) -> Result<TimelineConnection> {
    let slice: Slice<i64> = arguments.slice(LIST)?;
    let story = match past {
        Some(past) => past.timeline.clone(),
        None => {
            let wanted = StoryOf { order: row.order_id, upto: LogPosition(row.position) };
            ctx.data::<DataLoader<Loaders>>()?.load_one(wanted).await?.unwrap_or_default()
        }
    };
    let total = Total::Known(story.len() as i64);
    page(&slice, part(&story, &slice), total, LIST, |entry| entry.position.0, TimelineEntry)
}

/// The part that is asked for, and one more when there are more.
fn part(story: &[Arc<Entry>], slice: &Slice<i64>) -> Vec<Arc<Entry>> {
    let (after, before) = (slice.after.unwrap_or(0), slice.before.unwrap_or(i64::MAX));
    let within = story.iter().filter(|entry| entry.position.0 > after && entry.position.0 < before).cloned();
    let limit = usize::try_from(slice.limit).unwrap_or(0) + 1;
    if slice.backward { within.rev().take(limit).collect() } else { within.take(limit).collect() }
}

/// Its whole history is read, whatever the page.
pub(super) fn cost(first: Option<i32>, last: Option<i32>, of_each: Cost) -> Cost {
    const OF_A_HISTORY: Cost = 20;
    connection::cost(first, last, of_each).saturating_add(OF_A_HISTORY)
}
