//! What is promised of a record's headers to those who read Kafka: `contracts/headers.schema.json`, a schema of the object that has a
//! field for each header, its value as text. The table below is its source; tests hold it to what `headers` writes.
//! What was published of it is held to by the domain's `contracts`, with the events.
use super::*;
use eventstore::{Actor, ActorKind, Life, Source};
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

const HOW: &str = "UPDATE_CONTRACTS=1 cargo test -p mirror --lib contract";

const NUMBER: &str = "^[1-9][0-9]*$";
const NUMBER_OR_ZERO: &str = "^(0|[1-9][0-9]*)$";
const LOG_NAME: &str = "^(main|log-[1-9][0-9]*)$";
const STREAM_NAME: &str = "^[a-z-]+-[0-9a-f]{32}$";
const ANY: &str = "";

/// Name, whether it is always there, pattern, description, example.
const TABLE: [(&str, bool, &str, &str, &str); 18] = [
    (CE_SPECVERSION, true, "^1\\.0$", "CloudEvents 1.0, in Kafka's binary content mode.", "1.0"),
    (
        CE_ID,
        true,
        "^(main|log-[1-9][0-9]*)/[1-9][0-9]*/[1-9][0-9]*$",
        "Log, incarnation and position: unique for ever, and the same however often the record is written. Drop what you have seen by it.",
        "main/1/42",
    ),
    (
        CE_TYPE,
        true,
        "^waybill\\.[a-z-]+\\.[A-Za-z]+\\.v[1-9][0-9]*$",
        "Kind of stream, type and schema version: which schema the value has.",
        "waybill.order.OrderPlaced.v1",
    ),
    (CE_SOURCE, true, "^/waybill/(main|log-[1-9][0-9]*)/", "Log and shop.", "/waybill/main/dev"),
    (CE_SUBJECT, true, STREAM_NAME, "The stream.", "order-019aaebb7d207c419b1f3f6f2a51e00d"),
    (
        CE_TIME,
        true,
        "Z$",
        "When it was recorded: RFC 3339 in UTC; never goes back along positions.",
        "2026-11-23T08:12:04.517Z",
    ),
    (CONTENT_TYPE, true, "^application/json$", "Of the value.", "application/json"),
    (LOG, true, LOG_NAME, "The log. Positions are of one log.", "main"),
    (
        INCARNATION,
        true,
        NUMBER,
        "The life of the log in which it was written, from 1. Another begins when the store was restored.",
        "1",
    ),
    (
        POSITION,
        true,
        NUMBER,
        "The place in the log, from 1, without holes over both topics. Order in the world is (incarnation, position).",
        "42",
    ),
    (
        PREV,
        true,
        NUMBER_OR_ZERO,
        "The position of the record before this one in its partition; 0: there is none.",
        "37",
    ),
    (
        PREV_INCARNATION,
        false,
        NUMBER,
        "The incarnation of the record before this one, only where it is another than this one's.",
        "1",
    ),
    (
        LIVES,
        false,
        "^[1-9][0-9]*@[0-9]+( [1-9][0-9]*@[0-9]+)*$",
        "Of incarnations after the first: each later one up to this record's own, with the last position that it shares with those before.",
        "2@1200 3@1850",
    ),
    (STREAM, true, STREAM_NAME, "The stream: its kind and its id.", "order-019aaebb7d207c419b1f3f6f2a51e00d"),
    (VERSION, true, NUMBER, "The place in its stream, from 1, without holes.", "1"),
    (SHOP, true, ANY, "Whose event it is.", "dev"),
    (TYPE, true, "^[A-Za-z]+$", "The event's type.", "OrderPlaced"),
    (SCHEMA_VERSION, true, NUMBER, "The version of the type's schema.", "1"),
];

