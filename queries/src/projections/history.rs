//! One order's history, folded so far: the domain's state and what the rows need besides.
//!
//! Pure: fed the same events in the same order it is the same, wherever a batch was cut.
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    Event, OrderId, StreamKind,
    fulfillment::Fulfillment,
    order::OrderEvent,
    returns::Return,
    saga::{Direction, Saga, WaitingOn, Which},
};
use eventstore::{Incarnation, Position, RecordedEvent, Version};
use uuid::Uuid;

#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) order_id: OrderId,
    pub(crate) shop: String,
    pub(crate) fulfillment: Fulfillment,
    /// Of the order's own stream.
    pub(crate) version: Version,
    /// Of its last event.
    pub(crate) position: Position,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) customer_erased_at: Option<DateTime<Utc>>,
    /// Which life of the log the order was placed in.
    placed_in: Option<Incarnation>,
    /// Of each saga that has not ended; as a rule one.
    waiting: Vec<(Which, Waiting)>,
}

/// Whom a saga waits for at which step, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// `None`: nobody outside; the next move is the saga's own.
    pub(crate) on: Option<WaitingOn>,
    pub(crate) since: DateTime<Utc>,
    /// `None`: it waits for a person, and counts as an incident from the first moment.
    pub(crate) expected_by: Option<DateTime<Utc>>,
    pub(crate) direction: Direction,
    step: &'static str,
}

impl History {
    pub(crate) fn new(order_id: Uuid) -> History {
        History {
            order_id: OrderId(order_id),
            shop: String::new(),
            fulfillment: Fulfillment::default(),
            version: Version::NONE,
            position: Position::ZERO,
            updated_at: DateTime::UNIX_EPOCH,
            customer_erased_at: None,
            placed_in: None,
            waiting: Vec::new(),
        }
    }

    pub(crate) fn evolve(&mut self, recorded: &RecordedEvent, events: &[Event]) {
        events.iter().for_each(|event| self.take_in(recorded, event));
        self.passed(recorded);
    }

    /// One of what a recorded event is today.
    pub(crate) fn take_in(&mut self, recorded: &RecordedEvent, event: &Event) {
        self.fulfillment.evolve(event);
        if let Event::Order(OrderEvent::CustomerErased(_)) = event {
            self.customer_erased_at = Some(recorded.recorded_at);
        }
    }

    /// After all that the recorded event is today, be it nothing: it has its place all the same.
    pub(crate) fn passed(&mut self, recorded: &RecordedEvent) {
        if recorded.stream.kind == StreamKind::Order.name() {
            self.version = recorded.version;
        }
        if self.shop.is_empty() {
            self.shop.clone_from(&recorded.shop);
        }
        self.position = recorded.position;
        if *self.placed_in.get_or_insert(recorded.incarnation) < recorded.incarnation {
            self.fulfillment.lose_a_life();
        }
        self.updated_at = recorded.recorded_at;
        self.waiting = self.waits_since(recorded.recorded_at);
    }

    /// `None`: it has ended, or there is none.
    pub(crate) fn waiting(&self, which: Which) -> Option<Waiting> {
        self.waiting.iter().find(|(other, _)| *other == which).map(|(_, waiting)| *waiting)
    }

    fn waits_since(&self, now: DateTime<Utc>) -> Vec<(Which, Waiting)> {
        let sagas = self.fulfillment.sagas().filter_map(|which| {
            let saga = self.fulfillment.one(self.order_id, which)?;
            (!saga.state().is_end()).then(|| (which, Waiting::of(&*saga, self.waiting(which), now)))
        });
        sagas.collect()
    }

    /// Nothing more will happen to it, as a rule; when something does, it is read again.
    pub(crate) fn has_ended(&self) -> bool {
        self.fulfillment.saga.ended && self.fulfillment.returns.iter().all(Return::has_ended)
    }
}

impl Waiting {
    /// Since before, as long as it is for the same one, at the same step, on the same way.
    fn of(saga: &dyn Saga, before: Option<Waiting>, now: DateTime<Utc>) -> Waiting {
        let (on, (step, direction, _)) = (saga.waiting_on(), saga.at());
        match before {
            Some(waiting) if (waiting.on, waiting.step, waiting.direction) == (on, step, direction) => waiting,
            _ => {
                let expected = saga.expected().and_then(|expected| TimeDelta::from_std(expected).ok());
                let expected_by = expected.and_then(|expected| now.checked_add_signed(expected));
                Waiting { on, since: now, expected_by, direction, step }
            }
        }
    }
}
