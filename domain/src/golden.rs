//! Every event ever written can still be read: `golden/` holds an example of each type in each version.
//!
//! `Type.vN.json` has every optional field filled, `Type.vN.min.json` has none of them (it is there only if there are any).
//! Both stay for ever. A field that comes, goes or changes its name or meaning is a new version, and these tests say so.
use crate::{
    Decoded, Event, fulfillment::SagaEvent, location::LocationEvent, order::OrderEvent, payment::PaymentEvent,
    person::PersonEvent, shipment::ShipmentEvent, stock::StockEvent,
};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::PathBuf};

/// Each kind of stream and the types that live in it, in the version that is written today.
const WRITTEN: [(&str, &[(&str, i16, bool)]); 7] = [
    ("order", OrderEvent::TYPES),
    ("payment", PaymentEvent::TYPES),
    ("shipment", ShipmentEvent::TYPES),
    ("saga", SagaEvent::TYPES),
    ("stock", StockEvent::TYPES),
    ("location", LocationEvent::TYPES),
    ("person", PersonEvent::TYPES),
];

/// A golden file: `OrderPlaced.v1.min.json` is the type `OrderPlaced`, version 1, without its optional fields.
#[derive(Debug)]
struct Golden {
    kind: &'static str,
    event_type: String,
    version: i16,
    is_min: bool,
    /// It is still written so; an older version is only read.
    is_written: bool,
    text: String,
}

impl Golden {
    fn read(&self) -> Event {
        self.decode(&self.value()).unwrap_or_else(|error| panic!("{}: {error}", self.event_type))[0].clone()
    }

    fn decode(&self, payload: &Value) -> Result<Decoded, crate::DecodeError<serde_json::Error>> {
        Event::decode(self.kind, &self.event_type, self.version, payload)
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The value without the fields that may be absent.
    fn without_optional(&self) -> Value {
        let value = self.value();
        let mut optional = vec![];
        for pointer in fields(&value, "") {
            let mut rest = value.clone();
            remove(&mut rest, &pointer);
            if self.decode(&rest).is_ok() {
                optional.push(pointer);
            }
        }
        let mut min = value;
        optional.iter().for_each(|pointer| remove(&mut min, pointer));
        min
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn all() -> Vec<Golden> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    files.map(|name| golden(&name)).collect()
}

fn golden(name: &str) -> Golden {
    let parts: Vec<_> = name.split('.').collect();
    let (event_type, version, is_min) = match parts[..] {
        [event_type, version, "json"] => (event_type, version, false),
        [event_type, version, "min", "json"] => (event_type, version, true),
        _ => panic!("{name} is not named Type.vN.json or Type.vN.min.json"),
    };
    let version = version.strip_prefix('v').and_then(|version| version.parse().ok()).expect(name);
    let of_type =
        |types: &[(&str, i16, bool)]| types.iter().find(|(known, ..)| *known == event_type).map(|found| found.1);
    let found = WRITTEN.into_iter().find_map(|(kind, types)| Some((kind, of_type(types)?)));
    let (kind, written) = found.unwrap_or_else(|| panic!("{name} is an orphan: there is no such event"));
    assert!(version <= written, "{name} is of a version never written");
    let text = fs::read_to_string(folder().join(name)).unwrap();
    Golden { kind, event_type: event_type.to_owned(), version, is_min, is_written: version == written, text }
}

/// The JSON pointers of all fields of all objects; a field comes before those within it.
fn fields(value: &Value, at: &str) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(name, child)| (name.clone(), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => vec![],
    };
    let mut found = vec![];
    for (name, child) in children {
        let pointer = format!("{at}/{name}");
        found.extend(value.is_object().then(|| pointer.clone()));
        found.extend(fields(child, &pointer));
    }
    found
}

fn remove(value: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    if let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.remove(name);
    }
}

fn without_nulls(mut value: Value) -> Value {
    for pointer in fields(&value, "") {
        if value.pointer(&pointer).is_some_and(Value::is_null) {
            remove(&mut value, &pointer);
        }
    }
    value
}

