//! Where the demo plays: a running server with keys for every role, and its simulators.
use super::provider::Provider;
use crate::{
    bootstrap::DEV_SHOP,
    cli::client::{Client, DevKeys},
    config::Settings,
    embedded::data_dir,
};
use anyhow::{Context, Result, bail};
use domain::location;
use reqwest::{Method, StatusCode};
use sagas::participants::Mode;
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

const DEFAULT_DATA_DIR: &str = "./.waybill";

#[derive(Debug)]
pub(super) struct Site {
    pub(super) shop: Client,
    pub(super) warehouse: Client,
    pub(super) support: Client,
    pub(super) operator: Client,
    pub(super) payment: Provider,
    pub(super) shipping: Provider,
    /// What a command needs besides, to reach the same server.
    data_dir: String,
}

impl Site {
    pub(super) async fn open(settings: &Settings) -> Result<Site> {
        let folder = settings.data_dir.display();
        let hint = || format!("no `waybill up` runs on {folder}: start one in another terminal, and the demo again");
        let run = data_dir::read_run_json(&settings.data_dir)?.with_context(hint)?;
        let base = run.http.with_context(hint)?;
        let keys = DevKeys::read(settings).context("the demo needs the keys of dev-keys.json")?;
        let shop = Client::new(base, keys.shop)?;
        let probe = shop.send_once(shop.request(Method::GET, "/v1/orders?ref=demo")).await.with_context(hint)?;
        if matches!(probe.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            bail!("{} refuses the keys of dev-keys.json", shop.base());
        }
        let site = Site {
            warehouse: shop.with_key(keys.warehouse),
            support: shop.with_key(keys.support),
            operator: shop.with_key(keys.operator),
            payment: Provider::open("payment", run.payment).await?,
            shipping: Provider::open("shipping", run.shipping).await?,
            data_dir: match settings.data_dir == Path::new(DEFAULT_DATA_DIR) {
                true => String::new(),
                false => format!(" --data-dir {folder}"),
            },
            shop,
        };
        // As a demo that was killed may have left them.
        site.mend().await?;
        Ok(site)
    }

    /// Both simulators behave as they should.
    pub(super) async fn mend(&self) -> Result<()> {
        let (payment, shipping) = tokio::join!(self.payment.set(Mode::Ok), self.shipping.set(Mode::Ok));
        payment.and(shipping)
    }

    /// A command to type.
    pub(super) fn command(&self, command: &str) -> String {
        format!("waybill {command}{}", self.data_dir)
    }

    /// Asks once, under a key of its own, until there is an answer.
    pub(super) async fn post(client: &Client, path: &str, body: &Value) -> Result<Value> {
        let key = format!("demo-{}", Uuid::now_v7().simple());
        let build = |client: &Client| client.request(Method::POST, path).header("idempotency-key", &key).json(body);
        let answer = client.send(build).await?;
        if !answer.status.is_success() {
            bail!("{path} is answered {}: {}", answer.status, answer.problem().detail);
        }
        answer.json()
    }

    pub(super) async fn receive_goods(&self, run: &str, skus: &[&str], quantity: u32) -> Result<()> {
        let lines: Vec<_> = skus.iter().map(|sku| json!({"sku": sku, "quantity": quantity})).collect();
        let body = json!({"ref": format!("demo-{run}"), "location": location::MAIN, "lines": lines});
        Site::post(&self.warehouse, &format!("/v1/stock/receipts?shop={DEV_SHOP}"), &body).await.map(drop)
    }

    /// The breaker before the payment provider, as far as the server drives sagas: open, or tried.
    pub(super) async fn breaker_is_open(&self) -> bool {
        const METRIC: &str = "waybill_participant_breaker{participant=\"payment\"} ";
        let answer = self.shop.send_once(self.shop.request(Method::GET, "/metrics")).await;
        let text = answer.map(|answer| answer.text()).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix(METRIC).is_some_and(|value| value.trim() != "0"))
    }
}
