//! What the last release reads, in `golden/released.json`, written by `scripts/cut-release`.
//!
//! Two promises: whatever was released is read for ever, in the very shape it had; and what this build writes, the last release reads,
//! so that both can run side by side.
use super::{
    catalogue::{Catalogue, Readable},
    shape::Shape,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Released {
    kind: String,
    #[serde(rename = "type")]
    event_type: String,
    version: i16,
    /// The golden file, so that it can't be edited afterwards.
    golden: Value,
    min: Option<Value>,
    shape: Shape,
}

impl Released {
    fn is(&self, shape: &Readable) -> bool {
        (self.kind.as_str(), self.event_type.as_str(), self.version) == (shape.kind, shape.event_type, shape.version)
    }
}

/// What this release writes although the last one can't read it, each for a reason that holds for that one release only.
///
/// All of them are written only when somebody asks for what 0.1.0 can't do (an erasure, an operator's verb, a return): nobody asks before the last
/// process of 0.1.0 is gone.
const EARLY: [(&str, &str, i16); 29] = [
    ("order", "CustomerErased", 1),
    ("person", "ErasureRequested", 1),
    ("person", "PersonErased", 1),
    ("saga", "StepSkipped", 1),
    ("saga", "StepMarkedDone", 1),
    ("saga", "CompensationForced", 1),
    ("saga", "PauseRequested", 1),
    ("saga", "ResumeRequested", 1),
    ("payment", "PaymentRefunded", 1),
    ("return", "ReturnRequested", 1),
    ("return", "ReturnLabelPurchased", 1),
    ("return", "ReturnLabelVoided", 1),
    ("return", "ReturnReceived", 1),
    ("return", "ReturnInspected", 1),
    ("return", "ReturnRestocked", 1),
    ("return", "ReturnWrittenOff", 1),
    ("return", "ReturnCompleted", 1),
    ("return", "ReturnCompensationStarted", 1),
    ("return", "ReturnClosed", 1),
    ("return", "ReturnStepRetrying", 1),
    ("return", "ReturnPaused", 1),
    ("return", "ReturnStepSkipped", 1),
    ("return", "ReturnStepMarkedDone", 1),
    ("return", "ReturnApproved", 1),
    ("return", "ReturnRejected", 1),
    ("return", "ReturnCancelRequested", 1),
    ("return", "ReturnRetryRequested", 1),
    ("return", "ReturnPauseRequested", 1),
    ("return", "ReturnResumeRequested", 1),
];

fn released(catalogue: &Catalogue) -> Vec<Released> {
    serde_json::from_str(&catalogue.text("released.json").unwrap()).unwrap()
}

/// What can't go out beside the last release, and why.
fn faults(catalogue: &Catalogue, released: &[Released], early: &[(&str, &str, i16)]) -> Vec<String> {
    let readable = catalogue.readable();
    let mut faults = vec![];
    for old in released {
        let name = format!("{} in version {}", old.event_type, old.version);
        let Some(shape) = readable.iter().find(|shape| old.is(shape)) else {
            faults.push(format!("{name} was released and is no longer read"));
            continue;
        };
        let golden = [catalogue.value(shape, ""), catalogue.value(shape, ".min")];
        if golden != [Some(old.golden.clone()), old.min.clone()] {
            faults.push(format!("{name} was released and its golden file has been edited: it needs a new version"));
            continue;
        }
        match catalogue.traced(shape, &old.golden) {
            // A retired type's payload is not looked into.
            Ok((events, _)) if events.is_empty() => {}
            Ok((_, noted)) if noted == old.shape => {}
            Ok((_, noted)) => {
                let differs = |(path, what): &(&String, &String)| old.shape.get(*path) != Some(*what);
                let gone = old.shape.iter().filter(|(path, _)| !noted.contains_key(*path));
                let paths: Vec<_> = noted.iter().filter(differs).chain(gone).map(|(path, _)| path.as_str()).collect();
                faults.push(format!(
                    "{name} was released and its shape has changed at {}: it needs a new version",
                    paths.join(", ")
                ));
            }
            Err(error) => faults.push(format!("{name} was released and can't be read: {error}")),
        }
    }
    for shape in readable.iter().filter(|shape| shape.written) {
        let is_early = early.contains(&(shape.kind, shape.event_type, shape.version));
        if !is_early && !released.iter().any(|old| old.is(shape)) {
            let (event_type, version) = (shape.event_type, shape.version);
            faults.push(format!("{event_type} in version {version} is written, and the last release can't read it"));
        }
    }
    faults
}

#[test]
fn what_was_released_is_read_as_it_was_and_what_is_written_the_last_release_reads() {
    let catalogue = super::real();
    assert_eq!(faults(&catalogue, &released(&catalogue), &EARLY), Vec::<String>::new());
}

#[test]
fn an_early_event_is_one_that_the_last_release_does_not_know() {
    let released = released(&super::real());
    for (kind, event_type, version) in EARLY {
        let known =
            |old: &Released| (old.kind.as_str(), old.event_type.as_str(), old.version) == (kind, event_type, version);
        assert!(!released.iter().any(known), "{event_type} is released by now: take it off the list");
    }
}

#[test]
fn each_way_to_change_a_shape_unseen_is_seen() {
    let catalogue = super::real();
    let of = |event_type: &str| {
        let old = released(&catalogue).into_iter().find(|old| old.event_type == event_type).unwrap();
        let mut all = released(&catalogue);
        all.retain(|old| old.event_type != event_type);
        (old, all)
    };
    let told = |event_type: &str, change: fn(&mut Released)| {
        let (mut old, mut all) = of(event_type);
        change(&mut old);
        all.push(old);
        faults(&catalogue, &all, &EARLY).join("; ")
    };
    // As if the last release had had the shape that is set here, and the change were to today's.
    let optional = told("StockReceived", |old| {
        old.shape.insert(".".into(), "{location,quantity,receipt_ref,sku}".into());
    });
    assert_eq!(
        optional,
        "StockReceived in version 1 was released and its shape has changed at .: it needs a new version"
    );
    let in_array = told("StockReserved", |old| {
        old.shape.insert(".lines[].quantity".into(), "i32".into());
    });
    assert!(in_array.contains("at .lines[].quantity:"), "{in_array}");
    let word = told("OrderCancelled", |old| {
        old.shape.insert(".reason".into(), "out_of_stock|fraud".into());
    });
    assert!(word.contains("at .reason:"), "{word}");
    let edited = told("LocationModeSet", |old| old.golden["mode"] = "MANUAL".into());
    assert!(edited.contains("its golden file has been edited"), "{edited}");
    assert_eq!(
        told("LocationModeSet", |old| old.version = 2),
        "LocationModeSet in version 2 was released and is no longer read; \
         LocationModeSet in version 1 is written, and the last release can't read it"
    );
}

/// `scripts/cut-release` runs this: from now on what this build reads is what the last release reads.
#[test]
#[ignore = "writes golden/released.json"]
fn cut_release() {
    let catalogue = super::real();
    let mut readable = catalogue.readable();
    readable.sort();
    let entry = |shape: &Readable| {
        let golden = catalogue.value(shape, "").unwrap();
        let (_, noted) = catalogue.traced(shape, &golden).unwrap();
        Released {
            kind: shape.kind.to_owned(),
            event_type: shape.event_type.to_owned(),
            version: shape.version,
            min: catalogue.value(shape, ".min"),
            golden,
            shape: noted,
        }
    };
    let released: Vec<_> = readable.iter().map(entry).collect();
    let text = serde_json::to_string_pretty(&released).unwrap() + "\n";
    fs::write(catalogue.folder.join("released.json"), text).unwrap();
}
