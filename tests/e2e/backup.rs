//! `waybill backup` on real PostgreSQL: what is in which half, and that there are no halves of halves.
use crate::support::site::{MASTER_KEY, NAME, Site, WITHIN, hex, open, place, refusal, until_there};
use eventstore::{
    PgEventStore,
    vault::{PersonKeys, WrappedKey},
};
use flate2::read::GzDecoder;
use sqlx::{Connection, PgConnection};
use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// All that a dump holds, unpacked.
fn contents(folder: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(Path::new(folder).join("dump")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        match path.extension().is_some_and(|extension| extension == "gz") {
            true => GzDecoder::new(bytes.as_slice()).read_to_end(&mut all).map(drop).unwrap(),
            false => all.extend(bytes),
        }
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn wrapped_key(store: &Arc<PgEventStore>, person: Uuid) -> WrappedKey {
    store.key_of(person).await.unwrap().expect("a key")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_in_the_main_backup_and_no_event_in_that_of_the_keys() {
    let site = Site::with_orders(3).await;
    let store = open(&site.database).await;
    let (_, person) = place(&store, "grace").await;
    let wrapped = hex(&wrapped_key(&store, person).await.wrapped);
    let (main, keys) = site.back_up().await;
    let (main, keys) = (contents(&main), contents(&keys));
    assert!(holds(&keys, &wrapped), "the key is where it belongs");
    assert!(!holds(&main, &wrapped), "a wrapped key is in the main backup");
    assert!(holds(&main, "a-payload-of-the-log"));
    assert!(!holds(&keys, "a-payload-of-the-log"), "an event is in the backup of the keys");
    let master = hex(MASTER_KEY);
    assert!(!holds(&main, &master) && !holds(&keys, &master), "the master key is in a backup");
    assert!(!holds(&main, NAME) && !holds(&keys, NAME), "a person can be read in a backup");
}

/// A folder with a `pg_dump` of a version that still writes when it is told to end, and then leaves a `mark`.
fn a_dump_that_ends_late(folder: &Path, major: i32, mark: &Path) {
    let dump = format!(
        r#"#!/bin/sh
case "$*" in *--version*) echo "pg_dump (PostgreSQL) {major}.0"; exit;; esac
for arg; do case "$arg" in --file=*) dump="${{arg#--file=}}";; esac; done
trap 'sleep 0.5; mkdir -p "$dump"; echo more > "$dump/late"; touch "{}"; exit 1' TERM
mkdir "$dump"
while :; do sleep 0.05; done
"#,
        mark.display()
    );
    let restore = format!("#!/bin/sh\necho 'pg_restore (PostgreSQL) {major}.0'\n");
    fs::create_dir(folder).unwrap();
    for (name, text) in [("pg_dump", dump), ("pg_restore", restore)] {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_told_to_stop_takes_nothing_away_before_its_dump_has_ended() {
    let site = Site::with_orders(1).await;
    let (programs, mark) = (site.path("programs"), site.path("mark"));
    let mut database = PgConnection::connect(site.database.url()).await.unwrap();
    let major = "SELECT current_setting('server_version_num')::int / 10000";
    let major = sqlx::query_scalar(major).fetch_one(&mut database).await.unwrap();
    a_dump_that_ends_late(&programs, major, &mark);
    let backup = site.path("backup");
    let mut command = site.command(&["backup", "--to", backup.to_str().unwrap()]);
    command.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
    let mut running = command.spawn().unwrap();
    until_there(&site.path(".backup.unfinished/dump")).await;
    let pid = running.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = tokio::time::timeout(WITHIN, running.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(2));
    assert!(mark.exists(), "its dump goes on");
    assert!(!site.path(".backup.unfinished").exists() && !backup.exists(), "what is half is taken away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_cut_short_leaves_no_half_and_the_next_one_is_whole() {
    let site = Site::with_orders(3).await;
    // Who holds this lets no dump get on.
    let mut holder = PgConnection::connect(site.database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE shops IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
    let main = site.path("backup");
    for signal in ["-TERM", "-KILL"] {
        let mut backup = site.command(&["backup", "--to", main.to_str().unwrap()]).spawn().unwrap();
        until_there(&site.path(".backup.unfinished/pg_dump.pid")).await;
        let pid = backup.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let ended = tokio::time::timeout(WITHIN, backup.wait()).await.unwrap().unwrap();
        assert!(!ended.success());
        assert!(!main.exists() && !site.path("backup.keys").exists());
        if signal == "-TERM" {
            assert!(!site.path(".backup.unfinished").exists(), "what is half is taken away");
        }
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    // The supervisor of the one that was killed ends its dump first.
    let since = Instant::now();
    while site.path(".backup.unfinished/pg_dump.pid").exists() && since.elapsed() < WITHIN {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (main, _) = site.back_up().await;
    site.done(&["backup", "--verify", &main]).await;
    assert!(!site.path(".backup.unfinished").exists());
    let again = refusal(&site.run(&["backup", "--to", &main]).await);
    assert!(again.contains("there already"), "{again}");
}
