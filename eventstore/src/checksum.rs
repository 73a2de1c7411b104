//! The checksum of an event: CRC-32C (RFC 3720) over what its appender sent, so that whoever reads it later can tell that it is still that.
//!
//! It is made before the event leaves the appending process and looked at after it has arrived in the reading one; wire, database and
//! disk lie between. It finds faults, not forgeries. Position, version and time are given by the database: density proves those.
use crate::{Append, NewEvent, StreamId};
use uuid::Uuid;

/// What the checksum is over; texts byte for byte as they are stored.
pub(crate) struct Sent<'a> {
    pub(crate) stream: &'a StreamId,
    pub(crate) event_type: &'a str,
    pub(crate) schema_version: i16,
    pub(crate) shop: &'a str,
    pub(crate) command_id: Uuid,
    pub(crate) metadata: &'a str,
    pub(crate) payload: &'a str,
}

impl<'a> Sent<'a> {
    /// An event on its way into the store; `metadata` is the append's, as text.
    pub(crate) fn of(append: &'a Append, stream: &'a StreamId, event: &'a NewEvent, metadata: &'a str) -> Sent<'a> {
        Sent {
            stream,
            event_type: &event.event_type,
            schema_version: event.schema_version,
            shop: &append.shop,
            command_id: append.metadata.command_id,
            metadata,
            payload: event.payload.get(),
        }
    }

    /// In the bits of a SQL `integer`.
    pub(crate) fn checksum(&self) -> i32 {
        let crc = [self.stream.id, self.command_id].iter().fold(0, |crc, id| crc32c::crc32c_append(crc, id.as_bytes()));
        let crc = crc32c::crc32c_append(crc, &self.schema_version.to_le_bytes());
        // The zero byte, which no text holds, keeps the texts apart.
        let texts = [&*self.stream.kind, self.event_type, self.shop, self.metadata, self.payload];
        let crc = texts
            .iter()
            .fold(crc, |crc, text| crc32c::crc32c_append(crc32c::crc32c_append(crc, text.as_bytes()), &[0]));
        crc.cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent<'a>(stream: &'a StreamId, texts: [&'a str; 4]) -> Sent<'a> {
        let [event_type, shop, metadata, payload] = texts;
        let command_id = Uuid::from_u128(7);
        Sent { stream, event_type, schema_version: 1, shop, command_id, metadata, payload }
    }

    #[test]
    fn it_is_the_same_in_every_release() {
        let stream = StreamId::new(Uuid::from_u128(1), "order");
        assert_eq!(sent(&stream, ["OrderPlaced", "dev", "{}", r#"{"n":1}"#]).checksum(), 924_085_370);
    }

    #[test]
    fn whatever_is_changed_changes_it() {
        let stream = StreamId::new(Uuid::from_u128(1), "order");
        let whole = sent(&stream, ["OrderPlaced", "dev", "{}", r#"{"n":1}"#]).checksum();
        let other = StreamId::new(Uuid::from_u128(1), "saga");
        let changed = [
            sent(&other, ["OrderPlaced", "dev", "{}", r#"{"n":1}"#]).checksum(),
            sent(&stream, ["OrderPlace", "ddev", "{}", r#"{"n":1}"#]).checksum(),
            sent(&stream, ["OrderPlaced", "dev", "{ }", r#"{"n":1}"#]).checksum(),
            sent(&stream, ["OrderPlaced", "dev", "{}", r#"{"n":2}"#]).checksum(),
            Sent { schema_version: 2, ..sent(&stream, ["OrderPlaced", "dev", "{}", r#"{"n":1}"#]) }.checksum(),
            Sent { command_id: Uuid::nil(), ..sent(&stream, ["OrderPlaced", "dev", "{}", r#"{"n":1}"#]) }.checksum(),
        ];
        assert!(!changed.contains(&whole), "{changed:?}");
    }
}
