//! The orders of a load, and how each must end.
use super::shop::sku;
use crate::cli::client::Problem;
use anyhow::{Context, Result, bail, ensure};
use axum::body::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use std::sync::Arc;

pub(super) const LINES: usize = 3;
/// Whose orders they are, in turn.
pub(super) const CUSTOMERS: usize = 1_000;

/// What a load places.
#[derive(Clone, Debug)]
pub(super) enum Orders {
    Made(Made),
    /// Bodies as they stand in a file. What a customer asked for may be out of stock, or no sound order.
    Read(Arc<[Bytes]>),
}

/// Orders of three lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// Of a hundred.
    pub(super) declined: u32,
    pub(super) skus: usize,
}

/// One order, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Whose it is, by number.
    pub(super) shop: usize,
    pub(super) key: String,
    pub(super) body: Bytes,
    pub(super) must: Must,
}

/// How an order may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    Complete,
    Decline,
    /// Completed, cancelled for want of goods, or refused as unsound.
    Answer,
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Completed,
    Cancelled,
    /// Never an order: nothing was stored.
    Rejected,
}

#[derive(Debug, Deserialize)]
struct Answer {
    status: String,
    status_reason: Option<String>,
}

impl Orders {
    /// The order of that number; no two loads on the same data place the same.
    pub(super) fn order(&self, number: usize) -> Order {
        let key = match self {
            Orders::Made(_) => format!("made-{number:032}"),
            Orders::Read(_) => format!("read-{number:032}"),
        };
        let (body, must) = match self {
            Orders::Made(made) => made.order(number, &key),
            Orders::Read(bodies) => (bodies[number % bodies.len()].clone(), Must::Answer),
        };
        Order { shop: number, key, body, must }
    }
}

impl Made {
    /// About 400 bytes.
    fn order(self, number: usize, reference: &str) -> (Bytes, Must) {
        let is_declined = number % 100 < self.declined as usize;
        let line = |(sku, quantity): (String, i64)| {
            let cents = 1_999 * quantity;
            format!(r#"{{"sku":"{sku}","quantity":{quantity},"line_total":"{}.{:02}"}}"#, cents / 100, cents % 100)
        };
        let lines: Vec<_> = lines(number, self.skus).map(line).collect();
        let token = if is_declined { "tok_decline" } else { "tok_ok" };
        let body = format!(
            concat!(
                r#"{{"order_ref":"{reference}","customer":{{"ref":"{customer}"}},"currency":"EUR","#,
                r#""ship_to":{{"name":"Ada","line1":"Example Street 12","postal_code":"10115","city":"Berlin","country":"DE"}},"#,
                r#""lines":[{lines}],"payment":{{"token":"{token}"}}}}"#
            ),
            reference = reference,
            customer = customer(number),
            lines = lines.join(","),
            token = token,
        );
        (body.into(), if is_declined { Must::Decline } else { Must::Complete })
    }
}

/// What an order wants: each SKU, and how many.
pub(super) fn lines(number: usize, skus: usize) -> impl Iterator<Item = (String, i64)> {
    (1..).zip(0..LINES).map(move |(quantity, n)| (sku((number * LINES + n) % skus), quantity))
}

pub(super) fn customer(number: usize) -> String {
    format!("customer-{:06}", number % CUSTOMERS)
}

impl Must {
    /// How it ended, if that is as it may.
    pub(super) fn end(self, status: StatusCode, body: &[u8]) -> Result<Ended> {
        if status == StatusCode::UNPROCESSABLE_ENTITY && self == Must::Answer {
            let problem: Problem = serde_json::from_slice(body)?;
            ensure!(problem.code == "invalid" && !problem.errors.is_empty(), "it is rejected for {problem:?}");
            return Ok(Ended::Rejected);
        }
        if status != StatusCode::OK {
            bail!("it is answered {status}: {}", String::from_utf8_lossy(body));
        }
        let answer: Answer = serde_json::from_slice(body).context("an answer that is not understood")?;
        match (self, answer.status.as_str(), answer.status_reason.as_deref()) {
            (Must::Complete | Must::Answer, "COMPLETED", None) => Ok(Ended::Completed),
            (Must::Decline, "CANCELLED", Some("payment_declined"))
            | (Must::Answer, "CANCELLED", Some("out_of_stock")) => Ok(Ended::Cancelled),
            (_, status, reason) => bail!("it is {status} ({reason:?}), and {self:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_three_lines_of_different_goods_and_about_400_bytes() {
        let order = Orders::Made(Made { declined: 0, skus: 3 }).order(41);
        let text: serde_json::Value = serde_json::from_slice(&order.body).unwrap();
        let skus: std::collections::BTreeSet<_> =
            text["lines"].as_array().unwrap().iter().map(|line| line["sku"].as_str().unwrap()).collect();
        assert_eq!(skus.len(), LINES);
        assert!((350..=450).contains(&order.body.len()), "{}", order.body.len());
    }

    #[test]
    fn so_many_of_a_hundred_are_declined() {
        let made = Orders::Made(Made { declined: 10, skus: 3 });
        let declined = (0..1_000).filter(|number| made.order(*number).must == Must::Decline).count();
        assert_eq!(declined, 100);
    }

    #[test]
    fn an_order_may_end_only_as_it_must() {
        let end =
            |must: Must, status: u16, body: &str| must.end(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        let completed = r#"{"status":"COMPLETED","status_reason":null}"#;
        let short = r#"{"status":"CANCELLED","status_reason":"out_of_stock"}"#;
        let declined = r#"{"status":"CANCELLED","status_reason":"payment_declined"}"#;
        let unsound =
            r#"{"code":"invalid","errors":[{"path":"/lines/0/quantity","code":"out_of_range","message":""}]}"#;
        assert_eq!(end(Must::Complete, 200, completed).unwrap(), Ended::Completed);
        assert_eq!(end(Must::Decline, 200, declined).unwrap(), Ended::Cancelled);
        assert_eq!(end(Must::Answer, 200, completed).unwrap(), Ended::Completed);
        assert_eq!(end(Must::Answer, 200, short).unwrap(), Ended::Cancelled);
        assert_eq!(end(Must::Answer, 422, unsound).unwrap(), Ended::Rejected);
        for (must, status, body) in [
            (Must::Complete, 200, short),
            (Must::Complete, 422, unsound),
            (Must::Complete, 202, completed),
            (Must::Decline, 200, completed),
            (Must::Answer, 200, declined),
            (Must::Answer, 202, r#"{"status":"PLACED","status_reason":null}"#),
            (Must::Answer, 422, r#"{"code":"idempotency_key_reused"}"#),
        ] {
            assert!(end(must, status, body).is_err(), "{must:?} {status} {body}");
        }
    }
}
