//! Orders: one request a line, many under way, each carrying a key made from the line itself.
use super::{
    input::{Input, Line, short_hex},
    report::{Rejected, Rejects, Report},
};
use crate::cli::client::{Client, Problem};
use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a request itself waits for its order's end; what takes longer is asked after at the end.
const WAIT_SECONDS: u32 = 20;
/// How long orders that are still under way are waited for without any of them ending.
const PATIENCE: Duration = Duration::from_secs(600);
const READ_AHEAD: usize = 1024;

enum Answer {
    Accepted { before: bool, order: Order },
    Rejected { status: u16, problem: Problem },
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Order {
    order_id: String,
    status: String,
    status_reason: Option<String>,
}

impl Order {
    fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "COMPLETED" | "CANCELLED")
    }
}

pub(super) async fn place(
    client: &Client,
    input: Input,
    concurrency: usize,
    wait: bool,
    bar: &ProgressBar,
    report: &mut Report,
    rejects: &mut Rejects,
) -> Result<()> {
    let (lines, received) = mpsc::channel(READ_AHEAD);
    let read = input.lines(bar)?;
    let reading = tokio::task::spawn_blocking(move || {
        for line in read {
            // A closed channel: the import has ended early.
            if lines.blocking_send(line?).is_err() {
                break;
            }
        }
        anyhow::Ok(())
    });
    let received =
        stream::unfold(received, |mut received| async { received.recv().await.map(|line| (line, received)) });
    let mut answers = std::pin::pin!(
        received.map(|line| async { (place_one(client, &line, wait).await, line) }).buffer_unordered(concurrency)
    );
    let mut under_way = Vec::new();
    while let Some((answer, line)) = answers.next().await {
        match answer.with_context(|| format!("line {}", line.number))? {
            Answer::Accepted { before, order } => {
                *if before { &mut report.accepted_before } else { &mut report.accepted } += 1;
                if wait {
                    if order.has_ended() { ended(report, &order) } else { under_way.push(order) }
                }
            }
            Answer::Rejected { status, problem } => {
                report.reject(&problem);
                rejects.write(&Rejected {
                    line: line.number,
                    status,
                    code: &problem.code,
                    detail: &problem.detail,
                    errors: &problem.errors,
                    text: &String::from_utf8_lossy(&line.bytes),
                })?;
            }
        }
        bar.set_message(format!("{} orders", report.answered()));
    }
    reading.await.context("reading stopped")??;
    wait_for_all(client, under_way, concurrency, bar, report).await
}

async fn place_one(client: &Client, line: &Line, wait: bool) -> Result<Answer> {
    let key = format!("import-{}", short_hex(&Sha256::digest(&line.bytes)));
    let response = client
        .send(|client| {
            let request = client
                .request(Method::POST, "/v1/orders")
                .header("idempotency-key", &key)
                .header("waybill-source", "import")
                .header("content-type", "application/json")
                .body(line.bytes.clone());
            if wait { request.header("prefer", format!("wait={WAIT_SECONDS}")) } else { request }
        })
        .await?;
    let status = response.status;
    if status.is_success() {
        return Ok(Answer::Accepted { before: response.is_replay(), order: response.json()? });
    }
    let problem = response.problem();
    match status {
        // The same order under another key: it was placed before.
        StatusCode::CONFLICT if problem.code == "order_ref_taken" && problem.same_body => {
            let order_id = problem.order_id.context("order_ref_taken names no order")?;
            let status = if wait { get(client, &order_id, 0).await? } else { Order::default() };
            Ok(Answer::Accepted { before: true, order: Order { order_id, ..status } })
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => bail!("the key is refused: {status}"),
        status if status.is_client_error() => Ok(Answer::Rejected { status: status.as_u16(), problem }),
        status => bail!("the server answers {status}: {}", problem.detail),
    }
}

async fn get(client: &Client, order_id: &str, wait: u32) -> Result<Order> {
    let path = format!("/v1/orders/{order_id}?wait={wait}");
    let response = client.send(|client| client.request(Method::GET, &path)).await?;
    if !response.status.is_success() {
        bail!("order {order_id} can't be read: {} {}", response.status, response.problem().detail);
    }
    response.json()
}

/// Asks after what had not ended, until all have or none has for a long time.
async fn wait_for_all(
    client: &Client,
    mut under_way: Vec<Order>,
    concurrency: usize,
    bar: &ProgressBar,
    report: &mut Report,
) -> Result<()> {
    let mut last_end = Instant::now();
    while !under_way.is_empty() && last_end.elapsed() < PATIENCE {
        let asked = stream::iter(
            under_way.drain(..).map(|order| async move { get(client, &order.order_id, WAIT_SECONDS).await }),
        );
        let answers: Vec<_> = asked.buffer_unordered(concurrency).collect().await;
        for order in answers {
            let order = order?;
            // A paused saga waits for a person, not for us.
            if order.has_ended() {
                last_end = Instant::now();
                ended(report, &order);
            } else if order.status == "SHIPPED" && order.status_reason.is_some() {
                *report.under_way.entry(state(&order)).or_default() += 1;
            } else {
                under_way.push(order);
            }
        }
        bar.set_message(format!("{} orders under way", under_way.len()));
    }
    for order in &under_way {
        *report.under_way.entry(state(order)).or_default() += 1;
    }
    Ok(())
}

fn state(order: &Order) -> String {
    match &order.status_reason {
        Some(reason) => format!("{} {reason}", order.status),
        None => order.status.clone(),
    }
}

fn ended(report: &mut Report, order: &Order) {
    match order.status.as_str() {
        "COMPLETED" => report.completed += 1,
        _ => *report.cancelled.entry(order.status_reason.clone().unwrap_or_default()).or_default() += 1,
    }
}
