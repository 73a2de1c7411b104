//! Balances: guarded counters.
use super::given::{append, assert_whole, everything, stream};
use super::race::all_at_once;
use crate::append::MAX_DELTA;
use crate::{AppendError, EventStore, Refusal};
use std::sync::Arc;

async fn balance(store: &impl EventStore, account: &str) -> Option<i64> {
    store.balances(&[account.into()]).await.unwrap().first().map(|(_, balance)| *balance)
}

pub async fn a_change_below_the_floor_is_refused_and_changes_nothing(store: Arc<impl EventStore + 'static>) {
    assert_eq!(balance(&*store, "a").await, None);
    store.append(append().with(&stream(), 0, &["in"]).changing("a", 5, None).changing("b", 1, None)).await.unwrap();
    match store
        .append(append().with(&stream(), 0, &["out"]).changing("b", -1, Some(0)).changing("a", -6, Some(0)))
        .await
    {
        Err(AppendError::Refused(refusal)) => {
            assert_eq!(refusal, Refusal::BelowFloor { account: "a".into(), balance: 5, delta: -6 });
        }
        other => panic!("{other:?}"),
    }
    let both = store.balances(&["b".into(), "a".into(), "none".into()]).await.unwrap();
    assert_eq!(both, [("a".into(), 5), ("b".into(), 1)]);
    store.append(append().with(&stream(), 0, &["out"]).changing("a", -5, Some(0))).await.unwrap();
    assert_eq!(balance(&*store, "a").await, Some(0));
    store.append(append().with(&stream(), 0, &["debt"]).changing("a", -5, None)).await.unwrap();
    assert_eq!(balance(&*store, "a").await, Some(-5), "no floor, no refusal");
    let still_below = store.append(append().changing("a", 1, Some(0))).await;
    assert!(
        matches!(still_below, Err(AppendError::Refused(Refusal::BelowFloor { balance: -5, .. }))),
        "{still_below:?}"
    );
}

pub async fn the_changes_of_one_account_in_an_append_count_together(store: Arc<impl EventStore + 'static>) {
    store.append(append().changing("a", -3, Some(0)).changing("a", 4, None)).await.unwrap();
    assert_eq!(balance(&*store, "a").await, Some(1), "only the sum must keep to the floor");
    let refused = store.append(append().changing("a", -1, Some(0)).changing("a", -1, None)).await;
    assert!(matches!(refused, Err(AppendError::Refused(Refusal::BelowFloor { delta: -2, .. }))), "{refused:?}");
}

pub async fn balances_are_listed_by_prefix_and_in_pages(store: Arc<impl EventStore + 'static>) {
    let accounts =
        ["stock:dev/main/a", "stock:dev/main/b", "stock:dev/main/\u{e9}", "stock:dev/zoo/a", "stock:deva/main/a"];
    let mut given = append();
    for account in accounts {
        given = given.changing(account, 1, None);
    }
    store.append(given).await.unwrap();
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.list_balances("stock:dev/", &after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        seen.extend(page.into_iter().map(|(account, _)| account));
    }
    assert_eq!(seen, accounts[..4], "by the order of their bytes");
    assert_eq!(store.list_balances("", "", 100).await.unwrap().len(), 5);
}

pub async fn a_scarce_account_is_sold_out_exactly(store: Arc<impl EventStore + 'static>) {
    store.append(append().changing("hot", 100, None).changing("calm", 10_000, None)).await.unwrap();
    let outcomes = all_at_once((0..80).map(|n| {
        let store = store.clone();
        async move {
            let mut sold = 0;
            for quantity in [1, 2, 3] {
                let given = append().with(&stream(), 0, &["StockReserved"]).changing("calm", -1, Some(0));
                match store.append(given.changing("hot", -quantity, Some(0))).await {
                    Ok(_) => sold += quantity,
                    Err(AppendError::Refused(Refusal::BelowFloor { account, balance, delta })) => {
                        assert_eq!(account, "hot");
                        assert!((0..quantity).contains(&balance) && delta == -quantity, "{n}: {balance} {delta}");
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
            sold
        }
    }))
    .await;
    let mut sold = outcomes.iter().sum::<i64>();
    // Those who came last may all have wanted more than was left: the rest goes one by one.
    while store
        .append(append().with(&stream(), 0, &["a"]).changing("calm", -1, Some(0)).changing("hot", -1, Some(0)))
        .await
        .is_ok()
    {
        sold += 1;
    }
    assert_eq!(sold, 100);
    assert_eq!(balance(&*store, "hot").await, Some(0));
    let events = everything(&*store).await;
    assert_whole(&events);
    assert_eq!(
        balance(&*store, "calm").await,
        Some(10_000 - events.len() as i64),
        "a refused append changed nothing else"
    );
}

pub async fn an_overflow_fails_the_one_who_causes_it(store: Arc<impl EventStore + 'static>) {
    // As far as one comes by changes of the greatest size.
    let steps = i64::MAX / MAX_DELTA;
    for _ in 0..steps {
        store.append(append().changing("full", MAX_DELTA, None)).await.unwrap();
    }
    let outcomes = all_at_once((0..20).map(|n| {
        let store = store.clone();
        let account = if n == 7 { "full" } else { "fine" };
        let given = append().with(&stream(), 0, &["a"]).changing(account, MAX_DELTA, None);
        async move { store.append(given).await }
    }))
    .await;
    for (outcome, n) in outcomes.iter().zip(0..) {
        match outcome {
            Err(AppendError::Invalid(_)) if n == 7 => {}
            Ok(_) if n != 7 => {}
            other => panic!("{n}: {other:?}"),
        }
    }
    let events = everything(&*store).await;
    assert_eq!(events.len(), 19);
    assert_whole(&events);
}
