//! Money as participants see it: a decimal string of exactly the currency's digits, and a currency.
//!
//! On the wire `{"value":"10.99","currency":"USD"}`. A participant takes the number of digits from the string, so
//! that it needs no table of currencies.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// No currency has more.
const MAX_DIGITS: u8 = 4;

/// A sum of money, never below zero on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// In the currency's smallest unit: 1099 is 10.99 USD.
    pub minor: i64,
    /// Digits after the point: 2 for USD, 0 for JPY.
    pub digits: u8,
    /// ISO 4217, upper case.
    pub currency: String,
}

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with at most one point among them.
    #[error("not a decimal amount: {0:?}")]
    Malformed(String),
    /// More than a 64-bit number of minor units.
    #[error("amount out of range: {0:?}")]
    OutOfRange(String),
    /// Not three upper-case letters.
    #[error("not a currency code: {0:?}")]
    Currency(String),
}

impl Amount {
    /// An amount of `minor` units of a currency that has `digits` digits after the point.
    pub fn new(minor: i64, digits: u8, currency: impl Into<String>) -> Self {
        Self { minor, digits, currency: currency.into() }
    }

    /// Reads a decimal text: `"10.99"` is 1099 units at two digits, `"10"` is 10 at none.
    ///
    /// # Errors
    /// When the text has a sign, an exponent, or anything else that is no plain decimal.
    pub fn parse(value: &str, currency: &str) -> Result<Self, AmountError> {
        let malformed = || AmountError::Malformed(value.chars().take(40).collect());
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(AmountError::Currency(currency.chars().take(8).collect()));
        }
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        let digits = u8::try_from(fraction.len()).ok().filter(|d| *d <= MAX_DIGITS).ok_or_else(malformed)?;
        if whole.is_empty()
            || value.ends_with('.')
            || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
        {
            return Err(malformed());
        }
        let mut minor: i64 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            minor = minor
                .checked_mul(10)
                .and_then(|m| m.checked_add(i64::from(byte - b'0')))
                .ok_or_else(|| AmountError::OutOfRange(value.chars().take(40).collect()))?;
        }
        Ok(Self { minor, digits, currency: currency.to_owned() })
    }

    /// The decimal text alone: `"10.99"`.
    pub fn value(&self) -> String {
        let sign = if self.minor < 0 { "-" } else { "" };
        let units = self.minor.unsigned_abs();
        if self.digits == 0 {
            return format!("{sign}{units}");
        }
        let scale = 10_u64.saturating_pow(u32::from(self.digits));
        format!("{sign}{}.{:0width$}", units / scale, units % scale, width = usize::from(self.digits))
    }

    /// Whether both are of one currency, written with the same digits; only such amounts compare.
    pub fn same_unit(&self, other: &Self) -> bool {
        self.digits == other.digits && self.currency == other.currency
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value(), self.currency)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<V, C> {
    value: V,
    currency: C,
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire { value: self.value(), currency: self.currency.as_str() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::<String, String>::deserialize(deserializer)?;
        Self::parse(&wire.value, &wire.currency).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount, AmountError};

    #[test]
    fn amounts_are_written_with_the_digits_of_their_currency() {
        for (minor, digits, text) in
            [(1099, 2, "10.99"), (5, 2, "0.05"), (0, 2, "0.00"), (10, 0, "10"), (1, 3, "0.001")]
        {
            assert_eq!(Amount::new(minor, digits, "XXX").value(), text);
            assert_eq!(Amount::parse(text, "XXX"), Ok(Amount::new(minor, digits, "XXX")));
        }
    }

    #[test]
    fn what_is_no_plain_decimal_is_no_amount() {
        for text in ["", ".", "1.", ".5", "-1.00", "+1", "1e3", "1,00", "1.00000", " 1", "0x1", "１"] {
            assert!(matches!(Amount::parse(text, "USD"), Err(AmountError::Malformed(_))), "{text:?}");
        }
        assert!(matches!(Amount::parse("92233720368547758.08", "USD"), Err(AmountError::OutOfRange(_))));
        assert!(matches!(Amount::parse("1.00", "usd"), Err(AmountError::Currency(_))));
    }

    #[test]
    fn amounts_survive_the_wire() {
        let amount = Amount::new(1099, 2, "USD");
        let json = serde_json::to_string(&amount).unwrap();
        assert_eq!(json, r#"{"value":"10.99","currency":"USD"}"#);
        assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
    }
}
