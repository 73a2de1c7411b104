//! `waybill restore` on real PostgreSQL: what is refused, what comes back, what becomes of a restore that is cut short. The whole way, under
//! load and with Kafka, is `drill`.
use crate::support::{
    app::text,
    client::unique,
    site::{MASTER_KEY, NAME, Site, WITHIN, faults, open, place, refusal, until_there, vault, write_master_key},
};
use eventstore::{EventStore, Position, contract::given::everything, sql, testing::TestPostgres, vault::PersonKeys};
use sqlx::{Connection, PgConnection, migrate::Migrator};
use std::{fs, path::Path, process::Stdio, time::Duration};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_comes_back_whole_in_a_new_incarnation() {
    let site = Site::with_orders(20).await;
    let store = open(&site.database).await;
    let (order, _) = place(&store, "grace").await;
    let (_, erased) = place(&store, "erased").await;
    vault(&store).erase(erased).await.unwrap();
    store.take_leases(&[eventstore::Slot(3)], Uuid::now_v7(), WITHIN).await.unwrap();
    let before = everything(store.as_ref()).await;
    let (main, keys) = site.back_up().await;
    site.done(&["backup", "--verify", &main]).await;

    let target = Site::empty().await;
    let said = target.done(&["restore", "--from", &main, "--keys", &keys]).await;
    assert!(said.contains("22 events, 21 persons' keys, 1 persons erased"), "{said}");
    let restored = open(&target.database).await;
    let after = everything(restored.as_ref()).await;
    let came_back = after.iter().take(before.len());
    let same = before.iter().zip(came_back).all(|(before, after)| format!("{before:?}") == format!("{after:?}"));
    assert!(same, "every event is as it was");
    // The log had not been told of who was erased.
    assert_eq!(after[before.len()..].iter().map(|event| &event.event_type).collect::<Vec<_>>(), ["ErasureRequested"]);
    assert_eq!(vault(&restored).open(order.id).await.unwrap().as_deref(), Some(NAME.as_bytes()));
    assert_eq!(restored.key_of(erased).await.unwrap(), None);
    let head = restored.head().await.unwrap();
    assert_eq!((head.position, head.incarnation.0), (Position(23), 2));
    // Whoever held the slot is gone, and what it was given counts no more.
    let lease = restored.take_leases(&[eventstore::Slot(3)], Uuid::now_v7(), WITHIN).await.unwrap();
    assert!(lease[0].epoch > 1_000_000, "{lease:?}");
    let (next, _) = place(&restored, "grace").await;
    assert_eq!(restored.read_streams(next.id).await.unwrap()[0].incarnation.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_with_all_its_faults_and_nothing_is_touched() {
    let site = Site::with_orders(3).await;
    let (main, keys) = site.back_up().await;
    let mut files: Vec<_> =
        fs::read_dir(Path::new(&main).join("dump")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some());
    files.sort();
    let mut bytes = fs::read(&files[0]).unwrap();
    bytes[12] ^= 1;
    fs::write(&files[0], bytes).unwrap();
    let short = fs::read(&files[1]).unwrap();
    fs::write(&files[1], &short[..short.len() - 1]).unwrap();
    fs::remove_file(&files[2]).unwrap();
    fs::write(Path::new(&keys).join("dump/more"), "x").unwrap();

    let target = Site::empty().await;
    for output in [
        target.run(&["restore", "--from", &main, "--keys", &keys]).await,
        target.run(&["backup", "--verify", &main]).await,
    ] {
        let faults = faults(&output);
        assert_eq!(faults.len(), 4, "{faults:#?}");
        for (what, path) in [("SHA-256", &files[0]), ("bytes", &files[1]), ("missing", &files[2])] {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(faults.iter().any(|fault| fault.contains(what) && fault.contains(name)), "{what}: {faults:#?}");
        }
        assert!(faults.iter().any(|fault| fault.contains("dump/more is not in the manifest")), "{faults:#?}");
    }
    fs::remove_file(Path::new(&main).join("manifest.json")).unwrap();
    let faults = faults(&target.run(&["restore", "--from", &main, "--keys", &keys]).await);
    assert!(faults[0].contains("is no backup"), "{faults:#?}");
    target.done(&["migrate"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_holds_a_log_or_is_in_use_is_refused() {
    let site = Site::with_orders(2).await;
    let (main, keys) = site.back_up().await;
    let restore = ["restore", "--from", &main, "--keys", &keys];
    let refused = refusal(&site.run(&restore).await);
    assert!(refused.contains("events up to position 2"), "{refused}");

    let target = Site::empty().await;
    let mut connection = PgConnection::connect(target.database.url()).await.unwrap();
    let refused = refusal(&target.run(&restore).await);
    assert!(refused.contains("1 others are connected"), "{refused}");
    sqlx::raw_sql("DROP TABLE _sqlx_migrations").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let refused = refusal(&target.run(&restore).await);
    assert!(refused.contains("not Waybill's"), "{refused}");
    // Nothing was marked: whoever uses it goes on.
    assert!(!target.data_dir().join("restoring").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_the_main_backup_s_are_found_out_and_the_restore_is_run_again() {
    let (site, other) = (Site::with_orders(3).await, Site::with_orders(5).await);
    let (main, keys) = site.back_up().await;
    let (_, strange) = other.back_up().await;
    let target = Site::empty().await;
    let refused = refusal(&target.run(&["restore", "--from", &main, "--keys", &strange]).await);
    assert!(refused.contains("3 persons' keys are not in the backup of the keys"), "{refused}");

    // Half restored, it serves nobody.
    let doctor = text(&target.run(&["doctor"]).await.stdout);
    assert!(doctor.contains("FAULT  restore: that of the backup"), "{doctor}");
    assert!(doctor.contains("ok     backup: pg_dump and pg_restore"), "{doctor}");
    let refused = refusal(&target.run(&["migrate"]).await);
    assert!(refused.contains("is being restored"), "{refused}");
    let refused = refusal(&target.run(&["up", "--http-addr", "127.0.0.1:0"]).await);
    assert!(refused.contains("run `waybill restore` again"), "{refused}");
    let refused = refusal(&target.run(&["backup", "--to", target.path("x").to_str().unwrap()]).await);
    assert!(refused.contains("being restored"), "{refused}");

    target.done(&["restore", "--from", &main, "--keys", &keys]).await;
    target.done(&["migrate"]).await;
    assert_eq!(everything(open(&target.database).await.as_ref()).await.len(), 3);
    // Older keys than the main backup are seen before anything is touched.
    let older = faults(&Site::empty().await.run(&["restore", "--from", &main, "--keys", &older_keys().await]).await);
    assert!(older[0].contains("older than the main backup"), "{older:#?}");
}

/// Of a log with fewer events than any other here.
async fn older_keys() -> String {
    keys_alone(&Site::with_orders(1).await).await
}

/// A backup of the keys that outlives the site.
async fn keys_alone(site: &Site) -> String {
    let keys = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("alone.keys")).display().to_string();
    site.done(&["backup", "--keys-only", "--keys", &keys]).await;
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_is_said_before_anything_is_touched() {
    let site = Site::with_orders(2).await;
    let (main, keys) = site.back_up().await;
    let target = Site::empty().await;
    for key in [Some(b"another key of thirty-two bytes!"), None] {
        match key {
            Some(key) => write_master_key(&target.data_dir(), key),
            None => fs::remove_file(target.data_dir().join("master.key")).unwrap(),
        }
        let faults = faults(&target.run(&["restore", "--from", &main, "--keys", &keys]).await);
        assert_eq!(faults.len(), 1, "{faults:#?}");
        assert!(faults[0].contains("put back the master.key that was in use"), "{faults:#?}");
    }
    assert!(!target.data_dir().join("master.key").exists(), "a restore makes no master key");
    target.done(&["migrate"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_after_the_backup_is_erased_again_before_anybody_is_served() {
    let site = Site::empty().await;
    let store = open(&site.database).await;
    let (by_keys, known_by_keys) = place(&store, "known-by-keys").await;
    let (by_file, known_by_file) = place(&store, "known-by-file").await;
    let (stays, _) = place(&store, "stays").await;
    let (main, keys) = site.back_up().await;
    vault(&store).erase(known_by_keys).await.unwrap();
    fs::remove_dir_all(&keys).unwrap();
    site.done(&["backup", "--keys-only", "--keys", &keys]).await;

    let target = Site::empty().await;
    let line =
        format!(r#"{{"person":"{known_by_file}","shop":"dev","ref":"known-by-file","at":"2026-11-24T02:30:00Z"}}"#);
    fs::write(target.data_dir().join("erasures.jsonl"), line + "\n").unwrap();
    let said = target.done(&["restore", "--from", &main, "--keys", &keys]).await;
    assert!(said.contains("1 persons erased again"), "{said}");
    let restored = open(&target.database).await;
    for order in [&by_keys, &by_file] {
        assert_eq!(vault(&restored).open(order.id).await.unwrap(), None);
    }
    assert!(vault(&restored).open(stays.id).await.unwrap().is_some());
    // The log learns of it, so that the next `up` tells the participants.
    for person in [known_by_keys, known_by_file] {
        let told = restored.read_streams(person).await.unwrap();
        assert_eq!(told[0].event_type, "ErasureRequested");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_keys_all_comes_back_but_the_persons() {
    let site = Site::with_orders(3).await;
    let (main, keys) = site.back_up().await;
    fs::remove_dir_all(&keys).unwrap();
    let target = Site::empty().await;
    let missing = faults(&target.run(&["restore", "--from", &main]).await);
    assert!(missing[0].contains("is no backup"), "{missing:#?}");
    let said = target.done(&["restore", "--from", &main, "--without-keys"]).await;
    assert!(said.contains("the personal data of 3 persons is lost"), "{said}");
    let store = open(&target.database).await;
    let events = everything(store.as_ref()).await;
    assert_eq!(vault(&store).open(events[0].stream.id).await.unwrap(), None);
    let (order, _) = place(&store, "customer-0").await;

    // What was lost then is missing from each backup since, and is no reason to refuse one; what is missing besides is.
    let (main, keys) = target.back_up().await;
    let next = Site::empty().await;
    let refused = refusal(&next.run(&["restore", "--from", &main, "--keys", &keys_of_a_second_life(9).await]).await);
    assert!(refused.contains("1 persons' keys are not in the backup of the keys"), "{refused}");
    let said = next.done(&["restore", "--from", &main, "--keys", &keys]).await;
    assert!(said.contains("the personal data of 3 persons is lost"), "{said}");
    let store = open(&next.database).await;
    assert_eq!(vault(&store).open(order.id).await.unwrap().as_deref(), Some(NAME.as_bytes()));
}

/// Of another log, with so many orders and restored once.
async fn keys_of_a_second_life(orders: usize) -> String {
    let (site, again) = (Site::with_orders(orders).await, Site::empty().await);
    let (main, keys) = site.back_up().await;
    again.done(&["restore", "--from", &main, "--keys", &keys]).await;
    keys_alone(&again).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_at_any_moment_serves_nobody_and_is_run_again() {
    let seed: u64 =
        std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: repeat with WAYBILL_TEST_SEED={seed}");
    let site = Site::with_orders(5).await;
    let (main, keys) = site.back_up().await;
    let target = Site::empty().await;
    let restore = ["restore", "--from", &main, "--keys", &keys];
    let mark = target.data_dir().join("restoring");
    let mut done = false;
    for kill in 0..3 {
        let mut restoring = target.command(&restore).stdout(Stdio::null()).spawn().unwrap();
        until_there(&mark).await;
        let at = Duration::from_millis((seed >> (kill * 10)) % 700);
        // Whichever is first: that moment is no condition to wait for.
        done = tokio::time::timeout(at, restoring.wait()).await.is_ok();
        restoring.kill().await.unwrap();
        if mark.exists() {
            let refused = refusal(&target.run(&["up", "--http-addr", "127.0.0.1:0"]).await);
            assert!(refused.contains("run `waybill restore` again"), "{refused}");
        } else if !done {
            let migrate = target.run(&["migrate"]).await;
            done = migrate.status.success();
            assert!(done || refusal(&migrate).contains("run `waybill restore` again"));
        }
        if done {
            println!("it was done before {at:?}");
            break;
        }
    }
    if !done {
        target.done(&restore).await;
    }
    let store = open(&target.database).await;
    assert_eq!(everything(store.as_ref()).await.len(), 5);
    assert_eq!(store.head().await.unwrap().incarnation.0, 2);
    assert!(!mark.exists());
}

/// A database as the first release left it, with one event.
async fn of_the_first_release() -> Site {
    let site = Site { folder: tempfile::tempdir().unwrap(), database: TestPostgres::shared().await.database().await };
    write_master_key(&site.data_dir(), MASTER_KEY);
    let pool = site.database.pool().await;
    sqlx::raw_sql(
        "DROP SCHEMA public CASCADE; DROP SCHEMA vault CASCADE; DROP SCHEMA read CASCADE; CREATE SCHEMA public",
    )
    .execute(&pool)
    .await
    .unwrap();
    let released = |version: i64| version <= 11 || (100..=105).contains(&version);
    let migrations = sql::MIGRATOR.iter().filter(|migration| released(migration.version)).cloned().collect();
    Migrator::with_migrations(migrations).run(&pool).await.unwrap();
    sqlx::raw_sql(
        r#"INSERT INTO logs (log, last_position) VALUES (0, 1);
           INSERT INTO events (log, position, incarnation, stream_id, stream_kind, version, type, schema_version, shop, command_id,
                               recorded_at, metadata, payload)
           SELECT 0, 1, 1, gen_random_uuid(), 'order', 1, 'OrderPlaced', 1, 'dev', gen_random_uuid(), now(),
                  json_build_object('command_id', gen_random_uuid(), 'correlation_id', gen_random_uuid(), 'source', 'api',
                                    'actor', json_build_object('kind', 'shop', 'id', 'dev'), 'occurred_at', now(), 'app_version', '0'),
                  '{"n": 1}'"#,
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_an_older_release_is_brought_up_to_date() {
    let site = of_the_first_release().await;
    let (main, keys) = site.back_up().await;
    let target = Site::empty().await;
    target.done(&["restore", "--from", &main, "--keys", &keys]).await;
    let store = open(&target.database).await;
    assert_eq!(everything(store.as_ref()).await.len(), 1);
    place(&store, "grace").await;
    let head = store.head().await.unwrap();
    assert_eq!((head.position, head.incarnation.0), (Position(2), 2));
}
