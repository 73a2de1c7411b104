//! The lines, as they are written and read. Each is one object with one key, which says what it is.
use super::Counts;
use crate::sql::inspect::{StoredAbandoned, StoredCheckpoint, StoredEvent, StoredLife};
use crate::sql::transfer::{SealedRow, StoredBalance, StoredClaim, TimerRow};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::Write as _;
use uuid::Uuid;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    #[serde(borrow)]
    Header(Header<'a>),
    Event(EventLine<'a>),
    Claim(ClaimLine<'a>),
    Balance(BalanceLine<'a>),
    Timer(TimerLine<'a>),
    Sealed(SealedLine<'a>),
    Checkpoint(CheckpointLine<'a>),
    End(End),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header<'a> {
    #[serde(borrow)]
    pub(super) format: Cow<'a, str>,
    pub(super) version: u32,
    /// The log's number.
    pub(super) log: i16,
    /// The last position in the file.
    pub(super) head: i64,
    /// The file holds events and claims up to its head alone, and there was more.
    pub(super) as_of: bool,
    #[serde(borrow)]
    pub(super) made_by: Cow<'a, str>,
    pub(super) incarnations: Vec<LifeLine>,
    /// What earlier lives told the world and the store has lost, as it was settled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) abandoned: Vec<AbandonedLine>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AbandonedLine {
    pub(super) incarnation: i32,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) events: i64,
    pub(super) streams: i64,
    /// How many of each type.
    pub(super) types: Box<RawValue>,
    pub(super) file: String,
    #[serde(with = "micros")]
    pub(super) recorded_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LifeLine {
    pub(super) incarnation: i32,
    pub(super) after: i64,
    #[serde(with = "micros")]
    pub(super) began_at: DateTime<Utc>,
    pub(super) reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventLine<'a> {
    pub(super) position: i64,
    pub(super) incarnation: i32,
    #[serde(with = "micros")]
    pub(super) recorded_at: DateTime<Utc>,
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    pub(super) id: Uuid,
    pub(super) version: i32,
    #[serde(rename = "type", borrow)]
    pub(super) event_type: Cow<'a, str>,
    pub(super) schema_version: i16,
    #[serde(borrow)]
    pub(super) shop: Cow<'a, str>,
    pub(super) command_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<i32>,
    #[serde(borrow, default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<&'a RawValue>,
    /// In place of `metadata`, where the text can't stand in a line as it is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata_text: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<&'a RawValue>,
    /// In place of `payload`, where the text can't stand in a line as it is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) payload_text: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimLine<'a> {
    #[serde(borrow)]
    pub(super) scope: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) key: Cow<'a, str>,
    pub(super) position: i64,
    #[serde(borrow)]
    pub(super) holder: Cow<'a, str>,
    /// 64 hexadecimal digits.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<Cow<'a, str>>,
    /// Of a claim that expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) day: Option<NaiveDate>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BalanceLine<'a> {
    #[serde(borrow)]
    pub(super) account: Cow<'a, str>,
    pub(super) balance: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimerLine<'a> {
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    pub(super) id: Uuid,
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(with = "micros")]
    pub(super) due_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedLine<'a> {
    pub(super) subject: Uuid,
    pub(super) person: Uuid,
    /// Base64, with padding.
    #[serde(borrow)]
    pub(super) sealed: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointLine<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) incarnation: i32,
    pub(super) position: i64,
    pub(super) command_id: Uuid,
    pub(super) last_position: i64,
    #[serde(with = "micros")]
    pub(super) recorded_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) counts: Counts,
    /// Of all bytes before this line, in hexadecimal digits.
    pub(super) sha256: String,
}

impl From<&StoredLife> for LifeLine {
    fn from(life: &StoredLife) -> LifeLine {
        let StoredLife { incarnation, after_position, began_at, reason } = life.clone();
        LifeLine { incarnation, after: after_position, began_at, reason }
    }
}

impl From<LifeLine> for StoredLife {
    fn from(line: LifeLine) -> StoredLife {
        let LifeLine { incarnation, after, began_at, reason } = line;
        StoredLife { incarnation, after_position: after, began_at, reason }
    }
}

impl TryFrom<StoredAbandoned> for AbandonedLine {
    type Error = serde_json::Error;
    fn try_from(range: StoredAbandoned) -> Result<AbandonedLine, serde_json::Error> {
        let StoredAbandoned { incarnation, from_position, to_position, events, streams, types, file, recorded_at } =
            range;
        let types = RawValue::from_string(types)?;
        Ok(AbandonedLine {
            incarnation,
            from: from_position,
            to: to_position,
            events,
            streams,
            types,
            file,
            recorded_at,
        })
    }
}

impl From<AbandonedLine> for StoredAbandoned {
    fn from(line: AbandonedLine) -> StoredAbandoned {
        let AbandonedLine { incarnation, from, to, events, streams, types, file, recorded_at } = line;
        let types = types.get().to_owned();
        StoredAbandoned { incarnation, from_position: from, to_position: to, events, streams, types, file, recorded_at }
    }
}

/// JSON as it is where that fits into a line, else as text.
fn json(text: &str) -> (Option<&RawValue>, Option<Cow<'_, str>>) {
    let raw: Option<&RawValue> = serde_json::from_str(text).ok();
    match raw.filter(|raw| raw.get().len() == text.len() && !text.contains(['\n', '\r'])) {
        Some(raw) => (Some(raw), None),
        None => (None, Some(Cow::Borrowed(text))),
    }
}

/// `null` is JSON as well, and there.
fn there<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn text_of(what: &str, raw: Option<&RawValue>, text: Option<Cow<'_, str>>) -> Result<String, String> {
    match (raw, text) {
        (Some(raw), None) => Ok(raw.get().to_owned()),
        (None, Some(text)) => Ok(text.into_owned()),
        _ => Err(format!("either {what} or {what}_text must be there")),
    }
}

impl<'a> From<&'a StoredEvent> for EventLine<'a> {
    fn from(event: &'a StoredEvent) -> EventLine<'a> {
        let (metadata, metadata_text) = json(&event.metadata);
        let (payload, payload_text) = json(&event.payload);
        EventLine {
            position: event.position,
            incarnation: event.incarnation,
            recorded_at: event.recorded_at,
            stream: event.stream_kind.as_str().into(),
            id: event.stream_id,
            version: event.version,
            event_type: event.event_type.as_str().into(),
            schema_version: event.schema_version,
            shop: event.shop.as_str().into(),
            command_id: event.command_id,
            checksum: event.checksum,
            metadata,
            metadata_text,
            payload,
            payload_text,
        }
    }
}

impl TryFrom<EventLine<'_>> for StoredEvent {
    type Error = String;
    fn try_from(line: EventLine<'_>) -> Result<StoredEvent, String> {
        Ok(StoredEvent {
            position: line.position,
            incarnation: line.incarnation,
            recorded_at: line.recorded_at,
            stream_id: line.id,
            stream_kind: line.stream.into_owned(),
            version: line.version,
            event_type: line.event_type.into_owned(),
            schema_version: line.schema_version,
            shop: line.shop.into_owned(),
            command_id: line.command_id,
            checksum: line.checksum,
            metadata: text_of("metadata", line.metadata, line.metadata_text)?,
            payload: text_of("payload", line.payload, line.payload_text)?,
        })
    }
}

impl<'a> From<&'a StoredClaim> for ClaimLine<'a> {
    fn from(claim: &'a StoredClaim) -> ClaimLine<'a> {
        ClaimLine {
            scope: claim.scope.as_str().into(),
            key: claim.key.as_str().into(),
            position: claim.position,
            holder: claim.holder.as_str().into(),
            fingerprint: claim.fingerprint.as_deref().map(|bytes| hex(bytes).into()),
            day: claim.day,
        }
    }
}

impl TryFrom<ClaimLine<'_>> for StoredClaim {
    type Error = String;
    fn try_from(line: ClaimLine<'_>) -> Result<StoredClaim, String> {
        let fingerprint = line.fingerprint.map(|text| unhex(&text).filter(|bytes| bytes.len() == 32));
        let fingerprint =
            fingerprint.map(|bytes| bytes.ok_or("its fingerprint is not 64 hexadecimal digits")).transpose()?;
        Ok(StoredClaim {
            scope: line.scope.into_owned(),
            key: line.key.into_owned(),
            position: line.position,
            holder: line.holder.into_owned(),
            fingerprint,
            day: line.day,
        })
    }
}

