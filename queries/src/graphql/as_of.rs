//! Orders as they were: answered from history, not from the rows of now.
//!
//! The rows serve one end alone, to find an order by its ref. Whatever hangs on an order that was asked for as of then is of then too.
use super::{
    error::{coded, database, unfoldable, unreadable},
    order::Order,
    scalars::{DateTime, Position},
    snapshot::Snapshot,
    viewer::sees,
};
use crate::{projections::past::Past, sql::parked::skipped_of};
use async_graphql::{Context, Error, ErrorExtensions, OneofObject, Result};
use chrono::Utc;
use eventstore::{AsOf as Moment, AsOfError, EventStore, Position as LogPosition, ReadError};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// A moment of the log. By time: after the last event that was recorded by then; a time to come means now.
#[derive(Clone, Copy, Debug, OneofObject)]
pub(super) enum AsOf {
    /// After the event at this position, before the next; `"0"` is before the first.
    Position(Position),
    Time(DateTime),
}

/// What one request reads the past from.
pub(super) struct Archive {
    store: Arc<dyn EventStore>,
    /// The earliest moment that the request asked for.
    asked: Mutex<Option<LogPosition>>,
}

impl Archive {
    pub(super) fn new(store: Arc<dyn EventStore>) -> Archive {
        Archive { store, asked: Mutex::default() }
    }

    /// The earliest moment that the answer reflects, if it reflects any but the present.
    pub(super) fn asked(&self) -> Option<LogPosition> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, position: LogPosition) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = Some(asked.map_or(position, |other| other.min(position)));
    }
}

/// A moment as it was found in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Then {
    pub(super) position: LogPosition,
    /// What the clock showed: of a position, when its event was recorded.
    at: chrono::DateTime<Utc>,
}

/// The moment that is meant. Its position is noted as what the answer reflects.
pub(super) async fn then(ctx: &Context<'_>, as_of: AsOf) -> Result<Then> {
    let archive = ctx.data::<Arc<Archive>>()?;
    let moment = match as_of {
        AsOf::Position(position) => Moment::Position(LogPosition(position.0)),
        AsOf::Time(time) => Moment::Time(time.0),
    };
    let position = moment.resolve(archive.store.as_ref()).await.map_err(|error| match error {
        AsOfError::BeyondHead { asked, head } => not_reached(error.to_string(), asked, head),
        AsOfError::Read(error) => unreadable(&error),
    })?;
    archive.note(position);
    let at = match as_of {
        AsOf::Time(time) => time.0.min(Utc::now()),
        AsOf::Position(_) => recorded_at(archive, position).await.map_err(|error| unreadable(&error))?,
    };
    Ok(Then { position, at })
}

async fn recorded_at(archive: &Archive, position: LogPosition) -> Result<chrono::DateTime<Utc>, ReadError> {
    let before = LogPosition(position.0.saturating_sub(1));
    let found = archive.store.read_log(before, 1).await?;
    // Before the first event nothing waits.
    Ok(found.first().filter(|event| event.position == position).map_or(chrono::DateTime::UNIX_EPOCH, |e| e.recorded_at))
}

/// The order of this id as it was, if it existed then and does for the viewer.
pub(super) async fn by_id(ctx: &Context<'_>, id: Uuid, then: Then) -> Result<Option<Order>> {
    let archive = ctx.data::<Arc<Archive>>()?;
    let mut events = archive.store.read_streams_as_of(id, then.position).await.map_err(|error| unreadable(&error))?;
    let held = {
        let mut conn = ctx.data::<Arc<Snapshot>>()?.read().await;
        skipped_of(&mut conn, &[id]).await.map_err(|error| database(&error))?
    };
    // What a person has left out, the rows never showed.
    events.retain(|event| !held.leaves_out(event));
    match Past::of(id, events, then.at).map_err(|error| unfoldable(&error))? {
        Some(past) if sees(ctx, &past.order.shop)? => Ok(Some(Order::of_past(Arc::new(past)))),
        _ => Ok(None),
    }
}

/// No order of a ref was found in the rows: they know all that was placed by then only once they have come so far.
pub(super) fn known_by(ctx: &Context<'_>, position: LogPosition) -> Result<()> {
    let reached = ctx.data::<Arc<Snapshot>>()?.position();
    if position <= reached {
        return Ok(());
    }
    let message = format!("the read model has come to position {reached}, not yet to {position}: ask by id, or again");
    Err(not_reached(message, position, reached))
}

fn not_reached(message: String, wanted: LogPosition, reached: LogPosition) -> Error {
    coded("POSITION_NOT_REACHED", message).extend_with(|_, extensions| {
        extensions.set("wanted", wanted.to_string());
        extensions.set("reached", reached.to_string());
    })
}

/// Cost of an order of then: its whole history is read for it.
pub(super) fn cost(as_of: Option<AsOf>, child: usize) -> usize {
    const OF_A_HISTORY: usize = 1_000;
    child.saturating_add(if as_of.is_some() { OF_A_HISTORY } else { 1 })
}
