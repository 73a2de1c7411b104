//! The PostgreSQL that a benchmark runs on: the one given, or one of its own in `DATA_DIR/bench`, which is removed afterwards.
use crate::{
    config::Settings,
    embedded::{Launcher, data_dir::DataDir, postgres::Postgres},
};
use anyhow::{Context, Result};

/// Beside the state of `waybill up`, on the same disk.
const FOLDER: &str = "bench";

pub(super) enum Server {
    Given(String),
    Started { postgres: Postgres, data_dir: DataDir },
}

impl Server {
    pub(super) async fn start(settings: &Settings) -> Result<Server> {
        if let Some(url) = &settings.database_url {
            say!("# on the server that DATABASE_URL names, in databases of the benchmark's own");
            return Ok(Server::Given(url.clone()));
        }
        let data_dir = DataDir::open(settings.data_dir.join(FOLDER))?;
        let exe = std::env::current_exe().context("the running program can't be found")?;
        let postgres = Postgres::start(&data_dir, &Launcher::new(exe, &data_dir)).await?;
        say!("# on a PostgreSQL started for this, with the settings of `waybill up`");
        Ok(Server::Started { postgres, data_dir })
    }

    pub(super) fn url(&self) -> &str {
        match self {
            Server::Given(url) => url,
            Server::Started { postgres, .. } => postgres.url(),
        }
    }

    pub(super) async fn stop(self) {
        let Server::Started { postgres, data_dir } = self else { return };
        postgres.stop().await;
        let path = data_dir.path().to_owned();
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(%error, path = %path.display(), "the benchmark's data can't be removed");
        }
    }
}
