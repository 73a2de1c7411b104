//! The participants' ledgers against the books: nobody was charged twice, nothing was shipped twice, nothing was left held.
//!
//! A ledger may be ahead of an order that is under way: its answer is on its way. It may never be ahead of one that has ended.
use super::books::{Books, End, Order};
use anyhow::{Context, Result};
use domain::{Amount, OrderId};
use serde::Deserialize;
use std::collections::HashMap;
use uuid::Uuid;

const PAGE: usize = 10_000;

#[derive(Debug, Deserialize)]
struct Entry {
    seq: u64,
    kind: String,
    reference: String,
    amount: Option<String>,
    currency: Option<String>,
}

/// What a ledger says of one order.
#[derive(Debug, Default)]
pub(super) struct Account {
    authorized: u32,
    captured: u32,
    voided: u32,
    refunded: u32,
    labels: u32,
    labels_voided: u32,
    captured_amount: i64,
    refunded_amount: i64,
    faults: Vec<String>,
}

/// Reads the whole ledgers of these providers.
pub(super) async fn read(urls: &[String], books: &Books) -> Result<HashMap<Uuid, Account>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut accounts: HashMap<Uuid, Account> = HashMap::new();
    for url in urls {
        let mut after = 0;
        loop {
            let page: Vec<Entry> = http
                .get(format!("{url}/ledger?after={after}&limit={PAGE}"))
                .send()
                .await
                .and_then(reqwest::Response::error_for_status)
                .with_context(|| format!("the ledger of {url} can't be read"))?
                .json()
                .await
                .with_context(|| format!("the ledger of {url} can't be read"))?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for entry in page {
                let id = entry.reference.parse::<OrderId>().map(|id| id.0).unwrap_or_default();
                let account = accounts.entry(id).or_default();
                account.take(&entry, books.orders.get(&id));
            }
        }
    }
    Ok(accounts)
}

impl Account {
    fn take(&mut self, entry: &Entry, order: Option<&Order>) {
        match entry.kind.as_str() {
            "authorize" => self.authorized += 1,
            "capture" => self.captured += 1,
            "void" => self.voided += 1,
            "refund" => self.refunded += 1,
            "label" => self.labels += 1,
            "void_label" => self.labels_voided += 1,
            kind => self.faults.push(format!("entry {} is of the unknown kind {kind}", entry.seq)),
        }
        let Some(order) = order else { return };
        let amount = entry.amount.as_deref().and_then(|amount| Amount::parse(amount, order.digits));
        if entry.kind == "refund" {
            self.refunded_amount += amount.map_or(0, |amount| amount.0);
        }
        if !matches!(entry.kind.as_str(), "authorize" | "capture") {
            return;
        }
        if amount != Some(order.total) || entry.currency.as_ref() != Some(&order.currency) {
            self.faults.push(format!(
                "entry {} ({}) is of {} {}, the order of {} {}",
                entry.seq,
                entry.kind,
                entry.amount.as_deref().unwrap_or("nothing"),
                entry.currency.as_deref().unwrap_or_default(),
                order.total.display(order.digits),
                order.currency
            ));
        }
        if entry.kind == "capture" {
            self.captured_amount += amount.map_or(0, |amount| amount.0);
        }
    }

    /// In a few words, for an order that the store doesn't have.
    pub(super) fn summary(&self) -> String {
        let counts = [
            ("authorized", self.authorized),
            ("authorizations voided", self.voided),
            ("captured", self.captured),
            ("refunded", self.refunded),
            ("labels bought", self.labels),
            ("labels voided", self.labels_voided),
        ];
        let did: Vec<_> = counts.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{what} {n}")).collect();
        did.join(", ")
    }

    fn check(&self, order: &Order) -> Vec<String> {
        let mut faults = self.faults.clone();
        let mut fault = |broken: bool, text: String| {
            if broken {
                faults.push(text);
            }
        };
        let net = |done: u32, undone: u32| i64::from(done) - i64::from(undone);
        fault(self.captured > 1, format!("the provider captured {} times", self.captured));
        fault(net(self.authorized, self.voided) > 1, format!("the provider holds {} authorizations", self.authorized));
        let pays = order.total > Amount::ZERO;
        let told = order.answered_for;
        if !told.refund && order.open_returns == 0 {
            let (refunds, amount) = (order.refunds, order.refunded.0);
            fault(self.refunded != refunds, format!("refunded {} times, by the events {refunds}", self.refunded));
            fault(self.refunded_amount != amount, "what the provider gave back is not what is recorded".into());
        }
        fault(
            self.refunded_amount > self.captured_amount && !told.capture,
            "more was given back than was taken".into(),
        );
        match order.end {
            Some(End::Completed) => {
                let (once, authorized, captured) = (u32::from(pays), self.authorized, self.captured);
                fault(
                    authorized != once && !told.authorization,
                    format!("completed, but authorized {authorized} times"),
                );
                fault(captured != once && !told.capture, format!("completed, but captured {captured} times"));
                fault(
                    self.captured_amount != order.captured.0 && !told.capture,
                    "what the provider captured is not what is recorded".into(),
                );
                fault(self.voided > 0 && !told.authorization, "completed, but voided".into());
                let labels = net(self.labels, self.labels_voided) - order.return_labels;
                let is_checked = order.auto && !told.label && !told.return_label && order.open_returns == 0;
                fault(is_checked && labels != 1, format!("completed, but {labels} labels are paid for"));
            }
            Some(End::Cancelled) => {
                fault(self.captured > 0, "cancelled, but the provider captured".into());
                let is_held = self.authorized != self.voided && !told.void && !told.authorization;
                fault(is_held, "cancelled, but the provider still holds the money".into());
                let is_paid = self.labels != self.labels_voided && !told.label;
                fault(is_paid, "cancelled, but a label is paid for".into());
            }
            None => fault(
                order.captures > self.captured && !told.capture,
                "captured by the events, but not by the provider".into(),
            ),
        }
        faults
    }
}

/// What does not agree.
pub(super) fn compare(accounts: &HashMap<Uuid, Account>, books: &Books) -> Vec<String> {
    let mut faults = Vec::new();
    let nothing = Account::default();
    for (id, order) in &books.orders {
        let account = accounts.get(id).unwrap_or(&nothing);
        faults.extend(account.check(order).into_iter().map(|fault| format!("order {}: {fault}", OrderId(*id))));
    }
    // An order placed after the head was read is no fault; one that is unknown to the ids of our own making is.
    faults.extend(accounts.get(&Uuid::nil()).map(|_| "an entry names no order of ours".to_owned()));
    faults
}
