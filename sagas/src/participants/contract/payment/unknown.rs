//! The payment port's contract where a call hangs, is late or still runs: its outcome is unknown until someone asks,
//! repeats or blocks it.

use std::path::Path;
use std::time::Duration;

use super::super::{IMPATIENT, Outcome, PATIENT, is_unknown, kinds, refusal};
use super::{PaymentHarness, authorize, capture, void};
use crate::participants::payment::{PaymentOutcome, Voided};
use crate::participants::{Kind, Mode};

/// See the name.
pub async fn a_call_that_hangs_after_acting_is_unknown_until_asked_or_repeated<H: PaymentHarness>(
    ledger: &Path,
) -> Outcome {
    let harness = H::start(ledger, IMPATIENT).await?;
    let port = harness.port();
    let first = port.authorize(&authorize("h", "tok_hang_after_acting")).await;
    assert!(is_unknown(&first), "{first:?}");
    let Some(PaymentOutcome::Authorized(held)) = port.query("h").await? else { return Err("it acted".into()) };
    assert_eq!(port.authorize(&authorize("h", "tok_hang_after_acting")).await?, held);
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize]);
    harness.stop().await
}

/// See the name.
pub async fn any_call_can_be_made_to_hang_after_acting<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, IMPATIENT).await?;
    let port = harness.port();
    let held = port.authorize(&authorize("a", "tok_ok")).await?;
    harness.control(Mode::HangAfterActing).await?;
    let request = capture("c", &held.authorization_id, 1_099);
    assert!(is_unknown(&port.capture(&request).await));
    assert!(matches!(port.query("c").await?, Some(PaymentOutcome::Captured(_))));
    port.capture(&request).await?;
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize, Kind::Capture]);
    harness.stop().await
}

/// See the name.
pub async fn a_slow_calls_key_is_in_use_until_it_has_acted<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, IMPATIENT).await?;
    let port = harness.port();
    let slow = authorize("s", "tok_slow_2500");
    assert!(is_unknown(&port.authorize(&slow).await), "it takes longer than we wait");
    assert!(is_unknown(&port.authorize(&slow).await), "the key is in use");
    assert!(is_unknown(&port.void(&void("s", "x", None)).await), "whatever the call");
    assert_eq!(port.query("s").await?, Some(PaymentOutcome::InProgress));
    assert_eq!(harness.entries().await?, []);
    let held = loop {
        match port.query("s").await? {
            Some(PaymentOutcome::InProgress) => tokio::time::sleep(Duration::from_millis(50)).await,
            Some(PaymentOutcome::Authorized(held)) => break held,
            other => return Err(format!("the call was dropped with its caller: {other:?}").into()),
        }
    };
    assert_eq!(port.authorize(&slow).await?, held);
    port.authorize(&authorize("t", "tok_slow_20")).await?;
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize, Kind::Authorize]);
    harness.stop().await
}

/// See the name.
pub async fn voiding_an_unknown_call_blocks_it_when_it_comes_late<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    for _ in 0..2 {
        assert_eq!(port.void(&void("v", "late", None)).await?, Voided { authorization_id: None });
        assert_eq!(refusal(port.authorize(&authorize("late", "tok_ok")).await)?, "voided");
        assert_eq!(refusal(port.authorize(&authorize("late", "tok_slow_1")).await)?, "voided");
        assert_eq!(refusal(port.authorize(&authorize("late", "tok_flaky_9")).await)?, "voided");
    }
    assert!(matches!(port.query("late").await?, Some(PaymentOutcome::Refused { code, .. }) if code == "voided"));
    assert_eq!(port.query("v").await?, Some(PaymentOutcome::Voided(Voided { authorization_id: None })));
    assert_eq!(harness.entries().await?, []);
    harness.stop().await
}

/// See the name.
pub async fn voiding_an_unknown_call_blocks_it_while_it_runs<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, PATIENT).await?;
    let port = harness.port();
    let running = tokio::spawn({
        let port = harness.port();
        async move { port.authorize(&authorize("s", "tok_slow_1000")).await }
    });
    while port.query("s").await? != Some(PaymentOutcome::InProgress) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(port.void(&void("v", "s", None)).await?, Voided { authorization_id: None });
    assert_eq!(refusal(running.await?)?, "voided");
    assert_eq!(harness.entries().await?, []);
    harness.stop().await
}

/// See the name.
pub async fn voiding_an_unknown_call_releases_what_it_did<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, IMPATIENT).await?;
    let port = harness.port();
    assert!(is_unknown(&port.authorize(&authorize("h", "tok_hang_after_acting")).await));
    let voided = port.void(&void("v", "h", None)).await?;
    let held = port.authorize(&authorize("h", "tok_hang_after_acting")).await?;
    assert_eq!(voided.authorization_id.as_ref(), Some(&held.authorization_id));
    assert_eq!(refusal(port.capture(&capture("c", &held.authorization_id, 1)).await)?, "authorization_voided");
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize, Kind::Void]);
    harness.stop().await
}

/// See the name.
pub async fn a_provider_that_hangs_leaves_the_outcome_unknown<H: PaymentHarness>(ledger: &Path) -> Outcome {
    let harness = H::start(ledger, IMPATIENT).await?;
    let port = harness.port();
    harness.control(Mode::Hang).await?;
    assert!(is_unknown(&port.authorize(&authorize("a", "tok_ok")).await));
    harness.control(Mode::Ok).await?;
    assert_eq!(port.query("a").await?, None);
    port.authorize(&authorize("a", "tok_ok")).await?;
    assert_eq!(kinds(&harness.entries().await?), [Kind::Authorize]);
    harness.stop().await
}
