//! A parcel that comes back: asked for by the shop, approved by support, received and inspected by the warehouse, refunded.
use super::{shop::Order, site::Site, tell::Teller};
use crate::cli::client::Client;
use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use uuid::Uuid;

const WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// All of this order comes back.
pub(super) async fn bring_back(site: &Site, tell: &Teller, order: &Order) -> Result<()> {
    let id = &order.told.order_id;
    let asked = Site::post(&site.shop, &format!("/v1/orders/{id}/returns"), &json!({"reason": "too small"})).await?;
    let returned = asked["return_id"].as_str().context("a return without an id")?;
    Site::post(&site.support, &format!("/v1/returns/{returned}/approve"), &json!({"reason": "within 30 days"})).await?;
    tell.paragraph(&format!(
        "The customer of {} sends it back. The shop asks for a return, support approves it, and a second saga, with the id {returned}, buys \
         a label for the way back.",
        order.told.order_ref
    ));
    receive(&site.warehouse, returned).await?;
    let foretold =
        Site::post(&site.warehouse, &format!("/v1/returns/{returned}/inspect?dry_run=true"), &json!({})).await?;
    let inspected = Site::post(&site.warehouse, &format!("/v1/returns/{returned}/inspect"), &json!({})).await?;
    until_refunded(site, id).await?;
    tell.paragraph(&format!(
        "The warehouse reports that it is back and, after a look, that all of it is as good as new. A dry run had said that this \"{}\"; \
         so it was done: {} USD were given back.",
        foretold["would"].as_str().unwrap_or_default(),
        inspected["refund"].as_str().unwrap_or("0.00"),
    ));
    Ok(())
}

/// It can't be back before its label is bought, which takes a moment.
async fn receive(warehouse: &Client, returned: &str) -> Result<()> {
    let (path, since) = (format!("/v1/returns/{returned}/receive"), Instant::now());
    loop {
        let key = format!("demo-{}", Uuid::now_v7().simple());
        let build =
            |client: &Client| client.request(Method::POST, &path).header("idempotency-key", &key).json(&json!({}));
        let answer = warehouse.send(build).await?;
        match answer.status {
            status if status.is_success() => return Ok(()),
            StatusCode::CONFLICT if since.elapsed() < WITHIN => sleep(LOOK).await,
            status => bail!("{path} is answered {status}: {}", answer.problem().detail),
        }
    }
}

async fn until_refunded(site: &Site, order: &str) -> Result<()> {
    const QUERY: &str = "query($id: ID!) { order(id: $id) { payment { refunded captured } } }";
    let since = Instant::now();
    while since.elapsed() < WITHIN {
        let payment: Value = site.support.graphql(QUERY, json!({"id": order}), "/order/payment").await?.data;
        // All that was taken has been given back.
        if payment["captured"].is_string() && payment["refunded"] == payment["captured"] {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    bail!("the refund of {order} does not come; see `waybill trace {order}`")
}
