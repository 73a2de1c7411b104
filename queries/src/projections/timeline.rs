//! The timeline's rows: each recorded event of an order as a sentence.
use crate::narrative;
use chrono::{DateTime, Utc};
use domain::{Event, fulfillment::Fulfillment};
use eventstore::RecordedEvent;
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct TimelineRow {
    pub(crate) order_id: Uuid,
    pub(crate) position: i64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) event_type: &'static str,
    pub(crate) summary: String,
    pub(crate) actor: String,
    pub(crate) actor_kind: &'static str,
}

impl TimelineRow {
    /// `before` is the order as it was just before the event.
    pub(crate) fn of(recorded: &RecordedEvent, event: &Event, before: &Fulfillment) -> TimelineRow {
        let actor = &*narrative::author(event, &recorded.metadata.actor);
        TimelineRow {
            order_id: recorded.stream.id,
            position: recorded.position.0,
            at: recorded.recorded_at,
            event_type: event.event_type(),
            summary: narrative::sentence(event, actor, before),
            actor: narrative::actor_name(actor),
            actor_kind: narrative::actor_kind_name(actor.kind),
        }
    }

    /// The same recorded event is this one today, too.
    pub(crate) fn and(&mut self, recorded: &RecordedEvent, event: &Event, before: &Fulfillment) {
        self.summary.push_str("; ");
        let actor = narrative::author(event, &recorded.metadata.actor);
        self.summary.push_str(&narrative::sentence(event, &actor, before));
    }
}
