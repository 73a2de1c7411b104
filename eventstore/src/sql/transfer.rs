//! The log on its way out of a database and into another: the rows beside the events, read in their order, and what an import writes.
//!
//! An import writes rows as they were, so it goes round `append_batch`; it does so under the log's lock, into a log that is empty.
use super::inspect::{StoredAbandoned, StoredCheckpoint, StoredEvent, StoredLife};
use crate::{Log, Position};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredClaim {
    pub(crate) scope: String,
    pub(crate) key: String,
    pub(crate) position: i64,
    pub(crate) holder: String,
    pub(crate) fingerprint: Option<Vec<u8>>,
    /// Of a claim that expires; `None`: it holds for ever.
    pub(crate) day: Option<NaiveDate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredBalance {
    pub(crate) account: String,
    pub(crate) balance: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimerRow {
    pub(crate) stream_id: Uuid,
    pub(crate) stream_kind: String,
    pub(crate) name: String,
    pub(crate) due_at: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedRow {
    pub(crate) subject: Uuid,
    pub(crate) person: Uuid,
    pub(crate) sealed: Vec<u8>,
}

type Rows<'a, T> = BoxStream<'a, Result<T, sqlx::Error>>;

/// A transaction that sees one moment and writes nothing.
pub(crate) async fn moment(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    super::inspect::moment(pool).await
}

/// The log's lives and head; no lives: there is no such log.
pub(crate) async fn outline(conn: &mut PgConnection, log: Log) -> Result<(Vec<StoredLife>, Position), sqlx::Error> {
    Ok((super::inspect::lives(conn, log).await?, super::inspect::head(conn, log).await?))
}

pub(crate) async fn abandoned(conn: &mut PgConnection, log: Log) -> Result<Vec<StoredAbandoned>, sqlx::Error> {
    sqlx::query_as!(
        StoredAbandoned,
        r#"SELECT incarnation, from_position, to_position, events, streams, types::text AS "types!", file, recorded_at
             FROM abandoned_ranges WHERE log = $1 ORDER BY incarnation, from_position"#,
        log.0
    )
    .fetch_all(conn)
    .await
}

/// Claims made up to a position, and not expired; by scope, key and day.
pub(crate) fn claims(conn: &mut PgConnection, log: Log, upto: Position) -> Rows<'_, StoredClaim> {
    sqlx::query_as!(
        StoredClaim,
        r#"SELECT scope AS "scope!", key AS "key!", position AS "position!", holder AS "holder!", fingerprint, day
             FROM (SELECT scope, key, position, holder, fingerprint, NULL::date AS day FROM claims WHERE log = $1 AND position <= $2
                    UNION ALL
                   SELECT scope, key, position, holder, fingerprint, day FROM expiring_claims
                    WHERE log = $1 AND position <= $2 AND day >= (now() AT TIME ZONE 'UTC')::date - 1) AS c
            ORDER BY scope, key, day"#,
        log.0,
        upto.0,
    )
    .fetch(conn)
}

pub(crate) fn balances(conn: &mut PgConnection) -> Rows<'_, StoredBalance> {
    sqlx::query_as!(StoredBalance, "SELECT account, balance FROM balances ORDER BY account").fetch(conn)
}

pub(crate) fn timers(conn: &mut PgConnection, log: Log) -> Rows<'_, TimerRow> {
    sqlx::query_as!(
        TimerRow,
        "SELECT stream_id, stream_kind, name, due_at FROM timers WHERE log = $1 ORDER BY stream_id, stream_kind, name",
        log.0
    )
    .fetch(conn)
}

pub(crate) fn sealed(conn: &mut PgConnection) -> Rows<'_, SealedRow> {
    sqlx::query_as!(SealedRow, "SELECT subject, person, sealed FROM vault_entries ORDER BY subject").fetch(conn)
}

pub(crate) async fn checkpoints(conn: &mut PgConnection, log: Log) -> Result<Vec<StoredCheckpoint>, sqlx::Error> {
    super::inspect::checkpoints(conn, log).await
}