#[test]
fn every_event_written_has_its_golden_file() {
    let goldens = all();
    let types = WRITTEN.into_iter().flat_map(|(_, types)| types);
    for (event_type, written, _) in types {
        let versions: BTreeSet<i16> =
            goldens.iter().filter(|g| g.event_type == *event_type && !g.is_min).map(|g| g.version).collect();
        assert_eq!(versions, (1..=*written).collect(), "{event_type} needs one golden file for each version");
    }
}

#[test]
fn every_golden_event_is_still_read() {
    for golden in all() {
        let event = golden.read();
        assert_eq!(event.event_type(), golden.event_type);
        assert_eq!(event.stream_kind().name(), golden.kind);
    }
}

#[test]
fn an_event_is_written_as_it_was_read_to_the_letter() {
    for golden in all().iter().filter(|golden| golden.is_written && !golden.is_min) {
        let written = serde_json::to_string_pretty(&golden.read()).unwrap() + "\n";
        assert_eq!(written, golden.text, "the shape of {} has changed: it needs a new version", golden.event_type);
    }
}

#[test]
fn a_golden_event_shows_every_field() {
    for golden in all().iter().filter(|golden| !golden.is_min) {
        let value = golden.value();
        let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        let empty = fields(&value, "").into_iter().find(|field| value.pointer(field).is_none_or(is_empty));
        assert_eq!(empty, None, "{} leaves a field unfilled", golden.event_type);
    }
}

#[test]
fn what_may_be_absent_is_absent_from_the_min_file_and_nothing_else() {
    let goldens = all();
    for golden in goldens.iter().filter(|golden| !golden.is_min) {
        let same = |other: &&Golden| other.event_type == golden.event_type && other.version == golden.version;
        let min = goldens.iter().filter(|other| other.is_min).find(same);
        let expected = golden.without_optional();
        let absent = expected != golden.value();
        assert_eq!(min.map(Golden::value), absent.then_some(expected), "{}.min", golden.event_type);
    }
}

#[test]
fn an_absent_field_is_read_as_null_and_written_as_null() {
    for golden in all().iter().filter(|golden| golden.is_min && golden.is_written) {
        let event = golden.read();
        let written = serde_json::to_value(&event).unwrap();
        assert_ne!(written, golden.value(), "{} writes no null", golden.event_type);
        assert_eq!(golden.decode(&written).unwrap()[0], event);
        assert_eq!(without_nulls(written), golden.value());
    }
}

#[test]
fn the_words_in_events_stay_as_they_are() {
    use crate::{
        fulfillment::{Direction, Step},
        location::LocationMode,
        order::{CancelReason, ChargeKind, OnShortage},
    };
    fn words<T: serde::Serialize>(values: impl IntoIterator<Item = T>) -> String {
        let word = |value: T| serde_json::to_value(value).unwrap().as_str().unwrap().to_owned();
        values.into_iter().map(word).collect::<Vec<_>>().join(" ")
    }
    let steps = "reserve_stock authorize_payment release_to_warehouse ship capture_payment complete";
    assert_eq!(words(Step::ALL), steps);
    assert_eq!(Step::ALL.map(Step::name).join(" "), steps);
    assert_eq!(words([Direction::Forward, Direction::Compensate]), "forward compensate");
    assert_eq!(words([LocationMode::Auto, LocationMode::Manual]), "AUTO MANUAL");
    assert_eq!(words([OnShortage::Cancel]), "CANCEL");
    use ChargeKind::{Discount, Fee, GiftCard, Shipping, Tax};
    assert_eq!(words([Shipping, Tax, Fee, Discount, GiftCard]), "shipping tax fee discount gift_card");
    use CancelReason::{Fraud, OutOfStock, PaymentDeclined, Requested, Undeliverable};
    let reasons = [OutOfStock, PaymentDeclined, Fraud, Requested, Undeliverable];
    assert_eq!(words(reasons), "out_of_stock payment_declined fraud requested undeliverable");
    assert_eq!(reasons.map(CancelReason::code).join(" "), words(reasons));
}
