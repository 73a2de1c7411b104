//! The connection that appends: opened when needed, remembered so that its end can be made sure of.
use super::versions::Versions;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Error, PgConnection, PgPool};
use std::sync::Arc;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server process may take to end once told to.
const TERMINATE_MS: i64 = 5_000;

/// A server process: its id alone could be used again.
#[derive(Clone, Copy, Debug)]
struct Backend {
    pid: i32,
    started: DateTime<Utc>,
}

#[derive(Debug)]
pub(super) struct AppendConnection {
    options: Arc<PgConnectOptions>,
    open: Option<Open>,
    backend: Option<Backend>,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: PgConnection,
    /// What it knows.
    pub(super) versions: Versions,
}

impl Open {
    fn new(connection: PgConnection) -> Open {
        Open { connection, versions: Versions::new() }
    }
}

impl AppendConnection {
    pub(super) fn new(pool: &PgPool) -> AppendConnection {
        AppendConnection { options: pool.connect_options(), open: None, backend: None }
    }

    /// The open connection, or a new one.
    pub(super) async fn get(&mut self) -> Result<&mut Open, Error> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let (connection, backend) = open(&self.options).await?;
                self.backend = Some(backend);
                Open::new(connection)
            }
        };
        Ok(self.open.insert(open))
    }

    /// Lets go of a connection that is broken. Its server process may still be at work: see `bury`.
    pub(super) fn drop_broken(&mut self) {
        self.open = None;
    }

    /// Ends the lost connection's server process and sees it gone: what it hasn't committed by now it never will.
    pub(super) async fn bury(&mut self) -> Result<&mut PgConnection, Error> {
        let lost = self.backend;
        self.open = None;
        let (mut connection, backend) = open(&self.options).await?;
        if let Some(Backend { pid, started }) = lost {
            let gone = sqlx::query_scalar!(
                r#"SELECT bool_and(pg_terminate_backend(pid, $3)) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"#,
                pid,
                started,
                TERMINATE_MS,
            )
            .fetch_one(&mut connection)
            .await?;
            if gone == Some(false) {
                return Err(Error::Protocol("the server process of the lost connection doesn't end".into()));
            }
        }
        self.backend = Some(backend);
        Ok(&mut self.open.insert(Open::new(connection)).connection)
    }
}

async fn open(options: &PgConnectOptions) -> Result<(PgConnection, Backend), Error> {
    let late = |_| Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "connecting took too long"));
    tokio::time::timeout(CONNECT_TIMEOUT, connect(options)).await.map_err(late)?
}

/// The settings keep `append_batch` at one plan that is right at every size: look each key up in its index, without planning anew.
/// A plan made while tables are still empty would read them from end to end long after they have grown.
async fn connect(options: &PgConnectOptions) -> Result<(PgConnection, Backend), Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::raw_sql(
        "SET default_transaction_isolation = 'read committed';
         SET plan_cache_mode = force_generic_plan;
         SET jit = off;
         SET enable_seqscan = off;
         SET enable_bitmapscan = off;
         SET enable_hashjoin = off;
         SET enable_mergejoin = off;",
    )
    .execute(&mut connection)
    .await?;
    let backend = sqlx::query_as!(
        Backend,
        r#"SELECT pid AS "pid!", backend_start AS "started!" FROM pg_stat_activity WHERE pid = pg_backend_pid()"#
    )
    .fetch_one(&mut connection)
    .await?;
    Ok((connection, backend))
}
