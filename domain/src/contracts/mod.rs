//! What we promise to those who read the log elsewhere: a JSON Schema (draft 2020-12) of each event type in each version, in
//! `contracts/events/<kind>/<Type>.v<N>.schema.json`, generated from the structs that read and write them.
//!
//! A schema says what a payload may be: it is open, since a reader passes over fields that it doesn't know, and it takes an optional
//! field as absent or as null. Titles, descriptions and examples are words for people and bind nobody.
//! A stale file fails here; what was published is held to by `published`, by the rule of `compatible`.
mod compatible;
mod published;

use crate::{
    fulfillment::SagaEvent, golden, location::LocationEvent, order::OrderEvent, payment::PaymentEvent,
    person::PersonEvent, returns::ReturnEvent, shipment::ShipmentEvent, stock::StockEvent,
};
use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Rewrites the files, instead of comparing.
const UPDATE: &str = "UPDATE_CONTRACTS";
const HOW: &str = "UPDATE_CONTRACTS=1 cargo test -p domain contracts";

/// The schema of a struct, or none of what is retired; see `events!`.
macro_rules! schema_of {
    (retired) => {
        None
    };
    ($shape:ident) => {
        Some($crate::contracts::schema::<$shape>())
    };
}
pub(crate) use schema_of;

/// All schemas of one kind of stream: type, version, schema.
type Schemas = Vec<(&'static str, i16, Option<Schema>)>;

fn kinds() -> [(&'static str, Schemas); 8] {
    [
        ("order", OrderEvent::schemas()),
        ("payment", PaymentEvent::schemas()),
        ("shipment", ShipmentEvent::schemas()),
        ("saga", SagaEvent::schemas()),
        ("stock", StockEvent::schemas()),
        ("location", LocationEvent::schemas()),
        ("person", PersonEvent::schemas()),
        ("return", ReturnEvent::schemas()),
    ]
}

/// Of what a reader takes in: an optional field may be absent, or null.
pub(crate) fn schema<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(utc));
    settings.into_generator().into_root_schema_for::<T>()
}

/// Instants are always written in UTC.
fn utc(schema: &mut Schema) {
    if schema.get("format").is_some_and(|format| format == "date-time") {
        schema.insert("pattern".into(), "Z$".into());
    }
}

/// The folder of all contracts.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts")
}

fn file(kind: &str, event_type: &str, version: i16) -> String {
    format!("events/{kind}/{event_type}.v{version}.schema.json")
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in `contracts/events/`, as the code has it now. A retired type keeps what was published of it.
fn generated() -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    for (kind, schemas) in kinds() {
        for (event_type, version, schema) in schemas {
            let name = file(kind, event_type, version);
            let schema = match schema {
                Some(schema) => Some(complete(schema, kind, event_type, version)),
                None => published::latest(&name),
            };
            files.extend(schema.map(|schema| (name, schema)));
        }
    }
    files
}

/// Adds its name and the golden files as examples.
fn complete(schema: Schema, kind: &str, event_type: &str, version: i16) -> Value {
    let mut schema = schema.to_value();
    let examples = golden::examples(event_type, version);
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("$id".into(), format!("urn:waybill:event:{kind}:{event_type}:v{version}").into());
        fields.insert("title".into(), format!("{event_type}, version {version}").into());
        fields.insert("examples".into(), examples.into());
    }
    schema
}

#[test]
fn the_schema_files_are_current() {
    let generated = generated();
    let is_event = |name: &String| name.starts_with("events/");
    if std::env::var_os(UPDATE).is_some() {
        for name in published::files(&folder()).iter().filter(|name| is_event(name) && !generated.contains_key(*name)) {
            fs::remove_file(folder().join(name)).unwrap();
        }
        for (name, schema) in &generated {
            let path = folder().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, serde_json::to_string_pretty(schema).unwrap() + "\n").unwrap();
        }
    }
    let kept: BTreeSet<String> = published::files(&folder()).into_iter().filter(is_event).collect();
    assert_eq!(kept, generated.keys().cloned().collect(), "contracts/events is not current: {HOW}");
    for (name, schema) in &generated {
        assert!(read(&folder().join(name)) == *schema, "contracts/{name} is not current: {HOW}");
    }
}

/// Each with every optional field, and with none.
#[test]
fn every_golden_example_is_valid_by_its_schema_and_by_that_of_2020_12() {
    for (name, schema) in generated() {
        jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        let examples = schema["examples"].as_array().unwrap();
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            let faults = faults(&schema, example);
            assert!(faults.is_empty(), "{name}: {faults:?} in {example}");
        }
    }
}

fn faults(schema: &Value, instance: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(schema).unwrap();
    validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn a_schema_refuses_what_the_code_would_not_read_and_takes_fields_that_it_does_not_know() {
    let schema = &generated()["events/order/OrderPlaced.v1.schema.json"];
    let golden = schema["examples"][0].clone();
    let changed = |pointer: &str, value: Value| {
        let mut changed = golden.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        faults(schema, &changed).len()
    };
    assert_eq!(changed("/total", "603".into()), 1);
    assert_eq!(changed("/total", 6.03.into()), 1);
    assert_eq!(changed("/lines/0/quantity", Value::Null), 1);
    assert_eq!(changed("/charges/0/kind", "gift".into()), 1);
    assert_eq!(changed("/placed_at", "2017-01-01T11:53:26-05:00".into()), 1);
    assert_eq!(changed("/placed_at", "yesterday, at noonZ".into()), 1);
    assert_eq!(changed("/person_id", "someone".into()), 1);
    assert_eq!(changed("/person_id", Value::Null), 0);
    let mut more = golden.clone();
    more["new"] = Value::Bool(true);
    assert_eq!(faults(schema, &more), Vec::<String>::new());
    more.as_object_mut().unwrap().remove("currency");
    assert_eq!(faults(schema, &more).len(), 1);
}

/// Whoever reads them elsewhere has nothing but these words.
#[test]
fn every_event_every_field_and_every_part_is_described() {
    for (name, schema) in generated() {
        let parts = schema["$defs"].as_object().cloned().unwrap_or_default();
        for (part, schema) in parts.iter().map(|(part, schema)| (part.as_str(), schema)).chain([("it", &schema)]) {
            assert!(schema["description"].is_string(), "{name}: {part} says nothing of itself");
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                let refers = schema["$ref"].is_string() || schema["anyOf"][0]["$ref"].is_string();
                assert!(refers || schema["description"].is_string(), "{name}: {part}.{field} has no description");
            }
        }
    }
}
