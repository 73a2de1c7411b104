//! `waybill trace ORDER`: an order's whole history in plain words, for whoever has to answer the telephone.
mod returned;

use super::{
    CANNOT_RUN, FAULTS,
    client::{Client, Reflected},
    fail,
    words::{plural, time, words},
};
use crate::config::Settings;
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use eventstore::{AsOf, Position};
use returned::Return;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{fmt::Write as _, process::ExitCode};

/// Tells an order's history in plain words
#[derive(Args, Clone, Debug)]
pub struct Trace {
    /// The order's id (ord_…), or the shop's own reference
    pub order: String,
    /// The shop, when several have an order of this reference
    #[arg(long)]
    pub shop: Option<String>,
    /// As it was then: after the event at this position, or after the last one recorded by this time (2026-11-24T09:30:00Z)
    #[arg(long, value_name = "POSITION|TIME")]
    pub as_of: Option<AsOf>,
}

const QUERY: &str = "query($id: ID, $ref: String, $shop: ID, $asOf: AsOf) {
    order(id: $id, ref: $ref, shop: $shop, asOf: $asOf) {
    id ref shop status statusReason parked { position cause since } placedAt receivedAt customerRef currency total
    lines { sku quantity } payment { authorized captured refunded }
    fulfillments { id location stage carrier trackingNumber }
    saga { id state step waitingOn waitingSince overdue remainingSteps } returns { RETURN } } }";
const TIMELINE: &str =
    "query($id: ID!, $after: String, $asOf: AsOf) { order(id: $id, asOf: $asOf) { timeline(first: 200, after: $after) {
    nodes { position at summary actor } pageInfo { hasNextPage endCursor } } } }";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    id: String,
    #[serde(rename = "ref")]
    order_ref: String,
    shop: String,
    status: String,
    status_reason: Option<String>,
    parked: Option<Parked>,
    placed_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    customer_ref: String,
    currency: String,
    total: String,
    lines: Vec<Line>,
    payment: Option<Payment>,
    fulfillments: Vec<Fulfillment>,
    saga: Option<Saga>,
    returns: Vec<Return>,
}

