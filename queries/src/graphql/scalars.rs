//! The contract's scalars.
use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{SecondsFormat, Utc};
use domain::Amount;

/// A decimal string with exactly the digits of its currency's minor unit: `"10.99"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal(String);

impl Decimal {
    /// From minor units of `digits` decimals.
    pub(super) fn new(minor: i64, digits: i16) -> Decimal {
        Decimal(Amount(minor).display(u8::try_from(digits).unwrap_or(0)).to_string())
    }
}

/// A decimal string: `"10.99"`.
#[Scalar(name = "Decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Decimal(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position(pub(super) i64);

/// A place in the log, as an opaque decimal string; compare only within one log. `"0"` is before the first event.
#[Scalar(name = "Position")]
impl ScalarType for Position {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => text
                .parse()
                .ok()
                .filter(|position| *position >= 0)
                .map(Position)
                .ok_or_else(|| InputValueError::custom("not a position: a decimal string such as \"123\"")),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DateTime(pub(super) chrono::DateTime<Utc>);

/// An instant as in RFC 3339, in UTC: `"2017-01-01T11:53:26Z"`. As an argument it may have any offset, but must have one.
#[Scalar(name = "DateTime", specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => match chrono::DateTime::parse_from_rfc3339(&text) {
                Ok(instant) => Ok(DateTime(instant.with_timezone(&Utc))),
                Err(error) => Err(InputValueError::custom(format!("not an instant as in RFC 3339: {error}"))),
            },
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}
