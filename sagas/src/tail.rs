//! What others append: orders placed in another process, cancels, staff's reports, operators' verbs.
use crate::job::{Cause, Seed};
use crate::retry::StoreBackoff;
use crate::runner::Shared;
use commands::History;
use domain::saga::DEFINITIONS;
use domain::{OrderId, StreamKind};
use eventstore::{ActorKind, EventFeed, Position, RecordedEvent, StoreFeed, slot_of};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A process that places an order with its saga's beginning drives it moments later. Where it did not by then, the request was broken off, or
/// its answer lost.
const HANDED_OVER_WITHIN: Duration = Duration::from_millis(250);
const PLACED: &str = "OrderPlaced";
const STARTED: &str = "SagaStarted";

/// The log's head, as soon as it can be read.
pub(crate) async fn head(shared: &Shared) -> Position {
    let mut backoff = StoreBackoff::new();
    loop {
        match shared.store.head().await {
            Ok(head) => return head.position,
            Err(error) => tracing::warn!(%error, "the log's head can't be read now"),
        }
        backoff.pause(&shared.jitter).await;
    }
}

/// Hears of everything after `from`.
pub(crate) async fn follow(shared: Arc<Shared>, from: Position) {
    shared.live.passed(from);
    let mut feed = StoreFeed::new(Arc::clone(&shared.store), from);
    let mut backoff = StoreBackoff::new();
    loop {
        match feed.next(shared.config.batch).await {
            Ok(events) => {
                backoff = StoreBackoff::new();
                let of_one = |a: &RecordedEvent, b: &RecordedEvent| {
                    (a.stream.id, a.metadata.command_id) == (b.stream.id, b.metadata.command_id)
                };
                events.chunk_by(of_one).for_each(|append| hear(&shared, append));
                if let Some(last) = events.last() {
                    shared.live.passed(last.position);
                }
                if events.len() < shared.config.batch {
                    tokio::time::sleep(shared.config.feed_pause).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the feed can't be read now");
                backoff.pause(&shared.jitter).await;
            }
        }
    }
}

/// One append's events of one stream id; they have one author.
fn hear(shared: &Arc<Shared>, append: &[RecordedEvent]) {
    for event in append {
        shared.erasures.hear(event, |person| shared.slots.holds(slot_of(person)));
        if event.stream.kind == StreamKind::Location.name() {
            shared.locations.observe(event);
        }
    }
    let (Some(first), Some(last)) = (append.first(), append.last()) else { return };
    let (order, actor) = (first.stream.id, &first.metadata.actor);
    let is_orders = StreamKind::OF_ORDER.iter().any(|kind| kind.name() == first.stream.kind);
    // Of sagas taken over later, their timers tell.
    if !is_orders || !shared.slots.holds(slot_of(order)) {
        return;
    }
    if actor.kind == ActorKind::Saga && DEFINITIONS.iter().any(|definition| definition.saga == actor.id) {
        return;
    }
    if append.iter().any(|event| event.event_type == STARTED) {
        shared.live.begun(order, last.position, Instant::now() + HANDED_OVER_WITHIN);
        return;
    }
    let job = match placement(first) {
        Some(seed) => shared.live.placed(seed),
        None => shared.live.changed(order, last.position),
    };
    if let Some(job) = job {
        shared.start(job);
    }
}

/// `None` also where it can't be understood: the driver reads it itself, and says what is wrong with it.
fn placement(event: &RecordedEvent) -> Option<Seed> {
    if event.event_type != PLACED {
        return None;
    }
    let mut history = History::new(OrderId(event.stream.id), event.shop.clone());
    let cause = Cause { command: Some(event.metadata.command_id), trace_id: event.metadata.trace_id.clone() };
    matches!(history.apply(event), Ok(true)).then_some(Seed { history, cause, fence: None })
}
