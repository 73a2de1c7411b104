//! Incidents: paused sagas, grouped by what they stopped at and why, so that what has one cause is settled at once.
use super::{
    connection::{Arguments, Cost, Total, cost as page_cost},
    error::{database, text},
    saga::{SagaConnection, SagaDirection, direction, page_of},
    scalars::DateTime,
    snapshot::Snapshot,
    viewer::shops,
};
use crate::sql::{
    incidents::{self, Group},
    list::SagaFilter,
};
use async_graphql::{Context, ID, Object, Result};
use std::sync::Arc;

/// Groups told at once; what has more causes than these has none in common.
const MAX_GROUPS: i64 = 100;

/// Paused sagas that stopped at the same step, on the same way, for the same cause.
pub(super) struct IncidentGroup {
    group: Group,
    shops: Vec<String>,
}

/// Paused sagas that stopped at the same step, on the same way, for the same cause.
#[Object]
impl IncidentGroup {
    /// A code, for example `capture_declined` or `retries_exhausted`.
    async fn cause(&self) -> &str {
        &self.group.cause
    }

    /// For example `capture_payment`.
    async fn step(&self) -> &str {
        &self.group.step
    }

    async fn direction(&self) -> Result<SagaDirection> {
        direction(&self.group.direction)
    }

    /// How many there are.
    async fn count(&self) -> i64 {
        self.group.count
    }

    /// Since when the first of them needs a person.
    async fn oldest_since(&self) -> Option<DateTime> {
        self.group.oldest_since.map(DateTime)
    }

    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn sagas(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<SagaConnection> {
        let Group { step, cause, direction: way, count, .. } = &self.group;
        let filter = SagaFilter {
            shops: self.shops.clone(),
            state: Some("PAUSED"),
            step: Some(step.clone()),
            direction: Some(way.clone()),
            cause: Some(cause.clone()),
            ..SagaFilter::default()
        };
        page_of(ctx, filter, &Arguments { first, after, last, before }, |_| Total::Known(*count)).await
    }
}

pub(super) async fn groups(ctx: &Context<'_>, shop: Option<ID>) -> Result<Vec<IncidentGroup>> {
    let shops = shops(ctx, text("shop", shop.map(|id| id.0))?.as_deref())?;
    let groups = {
        let mut conn = ctx.data::<Arc<Snapshot>>()?.read().await;
        incidents::groups(&mut conn, &shops, MAX_GROUPS).await.map_err(|error| database(&error))?
    };
    Ok(groups.into_iter().map(|group| IncidentGroup { group, shops: shops.clone() }).collect())
}

/// All groups that there may be.
pub(super) fn cost(of_each: Cost) -> Cost {
    usize::try_from(MAX_GROUPS).unwrap_or(0).saturating_mul(of_each).saturating_add(1)
}
