//! What is wrong with a request: every fault, each with the JSON Pointer (RFC 6901) of its place.
use serde::Serialize;
use std::{borrow::Cow, cell::RefCell};

/// The most faults one answer lists; the body's size bounds what can be wrong, this bounds the answer.
pub(crate) const MAX_FAULTS: usize = 5_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// For example `/lines/0/quantity`; `/query/NAME` for a query parameter, `/headers/NAME` for a header.
    pub(crate) path: String,
    pub(crate) code: &'static str,
    pub(crate) message: Cow<'static, str>,
}

impl Fault {
    pub(crate) fn new(path: String, code: &'static str, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault { path, code, message: message.into() }
    }
}

/// A place in a body, as a list from the leaf to the root: made into text only when something is wrong there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'p> {
    Root,
    Field(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

impl<'p> Place<'p> {
    pub(crate) fn field(&'p self, name: &'p str) -> Place<'p> {
        Place::Field(self, name)
    }

    pub(crate) fn item(&'p self, index: usize) -> Place<'p> {
        Place::Item(self, index)
    }

    pub(crate) fn pointer(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        use std::fmt::Write;
        match self {
            Place::Root => {}
            Place::Field(parent, name) => {
                parent.write(out);
                out.push('/');
                for character in name.chars() {
                    match character {
                        '~' => out.push_str("~0"),
                        '/' => out.push_str("~1"),
                        other => out.push(other),
                    }
                }
            }
            Place::Item(parent, index) => {
                parent.write(out);
                // Writing to a string can't fail.
                let _ = write!(out, "/{index}");
            }
        }
    }
}

/// Collects the faults of one request.
#[derive(Debug, Default)]
pub(crate) struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    pub(crate) fn add(&self, place: &Place<'_>, code: &'static str, message: impl Into<Cow<'static, str>>) {
        if self.count() <= MAX_FAULTS {
            self.push(Fault::new(place.pointer(), code, message));
        }
    }

    pub(crate) fn push(&self, fault: Fault) {
        let mut faults = self.0.borrow_mut();
        match faults.len() {
            n if n < MAX_FAULTS => faults.push(fault),
            MAX_FAULTS => faults.push(Fault::new(String::new(), "too_many_faults", "there is more that is wrong")),
            _ => {}
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn into_list(self) -> Vec<Fault> {
        self.0.into_inner()
    }

    /// The value, when nothing at all was wrong.
    pub(crate) fn into_result<T>(self, value: Option<T>) -> Result<T, Vec<Fault>> {
        let faults = self.0.into_inner();
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ => Err(faults),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_what_would_be_read_as_its_own_signs() {
        let root = Place::Root;
        let lines = root.field("lines");
        let line = lines.item(3);
        assert_eq!(line.field("a/b~c").pointer(), "/lines/3/a~1b~0c");
        assert_eq!(root.pointer(), "");
    }

    #[test]
    fn the_list_of_faults_is_bounded() {
        let faults = Faults::default();
        (0..3 * MAX_FAULTS).for_each(|n| faults.add(&Place::Root.item(n), "unknown_field", "unknown"));
        let faults = faults.into_result(Some(())).unwrap_err();
        assert_eq!((faults.len(), faults[MAX_FAULTS].code), (MAX_FAULTS + 1, "too_many_faults"));
    }
}
