//! Every event ever written can still be read: `golden/` holds an example of each type in each version (see `catalogue`), and
//! `golden/released.json` what the last release can read (see `released`). How a shape is changed: docs/evolution.md.
pub(crate) mod catalogue;
mod released;
pub(crate) mod shape;

use crate::{
    Event, fulfillment::SagaEvent, location::LocationEvent, order::OrderEvent, payment::PaymentEvent,
    person::PersonEvent, returns::ReturnEvent, shipment::ShipmentEvent, stock::StockEvent,
};
use catalogue::{Catalogue, Kind, Today, golden_tests, today};
use std::path::PathBuf;

macro_rules! kinds {
    ($($name:literal $events:ident)+) => {
        vec![$(Kind { name: $name, types: $events::TYPES, others: $events::OTHERS }),+]
    };
}

fn real() -> Catalogue {
    Catalogue {
        folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden"),
        kinds: kinds! {
            "order" OrderEvent "payment" PaymentEvent "shipment" ShipmentEvent "saga" SagaEvent "stock" StockEvent
            "location" LocationEvent "person" PersonEvent "return" ReturnEvent
        },
        read: |kind, event_type, version, payload| {
            today(Event::decode(kind, event_type, version, payload), |event| {
                assert_eq!(event.stream_kind().name(), kind);
                Today::new(event.event_type(), event.schema_version(), event)
            })
        },
    }
}

/// The golden files of a type in a version: with every optional field, and with none if there are any.
pub(crate) fn examples(event_type: &str, version: i16) -> Vec<serde_json::Value> {
    let text = |ending: &str| real().text(&format!("{event_type}.v{version}{ending}.json"));
    ["", ".min"].into_iter().filter_map(text).map(|text| serde_json::from_str(&text).unwrap()).collect()
}

golden_tests!(real);

#[test]
fn the_words_in_events_are_the_names_that_the_code_knows_them_by() {
    use crate::{fulfillment::Step, order::CancelReason};
    let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    for step in Step::ALL {
        assert_eq!(word(serde_json::to_value(step).unwrap()), step.name());
    }
    use CancelReason::{Fraud, OutOfStock, PaymentDeclined, Requested, Undeliverable};
    for reason in [OutOfStock, PaymentDeclined, Fraud, Requested, Undeliverable] {
        assert_eq!(word(serde_json::to_value(reason).unwrap()), reason.code());
    }
}
