//! What the demo plays, act by act: a quiet hour, an outage and a cancel in its midst, the way back, an incident, a return, the books.
use super::{
    books::{Account, Special, accounts, fault},
    returned,
    shop::{MOST_PIECES, Order, SKUS, Shop},
    site::Site,
    tell::{Teller, orders, percentile, took},
};
use crate::bootstrap::DEV_SHOP;
use anyhow::{Context, Result, bail};
use sagas::participants::Mode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use uuid::Uuid;

/// Whatever is waited for: generous. A breaker looks again at least every 10 s.
const WITHIN: Duration = Duration::from_secs(120);
/// When all is well an order takes a fraction of it.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
const BREAKER_WITHIN: Duration = Duration::from_secs(5);
const READ_MODEL_WITHIN: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(50);
/// Of all orders: in the quiet hour, and until the provider is mended; the rest comes after.
const QUIET_PERCENT: usize = 40;
const MENDED_PERCENT: usize = 80;

pub(super) struct Story<'a> {
    site: &'a Site,
    tell: &'a Teller,
    shop: Shop,
    orders: usize,
    every: Duration,
    /// Where the providers' ledgers stood.
    before: (u64, u64),
}

impl<'a> Story<'a> {
    pub(super) async fn begin(site: &'a Site, tell: &'a Teller, orders: u32, length: Duration) -> Result<Story<'a>> {
        // What all that this run makes is called by.
        let run: String = Uuid::now_v7().simple().to_string().chars().skip(4).take(8).collect();
        site.receive_goods(&run, &SKUS, orders * (MOST_PIECES + 1)).await?;
        let before = (site.payment.standing().await?.last_seq, site.shipping.standing().await?.last_seq);
        let (shop, every) = (Shop::new(site.shop.clone(), run), length / orders);
        Ok(Story { site, tell, shop, orders: usize::try_from(orders)?, every, before })
    }

    /// `false`: the ledgers and the orders do not agree.
    pub(super) async fn tell(&self) -> Result<bool> {
        let (quiet, mended) = (self.orders * QUIET_PERCENT / 100, self.orders * MENDED_PERCENT / 100);
        self.quiet_hour(quiet).await?;
        let (waiting, cancelled) = self.outage(quiet, mended).await?;
        self.way_back(mended, &waiting, &cancelled).await?;
        let settled = self.incident().await?;
        let comes_back = self.comes_back().await?;
        let agrees = self.books(&settled, &comes_back).await?;
        self.further(&settled);
        Ok(agrees)
    }

    /// The first order alone, then all up to this one.
    async fn quiet_hour(&self, until: usize) -> Result<()> {
        let tell = self.tell;
        tell.heading("A quiet hour");
        let rate = 1.0 / self.every.as_secs_f64();
        tell.paragraph(&format!(
            "A shop places {} at {}, {rate:.1} a second. Payment and shipping are simulators, processes of their own, each with a ledger \
             that nobody else writes.",
            orders(self.orders),
            self.site.shop.base(),
        ));
        let first = self.shop.place(0, "tok_ok");
        self.shop.until_placed(&first, WITHIN, tell).await?;
        if self.shop.until_ended(std::slice::from_ref(&first), FIRST_WITHIN, tell).await.is_err() {
            let status = self.shop.order(&first).map(|order| order.told.status).unwrap_or_default();
            bail!(
                "the first order, {first}, is {status} after {} s. The demo needs location main of shop {DEV_SHOP} in mode AUTO, and a process \
                 with the role sagas: see `{}`",
                FIRST_WITHIN.as_secs(),
                self.site.command(&format!("trace {first}")),
            );
        }
        self.shop.trade(1..until, self.every, tell).await?;
        self.shop.until_ended(&self.shop.under_way(), WITHIN, tell).await?;
        let all = self.shop.all();
        let times =
            |percent| percentile(all.iter().filter_map(Order::took).collect(), percent).map(took).unwrap_or_default();
        tell.paragraph(&format!(
            "{} placed, {} completed: goods reserved, money authorized, a label bought, money captured. From the request to COMPLETED, as the \
             shop sees it: p50 {}, p99 {}.",
            orders(all.len()),
            all.iter().filter(|order| order.told.status == "COMPLETED").count(),
            times(50),
            times(99),
        ));
        Ok(())
    }

    /// Answers who waits at its end, and which of them was cancelled.
    async fn outage(&self, from: usize, until: usize) -> Result<(Vec<String>, String)> {
        let (tell, payment) = (self.tell, &self.site.payment);
        tell.heading("The payment provider goes down");
        tell.paragraph("From now on it turns every call away with 503. The shop goes on as before.");
        let calls = payment.calls().await?;
        payment.set(Mode::Down).await?;
        let began = Instant::now();
        {
            let mut trading = std::pin::pin!(self.shop.trade(from..until, self.every, tell));
            let opened = tokio::select! {
                placed = &mut trading => {
                    placed?;
                    self.told_open(calls, began, BREAKER_WITHIN).await?;
                    true
                }
                opened = self.told_open(calls, began, WITHIN) => {
                    opened?;
                    false
                }
            };
            if !opened {
                trading.await?;
            }
        }
        let (waiting, lasted) = (self.shop.under_way(), began.elapsed());
        let shown = self.waiting_for_payment(waiting.len()).await?;
        tell.paragraph(&format!(
            "After {} of outage: {} accepted meanwhile, none refused. {shown} wait at authorize_payment, their goods reserved; nothing is \
             lost and nobody has to do anything. The provider was asked {} times in all, by its own count: no storm.",
            took(lasted),
            orders(until - from),
            payment.calls().await? - calls,
        ));
        let last = self.shop.reference(until - 1);
        let cancelled = self.shop.until_placed(&last, WITHIN, tell).await?;
        let path = format!("/v1/orders/{}/cancel", cancelled.told.order_id);
        let now = Site::post(&self.site.shop, &path, &json!({"reason": "ordered by mistake"})).await?;
        tell.paragraph(&format!(
            "A customer cancels one of them, {last}: it is {}. Whether its authorization was on the way nobody can know now, so nothing is \
             undone on a guess: it is blocked under its own key first, once the provider answers.",
            now["status"].as_str().unwrap_or_default(),
        ));
        Ok((waiting, last))
    }

    /// Tells that the breaker has opened, if it does within this time. The metric is silent where another process drives the sagas.
    async fn told_open(&self, calls: u64, began: Instant, within: Duration) -> Result<()> {
        let since = Instant::now();
        while !self.site.breaker_is_open().await {
            if since.elapsed() > within {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        self.tell.paragraph(&format!(
            "After {} and {} calls in vain the breaker opened: the provider is left in peace but for a look now and then, and orders queue \
             before it.",
            took(began.elapsed()),
            self.site.payment.calls().await? - calls,
        ));
        Ok(())
    }

    /// How many sagas the read model shows there; it is given a moment to show as many as the shop knows of.
    async fn waiting_for_payment(&self, expected: usize) -> Result<u64> {
        const QUERY: &str = "query($shop: ID!) { sagas(where: {shop: $shop, step: \"authorize_payment\", waitingOn: \"payment\", ended: false}) \
                             { totalCount } }";
        let since = Instant::now();
        loop {
            let shop = json!({"shop": DEV_SHOP});
            let count: u64 = self.site.support.graphql(QUERY, shop, "/sagas/totalCount").await?.data;
            if count >= expected as u64 || since.elapsed() > READ_MODEL_WITHIN {
                return Ok(count);
            }
            sleep(LOOK).await;
        }
    }

    async fn way_back(&self, from: usize, waiting: &[String], cancelled: &str) -> Result<()> {
        let tell = self.tell;
        tell.heading("The provider is back");
        self.site.payment.set(Mode::Ok).await?;
        let began = Instant::now();
        let drained = async {
            self.shop.until_ended(waiting, WITHIN, tell).await?;
            anyhow::Ok(began.elapsed())
        };
        // The last one is the incident's.
        let ((), drained) = tokio::try_join!(self.shop.trade(from..self.orders - 1, self.every, tell), drained)?;
        tell.paragraph(&format!(
            "{} had waited; the queue was empty {} after the provider came back, and nobody had to help. New orders went their way meanwhile.",
            orders(waiting.len()),
            took(drained),
        ));
        let order = self.shop.order(cancelled).context("the shop has lost an order")?;
        let account =
            accounts(self.site.payment.ledger(self.before.0).await?).remove(&order.told.order_id).unwrap_or_default();
        let money = match account.get("authorize") {
            None => "by the provider's ledger its money was never touched".to_owned(),
            Some(times) => format!("its money was held {times} × and let go again"),
        };
        tell.paragraph(&format!("The cancelled one is {}: {money}, and its goods are free again.", order.told.status));
        Ok(())
    }

    /// Answers the order that a person has settled.
    async fn incident(&self) -> Result<String> {
        let (tell, site) = (self.tell, self.site);
        tell.heading("A card says no after the goods have left");
        let reference = self.shop.place(self.orders - 1, "tok_decline_on_capture");
        self.shop.until_placed(&reference, WITHIN, tell).await?;
        let saga = self.until_paused(&reference).await?;
        let text = |name: &str| saga[name].as_str().unwrap_or_default().to_owned();
        tell.paragraph(&format!(
            "{reference} was shipped, then the bank declined the capture. Goods that have left are not undone, so its saga pauses and asks \
             for a person. It is an incident now: {}, at {}. `{}` lists such things by cause.",
            text("cause"),
            text("step"),
            site.command("sagas incidents"),
        ));
        let path = format!("/v1/sagas/{}/skip", text("id"));
        let body =
            json!({"reason": "the customer has paid by bank transfer", "evidence": "booked today, statement 2026/117"});
        let would = Site::post(&site.operator, &format!("{path}?dry_run=true"), &body).await?;
        tell.paragraph(&format!(
            "Say the customer pays by bank transfer. An operator asks first what it would do to pass that step over; a dry run answers: \
             \"{}\".",
            would["would"].as_str().unwrap_or_default()
        ));
        Site::post(&site.operator, &path, &body).await?;
        self.shop.until_ended(std::slice::from_ref(&reference), WITHIN, tell).await?;
        let status = self.shop.order(&reference).map(|order| order.told.status).unwrap_or_default();
        tell.paragraph(&format!(
            "Then the step is skipped, with a reason and with evidence, both kept in the order's own history. The order is {status}."
        ));
        Ok(reference)
    }

    async fn until_paused(&self, reference: &str) -> Result<Value> {
        const QUERY: &str =
            "query($ref: String!, $shop: ID!) { order(ref: $ref, shop: $shop) { saga { id state step cause } } }";
        let since = Instant::now();
        while since.elapsed() < WITHIN {
            let asked = json!({"ref": reference, "shop": DEV_SHOP});
            let saga: Value = self.site.support.graphql(QUERY, asked, "/order/saga").await?.data;
            if saga["state"] == "PAUSED" {
                return Ok(saga);
            }
            sleep(LOOK).await;
        }
        bail!("{reference} does not become an incident; see `{}`", self.site.command(&format!("trace {reference}")))
    }

    /// Answers the order that came back.
    async fn comes_back(&self) -> Result<String> {
        self.tell.heading("A parcel comes back");
        let first = self.shop.reference(0);
        let order = self.shop.order(&first).context("the shop has lost an order")?;
        returned::bring_back(self.site, self.tell, &order).await?;
        Ok(first)
    }

    async fn books(&self, settled: &str, comes_back: &str) -> Result<bool> {
        let (tell, site) = (self.tell, self.site);
        tell.heading("The books");
        self.shop.until_ended(&self.shop.under_way(), WITHIN, tell).await?;
        let mut entries = site.payment.ledger(self.before.0).await?;
        entries.extend(site.shipping.ledger(self.before.1).await?);
        let (all, accounts, none) = (self.shop.all(), accounts(entries), Account::new());
        let account = |order: &Order| accounts.get(&order.told.order_id).unwrap_or(&none);
        let special = |reference: &str| match reference {
            reference if reference == settled => Special::Settled,
            reference if reference == comes_back => Special::Returned,
            _ => Special::None,
        };
        let faults: Vec<_> =
            all.iter().filter_map(|order| fault(&order.told, special(&order.told.order_ref), account(order))).collect();
        let of = |status: &str| all.iter().filter(|order| order.told.status == status).count();
        let sum = |kind: &str| all.iter().map(|order| account(order).get(kind).copied().unwrap_or(0)).sum::<usize>();
        for (what, count) in [
            ("orders placed", all.len()),
            ("completed", of("COMPLETED")),
            ("cancelled", of("CANCELLED")),
            ("authorized, by the payment provider's ledger", sum("authorize")),
            ("captured", sum("capture")),
            ("refunded", sum("refund")),
            ("labels, by the shipping provider's ledger", sum("label")),
        ] {
            tell.verbatim(&format!("{what:46} {count:>6}"));
        }
        match faults.as_slice() {
            [] => tell.paragraph(&format!(
                "Each order once, by the providers' own ledgers: none of {} was charged or shipped twice, none was lost. One was cancelled, one \
                 settled by a person, one came back. `{}` proves the same of everything there is.",
                all.len(),
                site.command("verify"),
            )),
            faults => {
                tell.paragraph("The ledgers and the orders do NOT agree:");
                faults.iter().for_each(|fault| tell.verbatim(fault));
            }
        }
        Ok(faults.is_empty())
    }

    fn further(&self, settled: &str) {
        let (tell, site) = (self.tell, self.site);
        tell.heading("To look further");
        tell.verbatim(&format!(
            "{:44}  the incident's whole history, in plain words",
            site.command(&format!("trace {settled}"))
        ));
        tell.verbatim(&format!("{:44}  what is under way, and for whom it waits", site.command("sagas list")));
        tell.verbatim(&format!(
            "{}/graphql   GraphiQL, with the key support of dev-keys.json; for example",
            site.shop.base()
        ));
        tell.verbatim(&format!("  {{ order(ref: \"{settled}\") {{ status saga {{ state }} timeline {{ nodes {{ at summary actor }} }} }} }}"));
    }
}
