//! The payment port's contract. What holds while an outcome is unknown is in [`unknown`], what holds where keys are forgotten in
//! [`forgotten`].

mod forgotten;
mod unknown;

use std::path::Path;
use std::sync::Arc;

use super::{Harness, Outcome, PATIENT, is_retryable, kinds, refusal, tear, usd};
use crate::participants::payment::{
    AuthorizeRequest, CaptureRequest, PaymentOutcome, PaymentPort, RefundRequest, VoidRequest, Voided,
};
use crate::participants::{ForgetRequest, Forgotten, Kind, Mode, StepError};

pub use forgotten::{
    a_forgotten_key_acts_again_and_what_it_did_is_found_by_its_reference, a_void_by_id_needs_no_key_that_is_remembered,
    what_is_held_under_a_reference_is_found_by_it,
};
pub use unknown::{
    a_call_that_hangs_after_acting_is_unknown_until_asked_or_repeated,
    a_provider_that_hangs_leaves_the_outcome_unknown, a_slow_calls_key_is_in_use_until_it_has_acted,
    any_call_can_be_made_to_hang_after_acting, voiding_an_unknown_call_blocks_it_when_it_comes_late,
    voiding_an_unknown_call_blocks_it_while_it_runs, voiding_an_unknown_call_releases_what_it_did,
};

/// Runs the payment port's contract on a harness.
#[macro_export]
macro_rules! payment_contract {
    ($harness:ty) => {
        $crate::contract_sentences! { $harness, $crate::participants::contract::payment:
            a_repeated_call_answers_the_same_and_acts_once
            a_key_used_for_another_request_is_refused_and_its_first_answer_stands
            a_declined_card_stays_declined_and_nothing_acted
            a_decline_on_capture_leaves_the_authorization
            a_call_that_hangs_after_acting_is_unknown_until_asked_or_repeated
            any_call_can_be_made_to_hang_after_acting
            a_flaky_call_fails_without_acting_as_often_as_asked
            a_slow_calls_key_is_in_use_until_it_has_acted
            voiding_an_unknown_call_blocks_it_when_it_comes_late
            voiding_an_unknown_call_blocks_it_while_it_runs
            voiding_an_unknown_call_releases_what_it_did
            the_books_are_guarded
            what_is_held_under_a_reference_is_found_by_it
            a_forgotten_key_acts_again_and_what_it_did_is_found_by_its_reference
            a_void_by_id_needs_no_key_that_is_remembered
            a_key_may_hold_any_visible_character
            a_person_is_forgotten_once_for_good_and_the_ledger_stays
            a_restart_keeps_every_answer_and_a_torn_tail_is_dropped
            many_calls_of_one_key_at_once_act_once
            a_hundred_calls_at_once_are_in_the_ledger_once_each
            a_provider_that_is_down_did_not_act
            a_provider_that_hangs_leaves_the_outcome_unknown
        }
    };
}

const ORDER: &str = "ord_01890a5d000070008000000000000001";

fn authorize(key: &str, token: &str) -> AuthorizeRequest {
    AuthorizeRequest { key: key.to_owned(), reference: ORDER.to_owned(), amount: usd(1_099), token: token.to_owned() }
}

fn capture(key: &str, authorization_id: &str, minor: i64) -> CaptureRequest {
    CaptureRequest {
        key: key.to_owned(),
        reference: ORDER.to_owned(),
        authorization_id: authorization_id.to_owned(),
        amount: usd(minor),
    }
}

fn void(key: &str, forward_key: &str, authorization_id: Option<&str>) -> VoidRequest {
    VoidRequest {
        key: key.to_owned(),
        reference: ORDER.to_owned(),
        forward_key: forward_key.to_owned(),
        authorization_id: authorization_id.map(str::to_owned),
    }
}

fn refund(key: &str, capture_id: &str, minor: i64) -> RefundRequest {
    RefundRequest {
        key: key.to_owned(),
        reference: ORDER.to_owned(),
        capture_id: capture_id.to_owned(),
        amount: usd(minor),
    }
}

fn forget(key: &str, orders: &[&str]) -> ForgetRequest {
    let orders = orders.iter().map(|order| (*order).to_owned()).collect();
    ForgetRequest { key: key.to_owned(), reference: "per_1".to_owned(), orders }
}

