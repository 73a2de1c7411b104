//! How an order stands, now or once it has ended: the body that most routes of an order answer with, and the wait before it.
use super::{App, problem::Problem};
use crate::{
    history::History,
    outcomes::{OutcomeView, Subscription, Waited},
};
use domain::{OrderId, StreamKind, fulfillment::OrderStatus};
use eventstore::Position;
use serde::Serialize;
use std::{borrow::Cow, time::Duration};
use tokio::time::Instant;

/// `{"order_id","order_ref","status","status_reason","position","version"}`.
#[derive(Debug, Serialize)]
pub(crate) struct OrderBody<'a> {
    pub(crate) order_id: OrderId,
    pub(crate) order_ref: &'a str,
    pub(crate) status: &'static str,
    pub(crate) status_reason: Option<Cow<'a, str>>,
    #[serde(serialize_with = "as_text")]
    pub(crate) position: Position,
    pub(crate) version: i32,
}

fn as_text<S: serde::Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

impl OrderBody<'_> {
    /// As the history tells it: the position of its last event, the version of its own stream.
    pub(crate) fn of(history: &History) -> OrderBody<'_> {
        OrderBody {
            order_id: history.order,
            order_ref: history.fulfillment.order.placed.as_ref().map_or("", |placed| &placed.order_ref),
            status: history.fulfillment.status().name(),
            status_reason: history.fulfillment.status_reason().map(Cow::Borrowed),
            position: history.position,
            version: history.version(StreamKind::Order).0,
        }
    }
}

/// An order after a wait.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) status: OrderStatus,
    pub(crate) status_reason: Option<String>,
    pub(crate) position: Position,
    pub(crate) version: i32,
    /// It has ended, and the read model shows it.
    pub(crate) shown: bool,
    /// The server stops: the wait was cut short.
    pub(crate) cut_short: bool,
}

impl Standing {
    pub(crate) fn of(history: &History) -> Standing {
        Standing {
            status: history.fulfillment.status(),
            status_reason: history.fulfillment.status_reason().map(str::to_owned),
            position: history.position,
            version: history.version(StreamKind::Order).0,
            shown: false,
            cut_short: false,
        }
    }

    fn seen(view: OutcomeView) -> Standing {
        let OutcomeView { status, status_reason, position, version, ended } = view;
        Standing { status, status_reason, position, version, shown: ended, cut_short: false }
    }
}

/// A wait that has begun, before anything it could miss.
#[derive(Debug)]
pub(crate) struct Wait {
    subscription: Option<Subscription>,
    until: Instant,
}

impl Wait {
    /// `None` when nobody asked to wait.
    pub(crate) fn begin(app: &App, order: OrderId, wait: Option<Duration>) -> Option<Wait> {
        let until = Instant::now() + wait?;
        Some(Wait { subscription: app.outcomes.subscribe(order), until })
    }

    /// Waits, for an order that was just placed.
    pub(crate) async fn placed(self, app: &App, order: OrderId, position: Position) -> Result<Standing, Problem> {
        let placed = Standing {
            status: OrderStatus::Placed,
            status_reason: None,
            position,
            version: 1,
            shown: false,
            cut_short: false,
        };
        let Some(mut subscription) = self.subscription else { return Ok(placed) };
        match subscription.ended(None, self.until).await {
            Waited::Ended(Some(view)) => Ok(Standing::seen(view)),
            Waited::Closing(view) => Ok(Standing { cut_short: true, ..view.map_or(placed, Standing::seen) }),
            Waited::Ended(None) | Waited::TimedOut => {
                Ok(History::load(&*app.store, order).await?.map_or(placed, |h| Standing::of(&h)))
            }
        }
    }

    /// Waits, for an order whose history was read after the wait had begun.
    pub(crate) async fn known(self, app: &App, history: &History) -> Result<Standing, Problem> {
        let now = Standing::of(history);
        let Some(mut subscription) = self.subscription else { return Ok(now) };
        let ended_at = history.fulfillment.has_ended().then_some(history.position);
        match subscription.ended(ended_at, self.until).await {
            Waited::Ended(Some(view)) => Ok(Standing::seen(view)),
            Waited::Ended(None) => Ok(Standing { shown: true, ..now }),
            Waited::Closing(view) => Ok(Standing { cut_short: true, ..view.map_or(now, Standing::seen) }),
            Waited::TimedOut if ended_at.is_some() => Ok(now),
            Waited::TimedOut => Ok(History::load(&*app.store, history.order).await?.map_or(now, |h| Standing::of(&h))),
        }
    }
}

/// The order's history, if the caller may see it; else there is no such order.
pub(crate) async fn visible(
    app: &App,
    call: &super::call::Call,
    order: Option<OrderId>,
    what: &'static str,
) -> Result<History, Problem> {
    let order = order.ok_or_else(|| Problem::not_found(what))?;
    super::call::note_order(order);
    let history = History::load(&*app.store, order).await?;
    history
        .filter(|history| call.may_see(&history.shop) && history.fulfillment.order.placed.is_some())
        .ok_or_else(|| Problem::not_found(what))
}
