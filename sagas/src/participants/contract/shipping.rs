//! The shipping port's contract.

use std::path::Path;

use super::{
    Harness, IMPATIENT, Outcome, PATIENT, SHORT, is_retryable, is_unknown, kinds, outlive_keys, refusal, tear,
};
use crate::participants::shipping::{
    HeldLabel, LabelRequest, LabelVoided, RateRequest, ShippingOutcome, ShippingPort, TrackingStatus, VoidLabelRequest,
};
use crate::participants::{ForgetRequest, Forgotten, Kind, Mode};

/// Runs the shipping port's contract on a harness.
#[macro_export]
macro_rules! shipping_contract {
    ($harness:ty) => {
        $crate::contract_sentences! { $harness, $crate::participants::contract::shipping:
            a_repeated_label_is_the_same_and_bought_once
            a_label_costs_what_its_rate_says
            a_label_for_nowhere_is_refused
            a_label_that_hangs_after_acting_is_unknown_until_asked_or_repeated
            voiding_an_unknown_label_blocks_it_or_gives_it_back
            a_carrier_that_is_down_did_not_act
            labels_are_found_by_their_reference
            a_forgotten_key_buys_again_and_what_it_bought_is_found_by_its_reference
            a_restart_keeps_labels_and_blocks
            a_person_is_forgotten_once_for_good_and_the_ledger_stays
        }
    };
}

const ORDER: &str = "ord_01890a5d000070008000000000000001";

fn label(key: &str) -> LabelRequest {
    LabelRequest {
        key: key.to_owned(),
        reference: ORDER.to_owned(),
        method: "standard".to_owned(),
        country: "US".to_owned(),
        postal_code: Some("45202".to_owned()),
        parcels: 1,
        weight_grams: None,
        lines: 3,
        pieces: 5,
    }
}

fn void(key: &str, forward_key: &str, label_id: Option<&str>) -> VoidLabelRequest {
    VoidLabelRequest {
        key: key.to_owned(),
        reference: ORDER.to_owned(),
        forward_key: forward_key.to_owned(),
        label_id: label_id.map(str::to_owned),
    }
}

fn forget(key: &str, orders: &[&str]) -> ForgetRequest {
    let orders = orders.iter().map(|order| (*order).to_owned()).collect();
    ForgetRequest { key: key.to_owned(), reference: "per_1".to_owned(), orders }
}

/// A harness of the shipping port.
pub trait ShippingHarness: Harness<Port = dyn ShippingPort> {}
impl<H: Harness<Port = dyn ShippingPort>> ShippingHarness for H {}

/// See the name.
pub async fn a_repeated_label_is_the_same_and_bought_once<H: ShippingHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    let bought = port.label(&label("sag_1/label/forward/0/1")).await?;
    assert_eq!(port.label(&label("sag_1/label/forward/0/1")).await?, bought);
    assert_eq!(port.query("sag_1/label/forward/0/1").await?, Some(ShippingOutcome::Labelled(bought.clone())));
    let other = LabelRequest { parcels: 2, ..label("sag_1/label/forward/0/1") };
    assert_eq!(refusal(port.label(&other).await)?, "key_reused");
    let status =
        |tracking: Option<crate::participants::shipping::Tracking>| tracking.map(|t| (t.tracking_number, t.status));
    let number = bought.tracking_number.clone();
    assert_eq!(status(port.track(&bought.label_id).await?), Some((number.clone(), TrackingStatus::LabelCreated)));
    for _ in 0..2 {
        let back = port.void_label(&void("v", "sag_1/label/forward/0/1", Some(&bought.label_id))).await?;
        assert_eq!(back, LabelVoided { label_id: Some(bought.label_id.clone()) });
    }
    assert_eq!(status(port.track(&bought.label_id).await?), Some((number, TrackingStatus::Voided)));
    assert_eq!(port.track("lbl_invented").await?, None);
    assert_eq!(refusal(port.void_label(&void("w", "sag_1/label/forward/0/1", None)).await)?, "already_voided");
    assert_eq!(refusal(port.void_label(&void("x", "y", Some(&bought.label_id))).await)?, "unknown_label");
    let entries = harness.entries().await?;
    assert_eq!(kinds(&entries), [Kind::Label, Kind::VoidLabel]);
    assert!(entries.iter().all(|e| e.reference == ORDER && e.amount == "4.90" && e.currency == "USD"));
    assert_eq!(port.key_lifetime(), None);
    harness.stop().await
}

