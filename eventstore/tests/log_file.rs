//! The log as a file: the same there and back, and nothing of a file that is not whole.
#![expect(clippy::unwrap_used, reason = "a test panics when what it tests fails")]
use chrono::{DateTime, Utc};
use eventstore::contract::given::{append, assert_whole, at, everything, payload};
use eventstore::contract::race::Dice;
use eventstore::log_file::{Counts, ExportError, ImportError, export, import};
use eventstore::sql::Options;
use eventstore::testing::{TestDatabase, TestPostgres};
use eventstore::{
    Append, AsOf, EventStore, Lifetime, Log, PgEventStore, Position, StreamId, Timer, VaultEntry,
    append::MAX_PAYLOAD_BYTES,
};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use std::sync::Arc;
use uuid::Uuid;

const MADE_BY: &str = "test";

async fn database() -> (TestDatabase, PgPool) {
    let database = TestPostgres::shared().await.database().await;
    let pool = database.pool().await;
    (database, pool)
}

async fn open(pool: &PgPool) -> Arc<PgEventStore> {
    Arc::new(PgEventStore::connect(pool.clone(), Log::MAIN, Options::default()).await.unwrap())
}

async fn exported(pool: &PgPool, as_of: Option<Position>) -> Vec<u8> {
    let mut file = Vec::new();
    export(pool, Log::MAIN, as_of, MADE_BY, &mut file, &|_| ()).await.unwrap();
    file
}

async fn imported(pool: &PgPool, file: &[u8]) -> Result<Counts, ImportError> {
    import(pool, Log::MAIN, &mut &*file, &|_| ()).await
}

/// What the faults of a file are, as people read them.
async fn refused(pool: &PgPool, file: &[u8]) -> String {
    let refused = imported(pool, file).await.unwrap_err();
    assert!(matches!(refused, ImportError::Faults(_)), "{refused}");
    refused.to_string()
}

async fn count(pool: &PgPool, table: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}"))).fetch_one(pool).await.unwrap()
}

const TEXTS: [&str; 8] = [
    r#"{"n": 1}"#,
    "{ \"b\" : 1,\n \"a\": \"\u{fc}\", \"a\": 2.50,\r\n\t\"deep\": [[{}]], \"escaped\": \"\\\\u0000\" }",
    r#""a string with \" and \n and 🍵 \ud83c\udf75""#,
    "12345678901234567890.000000000000000000001e-400",
    "null",
    "[]",
    "\"\u{2028}\u{2029}\u{7f}\u{feff}\"",
    r#"{"":{"":[true,false,null,-0.0]}}"#,
];

/// Appends of every kind, from a seed.
async fn random_log(store: &PgEventStore, seed: u64, appends: u64) {
    let mut dice = Dice::new(seed);
    let streams: Vec<StreamId> = (0..12).map(|_| StreamId::new(Uuid::now_v7(), "order")).collect();
    let mut checkpoint = None;
    for n in 0..appends {
        let stream = &streams[dice.roll(12) as usize];
        let types: &[&'static str] = [&["a"][..], &["b", "c"], &["d", "e", "f"]][dice.roll(3) as usize];
        let mut given = append().with_any(stream, types).with_any(&StreamId::new(stream.id, "saga"), &["g"]);
        for event in given.streams.iter_mut().flat_map(|part| &mut part.events) {
            event.payload = match dice.roll(40) {
                0 => payload(&format!("\"{}\"", "x".repeat(MAX_PAYLOAD_BYTES - 2))),
                n => payload(TEXTS[n as usize % TEXTS.len()]),
            };
            event.schema_version = dice.roll(5) as i16;
        }
        Arc::make_mut(&mut given.metadata).reason_code = (dice.roll(2) == 0).then(|| "„wörtlich“\n\"☕\"".to_owned());
        given = changed(given, &mut dice, seed * 1_000 + n, stream);
        if dice.roll(10) == 0 {
            given = given.moving(&format!("reader ü {seed}"), checkpoint, n as i64 + 1);
            checkpoint = Some(n as i64 + 1);
        }
        store.append(given).await.unwrap();
    }
}

/// With what an append changes besides streams.
fn changed(mut given: Append, dice: &mut Dice, n: u64, stream: &StreamId) -> Append {
    if dice.roll(3) == 0 {
        given = given.claiming(&format!("key {n} \u{1f511}\\\""), "holder\n");
        given.claims[0].fingerprint = (dice.roll(2) == 0).then_some([n as u8; 32]);
    }
    if dice.roll(3) == 0 {
        given = given.claiming(&format!("short {n}"), "holder");
        let claim = given.claims.last_mut().unwrap();
        (claim.lifetime, claim.scope) = (Lifetime::Day, "idempotency:dev".to_owned());
    }
    given = given.changing(&format!("stock:{}", dice.roll(5)), dice.roll(100) as i64 - 20, None);
    given = match dice.roll(4) {
        0 => given.setting(stream, "saga", at(dice.roll(1_000) as i64)),
        1 => given.clearing(stream, "saga"),
        _ => given,
    };
    if dice.roll(5) == 0 {
        let sealed = (0..dice.roll(300)).map(|byte| byte as u8).collect();
        given = given.sealing(VaultEntry { subject: stream.id, person: Uuid::now_v7(), sealed });
    }
    given
}

#[tokio::test]
async fn a_log_goes_out_and_in_and_out_again_and_is_the_same() {
    let (_there, pool) = database().await;
    let store = open(&pool).await;
    random_log(&store, 7, 400).await;
    let file = exported(&pool, None).await;

    let (_back, empty) = database().await;
    let counts = imported(&empty, &file).await.unwrap();
    assert!(counts.events > 900 && counts.claims > 150 && counts.timers > 3 && counts.sealed > 5, "{counts:?}");
    assert_eq!((counts.balances, counts.checkpoints), (5, 1));
    let again = exported(&empty, None).await;
    assert!(again == file, "the file is another one");

    let (first, second) = (everything(&*store).await, everything(&*open(&empty).await).await);
    assert_whole(&second);
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one.payload.get(), other.payload.get());
        assert_eq!((&one.metadata, one.recorded_at), (&other.metadata, other.recorded_at));
        assert_eq!((&one.stream, one.version, one.incarnation), (&other.stream, other.version, other.incarnation));
    }
}

