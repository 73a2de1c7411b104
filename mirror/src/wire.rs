//! An event as a Kafka record, and back without loss.
//!
//! The value is the payload, byte for byte. The headers are CloudEvents 1.0 in Kafka's binary content mode (`ce_*`,
//! `content-type`), and `waybill-*` for what CloudEvents has no word for. Header values are UTF-8 text. `ce_type` is
//! `waybill.<kind of stream>.<event type>.v<schema version>`, e.g. `waybill.order.OrderPlaced.v1`; `ce_source` is
//! `/waybill/<log>/<shop>`; `ce_id` is `<log>/<incarnation>/<position>`, unique for ever.
use crate::{Place, error::WireError};
use chrono::{DateTime, SecondsFormat, Utc};
use eventstore::{Incarnation, Lives, Log, Metadata, Position, RecordedEvent, StreamId, Version};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt::Write as _, str::FromStr, sync::Arc};
use uuid::Uuid;

pub const CE_SPECVERSION: &str = "ce_specversion";
pub const CE_ID: &str = "ce_id";
pub const CE_TYPE: &str = "ce_type";
pub const CE_SOURCE: &str = "ce_source";
pub const CE_SUBJECT: &str = "ce_subject";
pub const CE_TIME: &str = "ce_time";
pub const CONTENT_TYPE: &str = "content-type";
pub const LOG: &str = "waybill-log";
pub const INCARNATION: &str = "waybill-incarnation";
pub const POSITION: &str = "waybill-position";
/// Position of the record before this one in its partition; 0: this is the first.
pub const PREV: &str = "waybill-prev";
/// The incarnation of the record before this one, where it is another than this one's.
pub const PREV_INCARNATION: &str = "waybill-prev-incarnation";
/// Of an event that is not of the log's first life: the later lives up to its own, each with the last position that it shares with those
/// before, as `2@1200 3@1850`. What an earlier life wrote after that position is gone from the store.
pub const LIVES: &str = "waybill-lives";
pub const STREAM: &str = "waybill-stream";
pub const VERSION: &str = "waybill-version";
pub const SHOP: &str = "waybill-shop";
pub const TYPE: &str = "waybill-type";
pub const SCHEMA_VERSION: &str = "waybill-schema-version";
/// JSON: how the event came to be.
pub const METADATA: &str = "waybill-metadata";
/// Only while a lost topic is filled again: its records are complete only once they have passed this position.
pub const REFILL: &str = "waybill-refill";

/// What a record says besides the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The record before it in its partition, whichever life wrote it.
    pub prev: Place,
    pub refill: Option<Position>,
    pub lives: &'a Lives,
}

/// What the events of an append have in common, written once for those that follow one another.
#[derive(Debug, Default)]
pub struct Common {
    of: Option<(Arc<Metadata>, DateTime<Utc>)>,
    metadata: String,
    time: String,
}

impl Common {
    fn take_in(&mut self, event: &RecordedEvent) {
        let is_same = |(metadata, at): &(Arc<Metadata>, DateTime<Utc>)| {
            Arc::ptr_eq(metadata, &event.metadata) && *at == event.recorded_at
        };
        if !self.of.as_ref().is_some_and(is_same) {
            // Plain data: it always has a JSON text.
            self.metadata = serde_json::to_string(&event.metadata).unwrap_or_default();
            self.time = event.recorded_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            self.of = Some((Arc::clone(&event.metadata), event.recorded_at));
        }
    }
}

