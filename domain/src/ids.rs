//! Identities. An order, its fulfillment and its saga share one UUIDv7 and differ in the prefix (`ord_`, `ful_`, `sag_`), so
//! that each is found from the others without a look-up.
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an id of the form {prefix}_ and 32 hexadecimal digits")]
pub struct InvalidId {
    prefix: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map($name)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let pattern = concat!("^", $prefix, "_[0-9a-f]{32}$");
                let description = concat!("`", $prefix, "_` and 32 hexadecimal digits: a UUIDv7.");
                schemars::json_schema!({ "type": "string", "pattern": pattern, "description": description })
            }
        }
    };
}

prefixed_id!(
    /// `ord_` and 32 hexadecimal digits: a UUIDv7.
    OrderId,
    "ord"
);
prefixed_id!(
    /// The goods of an order at one location: `ful_` and 32 hexadecimal digits.
    FulfillmentId,
    "ful"
);
prefixed_id!(
    /// The saga of an order: `sag_` and 32 hexadecimal digits.
    SagaId,
    "sag"
);

impl OrderId {
    pub fn saga(self) -> SagaId {
        SagaId(self.0)
    }

    pub fn fulfillment(self) -> FulfillmentId {
        FulfillmentId(self.0)
    }

    pub fn returned(self, number: u16) -> ReturnId {
        ReturnId { order: self.0, number }
    }
}

/// A return: its order's id and its number within the order, from 1: `ret_`, 32 hexadecimal digits, `_` and the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReturnId {
    pub order: Uuid,
    pub number: u16,
}

impl fmt::Display for ReturnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ret_{}_{}", self.order.simple(), self.number)
    }
}

impl FromStr for ReturnId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { prefix: "ret" };
        let (order, number) = text.strip_prefix("ret_").and_then(|text| text.split_once('_')).ok_or(invalid)?;
        let order: OrderId = format!("ord_{order}").parse().map_err(|_| invalid)?;
        let number: u16 = number.parse().map_err(|_| invalid)?;
        let id = ReturnId { order: order.0, number };
        // One way to write it.
        if number > 0 && id.to_string() == text { Ok(id) } else { Err(invalid) }
    }
}

impl Serialize for ReturnId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl SagaId {
    pub fn order(self) -> OrderId {
        OrderId(self.0)
    }
}

impl FulfillmentId {
    pub fn order(self) -> OrderId {
        OrderId(self.0)
    }
}

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.to_owned())
            }
        }
    };
}

text_newtype!(
    /// A stock keeping unit of a shop's own catalogue: 1 to 255 characters.
    Sku
);
text_newtype!(
    /// A line of an order, unique within it: 1 to 255 characters.
    LineId
);
text_newtype!(
    /// Where goods lie, for example `main`.
    LocationCode
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = OrderId(Uuid::from_u128(0x0192_3456_789a_7bcd_8000_0000_0000_0001));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.saga().order(), id);
        assert_eq!(id.returned(12).to_string().parse(), Ok(id.returned(12)));
        for text in ["ret_0192345678", &format!("ret_{}_0", id.0.simple()), &format!("ret_{}_01", id.0.simple())] {
            assert!(text.parse::<ReturnId>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_of_another_kind_or_shape_is_refused() {
        for text in [
            "",
            "ord_",
            "sag_0192345678",
            "0192",
            "ord_zz92345678 9a7bcd8000000000000001",
            "ord_019234567-9a7bcd8000000000000001",
        ] {
            assert!(text.parse::<OrderId>().is_err(), "{text}");
        }
    }
}
