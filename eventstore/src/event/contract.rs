//! What is promised of an event's metadata to those who read it elsewhere: `contracts/metadata.schema.json`, generated from `Metadata`.
//! What was published of it is held to by the domain's `contracts`, with the events.
use super::*;
use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};
use std::{fs, path::Path};

const HOW: &str = "UPDATE_CONTRACTS=1 cargo test -p eventstore --lib contract";

/// Instants are always written in UTC.
fn utc(schema: &mut Schema) {
    if schema.get("format").is_some_and(|format| format == "date-time") {
        schema.insert("pattern".into(), "Z$".into());
    }
}

fn examples() -> [Metadata; 2] {
    let id = |n: u128| Uuid::from_u128(0x019a_aebb_7d20_7c41_9b1f_3f6f_2a51_e000 + n);
    let occurred_at = DateTime::parse_from_rfc3339("2026-11-23T08:12:04.517Z").unwrap().to_utc();
    let full = Metadata {
        command_id: id(1),
        causation_id: Some(id(2)),
        correlation_id: id(3),
        actor: Actor {
            kind: ActorKind::Support,
            id: "ann".into(),
            key: Some(id(4).to_string()),
            on_behalf_of: Some("dev".into()),
        },
        source: Source::Api,
        reason_code: Some("requested".into()),
        occurred_at,
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        app_version: "0.1.0".into(),
    };
    let actor = Actor { kind: ActorKind::Saga, id: "fulfillment".into(), key: None, on_behalf_of: None };
    let min = Metadata { causation_id: None, actor, reason_code: None, trace_id: None, ..full.clone() };
    [full, min]
}

fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(utc));
    let mut schema = settings.into_generator().into_root_schema_for::<Metadata>();
    schema.insert("$id".into(), "urn:waybill:metadata".into());
    schema.insert("title".into(), "The header waybill-metadata".into());
    schema.insert("examples".into(), json!(examples()));
    schema.to_value()
}

#[test]
fn the_schema_of_the_metadata_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/metadata.schema.json");
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&schema()).unwrap() + "\n").unwrap();
    }
    let kept: Option<Value> = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
    assert!(kept == Some(schema()), "contracts/metadata.schema.json is not current: {HOW}");
}

#[test]
fn metadata_is_valid_by_its_schema_with_every_optional_field_and_with_none() {
    let schema = schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
    for example in examples().map(|metadata| json!(metadata)) {
        validator.validate(&example).unwrap_or_else(|error| panic!("{error} in {example}"));
        let mut more = example.clone();
        more["actor"]["new"] = json!(1);
        assert!(validator.is_valid(&more), "a reader passes over what it doesn't know");
        for field in ["command_id", "correlation_id", "actor", "source", "occurred_at", "app_version"] {
            let mut less = example.clone();
            less.as_object_mut().unwrap().remove(field);
            assert!(!validator.is_valid(&less), "{field} is always there");
        }
        let mut other = example.clone();
        other["source"] = json!("pigeon");
        assert!(!validator.is_valid(&other));
    }
}
