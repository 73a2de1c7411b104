//! A PostgreSQL for tests: private, temporary, gone with the test process, however that ends.
//!
//! `WAYBILL_TEST_DATABASE_URL` names a server to use instead (its user must be allowed to create databases, which are left there). Each test gets a fresh
//! database with all migrations, copied from a template. A test that stops its server or fills its disk has one of its own: `PrivatePostgres`.
mod disk;
mod port;
mod private;
mod proxy;
mod server;

pub use disk::SmallDisk;
pub use port::free_port;
pub use private::{PrivatePostgres, Stop};
pub use proxy::{Proxy, Wire};

use crate::sql;
use server::Server;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use uuid::Uuid;

const SETTING: &str = "WAYBILL_TEST_DATABASE_URL";

/// The server that all tests of a process share.
#[derive(Debug)]
pub struct TestPostgres {
    url: String,
    /// Several test processes may share one server.
    template: String,
    made: AtomicU32,
    /// Stops when this process is gone.
    _server: Option<Server>,
}

/// A database of one test.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    url: String,
}

impl TestPostgres {
    /// Starts it at the first call.
    ///
    /// # Panics
    /// When there is no server to be had: a test can't go on without.
    pub async fn shared() -> &'static TestPostgres {
        static SHARED: OnceCell<TestPostgres> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                match TestPostgres::start().await {
                    Ok(started) => started,
                    Err(why) => panic!("no PostgreSQL for tests: {why}"),
                }
            })
            .await
    }

    async fn start() -> Result<TestPostgres, String> {
        let (url, server) = match std::env::var(SETTING) {
            Ok(url) if !url.is_empty() => (url, None),
            _ => {
                let server = tokio::task::spawn_blocking(|| Server::start(None)).await.map_err(|e| e.to_string())??;
                (server.url(), Some(server))
            }
        };
        let template = format!("waybill_test_{}", Uuid::now_v7().simple());
        let started = TestPostgres { url, template, made: AtomicU32::new(0), _server: server };
        started.make_template().await.map_err(|e| e.to_string())?;
        Ok(started)
    }

    async fn make_template(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let template = &self.template;
        let mut admin = PgConnection::connect(&self.url).await?;
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {template}"))).await?;
        admin.close().await?;
        let pool = PgPoolOptions::new().max_connections(1).connect_with(self.options(template)?).await?;
        sql::migrate(&pool).await?;
        pool.close().await;
        Ok(())
    }

    fn options(&self, database: &str) -> Result<PgConnectOptions, sqlx::Error> {
        Ok(self.url.parse::<PgConnectOptions>()?.database(database))
    }

    /// A fresh database with all migrations.
    ///
    /// # Panics
    /// When it can't be made.
    pub async fn database(&self) -> TestDatabase {
        match self.make_database().await {
            Ok(database) => database,
            Err(why) => panic!("no database for this test: {why}"),
        }
    }

    async fn make_database(&self) -> Result<TestDatabase, sqlx::Error> {
        let name = format!("{}_{}", self.template, self.made.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect(&self.url).await?;
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {}", self.template))).await?;
        admin.close().await?;
        let url = match self.url.rsplit_once('/') {
            Some((server, rest)) => {
                let parameters = rest.split_once('?').map(|(_, parameters)| format!("?{parameters}"));
                format!("{server}/{name}{}", parameters.unwrap_or_default())
            }
            None => return Err(sqlx::Error::Configuration(format!("{} names no database", self.url).into())),
        };
        Ok(TestDatabase { url })
    }
}

impl TestDatabase {
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A pool of its own for the caller's runtime.
    ///
    /// # Panics
    /// When the server is not there.
    pub async fn pool(&self) -> PgPool {
        self.pool_of(10, PgPoolOptions::new().get_acquire_timeout()).await
    }

    /// A pool of so many connections, for one of which a caller waits for so long.
    ///
    /// # Panics
    /// When the server is not there.
    pub async fn pool_of(&self, connections: u32, acquire_timeout: Duration) -> PgPool {
        let options = PgPoolOptions::new().max_connections(connections).acquire_timeout(acquire_timeout);
        match options.connect(&self.url).await {
            Ok(pool) => pool,
            Err(why) => panic!("can't connect to {}: {why}", self.url),
        }
    }
}

/// Indexes of these schemas that serve no uniqueness and that no session has read since the statistics were reset. What a session has
/// counted is told at its end: close those that read before, and this waits a while for the news.
///
/// # Panics
/// When the server is not there.
pub async fn unread_indexes(pool: &PgPool, schemas: &[&str]) -> Vec<String> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(50);
    let unread = "SELECT indexrelname::text FROM pg_stat_user_indexes JOIN pg_index USING (indexrelid)
                   WHERE schemaname = ANY ($1) AND NOT indisunique AND idx_scan = 0 ORDER BY 1";
    let mut names: Vec<String> = Vec::new();
    for _ in 0..TRIES {
        names = match sqlx::query_scalar(unread).bind(schemas).fetch_all(pool).await {
            Ok(names) => names,
            Err(why) => panic!("can't read the statistics: {why}"),
        };
        if names.is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    names
}
