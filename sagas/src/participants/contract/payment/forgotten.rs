//! The payment port's contract where keys are forgotten: what is held is found by its reference alone.

use std::path::Path;

use super::super::{Outcome, PATIENT, SHORT, is_retryable, kinds, outlive_keys, refusal, usd};
use super::{ORDER, PaymentHarness, authorize, capture, void};
use crate::participants::payment::{
    AuthorizeRequest, HeldAuthorization, HeldCapture, PaymentOutcome, RefundRequest, Voided,
};
use crate::participants::{Kind, Mode};

/// See the name.
pub async fn what_is_held_under_a_reference_is_found_by_it<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    assert_eq!(port.find(ORDER).await?, []);
    let kept = port.authorize(&authorize("a", "tok_ok")).await?;
    let given_back = port.authorize(&authorize("b", "tok_ok")).await?;
    let other = AuthorizeRequest { reference: "ord 2&reference=x".to_owned(), ..authorize("c", "tok_ok") };
    let of_another = port.authorize(&other).await?;
    assert_eq!(refusal(port.authorize(&authorize("d", "tok_decline")).await)?, "declined");
    port.void(&void("v", "b", Some(&given_back.authorization_id))).await?;
    port.void(&void("w", "late", None)).await?;
    let taken = port.capture(&capture("e", &kept.authorization_id, 500)).await?;
    let request = RefundRequest {
        key: "r".to_owned(),
        reference: ORDER.to_owned(),
        capture_id: taken.capture_id.clone(),
        amount: usd(100),
    };
    let refund = port.refund(&request).await?;
    let held = |key: &str, authorization| HeldAuthorization {
        key: Some(key.to_owned()),
        authorization,
        voided: false,
        captures: vec![],
    };
    let capture = HeldCapture { key: Some("e".to_owned()), capture: taken, refunds: vec![refund] };
    let all = [
        HeldAuthorization { captures: vec![capture], ..held("a", kept) },
        HeldAuthorization { voided: true, ..held("b", given_back) },
    ];
    assert_eq!(port.find(ORDER).await?, all);
    assert_eq!(port.find(&other.reference).await?, [held("c", of_another)]);
    assert_eq!(port.find("ord_nobody").await?, []);
    harness.control(Mode::Down).await?;
    assert!(is_retryable(&port.find(ORDER).await));
    harness.control(Mode::HangAfterActing).await?;
    assert_eq!(port.find(ORDER).await?, all, "a question does not act");
    drop(port);
    harness.stop().await?;
    let harness = H::start(ledger, PATIENT).await?;
    assert_eq!(harness.port().find(ORDER).await?, all, "after a restart too");
    harness.stop().await
}

/// See the name.
pub async fn a_forgotten_key_acts_again_and_what_it_did_is_found_by_its_reference<H: PaymentHarness>(
    ledger: &Path,
) -> Outcome {
    let harness = H::start_forgetting(ledger, PATIENT, Some(SHORT)).await?;
    let port = harness.port();
    assert_eq!(port.key_lifetime(), Some(SHORT));
    let first = port.authorize(&authorize("a", "tok_ok")).await?;
    assert_eq!(port.authorize(&authorize("a", "tok_ok")).await?, first, "as long as it is known");
    port.void(&void("v", "late", None)).await?;
    outlive_keys().await;
    assert_eq!(port.query("a").await?, None);
    assert_eq!(port.query("late").await?, None, "a block is forgotten like a key");
    let held = port.find(ORDER).await?;
    assert_eq!(held.iter().map(|held| (&held.key, &held.authorization)).collect::<Vec<_>>(), [(&None, &first)]);
    // The trap: it is a new call now.
    let second = port.authorize(&authorize("a", "tok_ok")).await?;
    assert_ne!(second, first);
    port.authorize(&authorize("late", "tok_ok")).await?;
    assert_eq!(port.find(ORDER).await?.len(), 3);
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize; 3]);
    drop(port);
    harness.stop().await?;
    let harness = H::start_forgetting(ledger, PATIENT, None).await?;
    let port = harness.port();
    assert_eq!(port.query("a").await?, Some(PaymentOutcome::Authorized(second)), "the last one is the key's");
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize; 3]);
    harness.stop().await
}

/// See the name.
pub async fn a_void_by_id_needs_no_key_that_is_remembered<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start_forgetting(ledger, PATIENT, Some(SHORT)).await?;
    let port = harness.port();
    let held = port.authorize(&authorize("a", "tok_ok")).await?;
    outlive_keys().await;
    let back = port.void(&void("v", "a", Some(&held.authorization_id))).await?;
    assert_eq!(back, Voided { authorization_id: Some(held.authorization_id.clone()) });
    outlive_keys().await;
    let again = port.void(&void("v", "a", Some(&held.authorization_id))).await;
    assert_eq!(refusal(again)?, "already_voided", "the money guards itself");
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize, Kind::Void]);
    harness.stop().await
}
