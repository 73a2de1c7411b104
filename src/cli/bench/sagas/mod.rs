//! `waybill bench waiting` and `waybill bench timers`: sagas by the thousand that wait, and that are due, on a real store, with the providers'
//! simulators in this process.
mod lateness;
mod orders;
pub(super) mod timers;
pub(super) mod waiting;

use super::load::open;
use anyhow::{Context, Result};
use async_trait::async_trait;
use domain::{LocationCode, OrderId, location::LocationMode, order::OrderPlaced};
use eventstore::{EventStore, PgEventStore, SlotOwner, sql::bench::Scratch};
use sagas::participants::{
    DEFAULT_TIME_LIMIT,
    payment::{InProcessPayment, PaymentSimulator},
    shipping::{InProcessShipping, ShippingSimulator},
};
use sagas::{
    Deps, LocationError, Locations, Runner, RunnerConfig, RunnerHandle, RunnerStatus, SecretError, Secrets, ShipTo,
    SystemClock,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Whatever is waited for comes within this time, or the benchmark gives up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A runner, and its end.
struct Running {
    runner: RunnerHandle,
    stop: CancellationToken,
}

impl Running {
    /// As a process that was just started: its store is opened anew.
    async fn start(scratch: &Scratch) -> Result<Running> {
        let store = open(scratch).await?;
        Ok(Running::on(store))
    }

    fn on(store: Arc<PgEventStore>) -> Running {
        let deps = Deps {
            store,
            payment: Arc::new(InProcessPayment::new(PaymentSimulator::volatile(None), DEFAULT_TIME_LIMIT)),
            shipping: Arc::new(InProcessShipping::new(ShippingSimulator::volatile(None), DEFAULT_TIME_LIMIT)),
            secrets: Arc::new(Known),
            locations: Arc::new(Auto),
            clock: Arc::new(SystemClock),
        };
        let name = "bench".to_owned();
        let owner = SlotOwner { id: Uuid::now_v7(), name, app_version: env!("CARGO_PKG_VERSION").into() };
        let stop = CancellationToken::new();
        Running { runner: Runner::spawn(RunnerConfig::new(owner), deps, &stop), stop }
    }

    /// Looks until it is so.
    async fn until(&self, what: &str, is_so: impl Fn(&RunnerStatus) -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_so(&self.runner.status()) {
            let status = self.runner.status();
            anyhow::ensure!(began.elapsed() < GIVE_UP_AFTER, "{what}: not after {GIVE_UP_AFTER:?}: {status:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        let stopped = tokio::time::timeout(GIVE_UP_AFTER, self.runner.finished());
        stopped.await.context("the runner doesn't stop")
    }
}

/// Every order is paid with a token that is good, and goes somewhere.
#[derive(Debug)]
struct Known;

#[async_trait]
impl Secrets for Known {
    async fn payment_token(&self, _: OrderId, _: &str, _: &OrderPlaced) -> Result<String, SecretError> {
        Ok("tok_ok".to_owned())
    }

    async fn ship_to(&self, _: OrderId, _: &str, _: &OrderPlaced) -> Result<ShipTo, SecretError> {
        Ok(ShipTo { country: "US".to_owned(), postal_code: None })
    }
}

#[derive(Debug)]
struct Auto;

#[async_trait]
impl Locations for Auto {
    async fn mode(&self, _: &str, _: &LocationCode) -> Result<LocationMode, LocationError> {
        Ok(LocationMode::Auto)
    }
}

/// So that the compiler holds us to it.
fn as_store(store: &Arc<PgEventStore>) -> Arc<dyn EventStore> {
    store.clone()
}
