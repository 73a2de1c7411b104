//! Shops at the API: their requests and the answers, over connections that are kept.
use super::orders::{Ended, Order};
use crate::cli::client::Client;
use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpStream;

/// More than all orders of a run want of one SKU.
const GOODS: u64 = 100_000_000;
/// Lines of one receipt, at most.
const RECEIPT_LINES: usize = 500;
/// Longer than anything takes that is worth measuring.
const WAIT_SECONDS: u32 = 60;

/// One shop, and the key that it places orders with.
#[derive(Clone, Debug)]
pub(super) struct Shop {
    pub(super) id: String,
    pub(super) key: String,
}

/// Where they are, and who asks.
#[derive(Debug)]
pub(super) struct Shops {
    pub(super) address: String,
    /// The warehouse's key, good for all of them.
    pub(super) warehouse: String,
    pub(super) all: Vec<Shop>,
}

impl Shops {
    fn client(&self) -> Result<Client> {
        Client::new(format!("http://{}", self.address), self.warehouse.clone())
    }

    /// The location of each does its work by itself.
    pub(super) async fn ship_by_themselves(&self) -> Result<()> {
        let client = self.client()?;
        for shop in &self.all {
            sent(&client, Method::PUT, "/v1/locations/main", &shop.id, "main", &json!({"mode": "AUTO"})).await?;
        }
        Ok(())
    }

    /// Goods come in at each, of so many SKUs.
    pub(super) async fn receive(&self, skus: usize) -> Result<()> {
        let client = self.client()?;
        let numbers: Vec<usize> = (0..skus).collect();
        for shop in &self.all {
            for (part, numbers) in numbers.chunks(RECEIPT_LINES).enumerate() {
                let reference = format!("bench-{part}");
                let lines: Vec<_> = numbers.iter().map(|n| json!({"sku": sku(*n), "quantity": GOODS})).collect();
                let body = json!({"ref": reference, "location": "main", "lines": lines});
                sent(&client, Method::POST, "/v1/stock/receipts", &shop.id, &reference, &body).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn connect(self: &Arc<Self>) -> Result<Connection> {
        let stream = TcpStream::connect(&self.address).await.context("the API takes no connection")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection { shops: Arc::clone(self), sender })
    }
}

/// What the warehouse tells of a shop.
async fn sent(client: &Client, method: Method, path: &str, shop: &str, key: &str, body: &Value) -> Result<()> {
    let answer = client
        .send(|client| {
            let request = client.request(method.clone(), path).query(&[("shop", shop)]);
            request.header("idempotency-key", key).json(body)
        })
        .await?;
    ensure!(answer.status.is_success(), "{path} of shop {shop} is refused: {} {}", answer.status, answer.text());
    Ok(())
}

pub(super) fn sku(number: usize) -> String {
    format!("SKU-{number:05}")
}

/// One request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    shops: Arc<Shops>,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Places an order and waits until it has ended as it may.
    pub(super) async fn place(&mut self, order: Order) -> Result<Ended> {
        let shops = &self.shops;
        let request = Request::post("/v1/orders")
            .header("host", &shops.address)
            .header("authorization", format!("Bearer {}", shops.all[order.shop % shops.all.len()].key))
            .header("content-type", "application/json")
            .header("idempotency-key", &order.key)
            .header("prefer", format!("wait={WAIT_SECONDS}"))
            .body(Full::from(order.body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        order.must.end(status, &body).with_context(|| format!("the order {}", order.key))
    }
}
