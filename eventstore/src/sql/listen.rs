//! Follows the head: other processes tell of their appends through `NOTIFY`.
//!
//! The database tells of our own as well, often before it has answered the append itself. Readers woken by that would not find the events in memory
//! yet: so what is being committed here is waited for.
use super::read;
use crate::recent::Recent;
use crate::store::raise;
use crate::{Log, Position};
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Error, PgPool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const CHANNEL: &str = "waybill";
const PAUSE: Duration = Duration::from_secs(1);

/// Moves `head` for ever. Each time the connection is new the head is read, since what was said meanwhile is lost.
pub(super) async fn follow(pool: PgPool, log: Log, head: watch::Sender<Position>, recent: Arc<Recent>) {
    loop {
        if let Err(error) = listen(&pool, log, &head, &recent).await {
            tracing::debug!(error = %error, "the connection that listens for appends is down");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(pool: &PgPool, log: Log, head: &watch::Sender<Position>, recent: &Recent) -> Result<(), Error> {
    let own = PgPoolOptions::new().max_connections(1).connect_lazy_with((*pool.connect_options()).clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(CHANNEL).await?;
    match read::head(pool, log).await {
        Ok(read) => raise(head, read.position),
        Err(error) => return Err(Error::Protocol(error.to_string())),
    }
    while let Some(notification) = listener.try_recv().await? {
        let told = notification.payload().split_once(':');
        if let Some((of, position)) = told
            && of.parse() == Ok(log.0)
            && let Ok(position) = position.parse()
        {
            recent.settled().await;
            raise(head, position);
        }
    }
    Ok(())
}
