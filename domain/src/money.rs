//! Money: an integer count of a currency's minor units.
use serde::{Deserialize, Serialize};
use std::{fmt, iter::Sum, ops};

/// An amount in minor units (cents) of the currency named beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Amount(pub i64);

impl Amount {
    pub const ZERO: Amount = Amount(0);

    /// Parses a decimal string without sign or exponent, of at most `digits` decimals: `"10"`, `"10.9"`, `"10.90"`.
    pub fn parse(text: &str, digits: u8) -> Option<Amount> {
        let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || fraction.is_some_and(|f| !all_digits(f) || f.len() > usize::from(digits)) {
            return None;
        }
        let mut minor: i64 = whole.parse().ok()?;
        let fraction = fraction.unwrap_or("").bytes().map(|b| i64::from(b - b'0')).chain(std::iter::repeat(0));
        for digit in fraction.take(usize::from(digits)) {
            minor = minor.checked_mul(10)?.checked_add(digit)?;
        }
        Some(Amount(minor))
    }

    /// The decimal string with exactly `digits` decimals.
    pub fn display(self, digits: u8) -> impl fmt::Display {
        struct Decimal(i64, u8);
        impl fmt::Display for Decimal {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Decimal(minor, digits) = *self;
                let sign = if minor < 0 { "-" } else { "" };
                let unit = 10u64.pow(u32::from(digits));
                let minor = minor.unsigned_abs();
                match digits {
                    0 => write!(f, "{sign}{minor}"),
                    _ => write!(f, "{sign}{}.{:0width$}", minor / unit, minor % unit, width = usize::from(digits)),
                }
            }
        }
        Decimal(self.0, digits)
    }
}

impl ops::Add for Amount {
    type Output = Amount;
    fn add(self, other: Amount) -> Amount {
        Amount(self.0 + other.0)
    }
}

impl ops::Sub for Amount {
    type Output = Amount;
    fn sub(self, other: Amount) -> Amount {
        Amount(self.0 - other.0)
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Amount>>(amounts: I) -> Amount {
        amounts.fold(Amount::ZERO, ops::Add::add)
    }
}

/// An ISO 4217 currency: its code and how many decimals its minor unit has. Whoever builds one answers for its being in the standard.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Currency {
    /// Three letters, for example `USD`.
    pub code: String,
    /// How many decimals its minor unit has: 2 for USD, 0 for JPY.
    pub digits: u8,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_amount_has_at_most_the_currency_s_digits_and_no_sign_or_exponent() {
        assert_eq!(Amount::parse("10", 2), Some(Amount(1000)));
        assert_eq!(Amount::parse("10.9", 2), Some(Amount(1090)));
        assert_eq!(Amount::parse("500", 0), Some(Amount(500)));
        for text in ["", ".", "1.", ".5", "1.234", "-1", "+1", "1e3", " 1", "1,0", "99999999999999999999"] {
            assert_eq!(Amount::parse(text, 2), None, "{text}");
        }
        assert_eq!(Amount::parse("1.0", 0), None);
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_as_it_was_written(minor in 0..=i64::MAX / 10_000, digits in 0u8..=4) {
            prop_assert_eq!(Amount::parse(&Amount(minor).display(digits).to_string(), digits), Some(Amount(minor)));
        }
    }
}
