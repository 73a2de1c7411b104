//! The partitions of claims that expire, one a UTC day: made ahead of time, and dropped as a whole when nobody looks into them any more.
//!
//! Looked after at the start, every hour, and sooner when something could not be done or an append has missed its partition. Any number
//! of instances may do so at once. It never holds an append up: see `migrations/0016_claim_days.sql`; and no append depends on it:
//! without a partition a claim is kept for ever.
use super::read_error;
use crate::ReadError;
use chrono::NaiveDate;
use metrics::gauge;
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// For how many days after today there are partitions: so long it may fail before claims are kept for ever.
pub const DAYS_AHEAD: i32 = 3;
const PAUSE: Duration = Duration::from_secs(60 * 60);
/// After a round in which something could not be done.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
/// A round takes no longer.
const ROUND: Duration = Duration::from_secs(15);
/// The most partitions that one round drops.
const DROPS: usize = 100;

/// How it stands with the partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimDays {
    /// Days from today on that have one, without a gap; 0: today's claims are kept for ever.
    pub covered: usize,
    /// Those that are over and not yet dropped.
    pub overdue: usize,
    /// Why something could not be done. It is tried again in a minute.
    pub trouble: Option<String>,
}

/// One round.
pub(super) async fn keep(pool: &PgPool) -> ClaimDays {
    let mut trouble = match timeout(ROUND, make_and_drop(pool)).await {
        Ok(done) => done.err(),
        Err(_) => Some(format!("no end after {} s", ROUND.as_secs())),
    };
    let (covered, overdue) = match timeout(ROUND, look(pool)).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => {
            trouble.get_or_insert(error.to_string());
            (0, 0)
        }
        Err(_) => (0, 0),
    };
    ClaimDays { covered, overdue, trouble }
}

/// What can't be made does not keep what is over from being dropped.
async fn make_and_drop(pool: &PgPool) -> Result<(), String> {
    let made = sqlx::query!("SELECT make_claim_days($1)", DAYS_AHEAD).execute(pool).await;
    let mut dropped = Ok(());
    for _ in 0..DROPS {
        match sqlx::query_scalar!("SELECT drop_claim_day()").fetch_one(pool).await {
            Ok(Some(day)) => tracing::debug!(%day, "the claims of a day are dropped"),
            Ok(None) => break,
            Err(error) => {
                dropped = Err(error);
                break;
            }
        }
    }
    made.map_err(|error| format!("no partition can be made: {error}"))?;
    dropped.map_err(|error| format!("what is over can't be dropped: {error}"))
}

/// Days covered, and how many are overdue.
async fn look(pool: &PgPool) -> Result<(usize, usize), ReadError> {
    let row = sqlx::query!(
        r#"SELECT (now() AT TIME ZONE 'UTC')::date AS "today!", coalesce(array_agg(day), '{}') AS "days!" FROM claim_days"#
    )
    .fetch_one(pool)
    .await
    .map_err(read_error)?;
    let days: BTreeSet<NaiveDate> = row.days.into_iter().collect();
    let covered = row.today.iter_days().take_while(|day| days.contains(day)).count();
    let overdue = row.today.pred_opt().map_or(0, |yesterday| days.range(..yesterday).count());
    Ok((covered, overdue))
}

/// Rounds for as long as it runs; `missed` calls for one at once. The first was made before.
pub(super) async fn look_after(pool: PgPool, missed: Arc<Notify>, state: watch::Sender<ClaimDays>) {
    loop {
        let pause = if state.borrow().trouble.is_some() { RETRY_PAUSE } else { PAUSE };
        // Called or not: at most one round in so short a time, however many appends have missed.
        if timeout(pause, missed.notified()).await.is_ok() && state.borrow().trouble.is_some() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tell(keep(&pool).await, &state);
    }
}

/// Says how it stands where that can be seen; and in the log when that is news.
pub(super) fn tell(now: ClaimDays, state: &watch::Sender<ClaimDays>) {
    // Days beyond today; below 0 there is none for today.
    gauge!("waybill_claim_partitions_ahead").set(now.covered as f64 - 1.0);
    gauge!("waybill_claim_partitions_overdue").set(now.overdue as f64);
    state.send_if_modified(|before| {
        if *before == now {
            return false;
        }
        if let Some(trouble) = &now.trouble {
            let ClaimDays { covered, overdue, .. } = now;
            tracing::warn!(
                covered,
                overdue,
                trouble,
                "the partitions of expiring claims are not as they should be; tried again"
            );
        }
        *before = now;
        true
    });
}
