//! The connections of whoever reads or writes the tables of the projections.
use super::runner::SCHEMA;
use eventstore::sql::pool_options;
use sqlx::{PgPool, postgres::PgConnectOptions};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One connection that finds its tables in `schema`.
///
/// It commits without waiting for the disk: rows and checkpoint go back together if the server crashes, and the events come again.
/// The settings keep each statement at one plan that is right at every size: look each key up in its index.
pub(super) fn pool(options: &PgConnectOptions, schema: &str) -> PgPool {
    one_connection(settings(options, schema))
}

/// As `pool`, on the live tables, for whoever writes them. It must not stand in the way of others when its process is frozen or its machine gone:
/// the server ends a transaction in which nothing is asked for some seconds, and a connection to nobody.
pub(super) fn live_pool(options: &PgConnectOptions) -> PgPool {
    one_connection(settings(options, SCHEMA).options([
        ("idle_in_transaction_session_timeout", "3s"),
        ("lock_timeout", "5s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "10s"),
    ]))
}

pub(super) fn settings(options: &PgConnectOptions, schema: &str) -> PgConnectOptions {
    options.clone().options([
        ("search_path", schema),
        ("synchronous_commit", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("jit", "off"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ])
}

fn one_connection(options: PgConnectOptions) -> PgPool {
    pool_options().max_connections(1).acquire_timeout(CONNECT_TIMEOUT).connect_lazy_with(options)
}
