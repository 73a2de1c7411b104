//! A PostgreSQL of one test's own, which it may stop, kill, start again, and whose disk it may fill.
use super::TestDatabase;
use super::disk::SmallDisk;
use super::server::Server;
use crate::sql;
use sqlx::postgres::PgPoolOptions;
use std::sync::Arc;

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It turns its clients out, and writes down what there is.
    Fast,
    /// As if it had crashed: what was under way is undone at the next start.
    Immediate,
    /// `kill -9`.
    Kill,
}

#[derive(Debug)]
pub struct PrivatePostgres {
    server: Arc<Server>,
}

impl PrivatePostgres {
    /// # Errors
    /// When this machine has no server, or, for a small disk, none that can be mounted.
    pub async fn start(small: Option<SmallDisk>) -> Result<PrivatePostgres, String> {
        let server = tokio::task::spawn_blocking(move || Server::start(small)).await.map_err(|e| e.to_string())??;
        Ok(PrivatePostgres { server: Arc::new(server) })
    }

    /// Its one database, with all migrations.
    ///
    /// # Panics
    /// When it can't be made.
    pub async fn database(&self) -> TestDatabase {
        let url = self.server.url();
        let migrated = async {
            let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.map_err(|e| e.to_string())?;
            sql::migrate(&pool).await.map_err(|e| e.to_string())?;
            pool.close().await;
            Ok::<_, String>(())
        };
        match migrated.await {
            Ok(()) => TestDatabase { url },
            Err(why) => panic!("no database for this test: {why}"),
        }
    }

    /// Answers when it has ended.
    pub async fn stop(&self, how: Stop) {
        self.tell(match how {
            Stop::Fast => "stop INT",
            Stop::Immediate => "stop QUIT",
            Stop::Kill => "stop KILL",
        })
        .await;
    }

    /// Starts it, if it does not run, and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn up(&self) {
        let server = Arc::clone(&self.server);
        let up = tokio::task::spawn_blocking(move || server.up()).await;
        if let Err(why) = up.unwrap_or_else(|why| Err(why.to_string())) {
            panic!("{why}");
        }
    }

    /// Takes all the room that is left on its small disk.
    pub async fn fill_disk(&self) {
        self.tell("fill").await;
    }

    /// Gives it back.
    pub async fn free_disk(&self) {
        self.tell("free").await;
    }

    pub fn log(&self) -> String {
        self.server.log()
    }

    async fn tell(&self, command: &'static str) {
        let server = Arc::clone(&self.server);
        let told = tokio::task::spawn_blocking(move || server.tell(command)).await;
        if let Err(why) = told.unwrap_or_else(|why| Err(why.to_string())) {
            panic!("{command}: {why}");
        }
    }
}
