//! Who may know whom. `cargo metadata` says what is so; the tables here say what may be.
use serde_json::Value;
use std::{collections::BTreeSet, process::Command};

/// Each crate of ours, and the crates of ours that it may know.
const OURS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("eventstore", &[]),
    ("mirror", &["eventstore"]),
    ("commands", &["domain", "eventstore"]),
    ("queries", &["domain", "eventstore"]),
    ("sagas", &["commands", "domain", "eventstore"]),
    ("waybill", &["commands", "domain", "eventstore", "mirror", "queries", "sagas"]),
];

/// Libraries that belong to certain crates alone.
const RESERVED: &[(&str, &[&str])] = &[
    ("rdkafka", &["mirror"]),
    ("axum", &["commands", "waybill"]),
    ("async-graphql", &["queries", "waybill"]),
    ("async-graphql-axum", &["waybill"]),
    ("sqlx", &["eventstore", "queries", "waybill"]),
    ("reqwest", &["sagas", "waybill"]),
    ("anyhow", &["waybill"]),
];

/// The domain knows types only: no clock, no randomness, no I/O, no async.
const DOMAIN: &[&str] = &["chrono", "serde", "thiserror", "uuid"];

/// Every package of the workspace with its direct dependencies, those of tests left out.
fn dependencies() -> Vec<(String, BTreeSet<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let direct = |package: &Value| {
        let all = package["dependencies"].as_array().expect("dependencies").iter();
        all.filter(|dependency| dependency["kind"] != "dev").map(|dependency| text(&dependency["name"])).collect()
    };
    packages.iter().map(|package| (text(&package["name"]), direct(package))).collect()
}

#[test]
fn every_crate_knows_only_those_it_may() {
    let dependencies = dependencies();
    let ours: BTreeSet<_> = OURS.iter().map(|(name, _)| *name).collect();
    assert_eq!(dependencies.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>(), ours);
    for (name, known) in &dependencies {
        let (_, allowed) = OURS.iter().find(|(ours, _)| ours == name).expect("listed");
        let known = known.iter().map(String::as_str).filter(|known| ours.contains(known));
        let new: Vec<_> = known.filter(|known| !allowed.contains(known)).collect();
        assert!(new.is_empty(), "{name} may not know {new:?}: see the arrows in ARCHITECTURE.md");
    }
}

#[test]
fn a_library_stays_in_the_crates_it_belongs_to() {
    for (name, known) in dependencies() {
        for (library, owners) in RESERVED {
            let allowed = !known.contains(*library) || owners.contains(&name.as_str());
            assert!(allowed, "{name} may not use {library}, which belongs to {owners:?}");
        }
    }
}

#[test]
fn the_domain_knows_types_only() {
    let dependencies = dependencies();
    let (_, known) = dependencies.iter().find(|(name, _)| name == "domain").expect("the domain");
    let allowed: BTreeSet<_> = DOMAIN.iter().map(|name| (*name).to_owned()).collect();
    assert!(known.is_subset(&allowed), "the domain uses {:?}", known.difference(&allowed));
}
