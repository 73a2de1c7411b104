//! Goods in, adjustments, and how a location works.
use super::{
    fault::Faults,
    json::Json,
    note,
    reader::{SHORT, Value},
    root, short,
};
use domain::{
    LocationCode, Sku,
    location::{self, LocationMode},
};

pub(crate) const RECEIPT_FIELDS: &[&str] = &["ref", "location", "lines"];
pub(crate) const RECEIPT_LINE_FIELDS: &[&str] = &["sku", "quantity"];
pub(crate) const ADJUSTMENT_FIELDS: &[&str] = &["ref", "location", "sku", "delta", "reason"];
pub(crate) const LOCATION_FIELDS: &[&str] = &["mode"];

/// The most lines of one receipt.
pub(crate) const MAX_RECEIPT_LINES: usize = 500;
/// The most of one SKU that one line may bring, or one adjustment change.
pub(crate) const MAX_GOODS: i64 = 1_000_000_000;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) reference: String,
    pub(crate) location: LocationCode,
    pub(crate) lines: Vec<(Sku, i64)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Adjustment {
    pub(crate) reference: String,
    pub(crate) location: LocationCode,
    pub(crate) sku: Sku,
    pub(crate) delta: i64,
    pub(crate) reason: String,
}

pub(crate) fn receipt(json: &Json<'_>, faults: &Faults) -> Option<Receipt> {
    let body = root(json, faults).object(RECEIPT_FIELDS)?;
    let reference = body.required("ref", short);
    let location = body.required("location", known_location);
    let lines = body.required("lines", |value| {
        let items = value.list(1..=MAX_RECEIPT_LINES)?;
        let lines = items.iter().enumerate().map(|(n, json)| {
            let line = Value { json, place: value.place.item(n), faults }.object(RECEIPT_LINE_FIELDS)?;
            let sku = line.required("sku", short);
            let quantity = line.required("quantity", |value| value.integer(1..=MAX_GOODS));
            Some((Sku(sku?), quantity?))
        });
        // All are read before one that is wrong ends it.
        lines.collect::<Vec<_>>().into_iter().collect()
    });
    Some(Receipt { reference: reference?, location: location?, lines: lines? })
}

pub(crate) fn adjustment(json: &Json<'_>, faults: &Faults) -> Option<Adjustment> {
    let body = root(json, faults).object(ADJUSTMENT_FIELDS)?;
    let reference = body.required("ref", short);
    let location = body.required("location", known_location);
    let sku = body.required("sku", short);
    let delta = body.required("delta", |value| {
        let delta = value.integer(-MAX_GOODS..=MAX_GOODS)?;
        if delta == 0 {
            value.fault("out_of_range", "must not be 0");
        }
        Some(delta)
    });
    let reason = body.required("reason", note);
    Some(Adjustment { reference: reference?, location: location?, sku: Sku(sku?), delta: delta?, reason: reason? })
}

pub(crate) fn location_mode(json: &Json<'_>, faults: &Faults) -> Option<LocationMode> {
    let body = root(json, faults).object(LOCATION_FIELDS)?;
    body.required("mode", |value| value.word(&[("AUTO", LocationMode::Auto), ("MANUAL", LocationMode::Manual)]))
}

fn known_location(value: Value<'_>) -> Option<LocationCode> {
    let code = value.text(SHORT)?;
    if code != location::MAIN {
        value.fault("unknown_location", "there is no such location");
        return None;
    }
    Some(LocationCode::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::validate::testing::told;

    fn faults_of<T>(read: fn(&Json<'_>, &Faults) -> Option<T>, body: &str) -> Vec<String> {
        let (json, faults) = (Json::parse(body.as_bytes()).unwrap(), Faults::default());
        let value = read(&json, &faults);
        faults.into_result(value).map_or_else(|faults| told(&faults), |_| vec![])
    }

    #[test]
    fn every_fault_of_a_receipt_is_told_at_once() {
        assert_eq!(
            faults_of(
                receipt,
                r#"{"location":"east","lines":[{"sku":"a","quantity":0},{"quantity":1.5},7],"lot":"x"}"#
            ),
            [
                "/lot unknown_field",
                "/ref required",
                "/location unknown_location",
                "/lines/0/quantity out_of_range",
                "/lines/1/sku required",
                "/lines/1/quantity wrong_type",
                "/lines/2 wrong_type"
            ]
        );
        assert_eq!(faults_of(receipt, r#"{"ref":"r","location":"main","lines":[]}"#), ["/lines too_short"]);
        assert!(
            faults_of(receipt, r#"{"ref":"r","location":"main","lines":[{"sku":"a","quantity":19223727}]}"#).is_empty()
        );
    }

    #[test]
    fn an_adjustment_changes_something_and_counting_is_not_built_yet() {
        let body = r#"{"ref":"r","location":"main","sku":"a","delta":0,"reason":"broken"}"#;
        assert_eq!(faults_of(adjustment, body), ["/delta out_of_range"]);
        let body = r#"{"ref":"r","location":"main","sku":"a","counted":3,"reason":"broken"}"#;
        assert_eq!(faults_of(adjustment, body), ["/counted unknown_field", "/delta required"]);
        let body = r#"{"ref":"r","location":"main","sku":"a","delta":-3,"reason":"broken"}"#;
        assert!(faults_of(adjustment, body).is_empty());
    }

    #[test]
    fn a_location_works_auto_or_manual() {
        assert!(faults_of(location_mode, r#"{"mode":"AUTO"}"#).is_empty());
        assert_eq!(faults_of(location_mode, r#"{"mode":"auto"}"#), ["/mode unknown_value"]);
        assert_eq!(faults_of(location_mode, "[]"), [" wrong_type"]);
    }
}
