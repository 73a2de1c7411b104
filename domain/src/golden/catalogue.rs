//! A family of events and the folder of its golden files, with what must hold of them.
//!
//! `Type.vN.json` has every optional field filled, `Type.vN.min.json` has none of them (it is there only if there are any), and
//! `Type.vN.today.json` says what a shape becomes that is read and not written: a list of events, empty when the type is retired.
use super::shape::{Shape, Traced};
use crate::{DecodeError, Decoded};
use serde::Serialize;
use serde_json::{Value, json};
use std::{cell::RefCell, collections::BTreeSet, fs, path::PathBuf};

/// An event of today: type, version, payload as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Today {
    pub(crate) event_type: &'static str,
    pub(crate) version: i16,
    pub(crate) text: String,
}

impl Today {
    pub(crate) fn new(event_type: &'static str, version: i16, payload: &impl Serialize) -> Today {
        Today { event_type, version, text: serde_json::to_string_pretty(payload).unwrap() + "\n" }
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// What a kind of stream may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) types: &'static [(&'static str, i16, bool)],
    pub(crate) others: &'static [(&'static str, i16)],
}

/// One shape that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Readable {
    pub(crate) kind: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) version: i16,
    /// It belongs to a struct of today, and is not upcast.
    pub(crate) of_today: bool,
    /// This release writes it.
    pub(crate) written: bool,
}

impl Readable {
    fn file(&self, ending: &str) -> String {
        format!("{}.v{}{ending}.json", self.event_type, self.version)
    }
}

/// `decode` of kind, type, version and payload.
pub(crate) type Read = for<'a> fn(&str, &str, i16, Traced<'a>) -> Result<Vec<Today>, String>;

#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) folder: PathBuf,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) read: Read,
}

/// For `Catalogue::read`.
pub(crate) fn today<E, X: std::fmt::Display>(
    decoded: Result<Decoded<E>, DecodeError<X>>,
    of: impl Fn(&E) -> Today,
) -> Result<Vec<Today>, String> {
    decoded.map(|events| events.iter().map(of).collect()).map_err(|error| error.to_string())
}

impl Catalogue {
    pub(crate) fn readable(&self) -> Vec<Readable> {
        let of_kind = |kind: &Kind| {
            let name = kind.name;
            let types = kind.types.iter().map(move |(event_type, version, written)| Readable {
                kind: name,
                event_type,
                version: *version,
                of_today: true,
                written: *written,
            });
            let others = kind.others.iter().map(move |(event_type, version)| Readable {
                kind: name,
                event_type,
                version: *version,
                of_today: false,
                written: false,
            });
            types.chain(others).collect::<Vec<_>>()
        };
        self.kinds.iter().flat_map(of_kind).collect()
    }

    fn of_today(&self) -> Vec<Readable> {
        self.readable().into_iter().filter(|shape| shape.of_today).collect()
    }

