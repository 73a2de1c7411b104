//! What is asked and reported of goods that come back. No lines means everything.
use super::{fault::Faults, fulfillment::MAX_LINES, json::Json, note, order::MAX_QUANTITY, reader::Value, root, short};
use domain::{
    LineId,
    returns::{InspectedLine, ReturnLine},
};

pub(crate) const REQUEST_FIELDS: &[&str] = &["reason", "lines"];
pub(crate) const RECEIVE_FIELDS: &[&str] = &["lines"];
pub(crate) const LINE_FIELDS: &[&str] = &["line_id", "quantity"];
pub(crate) const INSPECTED_FIELDS: &[&str] = &["line_id", "restock", "write_off", "refuse"];

/// `{"reason", "lines"?}`
pub(crate) fn request(json: &Json<'_>, faults: &Faults) -> Option<(String, Option<Vec<ReturnLine>>)> {
    let body = root(json, faults).object(REQUEST_FIELDS)?;
    let (reason, lines) = (body.required("reason", note), body.optional("lines", lines));
    Some((reason?, lines))
}

/// `{"lines"?}`
pub(crate) fn received(json: &Json<'_>, faults: &Faults) -> Option<Option<Vec<ReturnLine>>> {
    Some(root(json, faults).object(RECEIVE_FIELDS)?.optional("lines", lines))
}

/// `{"lines"?}`
pub(crate) fn inspected(json: &Json<'_>, faults: &Faults) -> Option<Option<Vec<InspectedLine>>> {
    Some(root(json, faults).object(RECEIVE_FIELDS)?.optional("lines", found))
}

fn lines(value: Value<'_>) -> Option<Vec<ReturnLine>> {
    each(&value, |value| {
        let line = value.object(LINE_FIELDS)?;
        let line_id = line.required("line_id", short);
        let quantity = line.required("quantity", |value| value.integer(1..=MAX_QUANTITY));
        Some(ReturnLine { line_id: LineId(line_id?), quantity: quantity? })
    })
}

fn found(value: Value<'_>) -> Option<Vec<InspectedLine>> {
    each(&value, |value| {
        let line = value.object(INSPECTED_FIELDS)?;
        let line_id = line.required("line_id", short);
        let pieces = |name| line.optional(name, |value| value.integer(0..=MAX_QUANTITY)).unwrap_or(0);
        let (restock, write_off, refuse) = (pieces("restock"), pieces("write_off"), pieces("refuse"));
        Some(InspectedLine { line_id: LineId(line_id?), restock, write_off, refuse })
    })
}

/// Reads every item, so that all faults are found.
fn each<T>(value: &Value<'_>, read: impl Fn(Value<'_>) -> Option<T>) -> Option<Vec<T>> {
    let items = value.list(1..=MAX_LINES)?.iter().enumerate();
    let read = items.map(|(n, json)| read(Value { json, place: value.place.item(n), faults: value.faults }));
    read.collect::<Vec<_>>().into_iter().collect()
}
