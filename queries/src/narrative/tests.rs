//! The story as a support person reads it.
use super::{actor_name, sentence, story};
use crate::{
    given::{Given, out_of_stock, placed},
    projections::Decoded,
};
use domain::{
    Event,
    fulfillment::{Fulfillment, SagaPaused, Step, StepRetrying},
    saga::{Direction, Reply},
    shipment::{FulfillmentShipped, LineQuantity, Parcel},
};
use eventstore::{Actor, ActorKind, EventStore};

fn actor(kind: ActorKind, id: &str) -> Actor {
    Actor { kind, id: id.to_owned(), key: None, on_behalf_of: None }
}

async fn told(given: &Given, order: domain::OrderId) -> Vec<String> {
    let history = given.store.read_streams(order.0).await.unwrap();
    let decoded: Vec<Decoded> = history.into_iter().map(|recorded| Decoded::decode(recorded).unwrap()).collect();
    story(&decoded).into_iter().map(|entry| entry.summary).collect()
}

#[tokio::test]
async fn an_order_that_goes_well_reads_as_a_story() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 2), ("b", 1)])).await;
    assert_eq!(
        told(&given, order).await,
        [
            "The shop placed the order: 2 lines, 6.40 USD",
            "Waybill began to carry the order out",
            "All 2 lines were set aside at main",
            "Payment of 6.40 USD was authorized; it is taken once the goods have left",
            "Released to warehouse main, which picks, packs and ships by itself: 2 lines",
            "Shipped by Parcel Post with tracking number PP123",
            "Payment of 6.40 USD was captured: the customer is charged",
            "The order is complete: everything has left, and 6.40 USD was paid",
            "Nothing is left to do",
        ]
    );
}

#[tokio::test]
async fn a_cancelled_order_says_what_was_missing_and_what_was_undone() {
    let given = Given::new().await;
    let short = given.place("dev", placed("r-1", &[("1095275", 3)])).await;
    given.reply(short, out_of_stock("1095275")).await;
    assert_eq!(
        told(&given, short).await[2..],
        [
            "Not enough stock of 1095275 at main: 3 wanted, 1 free",
            "What was done so far is being undone, because there was not enough stock",
            "The order was cancelled: there was not enough stock",
            "Everything is undone; nothing is left to do",
        ]
    );
    let declined = given.place("dev", placed("r-2", &[("a", 1)])).await;
    given.goes_well(declined, 1).await;
    given.reply(declined, Reply::Refused { code: "card_declined".to_owned() }).await;
    assert_eq!(
        told(&given, declined).await[3..],
        [
            "The card was declined (card_declined)",
            "What was done so far is being undone, because the payment was declined",
            "What was set aside is free for others again: 1 line at main",
            "The order was cancelled: the payment was declined",
            "Everything is undone; nothing is left to do",
        ]
    );
}

#[test]
fn a_wait_names_who_is_waited_for() {
    let mut retrying = StepRetrying {
        step: Step::AuthorizePayment,
        direction: Direction::Forward,
        attempt: 2,
        cause: "unavailable".to_owned(),
        since: crate::given::instant(crate::given::PLACED_AT),
    };
    let saga = actor(ActorKind::Saga, "fulfillment");
    let says = |event: Event| sentence(&event, &saga, &Fulfillment::default());
    assert_eq!(says(retrying.clone().into()), "Waiting: the payment provider can't be reached; trying again");
    retrying.cause = "unknown_outcome".to_owned();
    assert_eq!(
        says(retrying.into()),
        "Waiting: the payment provider didn't answer, so it isn't known whether it acted; asking again"
    );
    let paused = SagaPaused {
        step: Step::CapturePayment,
        direction: Direction::Forward,
        attempt: 1,
        cause: "capture_declined".to_owned(),
        definite: true,
    };
    assert_eq!(
        says(paused.into()),
        "Stopped: the money could not be taken, though the goods have left. A person has to look"
    );
}

#[tokio::test]
async fn goods_that_leave_in_parts_are_told_as_parts() {
    let mut given = Given::new().await;
    given.mode = domain::location::LocationMode::Manual;
    let order = given.place("dev", placed("r-1", &[("a", 2), ("b", 1)])).await;
    given.goes_well(order, 10).await;
    let (_, mut state) = given.state(order).await;
    let staff = actor(ActorKind::Warehouse, "main-desk");
    let ship = |line: &str, quantity, tracking_number: Option<&str>| -> Event {
        let parcel = Parcel {
            weight_grams: None,
            carrier: Some("Parcel Post".to_owned()),
            tracking_number: tracking_number.map(str::to_owned),
            label_id: None,
        };
        let lines = vec![LineQuantity { line_id: line.into(), quantity }];
        FulfillmentShipped { lines, parcels: vec![parcel] }.into()
    };
    let part = ship("1", 2, Some("PP1"));
    assert_eq!(
        sentence(&part, &staff, &state),
        "Part of the order was shipped: 2 units of 1 line by Parcel Post with tracking number PP1"
    );
    state.evolve(&part);
    assert_eq!(sentence(&ship("2", 1, None), &staff, &state), "The rest of the order was shipped by Parcel Post");
}

#[test]
fn whoever_acts_is_named_in_plain_words() {
    assert_eq!(actor_name(&actor(ActorKind::Shop, "dev")), "shop dev");
    assert_eq!(actor_name(&actor(ActorKind::Saga, "fulfillment")), "the fulfillment saga");
    assert_eq!(actor_name(&actor(ActorKind::Support, "support")), "support");
    assert_eq!(actor_name(&actor(ActorKind::Warehouse, "front desk")), "warehouse key front desk");
    let on_behalf = Actor { on_behalf_of: Some("shop dev".to_owned()), ..actor(ActorKind::Operator, "anna") };
    assert_eq!(actor_name(&on_behalf), "operator key anna, on behalf of shop dev");
}
