//! A shop at the API: its requests and answers, over connections that are kept.
use crate::cli::client::{Client, DevKeys};
use anyhow::{Context, Result, bail, ensure};
use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpStream;

pub(super) const LINES: usize = 3;
/// Whose orders they are, in turn.
const CUSTOMERS: usize = 1_000;
/// More than all orders of a run want of one SKU.
const GOODS: u64 = 100_000_000;
/// Lines of one receipt, at most.
const RECEIPT_LINES: usize = 500;
/// Longer than anything takes that is worth measuring.
const WAIT_SECONDS: u32 = 60;

/// Where it is, and who asks.
#[derive(Clone, Debug)]
pub(super) struct Shop {
    address: String,
    keys: DevKeys,
    /// So that no two runs place the same order.
    run: String,
}

/// One order, before it is text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) number: usize,
    pub(super) declined: bool,
    pub(super) skus: usize,
}

impl Shop {
    pub(super) fn new(address: String, keys: DevKeys) -> Shop {
        Shop { address, keys, run: uuid::Uuid::now_v7().simple().to_string() }
    }

    /// Goods come in, of so many SKUs.
    pub(super) async fn receive(&self, skus: usize) -> Result<()> {
        let client = Client::new(format!("http://{}", self.address), self.keys.warehouse.clone())?;
        let numbers: Vec<usize> = (0..skus).collect();
        for (part, numbers) in numbers.chunks(RECEIPT_LINES).enumerate() {
            let reference = format!("bench-{}-{part}", self.run);
            let lines: Vec<_> = numbers.iter().map(|n| json!({"sku": sku(*n), "quantity": GOODS})).collect();
            let body = json!({"ref": reference, "location": "main", "lines": lines});
            let answer = client
                .send(|client| {
                    let request = client.request(Method::POST, "/v1/stock/receipts");
                    request.header("idempotency-key", &reference).json(&body)
                })
                .await?;
            ensure!(answer.status.is_success(), "goods are refused: {} {}", answer.status, answer.text());
        }
        Ok(())
    }

    pub(super) async fn connect(self: &Arc<Self>) -> Result<Connection> {
        let stream = TcpStream::connect(&self.address).await.context("the API takes no connection")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection { shop: Arc::clone(self), sender })
    }
}

/// One request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    shop: Arc<Shop>,
    sender: SendRequest<Full<Bytes>>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    status: String,
    status_reason: Option<String>,
}

impl Connection {
    /// Places an order and waits until it has ended as it must.
    pub(super) async fn place(&mut self, order: Order) -> Result<()> {
        let reference = format!("{}-{}", self.shop.run, order.number);
        let request = Request::post("/v1/orders")
            .header("host", &self.shop.address)
            .header("authorization", format!("Bearer {}", self.shop.keys.shop))
            .header("content-type", "application/json")
            .header("idempotency-key", &reference)
            .header("prefer", format!("wait={WAIT_SECONDS}"))
            .body(Full::from(body(order, &reference)))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            bail!("an order is answered {status}: {}", String::from_utf8_lossy(&body));
        }
        let answer: Answer = serde_json::from_slice(&body)?;
        let expected = match order.declined {
            false => ("COMPLETED", None),
            true => ("CANCELLED", Some("payment_declined")),
        };
        let is = (answer.status.as_str(), answer.status_reason.as_deref());
        ensure!(is == expected, "order {reference} ended as {is:?}, not {expected:?}");
        Ok(())
    }
}

fn sku(number: usize) -> String {
    format!("SKU-{number:05}")
}

/// About 400 bytes.
fn body(order: Order, reference: &str) -> String {
    let Order { number, declined, skus } = order;
    let line = |n: usize| {
        let (sku, quantity) = (sku((number * LINES + n) % skus), n + 1);
        let cents = 1_999 * quantity;
        format!(r#"{{"sku":"{sku}","quantity":{quantity},"line_total":"{}.{:02}"}}"#, cents / 100, cents % 100)
    };
    let lines: Vec<_> = (0..LINES).map(line).collect();
    let token = if declined { "tok_decline" } else { "tok_ok" };
    format!(
        concat!(
            r#"{{"order_ref":"{reference}","customer":{{"ref":"customer-{customer:06}"}},"currency":"EUR","#,
            r#""ship_to":{{"name":"Ada","line1":"Example Street 12","postal_code":"10115","city":"Berlin","country":"DE"}},"#,
            r#""lines":[{lines}],"payment":{{"token":"{token}"}}}}"#
        ),
        reference = reference,
        customer = number % CUSTOMERS,
        lines = lines.join(","),
        token = token,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_three_lines_of_different_goods_and_about_400_bytes() {
        let text = body(Order { number: 41, declined: false, skus: 3 }, "019b0000000000000000000000000000-41");
        let order: serde_json::Value = serde_json::from_str(&text).unwrap();
        let skus: std::collections::BTreeSet<_> =
            order["lines"].as_array().unwrap().iter().map(|line| line["sku"].as_str().unwrap()).collect();
        assert_eq!(skus.len(), LINES);
        assert!((350..=450).contains(&text.len()), "{}", text.len());
    }
}
