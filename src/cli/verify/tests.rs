//! A clean log is found clean; each fault that is planted is found and named.
mod given;
mod projections;
mod replica;

use super::store::{Examined, examine};
use commands::history::History;
use domain::OrderId;
use eventstore::{
    EventStore, Incarnation, Log, PgEventStore,
    sql::{
        self,
        lives::{self, After},
    },
    testing::TestPostgres,
};
use given::Given;
use indicatif::ProgressBar;
use std::sync::Arc;

/// `check: fault` of each.
fn faults(examined: &Examined) -> Vec<String> {
    let of = |check: &super::check::Check| {
        assert_eq!(check.faults.count() as usize, check.faults.shown.len());
        check.faults.shown.iter().map(|fault| format!("{}: {fault}", check.name)).collect::<Vec<_>>()
    };
    examined.checks.iter().flat_map(of).collect()
}

#[tokio::test]
async fn a_clean_log_is_found_clean_and_all_of_it_was_looked_at() {
    let given = Given::a_run().await;
    let examined = given.examined().await;
    assert_eq!(faults(&examined), Vec::<String>::new());
    let looked_at = |name| examined.checks.iter().find(|check| check.name == name).unwrap().looked_at.unwrap();
    let events = examined.head.0 as u64;
    assert!(events > 15, "{events}");
    for name in ["positions", "times", "incarnations", "checksums", "payloads"] {
        assert_eq!(looked_at(name), events, "{name}");
    }
    let of = ["balances", "orders", "timers", "sealed data", "claims", "leases"].map(looked_at);
    assert_eq!(of, [1, 3, 1, 4, 6, 256]);
    assert!(given.database.pool().await.acquire().await.is_ok());
}

#[tokio::test]
async fn each_fault_that_is_planted_is_found_and_named() {
    // What is done to the log, the check that tells, and what it says.
    let planted = [
        ("DELETE FROM events WHERE position = 5", "positions", "position 5 is missing"),
        ("DELETE FROM events WHERE position IN (5, 6, 7)", "positions", "positions 5 to 7 are missing"),
        ("UPDATE events SET position = position + 1000 WHERE position = 4", "positions", "position 4 is missing"),
        (
            "UPDATE events SET payload = replace(payload::text, '980', '981')::json WHERE position = 2",
            "checksums",
            "the event at position 2 is not what was appended",
        ),
        (
            "UPDATE events SET metadata = replace(metadata::text, 'test', 'tess')::json WHERE position = 3",
            "checksums",
            "the event at position 3 is not what was appended",
        ),
        ("UPDATE events SET shop = 'other' WHERE position = 3", "checksums", "the event at position 3"),
        (
            "UPDATE events SET command_id = gen_random_uuid() WHERE position = 3",
            "payloads",
            "its metadata names another command",
        ),
        (
            "WITH pair AS (SELECT stream_id, stream_kind FROM events WHERE version = 2 ORDER BY position LIMIT 1)
             UPDATE events e SET version = 103 - e.version FROM pair
              WHERE (e.stream_id, e.stream_kind) = (pair.stream_id, pair.stream_kind) AND e.version < 3",
            "versions",
            ", not 1",
        ),
        (
            "UPDATE events SET recorded_at = recorded_at - interval '1 day' WHERE position = 9",
            "times",
            "position 9 was recorded",
        ),
        (
            "UPDATE events SET incarnation = 2 WHERE position = 9",
            "incarnations",
            "position 9 can't be of incarnation 2",
        ),
        (
            "UPDATE events SET type = 'TeaDrunk', checksum = NULL WHERE position = 6",
            "payloads",
            "TeaDrunk in version 1 is not known",
        ),
        ("UPDATE events SET schema_version = 99 WHERE position = 6", "payloads", "in version 99"),
        ("UPDATE events SET payload = '{}' WHERE position = 2", "payloads", "the event at position 2"),
        ("UPDATE balances SET balance = balance + 1", "balances", "the events say 46"),
        ("DELETE FROM balances", "balances", "is 0, the events say 46"),
        ("INSERT INTO balances VALUES ('stock:dev/main/mug', 3)", "balances", "the events know nothing of it"),
        (
            "UPDATE claims SET position = 999 WHERE key = 'r-2'",
            "claims",
            "the claim order_ref:dev:r-2 was made at position 999",
        ),
        (
            "UPDATE expiring_claims SET position = 998 WHERE key = 'r-1'",
            "claims",
            "idempotency:dev:r-1 was made at position 998",
        ),
        ("DELETE FROM timers", "timers", "is under way and has no timer"),
        (
            "INSERT INTO timers SELECT stream_id, now(), 0, get_byte(uuid_send(stream_id), 15), 'order', 'saga'
               FROM events WHERE type = 'OrderCompleted'",
            "timers",
            "has ended and still has a timer",
        ),
        (
            "INSERT INTO timers VALUES ('00000000-0000-7000-8000-000000000007', now(), 0, 7, 'order', 'saga')",
            "timers",
            "of which there is no event",
        ),
        ("UPDATE timers SET slot = (slot + 1) % 256", "timers", "is in slot"),
        (
            "INSERT INTO vault_entries VALUES (gen_random_uuid(), gen_random_uuid(), 'x')",
            "sealed data",
            "of which no event speaks",
        ),
        ("DELETE FROM vault.person_keys WHERE ref = 'c-1'", "sealed data", "is lost"),
        ("DELETE FROM vault.person_keys WHERE ref = 'ada'", "sealed data", "is lost"),
        (
            "INSERT INTO checkpoints VALUES (0, 'reader', 1, 500, gen_random_uuid(), 500, now())",
            "checkpoints",
            "the reader reader has come to position 500, beyond the log's head",
        ),
        (
            "UPDATE leases SET owner = gen_random_uuid(), expires_at = now() + interval '9 days' WHERE slot = 3",
            "leases",
            "slot 3 is held",
        ),
        ("DELETE FROM leases WHERE slot = 200", "leases", "255 slots of 256"),
    ];
    for (statement, check, expected) in planted {
        let given = Given::a_run().await;
        assert!(given.plant(statement).await > 0, "{statement} changes something");
        let examined = given.examined().await;
        let found = faults(&examined);
        let named = found.iter().any(|fault| fault.starts_with(&format!("{check}: ")) && fault.contains(expected));
        assert!(named, "{statement}: {found:#?}");
        assert!(!super::conclude(&examined.checks), "{statement}");
        given.store.pool().close().await;
    }
}