/// See the name.
pub async fn a_label_costs_what_its_rate_says<H: ShippingHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    let request = RateRequest { country: "DE".to_owned(), postal_code: None, parcels: 2, weight_grams: Some(4_500) };
    let rates = port.rate(&request).await?;
    assert_eq!(rates.iter().map(|r| r.method.as_str()).collect::<Vec<_>>(), ["standard", "express", "overnight"]);
    for rate in rates {
        let bought = LabelRequest {
            method: rate.method.clone(),
            country: "DE".to_owned(),
            parcels: 2,
            weight_grams: Some(4_500),
            ..label(&rate.method)
        };
        assert_eq!(port.label(&bought).await?.cost, rate.cost);
    }
    let unheard_of = LabelRequest { method: "by pigeon".to_owned(), ..label("pigeon") };
    assert_eq!(port.label(&unheard_of).await?.cost.value(), "4.90");
    harness.stop().await
}

/// See the name.
pub async fn a_label_for_nowhere_is_refused<H: ShippingHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    for _ in 0..2 {
        let nowhere = LabelRequest { country: "ZZ".to_owned(), ..label("n") };
        assert_eq!(refusal(port.label(&nowhere).await)?, "unserviceable");
        assert_eq!(refusal(port.label(&LabelRequest { parcels: 0, ..label("p") }).await)?, "invalid_parcels");
    }
    let request = RateRequest { country: "ZZ".to_owned(), postal_code: None, parcels: 1, weight_grams: None };
    assert_eq!(refusal(port.rate(&request).await)?, "unserviceable");
    assert!(matches!(port.query("n").await?, Some(ShippingOutcome::Refused { code, .. }) if code == "unserviceable"));
    assert_eq!(harness.entries().await?, []);
    harness.stop().await
}

/// See the name.
pub async fn a_label_that_hangs_after_acting_is_unknown_until_asked_or_repeated<H: ShippingHarness>(
    ledger: &Path,
) -> Outcome {
    let harness = H::start(ledger, IMPATIENT).await?;
    let port = harness.port();
    harness.control(Mode::HangAfterActing).await?;
    assert!(is_unknown(&port.label(&label("h")).await));
    let Some(ShippingOutcome::Labelled(bought)) = port.query("h").await? else { return Err("it acted".into()) };
    assert_eq!(port.label(&label("h")).await?, bought);
    assert_eq!(kinds(&harness.entries().await?), [Kind::Label]);
    harness.stop().await
}

/// See the name.
pub async fn voiding_an_unknown_label_blocks_it_or_gives_it_back<H: ShippingHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, IMPATIENT).await?;
    let port = harness.port();
    assert_eq!(port.void_label(&void("v1", "late", None)).await?, LabelVoided { label_id: None });
    assert_eq!(refusal(port.label(&label("late")).await)?, "voided");
    assert!(matches!(port.query("late").await?, Some(ShippingOutcome::Refused { code, .. }) if code == "voided"));
    harness.control(Mode::HangAfterActing).await?;
    assert!(is_unknown(&port.label(&label("h")).await));
    harness.control(Mode::Ok).await?;
    let back = port.void_label(&void("v2", "h", None)).await?;
    assert_eq!(back.label_id, Some(port.label(&label("h")).await?.label_id));
    assert_eq!(kinds(&harness.entries().await?), [Kind::Label, Kind::VoidLabel]);
    harness.stop().await
}

/// See the name.
pub async fn a_carrier_that_is_down_did_not_act<H: ShippingHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    harness.control(Mode::Down).await?;
    assert!(is_retryable(&port.label(&label("a")).await));
    assert!(is_retryable(&port.track("lbl_1").await));
    harness.control(Mode::Ok).await?;
    assert_eq!(port.query("a").await?, None);
    assert_eq!(harness.entries().await?, []);
    harness.stop().await
}