/// Begins the transaction of an import: nobody appends until its end. Says what is there already, if anything is.
pub(crate) async fn begin_import(
    pool: &PgPool,
    log: Log,
) -> Result<(Transaction<'static, Postgres>, Option<String>), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // A database that nobody has started on for days has no partition for the claims of today.
    sqlx::query!("SELECT make_claim_days(1)").execute(&mut *transaction).await?;
    sqlx::query!("SELECT pg_advisory_xact_lock(log_lock(), $1)", i32::from(log.0)).execute(&mut *transaction).await?;
    let held = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM (SELECT FROM events LIMIT 1) AS x) AS "events!",
                  (SELECT count(*) FROM (SELECT FROM claims LIMIT 1) AS x)
                      + (SELECT count(*) FROM (SELECT FROM expiring_claims LIMIT 1) AS x) AS "claims!",
                  (SELECT count(*) FROM (SELECT FROM balances LIMIT 1) AS x) AS "balances!",
                  (SELECT count(*) FROM (SELECT FROM timers LIMIT 1) AS x) AS "timers!",
                  (SELECT count(*) FROM (SELECT FROM vault_entries LIMIT 1) AS x) AS "sealed!",
                  (SELECT count(*) FROM (SELECT FROM checkpoints LIMIT 1) AS x) AS "checkpoints!",
                  (SELECT count(*) FROM (SELECT FROM abandoned_ranges LIMIT 1) AS x) AS "abandoned!""#
    )
    .fetch_one(&mut *transaction)
    .await?;
    let kinds = [
        (held.events, "events"),
        (held.claims, "claims"),
        (held.balances, "balances"),
        (held.timers, "timers"),
        (held.sealed, "sealed personal data"),
        (held.checkpoints, "checkpoints"),
        (held.abandoned, "what an earlier life has lost"),
    ];
    let there: Vec<&str> = kinds.into_iter().filter(|(count, _)| *count > 0).map(|(_, kind)| kind).collect();
    Ok((transaction, (!there.is_empty()).then(|| there.join(", "))))
}