#[tokio::test]
async fn an_event_that_can_t_be_read_is_a_fault_until_somebody_has_skipped_it() {
    let given = Given::a_run().await;
    given
        .plant(
            "UPDATE events SET type = 'Unheard', checksum = NULL WHERE position = (SELECT max(position) FROM events)",
        )
        .await;
    let payloads =
        |examined: &Examined| faults(examined).iter().filter(|fault| fault.starts_with("payloads: ")).count();
    assert_eq!(payloads(&given.examined().await), 1);
    let skip = "INSERT INTO skipped_events (incarnation, position, key, stream_kind, version, event_type, schema_version, cause, reason, skipped_by)
        SELECT incarnation, position, stream_id, stream_kind, version, type, schema_version, 'unknown', 'agreed', 'ada' FROM events
         WHERE type = 'Unheard'";
    assert_eq!(given.plant(skip).await, 1);
    let examined = given.examined().await;
    assert_eq!(payloads(&examined), 0);
    let told = examined.checks.iter().find(|check| check.name == "payloads").unwrap();
    assert!(told.what.contains("all but 1 that people have skipped"), "{}", told.what);
    given.store.pool().close().await;
}

#[tokio::test]
async fn keys_that_a_restore_left_out_are_told_and_those_lost_since_are_faults() {
    let given = Given::a_run().await;
    given.plant("DELETE FROM vault.person_keys").await;
    let head = given.store.head().await.unwrap();
    let above = Incarnation(head.incarnation.0 + 1);
    lives::begin_incarnation(given.store.pool(), Log::MAIN, After::Head, above, "restored").await.unwrap();
    let examined = given.examined().await;
    assert_eq!(faults(&examined), Vec::<String>::new());
    let sealed = examined.checks.iter().find(|check| check.name == "sealed data").unwrap();
    assert!(sealed.what.contains("4 can't be opened, since their persons' keys were left out"), "{}", sealed.what);

    given.person("ada").await;
    given.place("r-4").await;
    given.plant("DELETE FROM vault.person_keys WHERE ref = 'c-1'").await;
    let found = faults(&given.examined().await);
    assert!(
        found.len() == 1 && found[0].contains(&format!("at position {} is lost", head.position.0 + 1)),
        "{found:?}"
    );
}

