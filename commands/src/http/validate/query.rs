//! Query parameters: those known, each once; an unknown one is a fault, never ignored.
use super::fault::{Fault, Faults, Place};
use axum::{extract::Query as AxumQuery, http::Uri};
use std::ops::RangeInclusive;

/// A fault at a query parameter has the path `/query/NAME`.
const QUERY: Place<'static> = Place::Field(&Place::Root, "query");

/// Answers what a command would do, and does nothing.
pub(crate) const DRY_RUN: &str = "dry_run";

#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Query {
        match uri.query() {
            None | Some("") => Query::default(),
            // Every text is a list of pairs to this parser; should it ever fail, the whole is one unknown parameter.
            Some(text) => {
                Query(AxumQuery::try_from_uri(uri).map_or_else(|_| vec![(text.to_owned(), String::new())], |q| q.0))
            }
        }
    }

    /// Faults for what is not among `known`, or given twice.
    pub(crate) fn only(&self, known: &[&str], faults: &Faults) {
        for (n, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                faults.add(&QUERY.field(name), "unknown_parameter", "there is no such query parameter here");
            } else if self.0[..n].iter().any(|(other, _)| other == name) {
                faults.add(&QUERY.field(name), "duplicate_parameter", "is given twice");
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// `true` or `false`, which is the default.
    pub(crate) fn flag(&self, name: &str, faults: &Faults) -> bool {
        match self.get(name) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                faults.add(&QUERY.field(name), "unknown_value", "must be `true` or `false`");
                false
            }
        }
    }

    pub(crate) fn number(&self, name: &str, range: RangeInclusive<u64>, faults: &Faults) -> Option<u64> {
        let text = self.get(name)?;
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("must be a whole number from {} to {}", range.start(), range.end());
            faults.add(&QUERY.field(name), "out_of_range", message);
        }
        number
    }
}

pub(crate) fn fault(name: &str, code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(QUERY.field(name).pointer(), code, message)
}
