//! Whether a schema may stand in the place of one that was published under the same name and version.
//!
//! The rule holds both ways. *Backward*: a reader with the new schema accepts all that the old one admitted, for the log keeps it for
//! ever. *Forward*: a reader with the old schema accepts all that the new one admits, for nobody can be told to change at once. Both
//! together mean that neither may admit a value that the other refuses: no field goes or becomes required or optional, no type,
//! format, pattern or bound changes, no word of an enum comes or goes.
//!
//! Schemas are open, so an old reader would *accept* an optional field that is new, and act without a word on less than was written.
//! An event's fields are what others decide upon: there a new optional field is refused too, and is a new version beside the old
//! (docs/evolution.md). What only goes along with an event (the headers, the metadata) may gain optional fields; see `Additions`.
//!
//! Words for people (titles, descriptions, examples) and the names of parts under `$defs` may change freely. A keyword that this file
//! doesn't know is compared to the letter. Pure: it sees two schemas and nothing else.
use serde_json::{Map, Value};
use std::{collections::BTreeSet, fmt};

/// Deeper than any schema of ours; only one that contains itself gets there.
const MAX_DEPTH: usize = 32;
/// They bind nobody.
const WORDS: [&str; 8] = ["$comment", "$defs", "$id", "$schema", "description", "examples", "title", "deprecated"];

/// Whether a new optional field is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Additions {
    Refused,
    Optional,
}

/// One way in which the new schema isn't the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// `.lines[].quantity`; `.` is the whole.
    pub(super) path: String,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Removed,
    Added,
    AddedRequired,
    BecameRequired,
    BecameOptional,
    /// Types, or words of an enum, that are admitted and weren't.
    Widened(String),
    /// That were admitted and aren't.
    Narrowed(String),
    Keyword {
        name: String,
        was: String,
        is: String,
    },
    TooDeep,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Removed => f.write_str("the field is gone, and published readers look for it"),
            What::Added => f.write_str("the field is new, and published readers pass over it without a word"),
            What::AddedRequired => f.write_str("the field is new and required, and what lies in the log has none"),
            What::BecameRequired => {
                f.write_str("the field has become required, and what lies in the log may have none")
            }
            What::BecameOptional => f.write_str("the field has become optional, and published readers count on it"),
            What::Widened(more) => write!(f, "{more} is admitted now, and published readers refuse it"),
            What::Narrowed(less) => write!(f, "{less} is no longer admitted, and the log may hold it"),
            What::Keyword { name, was, is } => {
                write!(f, "`{name}` was {was} and is {is}: one refuses what the other admits")
            }
            What::TooDeep => f.write_str("the schema contains itself, or is too deep to compare"),
        }
    }
}

/// All that stands between the published schema and the new one; nothing: it may take its place.
pub(super) fn changes(published: &Value, new: &Value, additions: Additions) -> Vec<Change> {
    let mut comparison = Comparison { published, new, additions, changes: Vec::new() };
    comparison.compare(published, new, "", 0);
    comparison.changes
}

/// A part of a schema as it is compared: references followed, several ways to say the same brought to one.
#[derive(Debug, Default)]
struct Part {
    types: BTreeSet<String>,
    /// What an enum admits, in JSON.
    words: Option<BTreeSet<String>>,
    properties: Map<String, Value>,
    required: BTreeSet<String>,
    items: Option<Value>,
    /// Everything else.
    others: Map<String, Value>,
}

impl Part {
    fn of(schema: &Value, root: &Value, depth: usize) -> Option<Part> {
        if depth > MAX_DEPTH {
            return None;
        }
        let Some(fields) = schema.as_object() else {
            // `true` and `false` are schemas too.
            return Some(Part { others: Map::from_iter([("always".into(), schema.clone())]), ..Part::default() });
        };
        let mut part = match fields.get("$ref").and_then(Value::as_str) {
            Some(reference) => Part::of(root.pointer(reference.trim_start_matches('#'))?, root, depth + 1)?,
            None => Part::default(),
        };
        let texts = |value: &Value| value.as_array().into_iter().flatten().filter_map(text).collect::<BTreeSet<_>>();
        for (name, value) in fields.iter().filter(|(name, _)| !WORDS.contains(&name.as_str()) && *name != "$ref") {
            match name.as_str() {
                "type" if value.is_array() => part.types.extend(texts(value)),
                "type" => part.types.extend(text(value)),
                "const" => part.words = Some(BTreeSet::from([value.to_string()])),
                "enum" => part.words = value.as_array().map(|words| words.iter().map(Value::to_string).collect()),
                "properties" => part.properties.extend(value.as_object().cloned().unwrap_or_default()),
                "required" => part.required.extend(texts(value)),
                "items" => part.items = Some(value.clone()),
                "anyOf" | "oneOf" => match Part::either(value, root, depth + 1)? {
                    Some(either) => part.take(either),
                    None => drop(part.others.insert(name.clone(), value.clone())),
                },
                _ => drop(part.others.insert(name.clone(), value.clone())),
            }
        }
        Some(part)
    }