/// See the name.
pub async fn a_restart_keeps_labels_and_blocks<H: ShippingHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    let bought = port.label(&label("a")).await?;
    port.void_label(&void("v", "late", None)).await?;
    let before = harness.entries().await?;
    drop(port);
    harness.stop().await?;
    tear(ledger)?;
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    assert_eq!(port.label(&label("a")).await?, bought);
    assert_eq!(refusal(port.label(&label("late")).await)?, "voided");
    assert_eq!(harness.entries().await?, before);
    port.void_label(&void("w", "a", None)).await?;
    assert_eq!(kinds(&harness.entries().await?), [Kind::Label, Kind::VoidLabel]);
    drop(port);
    harness.stop().await
}

/// See the name.
pub async fn a_person_is_forgotten_once_for_good_and_the_ledger_stays<H: ShippingHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    port.label(&label("a")).await?;
    let before = harness.entries().await?;
    let request = forget("per_1/forget/1", &[ORDER, "ord_2"]);
    harness.control(Mode::Down).await?;
    assert!(is_retryable(&port.forget(&request).await));
    harness.control(Mode::Ok).await?;
    for _ in 0..2 {
        assert_eq!(port.forget(&request).await?, Forgotten { orders: 2 });
    }
    assert_eq!(refusal(port.forget(&forget("per_1/forget/1", &[ORDER])).await)?, "key_reused");
    assert_eq!(refusal(port.forget(&forget("none", &[])).await)?, "invalid_orders");
    assert_eq!(port.query("none").await?, None);
    drop(port);
    harness.stop().await?;
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    assert_eq!(port.query("per_1/forget/1").await?, Some(ShippingOutcome::Forgotten(Forgotten { orders: 2 })));
    assert_eq!(port.forget(&request).await?, Forgotten { orders: 2 });
    assert_eq!(harness.entries().await?, before, "an erasure is no entry");
    harness.stop().await
}

/// See the name.
pub async fn labels_are_found_by_their_reference<H: ShippingHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    assert_eq!(port.find(ORDER).await?, []);
    let kept = port.label(&label("a")).await?;
    let given_back = port.label(&label("b")).await?;
    port.label(&LabelRequest { reference: "ord_2".to_owned(), ..label("c") }).await?;
    port.void_label(&void("v", "b", None)).await?;
    port.void_label(&void("w", "late", None)).await?;
    let held = |key: &str, label, voided| HeldLabel { key: Some(key.to_owned()), label, voided };
    let all = [held("a", kept, false), held("b", given_back, true)];
    assert_eq!(port.find(ORDER).await?, all);
    assert_eq!(port.find("ord_nobody").await?, []);
    harness.control(Mode::Down).await?;
    assert!(is_retryable(&port.find(ORDER).await));
    harness.control(Mode::Ok).await?;
    drop(port);
    harness.stop().await?;
    let harness = H::start(ledger, PATIENT).await?;
    assert_eq!(harness.port().find(ORDER).await?, all, "after a restart too");
    harness.stop().await
}

/// See the name.
pub async fn a_forgotten_key_buys_again_and_what_it_bought_is_found_by_its_reference<H: ShippingHarness>(
    ledger: &Path,
) -> Outcome {
    let harness = H::start_forgetting(ledger, PATIENT, Some(SHORT)).await?;
    let port = harness.port();
    assert_eq!(port.key_lifetime(), Some(SHORT));
    let first = port.label(&label("a")).await?;
    port.void_label(&void("v", "late", None)).await?;
    outlive_keys().await;
    assert_eq!(port.query("a").await?, None);
    assert_eq!(port.find(ORDER).await?, [HeldLabel { key: None, label: first.clone(), voided: false }]);
    // The trap: it is a new call now.
    assert_ne!(port.label(&label("a")).await?, first);
    port.label(&label("late")).await?;
    let back = port.void_label(&void("w", "whatever", Some(&first.label_id))).await?;
    assert_eq!(back.label_id, Some(first.label_id.clone()), "an id needs no key that is remembered");
    let held = port.find(ORDER).await?;
    assert_eq!(held.iter().map(|held| held.voided).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(kinds(&harness.entries().await?), [Kind::Label, Kind::Label, Kind::Label, Kind::VoidLabel]);
    harness.stop().await
}