impl<'a> From<&'a StoredBalance> for BalanceLine<'a> {
    fn from(held: &'a StoredBalance) -> BalanceLine<'a> {
        BalanceLine { account: held.account.as_str().into(), balance: held.balance }
    }
}

impl<'a> From<&'a TimerRow> for TimerLine<'a> {
    fn from(timer: &'a TimerRow) -> TimerLine<'a> {
        let TimerRow { stream_id, stream_kind, name, due_at } = timer;
        TimerLine { stream: stream_kind.as_str().into(), id: *stream_id, name: name.as_str().into(), due_at: *due_at }
    }
}

impl<'a> From<&'a SealedRow> for SealedLine<'a> {
    fn from(entry: &'a SealedRow) -> SealedLine<'a> {
        let sealed = BASE64.encode(&entry.sealed).into();
        SealedLine { subject: entry.subject, person: entry.person, sealed }
    }
}

impl TryFrom<SealedLine<'_>> for SealedRow {
    type Error = String;
    fn try_from(line: SealedLine<'_>) -> Result<SealedRow, String> {
        let sealed = BASE64.decode(line.sealed.as_bytes()).map_err(|error| format!("sealed: {error}"))?;
        Ok(SealedRow { subject: line.subject, person: line.person, sealed })
    }
}

impl<'a> From<&'a StoredCheckpoint> for CheckpointLine<'a> {
    fn from(each: &'a StoredCheckpoint) -> CheckpointLine<'a> {
        CheckpointLine {
            name: each.name.as_str().into(),
            incarnation: each.incarnation,
            position: each.position,
            command_id: each.command_id,
            last_position: each.last_position,
            recorded_at: each.recorded_at,
        }
    }
}

impl From<CheckpointLine<'_>> for StoredCheckpoint {
    fn from(line: CheckpointLine<'_>) -> StoredCheckpoint {
        StoredCheckpoint {
            name: line.name.into_owned(),
            incarnation: line.incarnation,
            position: line.position,
            command_id: line.command_id,
            last_position: line.last_position,
            recorded_at: line.recorded_at,
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits =
        |pair: &[u8]| u8::try_from(char::from(pair[0]).to_digit(16)? * 16 + char::from(pair[1]).to_digit(16)?).ok();
    text.len().is_multiple_of(2).then(|| text.as_bytes().chunks_exact(2).map(digits).collect())?
}

/// An instant as in RFC 3339, in UTC, always with six decimals: what the database keeps.
mod micros {
    use super::{DateTime, Deserialize, Deserializer, SecondsFormat, Serializer, Utc};
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?.to_utc())
    }
}
