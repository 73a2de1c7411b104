//! `waybill sagas retry|skip|mark-done|compensate|pause|resume`: what operators ask of one saga, or of all that a filter finds.
//!
//! A batch says first what will come of it, and asks. Each request carries a key made of the batch and the saga, so that whatever is
//! repeated, also by hand under `--batch`, is done once.
mod ask;
mod batch;
mod forecast;
mod report;

use super::{
    super::{client::Client, words::printable},
    filter::Filter,
    list, show,
};
use anyhow::{Result, bail};
use ask::{Answer, Asked};
use batch::Batch;
use clap::Args;
use domain::saga::{SagaRef, operator::Verb};
use serde_json::{Value, json};
use uuid::Uuid;

const DEFAULT_RATE: u32 = 20;
const MAX_RATE: i64 = 1_000;
const DEFAULT_LIMIT: u32 = 1_000;
const MAX_LIMIT: i64 = 10_000;

#[derive(Args, Clone, Debug)]
pub struct Act {
    /// Sagas (sag_…, ret_…_N), or orders (ord_…, or the shop's own reference); without any, what the filters find
    #[arg(value_name = "SAGA|ORDER")]
    names: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Why. It stays, sealed, with the order's history
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Clone, Debug)]
pub struct Skip {
    #[command(flatten)]
    act: Act,
    /// What shows that the step needn't be done, or undone. It stays as the reason does
    #[arg(long, value_name = "TEXT")]
    evidence: String,
}

#[derive(Args, Clone, Debug)]
pub struct MarkDone {
    /// The saga (sag_…, ret_…_N), or its order (ord_…, or the shop's own reference): one, since each has a reference of its own
    #[arg(value_name = "SAGA|ORDER")]
    name: String,
    /// The shop, when several have an order of this reference
    #[arg(long)]
    shop: Option<String>,
    /// Why it was done elsewhere. It stays, sealed, with the order's history
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The participant's own: of the authorization, the capture, the refund, the void; of a parcel its tracking number
    #[arg(long, value_name = "TEXT")]
    reference: String,
    /// Of a parcel: who carries it
    #[arg(long, value_name = "TEXT")]
    carrier: Option<String>,
    /// Only says what would be done
    #[arg(long)]
    dry_run: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

/// How a batch goes about it.
#[derive(Args, Clone, Debug)]
struct How {
    /// Asks at most so many sagas a second
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = clap::value_parser!(u32).range(1..=MAX_RATE))]
    rate: u32,
    /// At most so many, the oldest first
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT, value_parser = clap::value_parser!(u32).range(1..=MAX_LIMIT))]
    limit: u32,
    /// Only says what would be done
    #[arg(long)]
    dry_run: bool,
    /// Doesn't ask before it begins
    #[arg(long)]
    yes: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
    /// Goes on with a batch that was stopped: what it has asked for already is not asked for again
    #[arg(long, value_name = "ID")]
    batch: Option<Uuid>,
}

impl Act {
    /// `false`: not all of it was done.
    pub(super) async fn run(&self, client: &Client, verb: Verb) -> Result<bool> {
        self.carry_out(client, &Asked { verb, body: json!({"reason": self.reason}) }).await
    }

    async fn carry_out(&self, client: &Client, asked: &Asked) -> Result<bool> {
        let shop = self.filter.shop.as_deref();
        let only_shop = Filter { shop: self.filter.shop.clone(), ..Filter::default() };
        match self.names.as_slice() {
            [] if self.filter == Filter::default() => {
                bail!("name a saga or an order, or say by a filter which are meant")
            }
            [] => {
                let found = list::find(client, &self.filter, usize::try_from(self.how.limit)?).await?;
                let sagas = found.sagas.into_iter().map(|saga| saga.id).collect();
                self.batch(client, asked, sagas, found.total).run().await
            }
            _ if self.filter != only_shop => bail!("sagas are named, or found by a filter; not both"),
            [name] => one(client, asked, name, shop, self.how.batch, self.how.dry_run, self.how.json).await,
            names => {
                let mut sagas = Vec::with_capacity(names.len());
                for name in names {
                    let Some(saga) = resolve(client, name, shop).await? else {
                        bail!("there is no saga or order {}; nothing was done", printable(name));
                    };
                    sagas.push(saga);
                }
                let total = sagas.len();
                self.batch(client, asked, sagas, total).run().await
            }
        }
    }

    fn batch<'a>(&'a self, client: &'a Client, asked: &'a Asked, sagas: Vec<String>, total: usize) -> Batch<'a> {
        Batch { client, asked, how: &self.how, id: self.how.batch.unwrap_or_else(Uuid::now_v7), sagas, total }
    }
}

impl Skip {
    pub(super) async fn run(&self, client: &Client) -> Result<bool> {
        let body = json!({"reason": self.act.reason, "evidence": self.evidence});
        self.act.carry_out(client, &Asked { verb: Verb::Skip, body }).await
    }
}

impl MarkDone {
    pub(super) async fn run(&self, client: &Client) -> Result<bool> {
        let mut body = json!({"reason": self.reason, "reference": self.reference});
        if let Some(carrier) = &self.carrier {
            body["carrier"] = Value::String(carrier.clone());
        }
        let asked = Asked { verb: Verb::MarkDone, body };
        one(client, &asked, &self.name, self.shop.as_deref(), None, self.dry_run, self.json).await
    }
}

/// A saga's id, of a saga or an order by any of its names.
async fn resolve(client: &Client, name: &str, shop: Option<&str>) -> Result<Option<String>> {
    if name.parse::<SagaRef>().is_ok() {
        return Ok(Some(name.to_owned()));
    }
    Ok(show::find(client, name, shop).await?.map(|saga| saga.id))
}

/// One saga: nothing is asked before, as it was named.
async fn one(
    client: &Client,
    asked: &Asked,
    name: &str,
    shop: Option<&str>,
    batch: Option<Uuid>,
    dry_run: bool,
    as_json: bool,
) -> Result<bool> {
    let Some(saga) = resolve(client, name, shop).await? else {
        eprintln!("waybill: there is no saga or order {}", printable(name));
        return Ok(false);
    };
    let answer = match dry_run {
        true => asked.try_out(client, &saga).await?,
        false => asked.ask(client, &saga, batch.unwrap_or_else(Uuid::now_v7)).await?,
    };
    match as_json {
        true => say!("{}", json!({"saga": saga, "verb": asked.verb.name(), "outcome": answer})),
        false => say!("{saga}  {}", printable(&answer.to_string())),
    }
    Ok(!matches!(answer, Answer::Refused { .. }))
}