/// What follows is not shown: the read model can't take it in.
#[derive(Deserialize)]
struct Parked {
    position: String,
    cause: String,
    since: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Line {
    sku: String,
    quantity: i64,
}

#[derive(Deserialize)]
struct Payment {
    authorized: String,
    captured: String,
    refunded: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fulfillment {
    id: String,
    location: String,
    stage: String,
    carrier: Option<String>,
    tracking_number: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Saga {
    id: String,
    state: String,
    step: String,
    waiting_on: Option<String>,
    waiting_since: Option<DateTime<Utc>>,
    overdue: bool,
    remaining_steps: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    nodes: Vec<Entry>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
struct Entry {
    position: String,
    at: DateTime<Utc>,
    summary: String,
    actor: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

pub async fn run(settings: &Settings, trace: &Trace) -> ExitCode {
    let client = match Client::find(settings, |keys| keys.support) {
        Ok(client) => client,
        Err(error) => return fail(&error, CANNOT_RUN),
    };
    match tell(&client, trace).await {
        Ok(Some(story)) => {
            say!("{}", story.trim_end());
            ExitCode::SUCCESS
        }
        Ok(None) => {
            let then = trace.as_of.map_or("", |_| " as of then");
            eprintln!("waybill: there is no order {}{then}", trace.order);
            ExitCode::from(FAULTS)
        }
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn tell(client: &Client, trace: &Trace) -> Result<Option<String>> {
    let by_id = trace.order.starts_with("ord_");
    let variables = json!({
        "id": by_id.then_some(&trace.order),
        "ref": (!by_id).then_some(&trace.order),
        "shop": trace.shop,
        "asOf": trace.as_of.map(input),
    });
    let query = QUERY.replace("RETURN", returned::FIELDS);
    let answer = client.graphql::<Option<Order>>(&query, variables, "/order").await?;
    let Reflected { data: Some(order), position } = answer else { return Ok(None) };
    // Every page of then: while they are read the present moves on.
    let then = trace.as_of.map(|_| position);
    let as_of = then.map(|position| input(AsOf::Position(position)));
    let mut entries = Vec::new();
    let mut after = None;
    loop {
        let variables = json!({"id": order.id, "after": after, "asOf": as_of});
        let page: Page = client.graphql(TIMELINE, variables, "/order/timeline").await?.data;
        entries.extend(page.nodes);
        match page.page_info {
            PageInfo { has_next_page: true, end_cursor: Some(cursor) } => after = Some(cursor),
            _ => return Ok(Some(story(&order, &entries, then)?)),
        }
    }
}

/// As GraphQL takes it.
fn input(as_of: AsOf) -> Value {
    match as_of {
        AsOf::Position(position) => json!({"position": position.to_string()}),
        AsOf::Time(time) => json!({"time": time.to_rfc3339()}),
    }
}

/// `then`: the position that all of it is as of; else it is of now.
fn story(order: &Order, entries: &[Entry], then: Option<Position>) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "Order {} of shop {}  ({})", order.order_ref, order.shop, order.id)?;
    if let Some(position) = then {
        writeln!(text, "  as of      position {position}")?;
    }
    let reason = order.status_reason.as_deref().map(|reason| format!(" – {}", words(reason))).unwrap_or_default();
    writeln!(text, "  {:10} {}{reason}", if then.is_some() { "then" } else { "now" }, order.status)?;
    if let Some(Parked { position, cause, since }) = &order.parked {
        writeln!(text, "  held back  at position {position} since {}: {cause}; see `waybill parked`", time(*since))?;
    }
    writeln!(
        text,
        "  placed     {} by customer {}, received {}",
        time(order.placed_at),
        order.customer_ref,
        time(order.received_at)
    )?;
    let units: i64 = order.lines.iter().map(|line| line.quantity).sum();
    writeln!(text, "  goods      {} ({units} in all)", plural(order.lines.len(), "line"))?;
    for line in &order.lines {
        writeln!(text, "               {} × {}", line.quantity, line.sku)?;
    }
    match &order.payment {
        Some(payment) => writeln!(
            text,
            "  money      {} {} to pay; {} authorized, {} captured, {} refunded",
            order.total, order.currency, payment.authorized, payment.captured, payment.refunded
        )?,
        None => writeln!(text, "  money      nothing to pay")?,
    }
    for fulfillment in &order.fulfillments {
        let tracking = match (&fulfillment.carrier, &fulfillment.tracking_number) {
            (Some(carrier), Some(number)) => format!(", {carrier} {number}"),
            _ => String::new(),
        };
        writeln!(
            text,
            "  parcel     {} at {}{tracking}  ({})",
            words(&fulfillment.stage.to_lowercase()),
            fulfillment.location,
            fulfillment.id
        )?;
    }
    for line in order.returns.iter().flat_map(|returned| returned.told(&order.currency)) {
        writeln!(text, "{line}")?;
    }
    writeln!(text, "\nWhat happened")?;
    for entry in entries {
        writeln!(text, "  {}  {}", time(entry.at), entry.summary)?;
        writeln!(text, "  {:23}  by {}, position {}", "", entry.actor, entry.position)?;
    }
    writeln!(
        text,
        "\n{}",
        if then.is_some() { "What came next, as far as was known then" } else { "What comes next" }
    )?;
    match &order.saga {
        Some(saga) => writeln!(text, "  {}  ({})", next(saga), saga.id)?,
        None => writeln!(text, "  It was taken in just now; setting the stock aside comes first.")?,
    }
    for returned in &order.returns {
        writeln!(text, "  {}", returned.next())?;
    }
    Ok(text)
}

fn next(saga: &Saga) -> String {
    let late = if saga.overdue { ", longer than expected" } else { "" };
    let since = saga.waiting_since.map(|since| format!(" since {}{late}", time(since))).unwrap_or_default();
    let rest: Vec<_> = saga.remaining_steps.iter().map(|step| words(step)).collect();
    let rest = match rest.as_slice() {
        [] => String::new(),
        rest => format!(" Still to do: {}.", rest.join(", then ")),
    };
    let step = words(&saga.step);
    match (saga.state.as_str(), saga.waiting_on.as_deref()) {
        ("COMPLETED", _) => "Nothing: the order is complete.".to_owned(),
        ("COMPENSATED", _) => "Nothing: the order is cancelled and everything is undone.".to_owned(),
        ("PAUSED", _) => format!("It is paused at “{step}”{since} and needs an operator.{rest}"),
        ("COMPENSATING", on) => {
            format!("It is being undone, now at “{step}”; it waits for {}{since}.{rest}", on.unwrap_or("nobody"))
        }
        (_, Some(on)) => format!("It is at “{step}” and waits for {on}{since}.{rest}"),
        (_, None) => format!("It is at “{step}”{since}.{rest}"),
    }
}