/// A harness of the payment port.
pub trait PaymentHarness: Harness<Port = dyn PaymentPort> {}
impl<H: Harness<Port = dyn PaymentPort>> PaymentHarness for H {}

/// See the name.
pub async fn a_repeated_call_answers_the_same_and_acts_once<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    let held = port.authorize(&authorize("a", "tok_ok")).await?;
    assert_eq!(port.authorize(&authorize("a", "tok_ok")).await?, held);
    assert_eq!(held.amount, usd(1_099));
    assert!(held.expires_at > chrono::Utc::now() + chrono::TimeDelta::days(6), "{}", held.expires_at);
    let taken = port.capture(&capture("c", &held.authorization_id, 1_099)).await?;
    assert_eq!(port.capture(&capture("c", &held.authorization_id, 1_099)).await?, taken);
    let back = port.refund(&refund("r", &taken.capture_id, 99)).await?;
    assert_eq!(port.refund(&refund("r", &taken.capture_id, 99)).await?, back);
    let other = port.authorize(&authorize("b", "tok_ok")).await?;
    assert_ne!(other.authorization_id, held.authorization_id);
    for _ in 0..2 {
        let voided = port.void(&void("v", "b", Some(&other.authorization_id))).await?;
        assert_eq!(voided, Voided { authorization_id: Some(other.authorization_id.clone()) });
    }
    assert_eq!(port.query("a").await?, Some(PaymentOutcome::Authorized(held)));
    assert_eq!(port.query("c").await?, Some(PaymentOutcome::Captured(taken)));
    assert_eq!(port.query("r").await?, Some(PaymentOutcome::Refunded(back)));
    assert_eq!(
        port.query("v").await?,
        Some(PaymentOutcome::Voided(Voided { authorization_id: Some(other.authorization_id) }))
    );
    assert_eq!(port.query("never used").await?, None);
    let entries = harness.entries().await?;
    assert_eq!(kinds(&entries), [Kind::Authorize, Kind::Capture, Kind::Refund, Kind::Authorize, Kind::Void]);
    assert_eq!(entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(
        entries.iter().map(|e| e.amount.as_str()).collect::<Vec<_>>(),
        ["10.99", "10.99", "0.99", "10.99", "10.99"]
    );
    assert!(entries.iter().all(|e| e.reference == ORDER && e.currency == "USD"));
    assert_eq!(entries.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), ["a", "c", "r", "b", "v"]);
    assert_eq!(port.key_lifetime(), None);
    harness.stop().await
}

/// See the name.
pub async fn a_key_used_for_another_request_is_refused_and_its_first_answer_stands<H: PaymentHarness>(
    ledger: &Path,
) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    let held = port.authorize(&authorize("a", "tok_ok")).await?;
    let more = AuthorizeRequest { amount: usd(1_100), ..authorize("a", "tok_ok") };
    assert_eq!(refusal(port.authorize(&more).await)?, "key_reused");
    assert_eq!(refusal(port.authorize(&authorize("a", "tok_decline")).await)?, "key_reused");
    assert_eq!(refusal(port.void(&void("a", "a", None)).await)?, "key_reused");
    assert_eq!(port.authorize(&authorize("a", "tok_ok")).await?, held);
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize]);
    harness.stop().await
}

/// See the name.
pub async fn a_declined_card_stays_declined_and_nothing_acted<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    for _ in 0..2 {
        assert_eq!(refusal(port.authorize(&authorize("d", "tok_decline")).await)?, "declined");
        assert_eq!(refusal(port.authorize(&authorize("i", "tok_invented")).await)?, "invalid_token");
    }
    assert!(matches!(port.query("d").await?, Some(PaymentOutcome::Refused { code, .. }) if code == "declined"));
    assert_eq!(port.void(&void("v", "d", None)).await?, Voided { authorization_id: None });
    assert_eq!(refusal(port.authorize(&authorize("d", "tok_decline")).await)?, "declined");
    assert_eq!(harness.entries().await?, []);
    harness.stop().await
}

/// See the name.
pub async fn a_decline_on_capture_leaves_the_authorization<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    let held = port.authorize(&authorize("a", "tok_decline_on_capture")).await?;
    for _ in 0..2 {
        assert_eq!(refusal(port.capture(&capture("c", &held.authorization_id, 1_099)).await)?, "capture_declined");
    }
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize]);
    port.void(&void("v", "a", Some(&held.authorization_id))).await?;
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize, Kind::Void]);
    harness.stop().await
}

