//! Claims: unique for ever, or for a day.
use super::age::AgeClaims;
use super::given::{append, everything, stream};
use super::race::all_at_once;
use crate::{AppendError, Appended, EventStore, Position, Refusal, TakenClaim};
use std::sync::Arc;

const SCOPE: &str = "order_ref:dev";

pub async fn a_claim_is_taken_once_and_says_who_holds_it(store: Arc<impl EventStore + 'static>) {
    assert_eq!(store.claim(SCOPE, "ref-1").await.unwrap(), None);
    store.append(append().with(&stream(), 0, &["a", "b"]).claiming("ref-1", "me")).await.unwrap();
    let held = TakenClaim {
        scope: SCOPE.into(),
        key: "ref-1".into(),
        holder: "me".into(),
        fingerprint: Some([7; 32]),
        position: Position(2),
    };
    assert_eq!(store.claim(SCOPE, "ref-1").await.unwrap(), Some(held.clone()));
    assert_eq!(store.claim("order_ref:other", "ref-1").await.unwrap(), None);

    let mut second = append().with(&stream(), 0, &["a"]).claiming("ref-2", "you").claiming("ref-1", "you");
    second.claims[0].fingerprint = None;
    match store.append(second).await {
        Err(AppendError::Refused(Refusal::ClaimTaken(taken))) => assert_eq!(taken, held),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.claim(SCOPE, "ref-2").await.unwrap(), None, "all or nothing");
    assert_eq!(everything(&*store).await.len(), 2);
}

pub async fn a_refused_append_takes_no_claim(store: Arc<impl EventStore + 'static>) {
    let refused = append().with(&stream(), 0, &["a"]).claiming("ref", "me").changing("stock", -1, Some(0));
    assert!(store.append(refused).await.is_err());
    store.append(append().with(&stream(), 0, &["a"]).claiming("ref", "you")).await.unwrap();
    assert_eq!(store.claim(SCOPE, "ref").await.unwrap().unwrap().holder, "you");
}

pub async fn of_a_hundred_at_once_one_gets_the_claim(store: Arc<impl EventStore + 'static>) {
    let outcomes = all_at_once((0..100).map(|n| {
        let store = store.clone();
        let given = append().with(&stream(), 0, &["a"]).claiming("ref", &format!("holder-{n}"));
        async move { (n, store.append(given).await) }
    }))
    .await;
    let won: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(n, _)| *n).collect();
    assert_eq!(won.len(), 1);
    let holder = format!("holder-{}", won[0]);
    for (_, outcome) in outcomes {
        match outcome {
            Ok(appended) => assert_eq!(appended.last, Position(1)),
            Err(AppendError::Refused(Refusal::ClaimTaken(taken))) => {
                assert_eq!((taken.holder.as_str(), taken.position), (holder.as_str(), Position(1)));
                assert_eq!(taken.fingerprint, Some([7; 32]));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(everything(&*store).await.len(), 1);
}

pub async fn an_append_without_events_can_claim(store: Arc<impl EventStore + 'static>) {
    store.append(append().with(&stream(), 0, &["a"])).await.unwrap();
    let appended = store.append(append().claiming("ref", "me")).await.unwrap();
    assert_eq!((appended.first, appended.last), (Position(1), Position(1)), "where the log stands");
    assert_eq!(store.claim(SCOPE, "ref").await.unwrap().unwrap().position, Position(1));
    assert_eq!(store.append(append().with(&stream(), 0, &["a"])).await.unwrap().first, Position(2));
}

const FOR_A_DAY: &str = "idem:dev:cancel";

fn refused(outcome: Result<Appended, AppendError>) -> TakenClaim {
    match outcome {
        Err(AppendError::Refused(Refusal::ClaimTaken(taken))) => taken,
        other => panic!("{other:?}"),
    }
}

pub async fn a_claim_for_a_day_is_held_that_day_and_the_next_and_then_taken_again(
    store: Arc<impl EventStore + AgeClaims + 'static>,
) {
    let claiming = |holder| append().with(&stream(), 0, &["a"]).claiming_for_a_day("key", holder);
    store.append(claiming("me")).await.unwrap();
    let held = TakenClaim {
        scope: FOR_A_DAY.into(),
        key: "key".into(),
        holder: "me".into(),
        fingerprint: Some([7; 32]),
        position: Position(1),
    };
    for _ in ["today", "yesterday"] {
        assert_eq!(store.claim(FOR_A_DAY, "key").await.unwrap(), Some(held.clone()));
        assert_eq!(refused(store.append(claiming("you")).await), held);
        store.age_claims(1).await;
    }
    assert_eq!(store.claim(FOR_A_DAY, "key").await.unwrap(), None, "forgotten");
    store.append(claiming("you")).await.unwrap();
    assert_eq!(refused(store.append(claiming("them")).await).holder, "you");
    let again = store.claim(FOR_A_DAY, "key").await.unwrap().unwrap();
    assert_eq!((again.holder.as_str(), again.position), ("you", Position(2)));
}

pub async fn a_claim_for_ever_outlives_the_days(store: Arc<impl EventStore + AgeClaims + 'static>) {
    store.append(append().with(&stream(), 0, &["a"]).claiming("ref", "me")).await.unwrap();
    store.age_claims(400).await;
    assert_eq!(store.claim(SCOPE, "ref").await.unwrap().unwrap().holder, "me");
    let second = append().with(&stream(), 0, &["a"]).claiming("ref", "you");
    assert_eq!(refused(store.append(second).await).holder, "me");
}

/// Of those that share a batch as of those that don't.
pub async fn of_a_hundred_at_once_one_gets_the_claim_for_a_day(store: Arc<impl EventStore + 'static>) {
    let outcomes = all_at_once((0..100).map(|n| {
        let store = store.clone();
        let given = append().with(&stream(), 0, &["a"]).claiming_for_a_day("key", &format!("holder-{n}"));
        async move { (n, store.append(given).await) }
    }))
    .await;
    let won: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(n, _)| *n).collect();
    let [won] = won.as_slice() else { panic!("{won:?}") };
    for (_, outcome) in outcomes.into_iter().filter(|(n, _)| n != won) {
        assert_eq!(refused(outcome).holder, format!("holder-{won}"));
    }
    assert_eq!(everything(&*store).await.len(), 1);
}

pub async fn one_append_can_claim_for_ever_and_for_a_day(store: Arc<impl EventStore + AgeClaims + 'static>) {
    let claiming =
        |key, holder| append().with(&stream(), 0, &["a"]).claiming_for_a_day(key, holder).claiming("ref", holder);
    store.append(claiming("key", "me")).await.unwrap();
    assert_eq!(refused(store.append(claiming("key", "you")).await).scope, FOR_A_DAY, "in the order given");
    let taken = refused(store.append(claiming("another", "you")).await);
    assert_eq!((taken.scope.as_str(), taken.holder.as_str()), (SCOPE, "me"));
    assert_eq!(store.claim(FOR_A_DAY, "another").await.unwrap(), None, "all or nothing");
    store.age_claims(2).await;
    assert_eq!(
        refused(store.append(claiming("key", "you")).await).scope,
        SCOPE,
        "the key is forgotten, the ref is not"
    );
}