fn schema() -> Value {
    let field = |pattern: &str, description: &str, example: &str| {
        let mut field = json!({ "type": "string", "description": description, "examples": [example] });
        if !pattern.is_empty() {
            field["pattern"] = pattern.into();
        }
        field
    };
    let mut properties: Map<String, Value> = TABLE
        .iter()
        .map(|(name, _, pattern, description, example)| ((*name).to_owned(), field(pattern, description, example)))
        .collect();
    let metadata = "How the event came to be: JSON, by metadata.schema.json.";
    let mut metadata = field(ANY, metadata, "{}");
    metadata["contentMediaType"] = "application/json".into();
    metadata.as_object_mut().unwrap().remove("examples");
    properties.insert(METADATA.into(), metadata);
    let refill = "Only while a topic that was lost is filled again: the position up to which it will be.";
    properties.insert(REFILL.into(), field(NUMBER, refill, "1850"));
    let mut required: Vec<&str> = TABLE.iter().filter(|row| row.1).map(|row| row.0).chain([METADATA]).collect();
    required.sort_unstable();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:waybill:headers",
        "title": "The headers of a record",
        "description": "Each header of a record of Waybill, its value as UTF-8 text. Pass over those that you don't know.",
        "type": "object",
        "properties": properties,
        "required": required,
    })
}

#[test]
fn the_schema_of_the_headers_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/headers.schema.json");
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&schema()).unwrap() + "\n").unwrap();
    }
    let kept: Option<Value> = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
    assert!(kept == Some(schema()), "contracts/headers.schema.json is not current: {HOW}");
}

fn event(incarnation: i32) -> RecordedEvent {
    let at = DateTime::parse_from_rfc3339("2026-11-23T08:12:04.517Z").unwrap().to_utc();
    RecordedEvent {
        log: Log::MAIN,
        incarnation: Incarnation(incarnation),
        position: Position(42),
        stream: StreamId::new(Uuid::from_u128(7), "order"),
        version: Version(1),
        shop: "dev".into(),
        event_type: "OrderPlaced".into(),
        schema_version: 1,
        payload: RawValue::from_string("{}".into()).unwrap().into(),
        metadata: Metadata {
            command_id: Uuid::from_u128(1),
            causation_id: None,
            correlation_id: Uuid::from_u128(2),
            actor: Actor { kind: ActorKind::Shop, id: "dev".into(), key: None, on_behalf_of: None },
            source: Source::Api,
            reason_code: None,
            occurred_at: at,
            trace_id: None,
            app_version: "0.1.0".into(),
        }
        .into(),
        recorded_at: at,
    }
}

fn written(event: &RecordedEvent, link: &Link<'_>) -> Value {
    let headers = headers(event, link, &mut Common::default());
    let text = |header: Header<'_, &[u8]>| {
        (header.key.to_owned(), String::from_utf8(header.value.unwrap().to_vec()).unwrap().into())
    };
    Value::Object(headers.iter().map(text).collect())
}

#[test]
fn what_is_written_is_valid_and_says_all_that_the_schema_knows_of() {
    let schema = schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let valid = |headers: &Value| validator.validate(headers).unwrap_or_else(|error| panic!("{error} in {headers}"));

    let first = written(&event(1), &Link { prev: Place::START, refill: None, lives: &Lives::first() });
    valid(&first);
    let names: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    let required: Vec<&str> =
        schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, required, "the plainest record has what is always there and no more");

    let lives = Lives::told([(Incarnation(2), Position(30)), (Incarnation(3), Position(40))]);
    assert_eq!(lives.all().last().map(|life: &Life| life.incarnation), Some(Incarnation(3)));
    let prev = Place { incarnation: Incarnation(1), position: Position(37) };
    let full = written(&event(3), &Link { prev, refill: Some(Position(50)), lives: &lives });
    valid(&full);
    let known: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(
        full.as_object().unwrap().keys().collect::<Vec<_>>(),
        known,
        "a record with everything has every header"
    );
    for name in NAMES {
        assert!(known.iter().any(|known| *known == name), "{name} is read, and not promised");
    }
    for name in &required {
        let mut less = full.clone();
        less.as_object_mut().unwrap().remove(*name);
        assert!(!validator.is_valid(&less), "{name} is always there");
    }
}

#[test]
fn the_examples_are_valid_themselves() {
    let schema = schema();
    for (name, field) in schema["properties"].as_object().unwrap() {
        for example in field["examples"].as_array().into_iter().flatten() {
            assert!(jsonschema::is_valid(field, example), "{name}: {example}");
        }
        assert!(field["description"].is_string(), "{name}");
    }
}
