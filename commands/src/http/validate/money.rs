//! Money as it stands in a body: a decimal string of at most the currency's digits, no sign, no exponent. And the currency.
use super::reader::Value;
use domain::{Amount, Currency};

/// The most decimals that any currency of ISO 4217 has.
const MOST_DIGITS: u8 = 4;
/// The most that one amount may be, in minor units: a thousand times this still fits an i64.
const MOST: i64 = 1_000_000_000_000_000;

/// An amount; while the currency is unknown, only its form can be judged.
pub(crate) fn amount(value: Value<'_>, currency: Option<&Currency>) -> Option<Amount> {
    let text = value.text(0..=usize::MAX)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        value.fault("not_a_decimal", r#"must be a decimal such as "10.90", without sign or exponent"#);
        return None;
    }
    let most = currency.map_or(MOST_DIGITS, |currency| currency.digits);
    let given = if text.contains('.') { fraction.len() } else { 0 };
    if given > usize::from(most) {
        let whose = currency.map_or("a currency", |currency| &currency.code);
        value.fault("too_many_digits", format!("{whose} has at most {most} decimals"));
        return None;
    }
    let amount = Amount::parse(text, most).filter(|amount| amount.0 <= MOST);
    if amount.is_none() {
        value.fault("out_of_range", "is more than can be counted");
    }
    amount
}

/// A currency of ISO 4217 that has a minor unit.
pub(crate) fn currency(value: Value<'_>) -> Option<Currency> {
    let code = value.text(0..=usize::MAX)?;
    let known = (code.len() == 3).then(|| iso_currency::Currency::from_code(code)).flatten();
    let digits = known.filter(|known| known.code() == code).and_then(|known| known.exponent());
    match digits.and_then(|digits| u8::try_from(digits).ok()).filter(|digits| *digits <= MOST_DIGITS) {
        Some(digits) => Some(Currency { code: code.to_owned(), digits }),
        None => {
            value.fault("unknown_currency", "must be a currency of ISO 4217, in three capital letters");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::validate::{fault::Faults, json::Json, root, testing::told};

    fn read(text: &str, code: &str, digits: u8) -> Result<Amount, Vec<String>> {
        let (json, faults) = (Json::parse(text.as_bytes()).unwrap(), Faults::default());
        let currency = Currency { code: code.to_owned(), digits };
        let amount = amount(root(&json, &faults), Some(&currency));
        faults.into_result(amount).map_err(|faults| told(&faults))
    }

    #[test]
    fn money_is_a_decimal_string_of_at_most_the_currency_s_digits() {
        assert_eq!(read(r#""10""#, "USD", 2), Ok(Amount(1000)));
        assert_eq!(read(r#""10.9""#, "USD", 2), Ok(Amount(1090)));
        assert_eq!(read(r#""10""#, "JPY", 0), Ok(Amount(10)));
        assert_eq!(read(r#""0.123""#, "KWD", 3), Ok(Amount(123)));
        for (text, digits, code) in [
            ("10", 2, "wrong_type"),
            (r#""-1""#, 2, "not_a_decimal"),
            (r#""1e2""#, 2, "not_a_decimal"),
            (r#""1.""#, 2, "not_a_decimal"),
            (r#""""#, 2, "not_a_decimal"),
            (r#"" 1""#, 2, "not_a_decimal"),
            (r#""1.005""#, 2, "too_many_digits"),
            (r#""1.0""#, 0, "too_many_digits"),
            (r#""99999999999999999999999""#, 2, "out_of_range"),
            (r#""9223372036854775807""#, 0, "out_of_range"),
        ] {
            assert_eq!(read(text, "XXX", digits), Err(vec![format!(" {code}")]), "{text}");
        }
    }

    #[test]
    fn a_currency_is_one_of_iso_4217_with_a_minor_unit() {
        let read = |text: &str| {
            let (json, faults) = (Json::parse(text.as_bytes()).unwrap(), Faults::default());
            let currency = currency(root(&json, &faults));
            faults.into_result(currency).map(|currency| currency.digits).map_err(|faults| told(&faults))
        };
        assert_eq!((read(r#""USD""#), read(r#""JPY""#), read(r#""KWD""#)), (Ok(2), Ok(0), Ok(3)));
        for text in [r#""usd""#, r#""US""#, r#""ABC""#, r#""""#, r#""XAU""#] {
            assert_eq!(read(text), Err(vec![" unknown_currency".to_owned()]), "{text}");
        }
    }
}