/// See the name.
pub async fn a_flaky_call_fails_without_acting_as_often_as_asked<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    for _ in 0..3 {
        assert!(is_retryable(&port.authorize(&authorize("f", "tok_flaky_3")).await));
        assert_eq!(harness.entries().await?, []);
    }
    let held = port.authorize(&authorize("f", "tok_flaky_3")).await?;
    assert_eq!(port.authorize(&authorize("f", "tok_flaky_3")).await?, held);
    assert!(is_retryable(&port.authorize(&authorize("g", "tok_flaky_1")).await), "each key is counted for itself");
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize]);
    harness.stop().await
}

/// See the name.
pub async fn the_books_are_guarded<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    let held = port.authorize(&authorize("a", "tok_ok")).await?;
    let id = held.authorization_id.as_str();
    assert_eq!(refusal(port.capture(&capture("c1", "pay_invented", 1)).await)?, "unknown_authorization");
    assert_eq!(refusal(port.capture(&capture("c2", id, 1_100)).await)?, "exceeds_authorized");
    assert_eq!(refusal(port.capture(&capture("c3", id, 0)).await)?, "invalid_amount");
    let yen = CaptureRequest { amount: crate::participants::Amount::new(1, 0, "JPY"), ..capture("c4", id, 1) };
    assert_eq!(refusal(port.capture(&yen).await)?, "exceeds_authorized");
    let part = port.capture(&capture("c5", id, 1_000)).await?;
    assert_eq!(refusal(port.capture(&capture("c6", id, 100)).await)?, "exceeds_authorized");
    port.capture(&capture("c7", id, 99)).await?;
    assert_eq!(refusal(port.void(&void("v1", "a", Some(id))).await)?, "already_captured");
    assert_eq!(refusal(port.void(&void("v2", "a", Some("pay_invented"))).await)?, "unknown_authorization");
    assert_eq!(refusal(port.refund(&refund("r1", "cap_invented", 1)).await)?, "unknown_capture");
    assert_eq!(refusal(port.refund(&refund("r2", &part.capture_id, 1_001)).await)?, "exceeds_captured");
    port.refund(&refund("r3", &part.capture_id, 600)).await?;
    assert_eq!(refusal(port.refund(&refund("r4", &part.capture_id, 401)).await)?, "exceeds_captured");
    let other = port.authorize(&authorize("b", "tok_ok")).await?;
    assert_eq!(refusal(port.void(&void("v3", "a", Some(&other.authorization_id))).await)?, "unknown_authorization");
    assert_eq!(refusal(port.void(&void("v4", "c5", None)).await)?, "unknown_authorization");
    port.void(&void("v5", "b", Some(&other.authorization_id))).await?;
    assert_eq!(refusal(port.void(&void("v6", "b", None)).await)?, "already_voided");
    assert_eq!(refusal(port.capture(&capture("c8", &other.authorization_id, 1)).await)?, "authorization_voided");
    let nothing = AuthorizeRequest { amount: usd(0), ..authorize("z", "tok_ok") };
    assert_eq!(refusal(port.authorize(&nothing).await)?, "invalid_amount");
    let expected = [Kind::Authorize, Kind::Capture, Kind::Capture, Kind::Refund, Kind::Authorize, Kind::Void];
    assert_eq!(kinds(&harness.entries().await?), expected);
    harness.stop().await
}

/// See the name.
pub async fn a_key_may_hold_any_visible_character<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    for key in ["sag_1/authorize/forward/0/1", "../..//x", "a?b=c&d#e%2Fg", "\"'`<>{}|\\^~", "."] {
        let held = port.authorize(&authorize(key, "tok_ok")).await?;
        if key != "." {
            assert_eq!(port.query(key).await?, Some(PaymentOutcome::Authorized(held)), "{key}");
        }
    }
    for key in ["", "a b", "ключ", &"k".repeat(256)] {
        assert_eq!(refusal(port.authorize(&authorize(key, "tok_ok")).await)?, "invalid_key", "{key}");
    }
    port.authorize(&authorize(&"k".repeat(255), "tok_ok")).await?;
    harness.stop().await
}

