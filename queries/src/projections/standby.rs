//! When a runner drives and when it stands by: several may run on one read model, in as many processes.
//!
//! Whoever is overtaken, or finds at its start that the checkpoint is moving, stands by: it follows the rows as a `Watch` does. It takes over
//! once the one that drives says that it stops, or the checkpoint has stood still for a while though the log goes on. It never writes.
//! Whoever takes over without need does no harm: the one before stands by.
use super::{
    ProjectionError,
    watch::{Follower, Heard, listen_for_ever},
};
use crate::sql::checkpoint::glance;
use eventstore::EventStore;
use metrics::gauge;
use sqlx::{PgPool, postgres::PgConnectOptions};
use std::time::{Duration, Instant};

/// The checkpoint must have stood still for this long though there is something to apply; up to half as long again, so that several who
/// stand by don't act in step.
const TAKEOVER_AFTER: Duration = Duration::from_secs(3);
/// How long a start looks whether a checkpoint that has just moved moves again.
const START_LOOK: Duration = Duration::from_millis(250);

/// Whether somebody else drives right now, as far as a short look can tell.
pub(super) async fn somebody_drives(pool: &PgPool) -> Result<bool, ProjectionError> {
    let mut conn = pool.acquire().await?;
    let Some(before) = glance(&mut conn).await?.filter(|glance| glance.moved_just_now) else { return Ok(false) };
    tokio::time::sleep(START_LOOK).await;
    Ok(glance(&mut conn).await?.is_some_and(|now| now.position != before.position))
}

/// Follows the rows until it is time to take over.
pub(super) async fn stand_by(
    store: &dyn EventStore,
    database: &PgConnectOptions,
    pool: &PgPool,
    follower: &mut Follower,
) -> Result<(), ProjectionError> {
    let told = Heard::default();
    tokio::select! {
        () = listen_for_ever(database, &told) => Ok(()),
        still = until_still(store, pool, follower, &told) => still,
    }
}

async fn until_still(
    store: &dyn EventStore,
    pool: &PgPool,
    follower: &mut Follower,
    told: &Heard,
) -> Result<(), ProjectionError> {
    let patience = TAKEOVER_AFTER.mul_f64(1.0 + rand::random::<f64>() / 2.0);
    let mut seen = None;
    let mut still_since = Instant::now();
    loop {
        // Without one there is nobody to overtake.
        let Some(shown) = follower.look(pool).await? else { return Ok(()) };
        let now = Some((shown.position, shown.epoch));
        let lag = store.head().await?.position.0 - shown.position.0;
        gauge!("waybill_projection_lag_events").set(lag.max(0) as f64);
        let behind = lag > 0;
        if told.of_a_stop() {
            return Ok(());
        }
        if !behind || seen != now {
            seen = now;
            still_since = Instant::now();
        } else if still_since.elapsed() > patience {
            return Ok(());
        }
        follower.wait(told).await;
    }
}
