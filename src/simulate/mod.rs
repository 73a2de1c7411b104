//! The reference providers over HTTP: `waybill simulate payment` and `waybill simulate shipping`.
//!
//! What they decide and how they keep their ledger is in `sagas::participants`; here is only HTTP.
//!
//! | for both | |
//! |---|---|
//! | `GET /ledger?after=SEQ&limit=N` | every entry that acted, in order, as one JSON array; streamed |
//! | `POST /control` `{"mode":"ok"}` | `ok`, `down` (503, nothing acts), `slow` (waits `ms` first), `hang` (never answers, nothing acts), `hang_after_acting` (acts, never answers a key's first call) |
//! | `GET /control` | its mode, how many requests of each kind came since its start, those turned away included, and the ledger's last `seq`: `{"mode":"ok","requests":{"authorize":2,…},"last_seq":2}` |
//! | `GET /healthz` | 200 while it runs |
//! | `GET /v1/operations/{key}` | what became of a key; 404 `not_found` when nothing is known of it |
//! | `GET /v1/authorizations?reference=…`, `GET /v1/labels?reference=…` | what is held under a reference, with the keys that are still known |
//!
//! With a key lifetime a key that is older is forgotten: used again, it acts again.
//!
//! The mode applies to everything under `/v1`. Errors are `application/problem+json` with a `code`: 422 a refusal for
//! good, 409 the key is in use, 503 turned away without acting, 500 nobody knows, 400 not understood.

mod ledger;
mod payment;
mod problem;
mod requests;
mod shipping;

pub(crate) use requests::Standing;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::serve::ListenerExt;
use requests::counted;
use sagas::participants::payment::PaymentSimulator;
use sagas::participants::shipping::ShippingSimulator;
use sagas::participants::{Lasts, OpenError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Requests are small; a longer one is answered 413.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Open calls are given so long to end after a stop; those that hang are answered 500 at once.
const GRACE: Duration = Duration::from_secs(3);

/// Which provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Provider {
    /// Authorizes, captures, voids, refunds.
    Payment,
    /// Sells labels.
    Shipping,
}

impl Provider {
    pub const fn name(self) -> &'static str {
        match self {
            Provider::Payment => "payment",
            Provider::Shipping => "shipping",
        }
    }
}

/// Listens on `addr` and serves until `shutdown`.
///
/// # Errors
/// When the address is taken or the ledger can't be used.
pub async fn run(
    provider: Provider,
    addr: SocketAddr,
    ledger: &Path,
    key_lifetime: Option<Duration>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(addr).await.with_context(|| format!("can't listen on {addr}"))?;
    serve(provider, listener, ledger, key_lifetime, shutdown).await
}

/// Serves on a socket that listens already, so that the caller knows its port; returns once all is stopped. The ledger's
/// file is closed with the last connection, which is dropped a moment later at most.
///
/// # Errors
/// When the ledger can't be used.
pub async fn serve(
    provider: Provider,
    listener: TcpListener,
    ledger: &Path,
    key_lifetime: Option<Duration>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    match provider {
        Provider::Payment => {
            let simulator = open(ledger, key_lifetime, PaymentSimulator::open).await?;
            let stop = {
                let simulator = simulator.clone();
                move || simulator.stop()
            };
            let observed = simulator.clone();
            let routes =
                counted(payment::routes(simulator), payment::NAMES, move || (observed.mode(), observed.last_seq()));
            until_stopped(listener, routes, stop, shutdown).await
        }
        Provider::Shipping => {
            let simulator = open(ledger, key_lifetime, ShippingSimulator::open).await?;
            let stop = {
                let simulator = simulator.clone();
                move || simulator.stop()
            };
            let observed = simulator.clone();
            let routes =
                counted(shipping::routes(simulator), shipping::NAMES, move || (observed.mode(), observed.last_seq()));
            until_stopped(listener, routes, stop, shutdown).await
        }
    }
}

/// Reading a long ledger takes a while, so it is done off the runtime's threads.
async fn open<S: Send + 'static>(
    ledger: &Path,
    key_lifetime: Option<Duration>,
    open: fn(&Path, Option<Duration>, Lasts) -> Result<S, OpenError>,
) -> anyhow::Result<S> {
    let path: PathBuf = ledger.to_owned();
    Ok(tokio::task::spawn_blocking(move || open(&path, key_lifetime, Lasts::BeyondTheMachine)).await??)
}

async fn until_stopped(
    listener: TcpListener,
    routes: Router,
    stop: impl FnOnce(),
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let routes = routes.layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).fallback(problem::no_such_path);
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let server = axum::serve(listener, routes).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stopped = async {
        shutdown.cancelled().await;
        stop();
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server => served.context("the provider's server failed"),
        () = stopped => Ok(()),
    }
}
