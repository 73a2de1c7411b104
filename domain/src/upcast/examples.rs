//! A small family of events that has seen every kind of change. docs/evolution.md quotes this file, and a test sees that it does so
//! truly; the golden files lie in `examples/`.
use crate::event::events;
use crate::golden::catalogue::{Catalogue, Kind, Today, golden_tests, today};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

events! {
    /// The stream of one parcel.
    ParcelEvent in Nothing {
        ParcelSent = 3,
        CommentMade = 1,
        InvoiceSent = 1,
        InsuranceTaken = 1 from the next release on,
    }
    reads {
        ParcelSent 1: ParcelSentV1 => ParcelSentV2 => ParcelSent,
        ParcelSent 2: ParcelSentV2 => ParcelSent,
        CommentMade 2: CommentMadeV2 => CommentMade,
        NoteTaken 1: NoteTakenV1 => CommentMade,
        SentAndBilled 1: SentAndBilledV1 => several,
        ParcelLookedAt 1: retired,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ParcelSent {
    pub carrier: String,
    pub weight_grams: Option<i64>,
    pub tracking_number: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct ParcelSentV2 {
    carrier: String,
    weight_grams: Option<i64>,
    tracking: String,
}

/// `tracking` is called `tracking_number`.
impl From<ParcelSentV2> for ParcelSent {
    fn from(old: ParcelSentV2) -> Self {
        ParcelSent { carrier: old.carrier, weight_grams: old.weight_grams, tracking_number: old.tracking }
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
struct ParcelSentV1 {
    carrier: String,
    tracking: String,
}

/// Nobody weighed parcels then.
impl From<ParcelSentV1> for ParcelSentV2 {
    fn from(old: ParcelSentV1) -> Self {
        ParcelSentV2 { carrier: old.carrier, weight_grams: None, tracking: old.tracking }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CommentMade {
    pub text_id: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct CommentMadeV2 {
    text_id: String,
    #[serde(rename = "language")]
    _language: Option<String>,
}

/// Read already, written from the next release on. Until then nobody asks for the language.
impl From<CommentMadeV2> for CommentMade {
    fn from(new: CommentMadeV2) -> Self {
        CommentMade { text_id: new.text_id }
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
struct NoteTakenV1 {
    text_id: String,
}

impl From<NoteTakenV1> for CommentMade {
    fn from(old: NoteTakenV1) -> Self {
        CommentMade { text_id: old.text_id }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InvoiceSent {
    pub invoice: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InsuranceTaken {
    pub policy: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct SentAndBilledV1 {
    carrier: String,
    tracking: String,
    invoice: Option<String>,
}

/// In the order in which it happened. Without an invoice there was nothing to pay.
impl From<SentAndBilledV1> for Vec<ParcelEvent> {
    fn from(old: SentAndBilledV1) -> Self {
        let sent = ParcelSent { carrier: old.carrier, weight_grams: None, tracking_number: old.tracking };
        let invoice = old.invoice.map(|invoice| InvoiceSent { invoice }.into());
        std::iter::once(sent.into()).chain(invoice).collect()
    }
}

fn examples() -> Catalogue {
    Catalogue {
        folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/upcast/examples"),
        kinds: vec![Kind { name: "parcel", types: ParcelEvent::TYPES, others: ParcelEvent::OTHERS }],
        read: |_, event_type, version, payload| {
            today(ParcelEvent::decode(event_type, version, payload), |event| {
                Today::new(event.event_type(), event.schema_version(), event)
            })
        },
    }
}

golden_tests!(examples);

/// What lies in the log has a schema as long as its struct is there: also what is written no more, and what isn't yet.
#[test]
fn every_shape_that_is_read_has_a_schema_but_a_retired_one() {
    let schemas = ParcelEvent::schemas();
    assert_eq!(schemas.len(), ParcelEvent::TYPES.len() + ParcelEvent::OTHERS.len());
    for (event_type, version, schema) in schemas {
        assert_eq!(schema.is_none(), event_type == "ParcelLookedAt", "{event_type} {version}");
        let Some(schema) = schema else { continue };
        for ending in ["", ".min"] {
            let Some(golden) = examples().text(&format!("{event_type}.v{version}{ending}.json")) else { continue };
            let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
            jsonschema::validate(schema.as_value(), &golden).unwrap_or_else(|error| panic!("{event_type}: {error}"));
            let nothing = serde_json::json!({});
            assert!(!jsonschema::is_valid(schema.as_value(), &nothing), "{event_type} {version} admits anything");
        }
    }
}

fn decode(event_type: &str, version: i16, payload: &str) -> Result<super::Decoded<ParcelEvent>, String> {
    let mut payload = serde_json::Deserializer::from_str(payload);
    ParcelEvent::decode(event_type, version, &mut payload).map_err(|error| error.to_string())
}

#[test]
fn a_split_that_yields_one_event_is_read_too() {
    let whole = decode("SentAndBilled", 1, r#"{"carrier":"P","tracking":"1","invoice":"i"}"#).unwrap();
    assert_eq!(whole.iter().map(ParcelEvent::event_type).collect::<Vec<_>>(), ["ParcelSent", "InvoiceSent"]);
    let free = decode("SentAndBilled", 1, r#"{"carrier":"P","tracking":"1"}"#).unwrap();
    assert_eq!(free.iter().map(ParcelEvent::event_type).collect::<Vec<_>>(), ["ParcelSent"]);
}

#[test]
fn a_retired_type_is_nothing_whatever_its_payload() {
    assert_eq!(decode("ParcelLookedAt", 1, r#"{"by":{"any":"thing"}}"#), Ok(super::Decoded::Retired));
}

#[test]
fn what_is_written_from_the_next_release_on_is_read_and_says_that_it_is_not_written_yet() {
    let read = decode("InsuranceTaken", 1, r#"{"policy":"p"}"#).unwrap();
    assert!(!read[0].is_written());
    assert!(ParcelEvent::from(InvoiceSent { invoice: "i".into() }).is_written());
    assert!(ParcelEvent::TYPES.contains(&("InsuranceTaken", 1, false)));
}

#[test]
fn an_unknown_type_or_version_says_who_wrote_it() {
    for (event_type, version) in [("ParcelLost", 1), ("ParcelSent", 4), ("ParcelLookedAt", 2), ("NoteTaken", 2)] {
        assert_eq!(
            decode(event_type, version, "{}").unwrap_err(),
            format!(
                "the event type {event_type} in version {version} is not known here: a newer version of Waybill wrote it, and \
                 only that one can read on"
            )
        );
    }
    let broken = decode("ParcelSent", 2, r#"{"carrier":"P"}"#).unwrap_err();
    assert_eq!(
        broken,
        "the payload of ParcelSent in version 2 can't be read: missing field `tracking` at line 1 column 15"
    );
}

/// Every `rust` block is a piece of this file, or of the `events!` above; every `json FILE` block is that golden file.
#[test]
fn the_document_quotes_what_is_tested() {
    let code = without_indent(include_str!("examples.rs"));
    let document = include_str!("../../../docs/evolution.md");
    let mut quoted = 0;
    for block in document.split("\n```").skip(1).step_by(2) {
        let (info, text) = block.split_once('\n').unwrap();
        match info.split_once(' ') {
            Some(("json", file)) => {
                let golden = examples().text(file).unwrap_or_else(|| panic!("there is no golden file {file}"));
                assert_eq!(text.trim(), golden.trim(), "{file}");
            }
            _ if info == "rust" => {
                assert!(code.contains(&without_indent(text)), "this is not what is tested:\n{text}");
            }
            _ => continue,
        }
        quoted += 1;
    }
    assert!(quoted >= 10, "{quoted} blocks");
}

fn without_indent(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}