#[tokio::test]
async fn what_was_imported_goes_on_as_if_it_had_never_moved() {
    let (_there, pool) = database().await;
    let before = open(&pool).await;
    let order = StreamId::new(Uuid::now_v7(), "order");
    let first = append().with(&order, 0, &["a"]).claiming("ref", "me").changing("tea", 5, None);
    let first = first.setting(&order, "saga", at(5)).moving("reader", None, 1);
    let written = before.append(first.clone()).await.unwrap();
    let file = exported(&pool, None).await;

    let (_back, empty) = database().await;
    imported(&empty, &file).await.unwrap();
    let store = open(&empty).await;
    assert_eq!(store.append(first).await.unwrap(), written, "the same command again");
    let taken = store.append(append().with(&order, 1, &["b"]).claiming("ref", "someone else")).await;
    assert!(taken.is_err(), "{taken:?}");
    let low = store.append(append().with(&order, 1, &["b"]).changing("tea", -6, Some(0))).await;
    assert!(low.is_err(), "{low:?}");
    let next = append().with(&order, 1, &["b"]).changing("tea", -5, Some(0)).moving("reader", Some(1), 2);
    assert_eq!(store.append(next).await.unwrap().first, Position(2));
    let slots = [eventstore::slot_of(order.id)];
    let timer = Timer { stream: order.clone(), name: "saga".to_owned(), due_at: at(5), set_at: None };
    assert_eq!(store.timers(&slots, None, 10).await.unwrap(), [timer]);
}

#[tokio::test]
async fn appends_that_go_on_meanwhile_are_not_in_the_file() {
    let (_there, pool) = database().await;
    let store = open(&pool).await;
    random_log(&store, 3, 50).await;
    let writer = tokio::spawn({
        let store = store.clone();
        async move { random_log(&store, 4, 200).await }
    });
    for _ in 0..5 {
        let file = exported(&pool, None).await;
        let (_back, empty) = database().await;
        let counts = imported(&empty, &file).await.unwrap();
        let last: i64 = sqlx::query_scalar("SELECT max(position) FROM events").fetch_one(&empty).await.unwrap();
        assert_eq!(counts.events as i64, last);
        // What is beside the events is of the same moment: the file of the copy is the file.
        assert!(exported(&empty, None).await == file);
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn as_of_then_it_holds_events_and_claims_of_then_and_is_for_reading() {
    let (_there, pool) = database().await;
    let store = open(&pool).await;
    random_log(&store, 11, 100).await;
    let events = everything(&*store).await;
    let upto = events[events.len() / 2].position;
    let file = String::from_utf8(exported(&pool, Some(upto)).await).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    let of = |kind: &str| lines.iter().filter(|line| line.starts_with(&format!("{{\"{kind}\":"))).count() as i64;
    assert_eq!(of("event"), upto.0);
    let claims: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM claims WHERE position <= $1) + (SELECT count(*) FROM expiring_claims WHERE position <= $1)",
    )
    .bind(upto.0)
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(of("claim"), claims);
    assert_eq!(of("balance") + of("timer") + of("sealed") + of("checkpoint"), 0, "known of the present alone");
    let whole = String::from_utf8(exported(&pool, None).await).unwrap();
    let first: Vec<&str> = whole.lines().skip(1).take(upto.0 as usize).collect();
    assert_eq!(lines[1..=upto.0 as usize], first[..], "the events are those of the whole file");

    let (_back, empty) = database().await;
    let refusal = imported(&empty, file.as_bytes()).await.unwrap_err();
    assert!(matches!(refusal, ImportError::ForReading(position) if position == upto.0), "{refusal}");

    let time = events[upto.0 as usize - 1].recorded_at;
    let by_time = eventstore::log_file::position(&pool, Log::MAIN, AsOf::Time(time)).await.unwrap();
    assert_eq!(by_time, store.position_at(time).await.unwrap());
    let beyond = export(&pool, Log::MAIN, Some(Position(99_999)), MADE_BY, &mut Vec::new(), &|_| ()).await;
    assert!(matches!(beyond, Err(ExportError::BeyondHead { .. })), "{beyond:?}");
}

