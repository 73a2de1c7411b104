//! A moment of the log: what stood in it once its first so many events were there, or at an instant.
//!
//! A moment is always a position in the end. Positions are dense and in commit order and `recorded_at` never goes back along them, so an
//! instant is looked up by halving: no index on time is kept.
use crate::{EventStore, Position, ReadError};
use chrono::{DateTime, Utc};
use std::str::FromStr;
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// After this position and before the next; `Position::ZERO`: before the first event.
    Position(Position),
    /// After the last event that was recorded at or before this instant, by the log's time. An instant later than the last event means
    /// the head as it is now: whoever asks for a time to come is told of the present.
    Time(DateTime<Utc>),
}

#[derive(Clone, Debug, Error)]
pub enum AsOfError {
    #[error("the log ends at position {head}: what it is at position {asked} nobody knows yet")]
    BeyondHead { asked: Position, head: Position },
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl AsOf {
    /// The position that is meant; it exists, or is 0.
    pub async fn resolve(self, store: &dyn EventStore) -> Result<Position, AsOfError> {
        match self {
            AsOf::Time(time) => Ok(store.position_at(time).await?),
            AsOf::Position(asked) => {
                let head = store.head().await?.position;
                if asked > head { Err(AsOfError::BeyondHead { asked, head }) } else { Ok(asked.max(Position::ZERO)) }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("neither a position (digits) nor an instant as in RFC 3339 (2026-11-24T09:30:00Z): {0}")]
pub struct ParseAsOfError(String);

/// Digits are a position, anything else is an instant with its offset.
impl FromStr for AsOf {
    type Err = ParseAsOfError;

    fn from_str(text: &str) -> Result<AsOf, ParseAsOfError> {
        let unreadable = || ParseAsOfError(text.to_owned());
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(AsOf::Position).map_err(|_| unreadable());
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| unreadable())?;
        Ok(AsOf::Time(time.to_utc()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_position_and_the_rest_an_instant() {
        assert_eq!("0".parse(), Ok(AsOf::Position(Position::ZERO)));
        assert_eq!("00042".parse(), Ok(AsOf::Position(Position(42))));
        let instant = AsOf::Time(DateTime::from_timestamp(1_790_000_000, 250_000_000).unwrap_or_default());
        assert_eq!("2026-09-21T14:13:20.250+00:00".parse(), Ok(instant));
        assert_eq!("2026-09-21T16:13:20.25+02:00".parse(), Ok(instant));
    }

    #[test]
    fn whatever_else_it_is_is_refused() {
        for text in ["", "-1", "+1", "1.5", "9223372036854775808", "yesterday", "2026-09-21", "2026-09-21T13:33:20"] {
            assert!(text.parse::<AsOf>().is_err(), "{text}");
        }
    }
}
