//! What has not ended, by where it stands.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Paused sagas of one step, direction and cause.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) step: String,
    pub(crate) direction: String,
    pub(crate) cause: String,
    pub(crate) count: i64,
    pub(crate) oldest_since: Option<DateTime<Utc>>,
}

/// The largest first. `shops`: as in `list`. A row of the release before says no direction until it is made anew: then it is forward.
pub(crate) async fn groups(conn: &mut PgConnection, shops: &[String], limit: i64) -> sqlx::Result<Vec<Group>> {
    sqlx::query_as!(
        Group,
        r#"
        SELECT step, COALESCE(direction, 'forward') AS "direction!", COALESCE(cause, '') AS "cause!", count(*) AS "count!",
            min(waiting_since) AS oldest_since
        FROM read.sagas WHERE state = 'PAUSED' AND shop = ALL ($1)
        GROUP BY 1, 2, 3 ORDER BY 4 DESC, 5, 1, 2, 3 LIMIT $2
        "#,
        shops,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Sagas of one step and state that wait for the same one, for the same cause.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) step: String,
    pub(crate) state: String,
    pub(crate) waiting_on: Option<String>,
    pub(crate) cause: Option<String>,
    pub(crate) count: i64,
    pub(crate) overdue: i64,
    /// Of the one that has waited longest.
    pub(crate) oldest_seconds: f64,
}

/// What has not ended; of what is at rest, from the index `sagas_under_way` alone.
pub(crate) async fn standings(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as!(
        Standing,
        r#"
        SELECT step, state, waiting_on, cause, count(*) AS "count!", count(*) FILTER (WHERE expected_by < now()) AS "overdue!",
            COALESCE(extract(epoch FROM now() - min(waiting_since)), 0)::float8 AS "oldest_seconds!"
        FROM read.sagas WHERE state NOT IN ('COMPLETED', 'COMPENSATED')
        GROUP BY step, state, waiting_on, cause ORDER BY 5 DESC LIMIT $1
        "#,
        limit
    )
    .fetch_all(conn)
    .await
}