/// The headers of an event's record.
pub fn headers(event: &RecordedEvent, link: &Link<'_>, common: &mut Common) -> OwnedHeaders {
    let Link { prev, refill, lives } = *link;
    common.take_in(event);
    let mut texts = Texts { headers: OwnedHeaders::new_with_capacity(20), buffer: String::with_capacity(256) };
    let (log, kind) = (event.log.name(), &event.stream.kind);
    texts.put(CE_SPECVERSION, "1.0");
    texts.format(CE_ID, format_args!("{log}/{}/{}", event.incarnation.0, event.position));
    texts.format(CE_TYPE, format_args!("waybill.{kind}.{}.v{}", event.event_type, event.schema_version));
    texts.format(CE_SOURCE, format_args!("/waybill/{log}/{}", event.shop));
    texts.format(CE_SUBJECT, format_args!("{}", event.stream));
    texts.put(CE_TIME, &common.time);
    texts.put(CONTENT_TYPE, "application/json");
    texts.put(LOG, &log);
    texts.format(INCARNATION, format_args!("{}", event.incarnation.0));
    texts.format(POSITION, format_args!("{}", event.position));
    texts.format(PREV, format_args!("{}", prev.position));
    if prev.position > Position::ZERO && prev.incarnation != event.incarnation {
        texts.format(PREV_INCARNATION, format_args!("{}", prev.incarnation.0));
    }
    let later = || lives.all().iter().skip(1).filter(|life| life.incarnation <= event.incarnation);
    if later().next().is_some() {
        let begun: Vec<String> = later().map(|life| format!("{}@{}", life.incarnation.0, life.after)).collect();
        texts.put(LIVES, &begun.join(" "));
    }
    texts.format(STREAM, format_args!("{}", event.stream));
    texts.format(VERSION, format_args!("{}", event.version.0));
    texts.put(SHOP, &event.shop);
    texts.put(TYPE, &event.event_type);
    texts.format(SCHEMA_VERSION, format_args!("{}", event.schema_version));
    texts.put(METADATA, &common.metadata);
    if let Some(refill) = refill {
        texts.format(REFILL, format_args!("{refill}"));
    }
    texts.headers
}

/// Gathers headers; one buffer for all that must be formatted.
struct Texts {
    headers: OwnedHeaders,
    buffer: String,
}

impl Texts {
    fn put(&mut self, key: &'static str, value: &str) {
        let headers = std::mem::take(&mut self.headers);
        self.headers = headers.insert(Header { key, value: Some(value) });
    }

    fn format(&mut self, key: &'static str, value: std::fmt::Arguments<'_>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        // Writing to a String can't fail.
        let _ = buffer.write_fmt(value);
        self.put(key, &buffer);
        self.buffer = buffer;
    }
}

/// A record as it was read: the event, and its link in the partition's chain.
#[derive(Clone, Debug)]
pub struct Decoded {
    pub event: RecordedEvent,
    pub prev: Place,
    pub refill: Option<Position>,
    /// The lives after the first one, up to the event's own.
    pub lives: Vec<(Incarnation, Position)>,
}

impl Decoded {
    pub fn place(&self) -> Place {
        Place::of(&self.event)
    }

    /// After which position the event's own life began.
    pub fn begun_after(&self) -> Position {
        let own = self.lives.iter().find(|(incarnation, _)| *incarnation == self.event.incarnation);
        own.map_or(Position::ZERO, |(_, after)| *after)
    }

    /// All lives that whoever wrote this record knew of, up to the event's own.
    pub fn known_lives(&self) -> Lives {
        Lives::told(self.lives.iter().copied())
    }
}

/// Reads a record of ours. Headers that it doesn't know are passed over, so that later versions may add some.
pub fn decode<M: Message>(record: &M) -> Result<Decoded, WireError>
where
    M::Headers: Headers,
{
    let found = Found::gather(record.headers());
    let value = record.payload().unwrap_or_default();
    let payload = std::str::from_utf8(value)
        .map_err(|error| WireError::Value(error.to_string()))
        .and_then(|text| RawValue::from_string(text.to_owned()).map_err(|error| WireError::Value(error.to_string())))?;
    let event = RecordedEvent {
        log: parse_log(found.text(LOG)?)?,
        incarnation: Incarnation(found.number(INCARNATION)?),
        position: Position(found.number(POSITION)?),
        stream: parse_stream(found.text(STREAM)?)?,
        version: Version(found.number(VERSION)?),
        shop: found.text(SHOP)?.to_owned(),
        event_type: Cow::Owned(found.text(TYPE)?.to_owned()),
        schema_version: found.number(SCHEMA_VERSION)?,
        payload: payload.into(),
        metadata: parse_metadata(found.text(METADATA)?)?.into(),
        recorded_at: parse_time(found.text(CE_TIME)?)?,
    };
    let refill = found.get(REFILL).map(|_| found.number(REFILL)).transpose()?.map(Position);
    let prev = match (Position(found.number(PREV)?), found.get(PREV_INCARNATION)) {
        (Position::ZERO, _) => Place::START,
        (position, None) => Place { incarnation: event.incarnation, position },
        (position, Some(_)) => Place { incarnation: Incarnation(found.number(PREV_INCARNATION)?), position },
    };
    let lives = found.get(LIVES).map(|_| found.text(LIVES).and_then(parse_lives)).transpose()?.unwrap_or_default();
    Ok(Decoded { event, prev, refill, lives })
}