pub(crate) async fn insert_lives(conn: &mut PgConnection, log: Log, lives: &[StoredLife]) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM incarnations WHERE log = $1", log.0).execute(&mut *conn).await?;
    sqlx::query!(
        r#"INSERT INTO incarnations (log, incarnation, after_position, began_at, reason)
           SELECT $1, i.incarnation, i.after_position, i.began_at, i.reason
             FROM unnest($2::integer[], $3::bigint[], $4::timestamptz[], $5::text[]) AS i (incarnation, after_position, began_at, reason)"#,
        log.0,
        &column(lives, |life| life.incarnation),
        &column(lives, |life| life.after_position),
        &column(lives, |life| life.began_at),
        &column(lives, |life| life.reason.clone()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn insert_abandoned(
    conn: &mut PgConnection,
    log: Log,
    ranges: &[StoredAbandoned],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"INSERT INTO abandoned_ranges (log, incarnation, from_position, to_position, events, streams, types, file, recorded_at)
           SELECT $1, a.incarnation, a.from_position, a.to_position, a.events, a.streams, a.types::jsonb, a.file, a.recorded_at
             FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::timestamptz[])
                  AS a (incarnation, from_position, to_position, events, streams, types, file, recorded_at)"#,
        log.0,
        &column(ranges, |range| range.incarnation),
        &column(ranges, |range| range.from_position),
        &column(ranges, |range| range.to_position),
        &column(ranges, |range| range.events),
        &column(ranges, |range| range.streams),
        &column(ranges, |range| range.types.as_str()) as _,
        &column(ranges, |range| range.file.as_str()) as _,
        &column(ranges, |range| range.recorded_at),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn insert_events(
    conn: &mut PgConnection,
    log: Log,
    events: &[StoredEvent],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"INSERT INTO events (log, position, incarnation, recorded_at, stream_id, stream_kind, version, type, schema_version, shop,
                               command_id, checksum, metadata, payload)
           SELECT $1, e.position, e.incarnation, e.recorded_at, e.stream_id, e.stream_kind, e.version, e.type, e.schema_version, e.shop,
                  e.command_id, e.checksum, e.metadata::json, e.payload::json
             FROM unnest($2::bigint[], $3::integer[], $4::timestamptz[], $5::uuid[], $6::text[], $7::integer[], $8::text[],
                         $9::smallint[], $10::text[], $11::uuid[], $12::integer[], $13::text[], $14::text[])
                  AS e (position, incarnation, recorded_at, stream_id, stream_kind, version, type, schema_version, shop, command_id,
                        checksum, metadata, payload)"#,
        log.0,
        &column(events, |event| event.position),
        &column(events, |event| event.incarnation),
        &column(events, |event| event.recorded_at),
        &column(events, |event| event.stream_id),
        &column(events, |event| event.stream_kind.as_str()) as _,
        &column(events, |event| event.version),
        &column(events, |event| event.event_type.as_str()) as _,
        &column(events, |event| event.schema_version),
        &column(events, |event| event.shop.as_str()) as _,
        &column(events, |event| event.command_id),
        &column(events, |event| event.checksum) as _,
        &column(events, |event| event.metadata.as_str()) as _,
        &column(events, |event| event.payload.as_str()) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those that expire and are over are left out: nobody looks at them, and their partitions are gone.
pub(crate) async fn insert_claims(
    conn: &mut PgConnection,
    log: Log,
    claims: &[StoredClaim],
) -> Result<(), sqlx::Error> {
    let (expiring, forever): (Vec<&StoredClaim>, Vec<&StoredClaim>) =
        claims.iter().partition(|claim| claim.day.is_some());
    sqlx::query!(
        r#"INSERT INTO claims (scope, key, position, log, holder, fingerprint)
           SELECT c.scope, c.key, c.position, $1, c.holder, c.fingerprint
             FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bytea[]) AS c (scope, key, position, holder, fingerprint)"#,
        log.0,
        &column(&forever, |claim| claim.scope.as_str()) as _,
        &column(&forever, |claim| claim.key.as_str()) as _,
        &column(&forever, |claim| claim.position),
        &column(&forever, |claim| claim.holder.as_str()) as _,
        &column(&forever, |claim| claim.fingerprint.as_deref()) as _,
    )
    .execute(&mut *conn)
    .await?;
    if expiring.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"INSERT INTO expiring_claims (scope, key, day, position, log, holder, fingerprint)
           SELECT c.scope, c.key, c.day, c.position, $1, c.holder, c.fingerprint
             FROM unnest($2::text[], $3::text[], $4::date[], $5::bigint[], $6::text[], $7::bytea[])
                  AS c (scope, key, day, position, holder, fingerprint)
            WHERE c.day >= (now() AT TIME ZONE 'UTC')::date - 1"#,
        log.0,
        &column(&expiring, |claim| claim.scope.as_str()) as _,
        &column(&expiring, |claim| claim.key.as_str()) as _,
        &column(&expiring, |claim| claim.day) as _,
        &column(&expiring, |claim| claim.position),
        &column(&expiring, |claim| claim.holder.as_str()) as _,
        &column(&expiring, |claim| claim.fingerprint.as_deref()) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn insert_balances(conn: &mut PgConnection, balances: &[StoredBalance]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO balances (account, balance) SELECT * FROM unnest($1::text[], $2::bigint[])",
        &column(balances, |held| held.account.as_str()) as _,
        &column(balances, |held| held.balance),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn insert_timers(conn: &mut PgConnection, log: Log, timers: &[TimerRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"INSERT INTO timers (stream_id, stream_kind, name, log, slot, due_at)
           SELECT t.id, t.kind, t.name, $1, t.slot, t.due_at
             FROM unnest($2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::timestamptz[]) AS t (id, kind, name, slot, due_at)"#,
        log.0,
        &column(timers, |timer| timer.stream_id),
        &column(timers, |timer| timer.stream_kind.as_str()) as _,
        &column(timers, |timer| timer.name.as_str()) as _,
        &column(timers, |timer| i16::from(crate::slot_of(timer.stream_id).0)),
        &column(timers, |timer| timer.due_at),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn insert_sealed(conn: &mut PgConnection, sealed: &[SealedRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO vault_entries (subject, person, sealed) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[])",
        &column(sealed, |entry| entry.subject),
        &column(sealed, |entry| entry.person),
        &column(sealed, |entry| entry.sealed.as_slice()) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn insert_checkpoints(
    conn: &mut PgConnection,
    log: Log,
    checkpoints: &[StoredCheckpoint],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"INSERT INTO checkpoints (log, name, incarnation, position, command_id, last_position, recorded_at)
           SELECT $1, c.name, c.incarnation, c.position, c.command_id, c.last_position, c.recorded_at
             FROM unnest($2::text[], $3::integer[], $4::bigint[], $5::uuid[], $6::bigint[], $7::timestamptz[])
                  AS c (name, incarnation, position, command_id, last_position, recorded_at)"#,
        log.0,
        &column(checkpoints, |each| each.name.as_str()) as _,
        &column(checkpoints, |each| each.incarnation),
        &column(checkpoints, |each| each.position),
        &column(checkpoints, |each| each.command_id),
        &column(checkpoints, |each| each.last_position),
        &column(checkpoints, |each| each.recorded_at),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Events whose version is not the next of their stream, by position, at most `limit`. By sorting on the server's disk: no memory of ours.
pub(crate) async fn misnumbered(
    conn: &mut PgConnection,
    log: Log,
    limit: i64,
) -> Result<Vec<(i64, i32, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT position, version, nth AS "nth!"
             FROM (SELECT position, version, row_number() OVER (PARTITION BY stream_id, stream_kind ORDER BY position) AS nth
                     FROM events WHERE log = $1) AS e
            WHERE version <> nth ORDER BY position LIMIT $2"#,
        log.0,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.position, row.version, row.nth)).collect())
}

/// Tells whoever listens how far the log has come. They hear of it at the commit.
pub(crate) async fn announce(conn: &mut PgConnection, log: Log, head: Position) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_notify('waybill', $1)", format!("{}:{head}", log.0)).execute(conn).await?;
    Ok(())
}

fn column<'a, T, C>(rows: &'a [T], cell: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(cell).collect()
}
