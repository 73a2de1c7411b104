//! The partitions of claims that expire: made ahead, dropped whole, and never in an append's way.
use super::{store, store_on};
use eventstore::contract::given::{append, stream};
use eventstore::contract::race::all_at_once;
use eventstore::sql::DAYS_AHEAD;
use eventstore::{AppendError, EventStore, PgEventStore, Refusal};
use sqlx::{AssertSqlSafe, Executor, PgPool};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SCOPE: &str = "idem:dev:cancel";
/// An append that stands in a queue behind the upkeep would wait for as long as the other transaction lasts: far longer than this.
const SOON: Duration = Duration::from_secs(5);
/// As text that SQL understands.
const TODAY: &str = "(now() AT TIME ZONE 'UTC')::date";
const LONG_AGO: &str = "'1999-12-31'::date";
const ALL: usize = DAYS_AHEAD as usize + 1;

async fn partitions(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM claim_days").fetch_one(pool).await.unwrap()
}

/// Drops the partitions of the days after this one.
async fn drop_days_after(pool: &PgPool, day: &str) {
    let drop_them = format!(
        "DO $$ DECLARE p regclass; BEGIN
             FOR p IN SELECT partition FROM claim_days WHERE day > {day} LOOP EXECUTE 'DROP TABLE ' || p; END LOOP;
         END $$"
    );
    pool.execute(AssertSqlSafe(drop_them)).await.unwrap();
}

/// A day that is long over, with this many claims.
async fn leave_over(pool: &PgPool, claims: i32) {
    pool.execute("CREATE TABLE expiring_claims_20200101 PARTITION OF expiring_claims FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')")
        .await
        .unwrap();
    sqlx::query("INSERT INTO expiring_claims (day, position, log, scope, key, holder) SELECT '2020-01-01', n, 0, 's', n::text, 'me' FROM generate_series(1, $1) n")
        .bind(claims)
        .execute(pool)
        .await
        .unwrap();
}

async fn appends_go_on(store: &Arc<PgEventStore>, count: usize, prefix: &'static str) {
    let outcomes = all_at_once((0..count).map(|n| {
        let store = store.clone();
        async move {
            let given = append().with(&stream(), 0, &["a"]).claiming_for_a_day(&format!("{prefix}-{n}"), "me");
            let started = Instant::now();
            (store.append(given).await, started.elapsed())
        }
    }))
    .await;
    for (outcome, took) in outcomes {
        outcome.unwrap();
        assert!(took < SOON, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_that_are_over_are_dropped_whole_and_no_row_is_deleted() {
    let (store, _database) = store().await;
    let pool = store.pool();
    drop_days_after(pool, TODAY).await;
    appends_go_on(&store, 10, "key").await;
    leave_over(pool, 1_000).await;
    assert_eq!(partitions(pool).await, 3, "yesterday's, today's, and the old one");
    let state = store.keep_claim_days().await;
    assert_eq!((state.covered, state.overdue, state.trouble), (ALL, 0, None));
    assert_eq!(partitions(pool).await, ALL as i64 + 1);
    let files: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relname LIKE 'expiring_claims_20200101%'")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(files, 0, "the table and its index are gone");
    sqlx::query("SELECT pg_stat_clear_snapshot()").execute(pool).await.unwrap();
    let deleted: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(n_tup_del), 0)::bigint FROM pg_stat_user_tables WHERE relname LIKE '%claims%'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(deleted, 0);
    for n in 0..10 {
        assert!(store.claim(SCOPE, &format!("key-{n}")).await.unwrap().is_some(), "today's claims are held");
    }
}

/// A dump or a report keeps its lock for hours: nothing is dropped meanwhile, partitions are made all the same, and appends go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_reader_holds_up_neither_appends_nor_the_making_of_partitions() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    leave_over(&pool, 1).await;
    drop_days_after(&pool, TODAY).await;

    let mut reader = pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM expiring_claims").execute(&mut *reader).await.unwrap();
    // At first by the lock's time limit, then, once the reader counts as long, without asking for the lock at all.
    for round in ["young", "older", "old"] {
        let upkeep = tokio::spawn({
            let store = store.clone();
            async move { store.keep_claim_days().await }
        });
        appends_go_on(&store, 50, round).await;
        let state = tokio::time::timeout(SOON, upkeep).await.unwrap().unwrap();
        assert_eq!((state.covered, state.overdue), (ALL, 1), "{round}: {state:?}");
        assert!(state.trouble.is_some(), "{round}");
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    reader.rollback().await.unwrap();
    let state = store.keep_claim_days().await;
    assert_eq!((state.overdue, state.trouble), (0, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_instances_look_after_the_partitions_at_once_while_all_append() {
    let (one, database) = store().await;
    leave_over(one.pool(), 1).await;
    drop_days_after(one.pool(), TODAY).await;
    let two = store_on(&database).await;
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    all_at_once(NAMES.into_iter().zip([one.clone(), two].into_iter().cycle()).map(|(name, store)| async move {
        store.keep_claim_days().await;
        appends_go_on(&store, 20, name).await;
        store.keep_claim_days().await;
    }))
    .await;
    let state = one.keep_claim_days().await;
    assert_eq!((state.covered, state.overdue, state.trouble), (ALL, 0, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_without_a_partition_is_kept_for_ever_and_calls_for_one() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    let mut days = store.claim_days();
    drop_days_after(&pool, LONG_AGO).await;
    // Whoever looks after them can't.
    pool.execute("ALTER FUNCTION make_claim_days(integer) RENAME TO gone").await.unwrap();
    appends_go_on(&store, 20, "key").await;
    let again = append().with(&stream(), 0, &["a"]).claiming_for_a_day("key-7", "you");
    match store.append(again).await {
        Err(AppendError::Refused(Refusal::ClaimTaken(taken))) => assert_eq!(taken.holder, "me"),
        other => panic!("{other:?}"),
    }
    let seen = tokio::time::timeout(SOON, days.wait_for(|days| days.trouble.is_some())).await;
    assert_eq!(seen.unwrap().unwrap().covered, 0, "it is told");

    pool.execute("ALTER FUNCTION gone(integer) RENAME TO make_claim_days").await.unwrap();
    appends_go_on(&store, 20, "later").await;
    let mended = tokio::time::timeout(SOON, days.wait_for(|days| days.covered == ALL)).await;
    assert_eq!(mended.unwrap().unwrap().trouble, None, "at once, since an append has missed its partition");
    appends_go_on(&store, 20, "then").await;
    let kept: Vec<i64> =
        sqlx::query_scalar("SELECT count(*) FROM claims UNION ALL SELECT count(*) FROM expiring_claims")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(kept.iter().sum::<i64>(), 60);
    assert!(kept[0] >= 20 && kept[1] >= 20, "{kept:?}");
    for key in ["key-0", "later-0", "then-0"] {
        assert!(store.claim(SCOPE, key).await.unwrap().is_some(), "{key}");
    }
}