    /// Words said one by one are an enum; one thing or null is that thing, and null among its types.
    fn either(ways: &Value, root: &Value, depth: usize) -> Option<Option<Part>> {
        let ways = ways.as_array().into_iter().flatten().map(|way| Part::of(way, root, depth));
        let ways = ways.collect::<Option<Vec<_>>>()?;
        let (nulls, mut things): (Vec<Part>, Vec<Part>) = ways.into_iter().partition(Part::is_null);
        if things.len() > 1 && things.iter().all(Part::is_words) {
            let mut words = Part { words: Some(BTreeSet::new()), ..Part::default() };
            for thing in things.drain(..) {
                words.types.extend(thing.types);
                words.words.iter_mut().for_each(|all| all.extend(thing.words.clone().unwrap_or_default()));
            }
            things.push(words);
        }
        let one = if things.len() == 1 { things.pop() } else { None };
        Some(one.map(|mut thing| {
            if !nulls.is_empty() {
                thing.types.insert("null".into());
                if let Some(words) = &mut thing.words {
                    words.insert("null".into());
                }
            }
            thing
        }))
    }

    fn is_null(&self) -> bool {
        self.types == BTreeSet::from(["null".to_owned()])
    }

    fn is_words(&self) -> bool {
        self.words.is_some() && self.properties.is_empty() && self.items.is_none() && self.others.is_empty()
    }

    fn take(&mut self, other: Part) {
        self.types.extend(other.types);
        self.words = self.words.take().or(other.words);
        self.properties.extend(other.properties);
        self.required.extend(other.required);
        self.items = self.items.take().or(other.items);
        self.others.extend(other.others);
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

struct Comparison<'a> {
    published: &'a Value,
    new: &'a Value,
    additions: Additions,
    changes: Vec<Change>,
}

impl Comparison<'_> {
    fn note(&mut self, path: &str, what: What) {
        let path = if path.is_empty() { "." } else { path };
        self.changes.push(Change { path: path.to_owned(), what });
    }

    fn compare(&mut self, was: &Value, is: &Value, path: &str, depth: usize) {
        let parts = (Part::of(was, self.published, depth), Part::of(is, self.new, depth));
        let (Some(was), Some(is)) = parts else { return self.note(path, What::TooDeep) };
        self.sets(&was.types, &is.types, path);
        match (&was.words, &is.words) {
            (Some(was), Some(is)) => self.sets(was, is, path),
            (None, Some(_)) => self.note(path, What::Narrowed("a word that is not listed".into())),
            (Some(_), None) => self.note(path, What::Widened("any word".into())),
            (None, None) => {}
        }
        self.fields(&was, &is, path, depth);
        match (&was.items, &is.items) {
            (Some(was), Some(is)) => self.compare(was, is, &format!("{path}[]"), depth + 1),
            (was, is) => self.keyword("items", was.as_ref(), is.as_ref(), path),
        }
        let names: BTreeSet<&String> = was.others.keys().chain(is.others.keys()).collect();
        for name in names {
            self.keyword(name, was.others.get(name), is.others.get(name), path);
        }
    }

    fn sets(&mut self, was: &BTreeSet<String>, is: &BTreeSet<String>, path: &str) {
        let listed = |words: Vec<&str>| words.join(", ");
        let less = listed(was.difference(is).map(String::as_str).collect());
        let more = listed(is.difference(was).map(String::as_str).collect());
        if !less.is_empty() {
            self.note(path, What::Narrowed(less));
        }
        if !more.is_empty() {
            self.note(path, What::Widened(more));
        }
    }

    fn fields(&mut self, was: &Part, is: &Part, path: &str, depth: usize) {
        let names: BTreeSet<&String> = was.properties.keys().chain(is.properties.keys()).collect();
        for name in names {
            let path = format!("{path}.{name}");
            let required = (was.required.contains(name), is.required.contains(name));
            match (was.properties.get(name), is.properties.get(name)) {
                (Some(_), None) => self.note(&path, What::Removed),
                (None, Some(_)) if required.1 => self.note(&path, What::AddedRequired),
                (None, Some(_)) if self.additions == Additions::Refused => self.note(&path, What::Added),
                (Some(was), Some(is)) => {
                    match required {
                        (false, true) => self.note(&path, What::BecameRequired),
                        (true, false) => self.note(&path, What::BecameOptional),
                        _ => {}
                    }
                    self.compare(was, is, &path, depth + 1);
                }
                _ => {}
            }
        }
    }

    fn keyword(&mut self, name: &str, was: Option<&Value>, is: Option<&Value>, path: &str) {
        if was != is {
            let told = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
            self.note(path, What::Keyword { name: name.to_owned(), was: told(was), is: told(is) });
        }
    }
}

mod tests;