#[tokio::test]
async fn only_an_empty_log_takes_a_file() {
    let (_there, pool) = database().await;
    let store = open(&pool).await;
    random_log(&store, 5, 3).await;
    let file = exported(&pool, None).await;
    let refusal = imported(&pool, &file).await.unwrap_err();
    assert!(matches!(refusal, ImportError::NotEmpty(_)), "{refusal}");
    let (_back, empty) = database().await;
    open(&empty).await.append(append().changing("tea", 1, None)).await.unwrap();
    let refusal = imported(&empty, &file).await.unwrap_err().to_string();
    assert!(refusal.contains("balances"), "{refusal}");
    let (_new, unused) = database().await;
    imported(&unused, &file).await.unwrap();
    assert_eq!(
        imported(&unused, &file).await.unwrap_err().to_string(),
        imported(&pool, &file).await.unwrap_err().to_string()
    );
}

/// A line of a kind, the nth from 0.
fn line_of(lines: &[String], kind: &str, nth: usize) -> usize {
    let mut of_kind = (0..lines.len()).filter(|n| lines[*n].starts_with(&format!("{{\"{kind}\":")));
    of_kind.nth(nth).unwrap()
}

#[tokio::test]
async fn a_file_that_was_cut_or_altered_leaves_nothing_behind() {
    let (_there, pool) = database().await;
    random_log(&*open(&pool).await, 9, 60).await;
    let file = exported(&pool, None).await;
    let whole: Vec<String> = String::from_utf8(file.clone()).unwrap().lines().map(str::to_owned).collect();
    let (_back, empty) = database().await;
    type Break = fn(&mut Vec<String>);
    let breaks: Vec<(&str, Break, &str)> = vec![
        ("no end", |lines| drop(lines.pop()), "the end is missing"),
        ("no header", |lines| drop(lines.remove(0)), "line 1: the header must come first"),
        ("an event is gone", |lines| drop(lines.remove(5)), "line 6: position 6 follows position 4"),
        ("an event twice", |lines| lines.insert(5, lines[5].clone()), "line 7: position 5 follows position 5"),
        ("two events change places", |lines| lines.swap(5, 6), "line 6: position 6 follows position 4"),
        (
            "a balance is altered",
            |lines| {
                let n = line_of(lines, "balance", 0);
                lines[n] = lines[n].replace("\"balance\":", "\"balance\":1");
            },
            "SHA-256",
        ),
        ("more after the end", |lines| lines.push(lines[1].clone()), "there is more after the end"),
        ("nonsense", |lines| lines[7] = "{\"event\":{\"position\":7}}".to_owned(), "line 8: missing field"),
        ("a new kind", |lines| lines[7] = "{\"wish\":{}}".to_owned(), "line 8: unknown variant `wish`"),
        (
            "a claim of a time to come",
            |lines| {
                let n = line_of(lines, "claim", 0);
                let (before, rest) = lines[n].split_once("\"position\":").unwrap();
                let (_, rest) = rest.split_once(',').unwrap();
                lines[n] = format!("{before}\"position\":99999,{rest}");
            },
            "the claim's position 99999 is not in the log",
        ),
        (
            "a claim twice",
            |lines| {
                let n = line_of(lines, "claim", 0);
                lines.insert(n, lines[n].clone());
            },
            "the file should hold",
        ),
        (
            "another life",
            |lines| lines[3] = lines[3].replace("\"incarnation\":1,", "\"incarnation\":2,"),
            "line 4: position 3 can't be of incarnation 2",
        ),
    ];
    for (what, alter, expected) in breaks {
        let mut lines = whole.clone();
        alter(&mut lines);
        let refusal = refused(&empty, (lines.join("\n") + "\n").as_bytes()).await;
        assert!(refusal.contains(expected), "{what}: {refusal}");
        for table in ["events", "claims", "expiring_claims", "balances", "timers", "vault_entries", "checkpoints"] {
            assert_eq!(count(&empty, table).await, 0, "{what}: {table}");
        }
    }
    for cut in [0, 10, file.len() / 2, file.len() - 2] {
        let refusal = imported(&empty, &file[..cut]).await.unwrap_err();
        assert!(matches!(refusal, ImportError::Faults(_)), "cut at {cut}: {refusal}");
    }
    imported(&empty, &file).await.unwrap();
}

