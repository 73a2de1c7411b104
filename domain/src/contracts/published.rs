//! What was ever published, in `contracts/published/<release>/`, written by `scripts/cut-release`: of each release the contracts that are
//! new in it. Each is held to for ever, by the rule of `compatible`.
use super::{
    HOW,
    compatible::{Additions, changes},
    folder, read,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The subfolder; its own are named after releases.
const PUBLISHED: &str = "published";
const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// All schema files under a folder, by their path from there, those published apart.
pub(super) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(folder.join(&at)).unwrap() {
            let entry = entry.unwrap();
            let path = at.join(entry.file_name());
            let name = path.to_str().unwrap().to_owned();
            if entry.file_type().unwrap().is_dir() {
                open.extend((name != PUBLISHED).then_some(path));
            } else if name.ends_with(".schema.json") {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

/// Every published schema: release, file, schema; the oldest release first.
fn published() -> Vec<(String, String, Value)> {
    let folder = folder().join(PUBLISHED);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut releases: Vec<String> = entries.collect();
    let number = |release: &String| release.split('.').map(|part| part.parse().unwrap()).collect::<Vec<u32>>();
    releases.sort_by_key(number);
    let of_release = |release: String| {
        let folder = folder.join(&release);
        let schemas =
            files(&folder).into_iter().map(move |file| (release.clone(), file.clone(), read(&folder.join(file))));
        schemas.collect::<Vec<_>>()
    };
    releases.into_iter().flat_map(of_release).collect()
}

/// What was published last under this name.
pub(super) fn latest(name: &str) -> Option<Value> {
    published().into_iter().rfind(|(_, file, _)| file == name).map(|(.., schema)| schema)
}

/// What a published schema's place may not be taken by, in words that say what to do.
fn faults(release: &str, file: &str, published: &Value, current: Option<&Value>) -> Vec<String> {
    let (name, additions, advice) =
        match file.strip_prefix("events/").and_then(|file| file.strip_suffix(".schema.json")) {
            Some(event) => {
                let (kind, event) = event.split_once('/').unwrap_or(("", event));
                let (event_type, version) = event.split_once(".v").unwrap_or((event, "?"));
                let name = format!("{event_type} in version {version} ({kind})");
                (name, Additions::Refused, "give the event a new version: docs/evolution.md")
            }
            None => {
                let advice = "only optional fields may be added: add one beside it, and keep this one";
                (file.to_owned(), Additions::Optional, advice)
            }
        };
    let Some(current) = current else {
        return vec![format!("{name} was published with {release} and is gone: keep it, it is read for ever")];
    };
    let told = changes(published, current, additions).into_iter();
    let told = told.map(|change| {
        format!("{name} was published with {release} and has changed at {}: {}; {advice}", change.path, change.what)
    });
    told.collect()
}

#[test]
fn every_contract_is_compatible_both_ways_with_every_one_that_was_published() {
    let files = files(&folder());
    // The events as the code has them; the files may be stale, which another test says.
    let generated = super::generated();
    let current = |file: &String| match generated.get(file) {
        Some(schema) => Some(schema.clone()),
        None => files.contains(file).then(|| read(&folder().join(file))),
    };
    let published = published();
    assert!(!published.is_empty());
    let faults =
        published.iter().flat_map(|(release, file, schema)| faults(release, file, schema, current(file).as_ref()));
    assert_eq!(faults.collect::<Vec<_>>(), Vec::<String>::new());
}

/// A reader passes over what it doesn't know; so must its validator.
#[test]
fn every_contract_is_open() {
    fn closed(value: &Value) -> bool {
        match value {
            Value::Object(fields) => {
                let closes = |name: &str| fields.get(name).is_some_and(|value| *value != json!(true));
                closes("additionalProperties") || closes("unevaluatedProperties") || fields.values().any(closed)
            }
            Value::Array(items) => items.iter().any(closed),
            _ => false,
        }
    }
    for name in files(&folder()) {
        assert!(!closed(&read(&folder().join(&name))), "contracts/{name} refuses fields that it doesn't know: {HOW}");
    }
}

#[test]
fn a_fault_names_type_version_path_and_what_to_do() {
    let was = json!({"type": "object", "properties": {"grams": {"type": "integer"}}, "required": ["grams"]});
    let is = json!({"type": "object", "properties": {"grams": {"type": "number"}}, "required": ["grams"]});
    let told = faults("0.1.0", "events/shipment/ParcelSent.v2.schema.json", &was, Some(&is));
    let name = "ParcelSent in version 2 (shipment) was published with 0.1.0";
    let todo = "give the event a new version: docs/evolution.md";
    assert_eq!(
        told,
        [
            format!("{name} and has changed at .grams: integer is no longer admitted, and the log may hold it; {todo}"),
            format!(
                "{name} and has changed at .grams: number is admitted now, and published readers refuse it; {todo}"
            ),
        ]
    );
    let gone = faults("0.1.0", "events/shipment/ParcelSent.v2.schema.json", &was, None);
    assert_eq!(gone, [format!("{name} and is gone: keep it, it is read for ever")]);
    let metadata = faults("0.1.0", "metadata.schema.json", &was, Some(&json!({"type": "object", "properties": {}})));
    assert!(metadata[0].starts_with("metadata.schema.json was published with 0.1.0 and has changed at .grams:"));
    assert!(metadata[0].ends_with("only optional fields may be added: add one beside it, and keep this one"));
}

/// `scripts/cut-release` runs this: from now on the contracts of today are promised.
#[test]
#[ignore = "writes contracts/published"]
fn cut_release() {
    let published = published();
    for name in files(&folder()) {
        let schema = read(&folder().join(&name));
        let same = |(_, file, was): &&(String, String, Value)| *file == name && *was == schema;
        if published.iter().find(same).is_some() {
            continue;
        }
        let path = folder().join(PUBLISHED).join(RELEASE).join(&name);
        // Cut again before it has gone out: only what every reader of the first cut can live with takes its place.
        let before = path.exists().then(|| read(&path));
        let faults = before.map(|before| faults(RELEASE, &name, &before, Some(&schema))).unwrap_or_default();
        assert_eq!(faults, Vec::<String>::new());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(folder().join(&name), path).unwrap();
    }
}
