//! Claims: unique for ever.
use super::given::{append, everything, stream};
use super::race::all_at_once;
use crate::{AppendError, EventStore, Position, Refusal, TakenClaim};
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
