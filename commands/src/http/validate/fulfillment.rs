//! What staff report of a fulfillment. No lines means everything.
use super::{
    fault::Faults,
    json::Json,
    reader::{SHORT, Value},
    root, short, time,
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::{LineId, shipment::LineQuantity};
use std::collections::HashSet;

pub(crate) const PICK_FIELDS: &[&str] = &["lines", "occurred_at"];
pub(crate) const PACK_FIELDS: &[&str] = &["lines", "parcels", "occurred_at"];
pub(crate) const SHIP_FIELDS: &[&str] = &["lines", "parcels", "carrier", "tracking_number", "occurred_at"];
pub(crate) const LINE_FIELDS: &[&str] = &["line_id", "quantity"];
pub(crate) const PACKED_PARCEL_FIELDS: &[&str] = &["weight_grams"];
pub(crate) const PARCEL_FIELDS: &[&str] = &["weight_grams", "carrier", "tracking_number"];

/// The most parcels of one report.
pub(crate) const MAX_PARCELS: usize = 100;
/// The most lines of one report: as many as an order may have.
pub(crate) const MAX_LINES: usize = super::order::MAX_LINES;
/// A hundred tonnes.
pub(crate) const MAX_GRAMS: i64 = 100_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Pick,
    Pack,
    Ship,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) lines: Option<Vec<LineQuantity>>,
    pub(crate) parcels: Vec<ReportedParcel>,
    pub(crate) occurred_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReportedParcel {
    pub(crate) weight_grams: Option<i64>,
    pub(crate) carrier: Option<String>,
    pub(crate) tracking_number: Option<String>,
}

pub(crate) fn report(verb: Verb, json: &Json<'_>, zone: Tz, faults: &Faults) -> Option<Report> {
    let fields = match verb {
        Verb::Pick => PICK_FIELDS,
        Verb::Pack => PACK_FIELDS,
        Verb::Ship => SHIP_FIELDS,
    };
    let body = root(json, faults).object(fields)?;
    let lines = body.optional("lines", read_lines);
    let mut report = Report {
        lines,
        parcels: vec![],
        occurred_at: body.optional("occurred_at", |value| time::instant(value, zone)),
    };
    if verb == Verb::Pick {
        return Some(report);
    }
    let (carrier, tracking_number) = match verb {
        Verb::Ship => (body.short("carrier"), body.short("tracking_number")),
        _ => (None, None),
    };
    let known = if verb == Verb::Ship { PARCEL_FIELDS } else { PACKED_PARCEL_FIELDS };
    report.parcels = body.optional("parcels", |value| read_parcels(value, known)).unwrap_or_default();
    if verb == Verb::Ship {
        if report.parcels.is_empty() {
            report.parcels.push(ReportedParcel::default());
        }
        // Said once, it holds for every parcel that says nothing of its own.
        for parcel in &mut report.parcels {
            parcel.carrier = parcel.carrier.take().or_else(|| carrier.clone());
            parcel.tracking_number = parcel.tracking_number.take().or_else(|| tracking_number.clone());
        }
    }
    Some(report)
}

fn read_lines(value: Value<'_>) -> Option<Vec<LineQuantity>> {
    let items = value.list(1..=MAX_LINES)?;
    let mut seen = HashSet::new();
    let lines = items.iter().enumerate().map(|(n, json)| {
        let place = value.place.item(n);
        let line = Value { json, place, faults: value.faults }.object(LINE_FIELDS)?;
        let line_id = line.required("line_id", short);
        let quantity = line.required("quantity", |value| value.integer(1..=super::order::MAX_QUANTITY));
        let line_id = line_id?;
        if !seen.insert(line_id.clone()) {
            line.fault("line_id", "duplicate_line_id", "this line is named before");
        }
        Some(LineQuantity { line_id: LineId(line_id), quantity: quantity? })
    });
    lines.collect::<Vec<_>>().into_iter().collect()
}

fn read_parcels(value: Value<'_>, known: &'static [&'static str]) -> Option<Vec<ReportedParcel>> {
    let items = value.list(1..=MAX_PARCELS)?;
    let parcels = items.iter().enumerate().map(|(n, json)| {
        let parcel = Value { json, place: value.place.item(n), faults: value.faults }.object(known)?;
        let text = |name| {
            if known.contains(&name) { parcel.optional(name, |v| v.text(SHORT).map(str::to_owned)) } else { None }
        };
        Some(ReportedParcel {
            weight_grams: parcel.optional("weight_grams", |value| value.integer(1..=MAX_GRAMS)),
            carrier: text("carrier"),
            tracking_number: text("tracking_number"),
        })
    });
    parcels.collect::<Vec<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::validate::testing::told;

    fn read(verb: Verb, body: &str) -> Result<Report, Vec<String>> {
        let (json, faults) = (Json::parse(body.as_bytes()).unwrap(), Faults::default());
        let report = report(verb, &json, Tz::UTC, &faults);
        faults.into_result(report).map_err(|faults| told(&faults))
    }

    #[test]
    fn nothing_said_means_everything() {
        assert_eq!(read(Verb::Pick, "{}"), Ok(Report::default()));
        assert_eq!(read(Verb::Pick, r#"{"lines":null,"occurred_at":null}"#), Ok(Report::default()));
        assert_eq!(read(Verb::Ship, "{}").unwrap().parcels.len(), 1);
    }

    #[test]
    fn a_carrier_said_once_holds_for_every_parcel_that_says_none() {
        let body = r#"{"parcels":[{"weight_grams":5},{"carrier":"B"}],"carrier":"A","tracking_number":"T"}"#;
        let parcels = read(Verb::Ship, body).unwrap().parcels;
        let carriers: Vec<_> = parcels.iter().map(|parcel| parcel.carrier.as_deref()).collect();
        assert_eq!(carriers, [Some("A"), Some("B")]);
        assert_eq!(parcels[0].weight_grams, Some(5));
    }

    #[test]
    fn every_fault_of_a_report_is_told_at_once() {
        let body = r#"{"lines":[{"line_id":"1","quantity":0},{"line_id":"1","quantity":1},{}],"parcels":2,"carrier":7,"occurred_at":"now"}"#;
        assert_eq!(
            read(Verb::Ship, body).unwrap_err(),
            [
                "/lines/0/quantity out_of_range",
                "/lines/1/line_id duplicate_line_id",
                "/lines/2/line_id required",
                "/lines/2/quantity required",
                "/occurred_at invalid_timestamp",
                "/carrier wrong_type",
                "/parcels wrong_type"
            ]
        );
        assert_eq!(read(Verb::Pick, r#"{"carrier":"A"}"#).unwrap_err(), ["/carrier unknown_field"]);
        assert_eq!(read(Verb::Pick, r#"{"lines":[]}"#).unwrap_err(), ["/lines too_short"]);
    }
}