/// The headers of ours in one pass; the first of a name counts.
struct Found<'a>([Option<&'a [u8]>; NAMES.len()]);

const NAMES: [&str; 14] = [
    LOG,
    INCARNATION,
    POSITION,
    PREV,
    STREAM,
    VERSION,
    SHOP,
    TYPE,
    SCHEMA_VERSION,
    METADATA,
    CE_TIME,
    REFILL,
    PREV_INCARNATION,
    LIVES,
];

impl<'a> Found<'a> {
    fn gather<H: Headers>(headers: Option<&'a H>) -> Self {
        let mut found = [None; NAMES.len()];
        for header in headers.into_iter().flat_map(Headers::iter) {
            if let Some(index) = NAMES.iter().position(|name| *name == header.key)
                && found[index].is_none()
            {
                found[index] = header.value;
            }
        }
        Found(found)
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        NAMES.iter().position(|known| *known == name).and_then(|index| self.0[index])
    }

    fn text(&self, name: &'static str) -> Result<&'a str, WireError> {
        let value = self.get(name).ok_or(WireError::Missing(name))?;
        std::str::from_utf8(value).map_err(|error| WireError::Malformed { name, why: error.to_string() })
    }

    fn number<N: FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<N, WireError> {
        self.text(name)?.parse().map_err(|error: N::Err| WireError::Malformed { name, why: error.to_string() })
    }
}

fn parse_log(name: &str) -> Result<Log, WireError> {
    let number = match name {
        "main" => Some(0),
        other => other.strip_prefix("log-").and_then(|number| number.parse().ok()),
    };
    number.map(Log).ok_or_else(|| WireError::Malformed { name: LOG, why: format!("no log is called {name:?}") })
}

/// `order-<32 hex digits>`, as `StreamId` writes it; a kind may hold hyphens.
fn parse_stream(text: &str) -> Result<StreamId, WireError> {
    let malformed = |why: String| WireError::Malformed { name: STREAM, why };
    let (kind, id) = text.rsplit_once('-').ok_or_else(|| malformed("no hyphen".into()))?;
    let id = Uuid::try_parse(id).map_err(|error| malformed(error.to_string()))?;
    Ok(StreamId { id, kind: Cow::Owned(kind.to_owned()) })
}

/// `2@1200 3@1850`.
fn parse_lives(text: &str) -> Result<Vec<(Incarnation, Position)>, WireError> {
    let life = |part: &str| {
        let (incarnation, after) = part.split_once('@')?;
        Some((Incarnation(incarnation.parse().ok()?), Position(after.parse().ok()?)))
    };
    let malformed = || WireError::Malformed { name: LIVES, why: format!("{text:?} is no list of lives") };
    text.split(' ').map(|part| life(part).ok_or_else(malformed)).collect()
}

fn parse_metadata(text: &str) -> Result<Metadata, WireError> {
    serde_json::from_str(text).map_err(|error| WireError::Malformed { name: METADATA, why: error.to_string() })
}

fn parse_time(text: &str) -> Result<DateTime<Utc>, WireError> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.with_timezone(&Utc))
        .map_err(|error| WireError::Malformed { name: CE_TIME, why: error.to_string() })
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;