#[tokio::test]
async fn one_deleted_event_at_the_end_is_no_gap_but_what_it_left_behind_tells() {
    let given = Given::a_run().await;
    let head = given.store.head().await.unwrap().position;
    given.plant("DELETE FROM events WHERE position = (SELECT max(position) FROM events)").await;
    let mut lost = given.examined().await;
    assert_eq!(lost.head.0, head.0 - 1);
    // Of the last event nothing else is left here, so nothing can tell; of a whole placement its claims do.
    given
        .plant("DELETE FROM events WHERE stream_id = (SELECT stream_id FROM events ORDER BY position DESC LIMIT 1)")
        .await;
    lost = given.examined().await;
    let found = faults(&lost);
    for check in ["claims: ", "sealed data: ", "timers: ", "balances: "] {
        assert!(found.iter().any(|fault| fault.starts_with(check)), "{check} {found:#?}");
    }
}

#[tokio::test]
async fn events_of_a_release_without_checksums_are_counted_and_told() {
    let given = Given::a_run().await;
    given.plant("UPDATE events SET checksum = NULL WHERE position <= 5").await;
    let examined = given.examined().await;
    assert_eq!(faults(&examined), Vec::<String>::new());
    let checksums = examined.checks.iter().find(|check| check.name == "checksums").unwrap();
    assert_eq!(checksums.looked_at, Some(examined.head.0 as u64 - 5));
    assert!(checksums.what.contains("5 have none"), "{}", checksums.what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_grows_meanwhile_is_found_clean_as_of_its_beginning() {
    let given = Arc::new(Given::a_run().await);
    let writer = tokio::spawn({
        let given = given.clone();
        async move {
            for n in 0..60 {
                let mut order = given.place(&format!("more-{n}")).await;
                given.goes_well(&mut order, n % 7).await;
                given.receive(1).await;
            }
        }
    });
    let mut heads = Vec::new();
    while !writer.is_finished() {
        let examined = given.examined().await;
        assert_eq!(faults(&examined), Vec::<String>::new());
        heads.push(examined.head);
    }
    writer.await.unwrap();
    assert!(heads.first() < heads.last(), "it grew: {heads:?}");
}

#[tokio::test]
async fn a_database_without_a_log_is_told_as_such() {
    let database = TestPostgres::shared().await.database().await;
    let pool = database.pool().await;
    sqlx::query("DELETE FROM incarnations").execute(&pool).await.unwrap();
    let Err(error) = examine(&pool, Log::MAIN, |_| ProgressBar::hidden()).await else { panic!("it can't be examined") };
    assert!(error.to_string().contains("there is no log"), "{error:#}");
}

#[tokio::test]
async fn a_log_that_came_from_a_file_is_found_clean_and_its_orders_go_on() {
    let given = Given::a_run().await;
    let export = async |store: &PgEventStore| {
        let mut file = Vec::new();
        eventstore::log_file::export(store.pool(), Log::MAIN, None, "test", &mut file, &|_| ()).await.unwrap();
        file
    };
    let file = export(&given.store).await;
    let database = TestPostgres::shared().await.database().await;
    let pool = database.pool().await;
    eventstore::log_file::import(&pool, Log::MAIN, &mut &*file, &|_| ()).await.unwrap();
    let store = PgEventStore::connect(pool, Log::MAIN, sql::Options::default()).await.unwrap();
    let copy = Given { database, store: Arc::new(store) };
    assert!(export(&copy.store).await == file);
    let examined = copy.examined().await;
    assert_eq!(faults(&examined), Vec::<String>::new());

    let (under_way, _) = examined.books.orders.iter().find(|(_, order)| order.end.is_none()).unwrap();
    let mut history = History::load(copy.store.as_ref(), OrderId(*under_way)).await.unwrap().unwrap();
    copy.goes_well(&mut history, 10).await;
    let examined = copy.examined().await;
    assert_eq!(faults(&examined), Vec::<String>::new());
    assert!(examined.books.orders.values().all(|order| order.end.is_some()), "it came to its end");
}
