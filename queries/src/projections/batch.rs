//! A batch of events, coalesced to the last state of each row. Pure.
use super::{
    error::ProjectionError,
    fulfillments::FulfillmentRow,
    history::History,
    orders::{OrderRow, PlacedRow},
    returns::ReturnRow,
    sagas::SagaRow,
    stock,
};
use domain::{
    DecodeError, Event, StreamKind, fulfillment::OrderStatus, order::OrderEvent, payment::PaymentEvent,
    returns::ReturnEvent, saga::Which, shipment::ShipmentEvent,
};
use eventstore::{Position, RecordedEvent};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

pub(crate) type Unreadable = DecodeError<serde_json::Error>;

/// A recorded event and what it is in the domain today.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) recorded: RecordedEvent,
    pub(crate) events: domain::Decoded,
}

impl Decoded {
    /// An event that this build can't read is an error, never skipped.
    pub(crate) fn decode(recorded: RecordedEvent) -> Result<Decoded, ProjectionError> {
        Decoded::read(recorded).map_err(|(recorded, source)| {
            let RecordedEvent { stream, version, position, .. } = *recorded;
            ProjectionError::Undecodable { stream, version, position, source }
        })
    }

    /// As `decode`, and gives the event back when it can't be read.
    pub(crate) fn read(recorded: RecordedEvent) -> Result<Decoded, (Box<RecordedEvent>, Unreadable)> {
        let RecordedEvent { stream, event_type, schema_version, payload, .. } = &recorded;
        match Event::decode(&stream.kind, event_type, *schema_version, &**payload) {
            Ok(events) => Ok(Decoded { events, recorded }),
            Err(cause) => Err((Box::new(recorded), cause)),
        }
    }

    /// The order whose history it belongs to, if any.
    pub(crate) fn order(&self) -> Option<Uuid> {
        let kind = StreamKind::from_name(&self.recorded.stream.kind)?;
        StreamKind::OF_ORDER.contains(&kind).then_some(self.recorded.stream.id)
    }

    pub(crate) fn is_placement(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Order(OrderEvent::OrderPlaced(_))))
    }
}

/// The rows of a batch. What is new is inserted, what was there is updated.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) placed: Vec<(PlacedRow, OrderRow)>,
    pub(crate) orders: Vec<OrderRow>,
    pub(crate) new_sagas: Vec<SagaRow>,
    pub(crate) sagas: Vec<SagaRow>,
    pub(crate) new_fulfillments: Vec<FulfillmentRow>,
    pub(crate) fulfillments: Vec<FulfillmentRow>,
    pub(crate) new_returns: Vec<ReturnRow>,
    pub(crate) returns: Vec<ReturnRow>,
    pub(crate) stock: stock::Changes,
}

/// An order that a batch moved on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedOrder {
    pub order_id: domain::OrderId,
    pub status: OrderStatus,
    pub status_reason: Option<String>,
    /// Of its last event.
    pub position: Position,
    /// How many events its own stream holds.
    pub version: i32,
    /// COMPLETED or CANCELLED.
    pub ended: bool,
}

/// What a batch did to one order's rows.
#[derive(Clone, Debug, Default)]
struct Touched {
    placed: bool,
    released: bool,
    shipment: bool,
    /// By number; `true` for one that was requested.
    returns: BTreeMap<u16, bool>,
}

/// Carries the histories on over the batch, and answers the rows and the orders that changed. `histories` holds every order of
/// the batch, folded up to the event before it.
pub(crate) fn fold(
    events: &[Decoded],
    histories: &mut HashMap<Uuid, History>,
) -> Result<(Rows, Vec<ChangedOrder>), ProjectionError> {
    let mut rows = Rows::default();
    let mut touched: Vec<(Uuid, Touched)> = Vec::new();
    let mut index: HashMap<Uuid, usize> = HashMap::new();
    for decoded @ Decoded { recorded, events } in events {
        let Some(order) = decoded.order() else {
            events.iter().for_each(|event| rows.stock.add(&recorded.shop, event, &Default::default()));
            continue;
        };
        let history = histories.get_mut(&order).ok_or(ProjectionError::Orphan { position: recorded.position })?;
        for event in events {
            rows.stock.add(&recorded.shop, event, &history.fulfillment);
            history.take_in(recorded, event);
        }
        history.passed(recorded);
        // At the event, not at the batch's end: where a batch is cut shows nowhere.
        if history.fulfillment.order.placed.is_none() {
            return Err(ProjectionError::Orphan { position: recorded.position });
        }

        let at = *index.entry(order).or_insert_with(|| {
            touched.push((order, Touched::default()));
            touched.len() - 1
        });
        if let Some((_, touched)) = touched.get_mut(at) {
            touched.placed |= decoded.is_placement();
            for event in events {
                touched.shipment |= matches!(event, Event::Shipment(_));
                touched.released |= matches!(event, Event::Shipment(ShipmentEvent::FulfillmentReleased(_)));
                if let Some((number, is_new)) = return_of(event) {
                    *touched.returns.entry(number).or_default() |= is_new;
                }
            }
        }
    }
    let mut changed = Vec::with_capacity(touched.len());
    for (order, touched) in touched {
        if let Some(history) = histories.get(&order) {
            rows.add(history, &touched)?;
            let state = &history.fulfillment;
            changed.push(ChangedOrder {
                order_id: history.order_id,
                status: state.status(),
                status_reason: state.status_reason().map(str::to_owned),
                position: history.position,
                version: history.version.0,
                ended: state.has_ended(),
            });
        }
    }
    Ok((rows, changed))
}

impl Rows {
    fn add(&mut self, history: &History, touched: &Touched) -> Result<(), ProjectionError> {
        let position = history.position;
        let placed = history.fulfillment.order.placed.as_deref().ok_or(ProjectionError::Orphan { position })?;
        let unwritable = |source| unwritable(position, source);
        let order = OrderRow::of(history, placed).map_err(unwritable)?;
        let saga = SagaRow::of(history, Which::Fulfillment);
        if touched.placed {
            self.placed.push((PlacedRow::of(history, placed).map_err(unwritable)?, order));
            self.new_sagas.extend(saga);
        } else {
            self.orders.push(order);
            self.sagas.extend(saga);
        }
        for (&number, &is_new) in &touched.returns {
            let (row, saga) =
                (ReturnRow::of(history, number).map_err(unwritable)?, SagaRow::of(history, Which::Return(number)));
            if is_new {
                self.new_returns.extend(row);
                self.new_sagas.extend(saga);
            } else {
                self.returns.extend(row);
                self.sagas.extend(saga);
            }
        }
        if touched.shipment
            && let Some(fulfillment) = FulfillmentRow::of(history).map_err(unwritable)?
        {
            if touched.released {
                self.new_fulfillments.push(fulfillment);
            } else {
                self.fulfillments.push(fulfillment);
            }
        }
        Ok(())
    }
}

/// Which return it moves on, and whether that begins with it.
fn return_of(event: &Event) -> Option<(u16, bool)> {
    match event {
        Event::Return(event) => Some((event.number(), matches!(event, ReturnEvent::ReturnRequested(_)))),
        Event::Payment(PaymentEvent::PaymentRefunded(event)) => Some((event.return_number, false)),
        _ => None,
    }
}

fn unwritable(position: Position, source: serde_json::Error) -> ProjectionError {
    ProjectionError::Unwritable { position, source }
}
