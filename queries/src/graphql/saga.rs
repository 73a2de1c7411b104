//! Sagas: the processes that carry orders out, for whoever watches over them.
use super::{
    connection::{Arguments, Page, Total, page},
    error::{bad_input, corrupt, database, shared, text},
    loaders::{Loaders, SagaById},
    order::{self, Order},
    returned::{self, Return},
    scalars::DateTime,
    snapshot::Snapshot,
    viewer::{sees, shops},
};
use crate::{
    projections::{past::Past, sagas::SagaKey},
    sql::{
        list::{self, Kind, SagaFilter},
        read::SagaRecord,
    },
};
use async_graphql::{Context, Enum, ID, InputObject, Object, Result, dataloader::DataLoader};
use domain::{
    OrderId, fulfillment, returns,
    saga::{SagaRef, Which},
};
use std::sync::Arc;

pub(super) type SagaConnection = Page<Saga>;

const LIST: &str = "sagas";

/// How a saga is doing.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum SagaState {
    /// Acting, or about to.
    Running,
    /// For someone who takes their time, or for a participant that does not answer.
    Waiting,
    /// For a person: an incident.
    Paused,
    /// Undoing what was done.
    Compensating,
    /// Ended well.
    Completed,
    /// Ended with everything undone.
    Compensated,
}

/// Which way a saga goes.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum SagaDirection {
    /// Its steps are being done.
    Forward,
    /// They are being undone.
    Compensate,
}

/// Which sagas: all that is given must hold.
#[derive(Debug, Default, InputObject)]
pub(super) struct SagaWhere {
    /// `fulfillment` or `return`.
    saga: Option<String>,
    state: Option<SagaState>,
    /// For example `authorize_payment`.
    step: Option<String>,
    direction: Option<SagaDirection>,
    /// For example `retries_exhausted`.
    cause: Option<String>,
    /// For example `payment`.
    waiting_on: Option<String>,
    /// It waits longer than expected. One that waits for an operator is not overdue: it is an incident.
    overdue: Option<bool>,
    /// Completed, or compensated.
    ended: Option<bool>,
    shop: Option<ID>,
    /// It has waited for the same one at the same step for longer than this.
    waiting_longer_than_seconds: Option<i32>,
}

/// Its row, and its order as it was when that is a row of then.
pub(super) struct Saga(pub(super) Arc<SagaRecord>, pub(super) Option<Arc<Past>>);

/// The process that carries an order out, or takes back what is returned of it, step by step.
#[Object]
impl Saga {
    /// `sag_…`, or the return's own `ret_…`, as in REST.
    pub(super) async fn id(&self) -> ID {
        SagaRef { order: OrderId(self.0.order_id), which: self.0.key().which() }.to_string().into()
    }

    /// Its definition: `fulfillment` or `return`.
    async fn saga(&self) -> &str {
        match self.0.key().which() {
            Which::Fulfillment => fulfillment::DEFINITION.saga,
            Which::Return(_) => returns::DEFINITION.saga,
        }
    }

    /// The return that it carries out; null when it carries out the order.
    #[graphql(name = "return")]
    async fn of_return(&self, ctx: &Context<'_>) -> Result<Option<Return>> {
        match self.0.key().which() {
            Which::Fulfillment => Ok(None),
            Which::Return(number) => returned::of_saga(ctx, OrderId(self.0.order_id), number, self.1.as_ref()).await,
        }
    }

    async fn order(&self, ctx: &Context<'_>) -> Result<Order> {
        if let Some(past) = &self.1 {
            return Ok(Order::of_past(past.clone()));
        }
        let id = OrderId(self.0.order_id);
        order::by_id(ctx, id).await?.ok_or_else(|| corrupt("sagas.order_id", &id.to_string()))
    }

    async fn state(&self) -> Result<SagaState> {
        let found = STATES.iter().find(|(_, name)| *name == self.0.state);
        found.map(|(state, _)| *state).ok_or_else(|| corrupt("sagas.state", &self.0.state))
    }

    /// The step that it is at; while it compensates, the one that it undoes. For example `authorize_payment`.
    async fn step(&self) -> &str {
        &self.0.step
    }

    /// Which attempt of the step this is, from 1.
    async fn attempt(&self) -> i32 {
        self.0.attempt
    }

    /// Which way it goes; null once it has ended.
    async fn direction(&self) -> Result<Option<SagaDirection>> {
        self.0.direction.as_deref().map(direction).transpose()
    }

