//! What happens from here on in calm weather: everybody answers, and says yes. What the saga said of it before must be true.
use crate::{
    Amount, Event,
    fulfillment::{Fulfillment, Step},
    order::{OrderEvent, Outcome},
    payment::PaymentEvent,
    saga::{
        Context, Next, Reply, WaitingOn,
        operator::{Command, Notes},
    },
    shipment::{self, ShipmentEvent},
    testing::ORDER,
};

/// More appends than an order takes.
const LIMIT: usize = 24;

/// Goes on from `state` to the end, and checks by what happens that `remaining_steps` and `waiting_on` were true all the way.
pub(super) fn keeps_its_word(state: &Fulfillment, context: &Context) {
    let mut state = state.clone();
    let promised = state.remaining_steps();
    let mut done = vec![];
    for _ in 0..LIMIT {
        let waiting_on = state.plan().waiting_on();
        assert_eq!(waiting_on.is_none(), matches!(state.next(ORDER), Next::Ended | Next::Advance));
        let Some(events) = go_on(&state, context) else {
            assert!(state.has_ended(), "it has come to its end");
            assert_eq!(done, promised, "these steps were said to remain");
            return;
        };
        assert!(!events.is_empty(), "something happens: {:?}", state.next(ORDER));
        assert!(waiting_on.is_none_or(|who| has_moved(who, &events)), "{waiting_on:?} was waited for: {events:?}");
        for event in &events {
            state.evolve(event);
            done.extend(passed(&state, event));
        }
        let left = state.remaining_steps();
        assert!(promised.ends_with(&left), "what remains only gets less: {left:?} of {promised:?}");
    }
    panic!("it never ends: {:?}", state.next(ORDER));
}

/// What comes next when all is well; `None` after the end.
fn go_on(state: &Fulfillment, context: &Context) -> Option<Vec<Event>> {
    let (action, reply) = match state.next(ORDER) {
        Next::Ended => return None,
        Next::Advance => (None, Reply::Nothing),
        Next::Act(action) => {
            let reply = Reply::hoped_for(&action, context.now);
            (Some(action), reply)
        }
        Next::Wait(WaitingOn::Operator) => {
            let verb = if state.saga.held { Command::Resume } else { Command::Retry };
            return Some(state.operate(ORDER, verb, Notes::default(), context.now).expect("an operator may"));
        }
        Next::Wait(WaitingOn::Warehouse) => {
            let ship = shipment::Command::Ship { lines: None, parcels: vec![] };
            return Some(state.report(ship).expect("staff may ship"));
        }
        Next::Wait(other) => panic!("nobody is there who could end a wait for {}", other.name()),
    };
    Some(state.react(ORDER, action.as_ref(), reply, context).expect("an answer fits"))
}

/// The step that an event has done or undone, seen from after it.
fn passed(after: &Fulfillment, event: &Event) -> Option<Step> {
    match event {
        Event::Order(OrderEvent::StockReserved(_) | OrderEvent::StockReleased(_)) => Some(Step::ReserveStock),
        Event::Payment(PaymentEvent::PaymentAuthorized(_) | PaymentEvent::AuthorizationVoided(_)) => {
            Some(Step::AuthorizePayment)
        }
        Event::Shipment(ShipmentEvent::FulfillmentReleased(_) | ShipmentEvent::FulfillmentRecalled(_)) => {
            Some(Step::ReleaseToWarehouse)
        }
        Event::Shipment(ShipmentEvent::LabelVoided(_)) => Some(Step::Ship),
        Event::Shipment(ShipmentEvent::FulfillmentShipped(_)) => after.shipment.is_shipped().then_some(Step::Ship),
        Event::Payment(PaymentEvent::PaymentCaptured(_)) => {
            (after.payment.captured() > Amount::ZERO).then_some(Step::CapturePayment)
        }
        Event::Order(OrderEvent::OrderCompleted(_)) => {
            (after.order.outcome == Some(Outcome::Completed)).then_some(Step::Complete)
        }
        _ => None,
    }
}

/// It was this one who moved.
fn has_moved(who: WaitingOn, events: &[Event]) -> bool {
    events.iter().any(|event| match who {
        WaitingOn::Inventory => matches!(event, Event::Order(OrderEvent::StockReserved(_))),
        WaitingOn::Payment => matches!(event, Event::Payment(_)),
        WaitingOn::Shipping | WaitingOn::Warehouse => matches!(event, Event::Shipment(_)),
        WaitingOn::Operator => matches!(event.event_type(), "RetryRequested" | "ResumeRequested"),
        WaitingOn::Definition | WaitingOn::Support => false,
    })
}