/// The file with the sum that its lines have now.
fn sealed_again(mut lines: Vec<String>) -> String {
    let end = lines.pop().unwrap();
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let (before, _) = end.split_once("\"sha256\":").unwrap();
    format!("{body}{before}\"sha256\":\"{digest}\"}}}}\n")
}

#[tokio::test]
async fn a_version_out_of_turn_is_told_though_the_file_is_whole() {
    let (_there, pool) = database().await;
    random_log(&*open(&pool).await, 21, 10).await;
    let file = String::from_utf8(exported(&pool, None).await).unwrap();
    let lines: Vec<String> = file.lines().map(str::to_owned).collect();
    assert!(sealed_again(lines.clone()) == file);
    let mut altered = lines;
    altered[1] = altered[1].replace("\"version\":1,", "\"version\":77,");
    let (_back, empty) = database().await;
    let refusal = refused(&empty, sealed_again(altered).as_bytes()).await;
    assert!(
        refusal.contains("line 2: the event at position 1 has version 77 and is number 1 of its stream"),
        "{refusal}"
    );
    assert_eq!(count(&empty, "events").await, 0);
}

#[tokio::test]
async fn an_event_that_is_not_what_was_appended_is_told_by_its_line() {
    let (_there, pool) = database().await;
    random_log(&*open(&pool).await, 10, 30).await;
    let file = String::from_utf8(exported(&pool, None).await).unwrap();
    let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
    let altered =
        (1..lines.len()).filter(|n| lines[*n].contains("\"shop\":\"dev\"")).step_by(3).take(4).collect::<Vec<_>>();
    for n in &altered {
        lines[*n] = lines[*n].replace("\"shop\":\"dev\"", "\"shop\":\"def\"");
    }
    let (_back, empty) = database().await;
    let refusal = refused(&empty, (lines.join("\n") + "\n").as_bytes()).await;
    for n in altered {
        assert!(
            refusal.contains(&format!("line {}: the event at position {n} is not what was appended", n + 1)),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn many_faults_are_bounded_and_a_line_without_end_is_refused() {
    let (_there, pool) = database().await;
    random_log(&*open(&pool).await, 12, 100).await;
    let file = String::from_utf8(exported(&pool, None).await).unwrap();
    let (_back, empty) = database().await;
    let refusal = refused(&empty, file.replace("\"shop\":\"dev\"", "\"shop\":\"def\"").as_bytes()).await;
    assert_eq!(refusal.lines().count(), 51, "{refusal}");
    let header = file.lines().next().unwrap();
    let endless = format!("{header}\n{}", "x".repeat(10 * 1024 * 1024));
    assert!(refused(&empty, endless.as_bytes()).await.contains("line 2: it is longer than"));
    assert!(refused(&empty, b"\x00\x01\x02").await.contains("line 1: this is not a log"));
    assert!(refused(&empty, header.replace("\"version\":1", "\"version\":2").as_bytes()).await.contains("version 1"));
}

#[tokio::test]
async fn lives_of_a_log_come_along() {
    let (_there, pool) = database().await;
    let store = open(&pool).await;
    random_log(&store, 13, 5).await;
    let head = store.head().await.unwrap().position;
    sqlx::query("INSERT INTO incarnations (log, incarnation, after_position, began_at, reason) VALUES (0, 3, $1, $2, 'restored „gestern“')")
        .bind(head.0)
        .bind("2026-11-24T09:30:00.123456Z".parse::<DateTime<Utc>>().unwrap())
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO abandoned_ranges (log, incarnation, from_position, to_position, events, streams, types, file)
         VALUES (0, 1, 90, 95, 6, 2, '{\"b\": 2, \"a\": 4}', 'lost.jsonl')",
    )
    .execute(&pool)
    .await
    .unwrap();
    random_log(&store, 14, 5).await;
    let file = exported(&pool, None).await;
    let (_back, empty) = database().await;
    imported(&empty, &file).await.unwrap();
    assert!(exported(&empty, None).await == file);
    let copy = open(&empty).await;
    assert_eq!(copy.head().await.unwrap(), store.head().await.unwrap());
    assert_eq!(copy.head().await.unwrap().incarnation.0, 3);
}