    /// Why it tries again or is paused, for example `unavailable` or `capture_declined`.
    async fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// `inventory`, `payment`, `shipping`, `warehouse`, `support`, `operator`, or `definition`: a build that knows its definition. Null when it waits for no
    /// one: its next move is its own.
    async fn waiting_on(&self) -> Option<&str> {
        self.0.waiting_on.as_deref()
    }

    /// Since when it waits for the same one at the same step; null once it has ended.
    async fn waiting_since(&self) -> Option<DateTime> {
        self.0.waiting_since.map(DateTime)
    }

    /// Until when that is as expected; null when it waits for an operator, and once it has ended.
    async fn expected_by(&self) -> Option<DateTime> {
        self.0.expected_by.map(DateTime)
    }

    /// It waits longer than expected.
    async fn overdue(&self) -> bool {
        self.0.overdue
    }

    /// The steps still to be taken, or while it compensates still to be undone, the current one first.
    async fn remaining_steps(&self) -> &[String] {
        &self.0.remaining_steps
    }
}

/// This saga, if it exists for the viewer.
pub(super) async fn by_key(ctx: &Context<'_>, key: SagaKey) -> Result<Option<Saga>> {
    let found = ctx.data::<DataLoader<Loaders>>()?.load_one(SagaById(key)).await.map_err(shared)?;
    match found {
        Some(saga) if sees(ctx, &saga.shop)? => Ok(Some(Saga(saga, None))),
        _ => Ok(None),
    }
}

fn kind(name: &str) -> Kind {
    match name {
        name if name == fulfillment::DEFINITION.saga => Kind::Fulfillment,
        name if name == returns::DEFINITION.saga => Kind::Return,
        _ => Kind::Unknown,
    }
}

pub(super) async fn list(ctx: &Context<'_>, filter: Option<SagaWhere>, arguments: Arguments) -> Result<SagaConnection> {
    let filter = filter.unwrap_or_default();
    if filter.waiting_longer_than_seconds.is_some_and(|seconds| seconds < 0) {
        return Err(bad_input("waitingLongerThanSeconds must not be below 0"));
    }
    let filter = SagaFilter {
        shops: shops(ctx, text("shop", filter.shop.map(|id| id.0))?.as_deref())?,
        kind: text("saga", filter.saga)?.as_deref().map(kind),
        state: filter.state.and_then(|state| STATES.iter().find(|(other, _)| *other == state)).map(|(_, name)| *name),
        step: text("step", filter.step)?,
        direction: filter.direction.map(|way| direction_name(way).to_owned()),
        cause: text("cause", filter.cause)?,
        waiting_on: text("waitingOn", filter.waiting_on)?,
        overdue: filter.overdue,
        ended: filter.ended,
        waiting_longer_than_seconds: filter.waiting_longer_than_seconds,
    };
    page_of(ctx, filter, &arguments, Total::Sagas).await
}

/// The sagas of a filter; `total` says how they are counted.
pub(super) async fn page_of(
    ctx: &Context<'_>,
    filter: SagaFilter,
    arguments: &Arguments,
    total: impl FnOnce(SagaFilter) -> Total,
) -> Result<SagaConnection> {
    let slice = arguments.slice(LIST)?;
    let rows = {
        let mut conn = ctx.data::<Arc<Snapshot>>()?.read().await;
        list::sagas(&mut conn, &filter, &slice).await.map_err(|error| database(&error))?
    };
    page(&slice, rows, total(filter), LIST, |row| (row.saga_id, row.return_number), |row| Saga(Arc::new(row), None))
}

pub(super) fn direction(name: &str) -> Result<SagaDirection> {
    match name {
        "forward" => Ok(SagaDirection::Forward),
        "compensate" => Ok(SagaDirection::Compensate),
        other => Err(corrupt("sagas.direction", other)),
    }
}

fn direction_name(direction: SagaDirection) -> &'static str {
    match direction {
        SagaDirection::Forward => "forward",
        SagaDirection::Compensate => "compensate",
    }
}

const STATES: [(SagaState, &str); 6] = [
    (SagaState::Running, "RUNNING"),
    (SagaState::Waiting, "WAITING"),
    (SagaState::Paused, "PAUSED"),
    (SagaState::Compensating, "COMPENSATING"),
    (SagaState::Completed, "COMPLETED"),
    (SagaState::Compensated, "COMPENSATED"),
];
