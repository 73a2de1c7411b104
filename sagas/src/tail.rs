//! What others append: orders placed in another process, cancels, staff's reports, operators' verbs.
use crate::job::{Cause, Seed};
use crate::retry::StoreBackoff;
use crate::runner::Shared;
use commands::History;
use domain::saga::DEFINITIONS;
use domain::{OrderId, StreamKind};
use eventstore::{ActorKind, EventFeed, Position, RecordedEvent, StoreFeed, slot_of};
use std::sync::Arc;

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
                events.iter().for_each(|event| hear(&shared, event));
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

fn hear(shared: &Arc<Shared>, event: &RecordedEvent) {
    let order = event.stream.id;
    shared.erasures.hear(event, |person| shared.slots.holds(slot_of(person)));
    if event.stream.kind == StreamKind::Location.name() {
        shared.locations.observe(event);
        return;
    }
    let is_orders = StreamKind::OF_ORDER.iter().any(|kind| kind.name() == event.stream.kind);
    // Of sagas taken over later, their timers tell.
    if !is_orders || !shared.slots.holds(slot_of(order)) {
        return;
    }
    let actor = &event.metadata.actor;
    if actor.kind == ActorKind::Saga && DEFINITIONS.iter().any(|definition| definition.saga == actor.id) {
        return;
    }
    // Of a placement that took its saga's beginning along, the feed hands on the placement alone: its first step is then an append, which finds out when
    // it comes too late. With all of it the first step would be a call to a provider, and another owner may have undone it long ago.
    let job = if event.event_type == "OrderPlaced" {
        let mut history = History::new(OrderId(order), event.shop.clone());
        match history.apply(event) {
            Ok(true) => {
                let command = Some(event.metadata.command_id);
                shared
                    .live
                    .placed(Seed { history, cause: Cause { command, trace_id: event.metadata.trace_id.clone() } })
            }
            // The driver reads it itself, and says what is wrong with it.
            Ok(false) | Err(_) => shared.live.changed(order, event.position),
        }
    } else {
        shared.live.changed(order, event.position)
    };
    if let Some(job) = job {
        shared.start(job);
    }
}