/// See the name.
pub async fn a_restart_keeps_every_answer_and_a_torn_tail_is_dropped<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    let held = port.authorize(&authorize("a", "tok_ok")).await?;
    let other = port.authorize(&authorize("b", "tok_decline_on_capture")).await?;
    let taken = port.capture(&capture("c", &held.authorization_id, 1_000)).await?;
    refusal(port.authorize(&authorize("d", "tok_decline")).await)?;
    port.void(&void("v", "late", None)).await?;
    let before = harness.entries().await?;
    drop(port);
    harness.stop().await?;
    for round in 0..2_u8 {
        tear(ledger)?;
        let harness = H::start(ledger, PATIENT).await?;
        let port = harness.port();
        assert_eq!(port.authorize(&authorize("a", "tok_ok")).await?, held);
        assert_eq!(port.capture(&capture("c", &held.authorization_id, 1_000)).await?, taken);
        assert_eq!(refusal(port.authorize(&authorize("d", "tok_decline")).await)?, "declined");
        assert_eq!(refusal(port.authorize(&authorize("d", "tok_ok")).await)?, "key_reused");
        assert_eq!(refusal(port.authorize(&authorize("late", "tok_ok")).await)?, "voided");
        assert_eq!(port.query("torn").await?, None);
        assert_eq!(harness.entries().await?, before);
        let (over, decline) = (format!("over-{round}"), format!("decline-{round}"));
        assert_eq!(refusal(port.capture(&capture(&over, &held.authorization_id, 100)).await)?, "exceeds_authorized");
        assert_eq!(refusal(port.capture(&capture(&decline, &other.authorization_id, 100)).await)?, "capture_declined");
        drop(port);
        harness.stop().await?;
    }
    let harness = H::start(ledger, PATIENT).await?;
    harness.port().capture(&capture("last", &held.authorization_id, 99)).await?;
    assert_eq!(harness.entries().await?.last().map(|e| (e.seq, e.kind)), Some((4, Kind::Capture)));
    harness.stop().await
}

/// See the name.
pub async fn many_calls_of_one_key_at_once_act_once<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let port = harness.port();
            tokio::spawn(async move { port.authorize(&authorize("one", "tok_ok")).await })
        })
        .collect();
    let held = harness.port().authorize(&authorize("one", "tok_ok")).await?;
    for call in calls {
        match call.await? {
            Ok(again) => assert_eq!(again, held),
            Err(StepError::Unknown { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize]);
    harness.stop().await
}

/// See the name.
pub async fn a_hundred_calls_at_once_are_in_the_ledger_once_each<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let call =
        |n: usize, port: Arc<H::Port>| async move { port.authorize(&authorize(&format!("k{n}"), "tok_ok")).await };
    let calls: Vec<_> = (0..100).map(|n| tokio::spawn(call(n, harness.port()))).collect();
    for call in calls {
        call.await??;
    }
    let entries = harness.entries().await?;
    assert!(entries.iter().map(|e| e.seq).eq(1..=100));
    let keys: std::collections::HashSet<_> = entries.iter().map(|e| e.key.as_str()).collect();
    assert_eq!(keys.len(), 100);
    harness.stop().await
}

/// See the name.
pub async fn a_provider_that_is_down_did_not_act<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    harness.control(Mode::Down).await?;
    assert!(is_retryable(&port.authorize(&authorize("a", "tok_ok")).await));
    assert!(is_retryable(&port.query("a").await));
    assert_eq!(harness.entries().await?, []);
    harness.control(Mode::Slow { ms: Some(10) }).await?;
    port.authorize(&authorize("a", "tok_ok")).await?;
    harness.control(Mode::Ok).await?;
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize]);
    harness.stop().await
}

/// See the name.
pub async fn a_person_is_forgotten_once_for_good_and_the_ledger_stays<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    port.authorize(&authorize("a", "tok_ok")).await?;
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
    assert_eq!(port.query("per_1/forget/1").await?, Some(PaymentOutcome::Forgotten(Forgotten { orders: 2 })));
    assert_eq!(port.forget(&request).await?, Forgotten { orders: 2 });
    assert_eq!(harness.entries().await?, before, "an erasure is no entry");
    harness.stop().await
}
