//! Reads JSON against a table of known fields, and gathers every fault on the way: nothing stops at the first.
//!
//! `null` leaves a field out that may be left out; of one that is required it is a wrong type. U+0000 is refused in every text.
use super::{
    fault::{Faults, Place},
    json::Json,
};
use std::{borrow::Cow, collections::HashSet, ops::RangeInclusive};

/// Above this many fields, names given twice are looked for with a set.
const FEW_FIELDS: usize = 32;

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'r> {
    pub(crate) json: &'r Json<'r>,
    pub(crate) place: Place<'r>,
    pub(crate) faults: &'r Faults,
}

/// How long a text may be, in characters.
pub(crate) type Length = RangeInclusive<usize>;

/// Refs, SKUs, line ids, and other short texts.
pub(crate) const SHORT: Length = 1..=255;

impl<'r> Value<'r> {
    pub(crate) fn fault(&self, code: &'static str, message: impl Into<Cow<'static, str>>) {
        self.faults.add(&self.place, code, message);
    }

    fn wrong_type(&self, wanted: &str) {
        self.fault("wrong_type", format!("must be {wanted}, not {}", self.json.type_name()));
    }

    pub(crate) fn text(&self, length: Length) -> Option<&'r str> {
        let Json::Text(text) = self.json else {
            self.wrong_type("a string");
            return None;
        };
        if text.contains('\0') {
            self.fault("invalid_character", "must not hold U+0000");
            return None;
        }
        // Characters are counted only when bytes leave it open.
        let characters = if text.len() <= *length.end() && text.len() >= 4 * length.start() {
            *length.end()
        } else {
            text.chars().count()
        };
        if characters < *length.start() {
            self.fault("too_short", format!("must have at least {} characters", length.start()));
            return None;
        }
        if characters > *length.end() {
            self.fault("too_long", format!("must have at most {} characters", length.end()));
            return None;
        }
        Some(text)
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(0..=usize::MAX)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.fault("unknown_value", format!("must be one of {}", known.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    pub(crate) fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let Json::Number(number) = self.json else {
            self.wrong_type("an integer");
            return None;
        };
        if number.is_f64() {
            // An integer past 64 bits reads as a fraction; it is too large all the same.
            let large = number.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() >= 9.2e18);
            if !large {
                self.fault("wrong_type", "must be an integer");
                return None;
            }
        }
        let value = number.as_i64().filter(|value| range.contains(value));
        if value.is_none() {
            self.fault("out_of_range", format!("must be from {} to {}", range.start(), range.end()));
        }
        value
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        if let Json::Bool(value) = self.json {
            return Some(*value);
        }
        self.wrong_type("a boolean");
        None
    }

    /// An object of these fields, and of no others.
    pub(crate) fn object(&self, known: &'static [&'static str]) -> Option<Object<'r>> {
        let Json::Object(fields) = self.json else {
            self.wrong_type("an object");
            return None;
        };
        for (name, _) in fields.iter().filter(|(name, _)| !known.contains(&&**name)) {
            self.faults.add(&self.place.field(name), "unknown_field", "there is no such field");
        }
        named_twice(fields, |name| {
            self.faults.add(&self.place.field(name), "duplicate_field", "is given twice");
        });
        Some(Object { known, fields, place: self.place, faults: self.faults })
    }

    /// An array of so many items.
    pub(crate) fn list(&self, length: Length) -> Option<&'r [Json<'r>]> {
        let Json::List(items) = self.json else {
            self.wrong_type("an array");
            return None;
        };
        match items.len() {
            n if n < *length.start() => {
                self.fault("too_short", format!("must have at least {} items", length.start()));
                None
            }
            n if n > *length.end() => {
                self.fault("too_long", format!("must have at most {} items", length.end()));
                None
            }
            _ => Some(items),
        }
    }

    /// Any JSON object, in which only U+0000 and names given twice are wrong.
    pub(crate) fn anything(&self) -> Option<&'r Json<'r>> {
        let before = self.faults.count();
        match self.json {
            Json::Object(_) => walk(self.json, &self.place, self.faults),
            _ => self.wrong_type("an object"),
        }
        (self.faults.count() == before).then_some(self.json)
    }
}

fn walk(json: &Json<'_>, place: &Place<'_>, faults: &Faults) {
    match json {
        Json::Text(text) if text.contains('\0') => faults.add(place, "invalid_character", "must not hold U+0000"),
        Json::List(items) => items.iter().enumerate().for_each(|(n, item)| walk(item, &place.item(n), faults)),
        Json::Object(fields) => {
            for (name, value) in fields {
                let place = place.field(name);
                if name.contains('\0') {
                    faults.add(&place, "invalid_character", "must not hold U+0000");
                }
                walk(value, &place, faults);
            }
            named_twice(fields, |name| faults.add(&place.field(name), "duplicate_field", "is given twice"));
        }
        _ => {}
    }
}

fn named_twice(fields: &[(Cow<'_, str>, Json<'_>)], mut tell: impl FnMut(&str)) {
    if fields.len() <= FEW_FIELDS {
        for (n, (name, _)) in fields.iter().enumerate().skip(1) {
            if fields[..n].iter().any(|(other, _)| other == name) {
                tell(name);
            }
        }
        return;
    }
    let mut seen = HashSet::with_capacity(fields.len());
    fields.iter().filter(|(name, _)| !seen.insert(&**name)).for_each(|(name, _)| tell(name));
}

/// An object being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'r> {
    known: &'static [&'static str],
    fields: &'r [(Cow<'r, str>, Json<'r>)],
    pub(crate) place: Place<'r>,
    pub(crate) faults: &'r Faults,
}

impl Object<'_> {
    fn find(&self, name: &'static str) -> Option<&Json<'_>> {
        debug_assert!(self.known.contains(&name), "{name} is not in the table of known fields");
        // The last one counts, as with most readers; that it is given twice is a fault already.
        self.fields.iter().rev().find(|(given, _)| given == name).map(|(_, json)| json)
    }

    /// As `find`, but `null` is nothing.
    fn said(&self, name: &'static str) -> Option<&Json<'_>> {
        self.find(name).filter(|json| !matches!(json, Json::Null))
    }

    /// What a field holds, read by `read`; `None` when it is absent, `null` or wrong.
    pub(crate) fn optional<T>(&self, name: &'static str, read: impl FnOnce(Value<'_>) -> Option<T>) -> Option<T> {
        let json = self.said(name)?;
        read(Value { json, place: self.place.field(name), faults: self.faults })
    }

    /// What a field holds that must be there, and be no `null`.
    pub(crate) fn required<T>(&self, name: &'static str, read: impl FnOnce(Value<'_>) -> Option<T>) -> Option<T> {
        let Some(json) = self.find(name) else {
            self.faults.add(&self.place.field(name), "required", "is required");
            return None;
        };
        read(Value { json, place: self.place.field(name), faults: self.faults })
    }

    /// Whether the field says anything: `null` does not.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.said(name).is_some()
    }

    pub(crate) fn fault(&self, name: &str, code: &'static str, message: impl Into<Cow<'static, str>>) {
        self.faults.add(&self.place.field(name), code, message);
    }

    /// A short text of one's own.
    pub(crate) fn short(&self, name: &'static str) -> Option<String> {
        self.optional(name, |value| value.text(SHORT).map(str::to_owned))
    }
}
