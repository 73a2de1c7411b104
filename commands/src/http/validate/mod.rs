//! What a body must be. Each resource has a table of its fields and reads them by `reader`; nothing is trusted to a derive, so that
//! every fault at any depth is told at once. Pure: no store, no clock.
pub(crate) mod country;
pub(crate) mod fault;
pub(crate) mod fulfillment;
pub(crate) mod json;
pub(crate) mod money;
pub(crate) mod order;
#[cfg(test)]
mod order_tests;
pub(crate) mod query;
pub(crate) mod reader;
pub(crate) mod returned;
pub(crate) mod saga;
pub(crate) mod stock;
pub(crate) mod time;

use fault::{Faults, Place};
use json::Json;
use reader::Value;

/// The longest free text (a reason), in characters.
pub(crate) const MAX_NOTE: usize = 2_000;

/// The body as a value at the root.
pub(crate) fn root<'r>(json: &'r Json<'r>, faults: &'r Faults) -> Value<'r> {
    Value { json, place: Place::Root, faults }
}

/// The fields of a command that says only why: `{"reason"}`.
pub(crate) const REASON_FIELDS: &[&str] = &["reason"];

/// `{"reason"}`.
pub(crate) fn reason(json: &Json<'_>, faults: &Faults) -> Option<String> {
    root(json, faults).object(REASON_FIELDS)?.required("reason", note)
}

pub(crate) fn note(value: Value<'_>) -> Option<String> {
    value.text(1..=MAX_NOTE).map(str::to_owned)
}

pub(crate) fn short(value: Value<'_>) -> Option<String> {
    value.text(reader::SHORT).map(str::to_owned)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::fault::Fault;

    /// `path code`, in order.
    pub(crate) fn told(faults: &[Fault]) -> Vec<String> {
        faults.iter().map(|fault| format!("{} {}", fault.path, fault.code)).collect()
    }
}