    pub(crate) fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(file)).ok()
    }

    pub(crate) fn value(&self, shape: &Readable, ending: &str) -> Option<Value> {
        let file = shape.file(ending);
        Some(serde_json::from_str(&self.text(&file)?).unwrap_or_else(|error| panic!("{file}: {error}")))
    }

    fn full(&self, shape: &Readable) -> Value {
        self.value(shape, "").unwrap_or_else(|| panic!("there must be a golden file {}", shape.file("")))
    }

    fn decode(&self, shape: &Readable, payload: &Value) -> Result<Vec<Today>, String> {
        self.traced(shape, payload).map(|(events, _)| events)
    }

    pub(crate) fn traced(&self, shape: &Readable, payload: &Value) -> Result<(Vec<Today>, Shape), String> {
        let noted = RefCell::default();
        let events = (self.read)(shape.kind, shape.event_type, shape.version, Traced::new(payload, &noted))?;
        Ok((events, noted.into_inner()))
    }

    fn read_back(&self, shape: &Readable, payload: &Value) -> Vec<Today> {
        self.decode(shape, payload).unwrap_or_else(|error| panic!("{}: {error}", shape.file("")))
    }

    fn is_retired(&self, shape: &Readable) -> bool {
        self.read_back(shape, &self.full(shape)).is_empty()
    }

    pub(crate) fn every_shape_has_its_golden_file_and_every_file_its_shape(&self) {
        let mut wanted = BTreeSet::new();
        for shape in self.readable() {
            assert!(wanted.insert(shape.file("")), "{} {} is declared twice", shape.event_type, shape.version);
            wanted.insert(shape.file(".min"));
            wanted.extend((!shape.of_today).then(|| shape.file(".today")));
            self.full(&shape);
        }
        for file in fs::read_dir(&self.folder).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(name == "released.json" || wanted.contains(&name), "{name} is an orphan: there is no such event");
        }
    }

    pub(crate) fn versions_of_a_type_are_numbered_from_one_and_all_are_read(&self) {
        let readable = self.readable();
        for event_type in readable.iter().map(|shape| shape.event_type).collect::<BTreeSet<_>>() {
            let of_type = readable.iter().filter(|shape| shape.event_type == event_type);
            let versions: BTreeSet<i16> = of_type.map(|shape| shape.version).collect();
            let last = *versions.last().unwrap();
            assert_eq!(versions, (1..=last).collect(), "{event_type}: every version ever written is read");
        }
    }

    pub(crate) fn an_event_of_today_is_read_as_itself_and_written_to_the_letter(&self) {
        for shape in self.of_today() {
            let events = self.read_back(&shape, &self.full(&shape));
            let [event] = events.as_slice() else { panic!("{} is not one event", shape.event_type) };
            assert_eq!((event.event_type, event.version), (shape.event_type, shape.version));
            let text = self.text(&shape.file("")).unwrap();
            assert_eq!(event.text, text, "the shape of {} has changed: it needs a new version", shape.event_type);
        }
    }

    pub(crate) fn an_old_shape_is_read_as_what_it_means_today(&self) {
        let of_today = self.of_today();
        for shape in self.readable().into_iter().filter(|shape| !shape.of_today) {
            let events = self.read_back(&shape, &self.full(&shape));
            let known = |event: &Today| {
                let same = |of: &&Readable| (of.event_type, of.version) == (event.event_type, event.version);
                of_today.iter().find(same).map(|of| of.kind) == Some(shape.kind)
            };
            assert!(events.iter().all(known), "{} becomes what is no event of its stream today", shape.event_type);
            let event =
                |event: &Today| json!({"type": event.event_type, "version": event.version, "payload": event.value()});
            let became: Value = events.iter().map(event).collect();
            assert_eq!(self.value(&shape, ".today"), Some(became), "{}", shape.file(".today"));
        }
    }

    pub(crate) fn a_golden_file_shows_every_field(&self) {
        for shape in self.readable() {
            let value = self.full(&shape);
            let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            let empty = fields(&value, "").into_iter().find(|field| value.pointer(field).is_none_or(is_empty));
            assert_eq!(empty, None, "{} leaves a field unfilled", shape.file(""));
            let (_, noted) = self.traced(&shape, &value).unwrap();
            for (path, what) in noted.iter().filter(|(_, what)| what.contains('{')) {
                for field in what.trim_start_matches("optional ").trim_matches(['{', '}']).split(',') {
                    let at = format!("{}.{field}", path.trim_start_matches('.'));
                    let at = if path == "." { format!(".{field}") } else { at };
                    let shown = field.is_empty() || noted.contains_key(&at) || noted.contains_key(&format!(".{at}"));
                    assert!(shown, "{} leaves out {at}, which the struct knows", shape.file(""));
                }
            }
        }
    }

    pub(crate) fn what_may_be_absent_is_absent_from_the_min_file_and_nothing_else(&self) {
        for shape in self.readable().iter().filter(|shape| !self.is_retired(shape)) {
            let full = self.full(shape);
            let expected = self.without_optional(shape);
            let wanted = (expected != full).then_some(expected);
            assert_eq!(self.value(shape, ".min"), wanted, "{}", shape.file(".min"));
        }
    }

    pub(crate) fn an_absent_field_is_read_as_null_and_written_as_null(&self) {
        for shape in self.of_today() {
            let Some(min) = self.value(&shape, ".min") else { continue };
            let read = self.read_back(&shape, &min);
            let written = read[0].value();
            assert_ne!(written, min, "{} writes no null", shape.event_type);
            assert_eq!(self.read_back(&shape, &written), read);
            assert_eq!(without_nulls(written), min);
        }
    }

    /// The value without the fields that may be absent.
    fn without_optional(&self, shape: &Readable) -> Value {
        let value = self.full(shape);
        let mut min = value.clone();
        for pointer in fields(&value, "") {
            let mut rest = value.clone();
            remove(&mut rest, &pointer);
            if self.decode(shape, &rest).is_ok() {
                remove(&mut min, &pointer);
            }
        }
        min
    }
}

/// The JSON pointers of all fields of all objects; a field comes before those within it.
fn fields(value: &Value, at: &str) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(name, child)| (name.clone(), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => vec![],
    };
    let mut found = vec![];
    for (name, child) in children {
        let pointer = format!("{at}/{name}");
        found.extend(value.is_object().then(|| pointer.clone()));
        found.extend(fields(child, &pointer));
    }
    found
}

fn remove(value: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    if let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.remove(name);
    }
}

fn without_nulls(mut value: Value) -> Value {
    for pointer in fields(&value, "") {
        if value.pointer(&pointer).is_some_and(Value::is_null) {
            remove(&mut value, &pointer);
        }
    }
    value
}

/// The tests that every catalogue passes.
macro_rules! golden_tests {
    ($catalogue:ident) => {
        $crate::golden::catalogue::golden_tests!(
            $catalogue:
            every_shape_has_its_golden_file_and_every_file_its_shape
            versions_of_a_type_are_numbered_from_one_and_all_are_read
            an_event_of_today_is_read_as_itself_and_written_to_the_letter
            an_old_shape_is_read_as_what_it_means_today
            a_golden_file_shows_every_field
            what_may_be_absent_is_absent_from_the_min_file_and_nothing_else
            an_absent_field_is_read_as_null_and_written_as_null
        );
    };
    ($catalogue:ident: $($test:ident)+) => {
        $(#[test]
        fn $test() {
            $catalogue().$test();
        })+
    };
}
pub(crate) use golden_tests;
