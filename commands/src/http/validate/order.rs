//! An order as a shop sends it: from JSON to the event it becomes, and what of it names a person.
use super::{
    country,
    fault::Faults,
    json::Json,
    money,
    reader::{Object, SHORT, Value},
    root, short, time,
};
use crate::personal::{Address, Client, Contact, PaymentSecret, PersonalData, ShopDefaults};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::{
    Amount, Currency, LineId, Sku,
    order::{Charge, ChargeKind, Destination, OnShortage, OrderLine, OrderPlaced, PaymentMethod, Promise},
};
use std::collections::HashSet;

pub(crate) const ORDER_FIELDS: &[&str] = &[
    "order_ref",
    "placed_at",
    "channel",
    "store_ref",
    "customer",
    "customer_ref",
    "ship_to",
    "billing",
    "currency",
    "lines",
    "charges",
    "prices_include_tax",
    "total",
    "shipping_method",
    "promise",
    "priority",
    "on_shortage",
    "payment",
    "client",
    "metadata",
];
pub(crate) const CUSTOMER_FIELDS: &[&str] = &["ref", "name", "email", "phone"];
pub(crate) const ADDRESS_FIELDS: &[&str] = &["name", "line1", "line2", "city", "region", "postal_code", "country"];
pub(crate) const LINE_FIELDS: &[&str] = &["line_id", "sku", "quantity", "line_total", "discount", "unit"];
pub(crate) const CHARGE_FIELDS: &[&str] = &["kind", "amount", "line_id"];
pub(crate) const PROMISE_FIELDS: &[&str] = &["ship_by", "deliver_by"];
pub(crate) const PAYMENT_FIELDS: &[&str] = &["method", "token", "fingerprint"];
pub(crate) const CLIENT_FIELDS: &[&str] = &["ip", "user_agent"];

pub(crate) const MAX_LINES: usize = 500;
pub(crate) const MAX_QUANTITY: i64 = 1_000_000;
/// With the bound of one amount, no sum of an order overflows.
pub(crate) const MAX_CHARGES: usize = 1_000;
/// As compact JSON.
pub(crate) const MAX_METADATA_BYTES: usize = 16 * 1024;
/// Names, address lines, tokens, agents, in characters.
pub(crate) const MAX_TEXT: usize = 1_000;
/// How an order is paid that doesn't say.
const DEFAULT_METHOD: &str = "card";

/// What the shop decides about its orders.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) zone: Tz,
    pub(crate) defaults: ShopDefaults,
    pub(crate) received_at: DateTime<Utc>,
}

/// A sound order. `placed.person_id` is still open.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) placed: OrderPlaced,
    pub(crate) personal: PersonalData,
}

pub(crate) fn order(json: &Json<'_>, rules: &Rules, faults: &Faults) -> Option<Placement> {
    let body = root(json, faults).object(ORDER_FIELDS)?;
    let instant = |value: Value<'_>| {
        let given = if let Json::Text(text) = value.json { Some(text.to_string()) } else { None };
        Some((time::instant(value, rules.zone)?, given))
    };

    let order_ref = body.required("order_ref", short);
    let placed_at = body.optional("placed_at", instant);
    let (channel, store_ref) = (body.short("channel"), body.short("store_ref"));
    let (customer_ref, contact) = customer(&body);
    let ship_to = body.optional("ship_to", address);
    let billing = body.optional("billing", address);
    let currency = body.required("currency", money::currency);
    let lines = body.required("lines", |value| lines(value, currency.as_ref()));
    let charges = match body.has("charges") {
        true => body.optional("charges", |value| charges(value, currency.as_ref(), lines.as_deref())),
        false => Some(vec![]),
    };
    let prices_include_tax = body.optional("prices_include_tax", |value| value.boolean()).unwrap_or(false);
    let total = total(&body, currency.as_ref(), lines.as_deref(), charges.as_deref(), prices_include_tax);
    let shipping_method = body.short("shipping_method");
    let promise = body.optional("promise", |value| promise(value, rules.zone));
    let priority = body.optional("priority", |value| value.integer(i64::from(i32::MIN)..=i64::from(i32::MAX)));
    let on_shortage = body.optional("on_shortage", on_shortage).unwrap_or_default();
    let payment = body.optional("payment", payment);
    let client = body.optional("client", client);
    let metadata = body.optional("metadata", metadata);

    let free = total == Some(Amount::ZERO);
    let destination = destination(&body, ship_to.as_ref(), rules, free);
    let method = method(&body, payment.as_ref(), rules, free);
    let (placed_at, placed_at_given) = placed_at.unwrap_or((rules.received_at, None));

    let placed = OrderPlaced {
        order_ref: order_ref?,
        placed_at,
        placed_at_given,
        received_at: rules.received_at,
        channel,
        store_ref,
        customer_ref: customer_ref?,
        person_id: None,
        ship_to: destination,
        billing_country: billing.as_ref().map(|billing| billing.country.clone()),
        currency: currency?,
        lines: lines?,
        charges: charges?,
        prices_include_tax,
        total: total?,
        shipping_method,
        promise,
        priority: priority.and_then(|priority| i32::try_from(priority).ok()).unwrap_or(0),
        on_shortage,
        payment: method,
    };
    let payment = payment.map(|(_, secret)| secret);
    let personal = PersonalData { customer: contact, ship_to, billing, payment, client, metadata };
    Some(Placement { placed, personal })
}

/// `customer.ref`, or `customer_ref` for short; both may stand when they say the same.
fn customer(body: &Object<'_>) -> (Option<String>, Option<Contact>) {
    let brief = body.optional("customer_ref", short);
    let customer = body.optional("customer", |value| {
        let customer = value.object(CUSTOMER_FIELDS)?;
        let reference = match body.has("customer_ref") {
            true => customer.optional("ref", short),
            false => customer.required("ref", short),
        };
        let text = |name| customer.optional(name, |value| text(value, MAX_TEXT));
        let contact = Contact { name: text("name"), email: text("email"), phone: text("phone") };
        Some((reference, (contact != Contact::default()).then_some(contact)))
    });
    let (reference, contact) = customer.unwrap_or_default();
    if !body.has("customer_ref") && !body.has("customer") {
        let place = body.place.field("customer");
        body.faults.add(&place.field("ref"), "required", "is required (or `customer_ref` for short)");
    }
    if let (Some(brief), Some(reference)) = (&brief, &reference)
        && brief != reference
    {
        body.fault("customer_ref", "customer_mismatch", "differs from `customer.ref`");
    }
    (reference.or(brief), contact)
}

fn text(value: Value<'_>, most: usize) -> Option<String> {
    value.text(1..=most).map(str::to_owned)
}

fn address(value: Value<'_>) -> Option<Address> {
    let address = value.object(ADDRESS_FIELDS)?;
    let text = |name| address.optional(name, |value| text(value, MAX_TEXT));
    let read = Address {
        name: text("name"),
        line1: text("line1"),
        line2: text("line2"),
        city: text("city"),
        region: text("region"),
        postal_code: address.optional("postal_code", short),
        country: String::new(),
    };
    Some(Address { country: address.required("country", country::country)?, ..read })
}

fn lines(value: Value<'_>, currency: Option<&Currency>) -> Option<Vec<OrderLine>> {
    let items = value.list(1..=MAX_LINES)?;
    let mut ids = HashSet::with_capacity(items.len());
    let mut lines = Vec::with_capacity(items.len());
    for (n, json) in items.iter().enumerate() {
        let value = Value { json, place: value.place.item(n), faults: value.faults };
        let Some(line) = value.object(LINE_FIELDS) else { continue };
        let amount = |value: Value<'_>| money::amount(value, currency);
        let line_id = match line.has("line_id") {
            true => line.optional("line_id", short),
            false => Some((n + 1).to_string()),
        };
        if let Some(line_id) = &line_id
            && !ids.insert(line_id.clone())
        {
            line.fault("line_id", "duplicate_line_id", "a line before it has this id");
        }
        let sku = line.required("sku", short);
        let quantity = line.required("quantity", |value| value.integer(1..=MAX_QUANTITY));
        let line_total = line.required("line_total", amount);
        let (discount, unit) = (line.optional("discount", amount), line.short("unit"));
        if let (Some(line_id), Some(sku), Some(quantity), Some(line_total)) = (line_id, sku, quantity, line_total) {
            lines.push(OrderLine { line_id: LineId(line_id), sku: Sku(sku), quantity, line_total, discount, unit });
        }
    }
    (lines.len() == items.len()).then_some(lines)
}

/// `lines`: unknown while one of them is wrong; then it can't be said whether a charge's line is there.
fn charges(value: Value<'_>, currency: Option<&Currency>, lines: Option<&[OrderLine]>) -> Option<Vec<Charge>> {
    const KINDS: &[(&str, ChargeKind)] = &[
        ("shipping", ChargeKind::Shipping),
        ("tax", ChargeKind::Tax),
        ("fee", ChargeKind::Fee),
        ("discount", ChargeKind::Discount),
        ("gift_card", ChargeKind::GiftCard),
    ];
    let items = value.list(0..=MAX_CHARGES)?;
    let known: Option<HashSet<&str>> = match items.is_empty() {
        true => None,
        false => lines.map(|lines| lines.iter().map(|line| line.line_id.0.as_str()).collect()),
    };
    let charges = items.iter().zip(1..).enumerate().map(|(n, (json, charge_id))| {
        let charge = Value { json, place: value.place.item(n), faults: value.faults }.object(CHARGE_FIELDS)?;
        let kind = charge.required("kind", |value| value.word(KINDS));
        let amount = charge.required("amount", |value| money::amount(value, currency));
        let line_id = charge.short("line_id");
        if let (Some(line_id), Some(known)) = (&line_id, &known)
            && !known.contains(line_id.as_str())
        {
            charge.fault("line_id", "unknown_line", "the order has no such line");
        }
        Some(Charge { charge_id, kind: kind?, amount: amount?, line_id: line_id.map(LineId) })
    });
    charges.collect::<Vec<_>>().into_iter().collect()
}

/// Lines and charges summed; what the shop says of it must agree. `None` while a part of it is unknown.
fn total(
    body: &Object<'_>,
    currency: Option<&Currency>,
    lines: Option<&[OrderLine]>,
    charges: Option<&[Charge]>,
    prices_include_tax: bool,
) -> Option<Amount> {
    let given = body.optional("total", |value| money::amount(value, currency));
    let currency = currency?;
    let of_lines: Amount = lines?.iter().map(|line| line.line_total).sum();
    let total = of_lines + charges?.iter().map(|charge| charge.signed(prices_include_tax)).sum();
    if total < Amount::ZERO {
        body.fault("total", "out_of_range", format!("comes to {}, below 0", total.display(currency.digits)));
        return None;
    }
    if let Some(given) = given.filter(|given| *given != total) {
        let (given, total) = (given.display(currency.digits), total.display(currency.digits));
        body.fault("total", "total_mismatch", format!("is {given}, but lines and charges come to {total}"));
    }
    Some(total)
}

fn promise(value: Value<'_>, zone: Tz) -> Option<Promise> {
    let promise = value.object(PROMISE_FIELDS)?;
    let instant = |name| promise.optional(name, |value| time::instant(value, zone));
    Some(Promise { ship_by: instant("ship_by"), deliver_by: instant("deliver_by") })
}

fn on_shortage(value: Value<'_>) -> Option<OnShortage> {
    if matches!(value.json, Json::Text(text) if text == "BACKORDER") {
        value.fault("unsupported", "BACKORDER is not there yet; CANCEL is");
        return None;
    }
    value.word(&[("CANCEL", OnShortage::Cancel)])
}

fn payment(value: Value<'_>) -> Option<(String, PaymentSecret)> {
    let payment = value.object(PAYMENT_FIELDS)?;
    let method = match payment.has("method") {
        true => payment.optional("method", short),
        false => Some(DEFAULT_METHOD.to_owned()),
    };
    let token = payment.required("token", |value| text(value, MAX_TEXT));
    let fingerprint = payment.optional("fingerprint", |value| text(value, MAX_TEXT));
    Some((method?, PaymentSecret { token: token?, fingerprint }))
}

fn client(value: Value<'_>) -> Option<Client> {
    let client = value.object(CLIENT_FIELDS)?;
    let read =
        Client { ip: client.short("ip"), user_agent: client.optional("user_agent", |value| text(value, MAX_TEXT)) };
    (read != Client::default()).then_some(read)
}

/// `None` also when it is empty: then there is nothing to keep.
fn metadata(value: Value<'_>) -> Option<Box<serde_json::value::RawValue>> {
    let json = value.anything()?;
    if matches!(json, Json::Object(fields) if fields.is_empty()) {
        return None;
    }
    let raw = serde_json::value::to_raw_value(json).ok()?;
    if raw.get().len() > MAX_METADATA_BYTES {
        value.fault("too_long", format!("must have at most {MAX_METADATA_BYTES} bytes as JSON"));
        return None;
    }
    Some(raw)
}

/// Where it goes, as far as an event may say; the shop's default when the order says nothing.
fn destination(body: &Object<'_>, given: Option<&Address>, rules: &Rules, free: bool) -> Destination {
    let of = |address: &Address, default| Destination {
        country: Some(address.country.clone()),
        postal_prefix: address.postal_prefix(),
        default,
    };
    if body.has("ship_to") {
        return given.map_or_else(Destination::default, |address| of(address, false));
    }
    match &rules.defaults.ship_to {
        Some(address) => of(address, true),
        None => {
            if !free {
                body.fault("ship_to", "required", "is required: the shop has no default");
            }
            Destination::default()
        }
    }
}

/// How it is paid; the shop's default when there is something to pay and the order says nothing.
fn method(
    body: &Object<'_>,
    given: Option<&(String, PaymentSecret)>,
    rules: &Rules,
    free: bool,
) -> Option<PaymentMethod> {
    if body.has("payment") {
        return given.map(|(method, _)| PaymentMethod { method: method.clone(), default: false });
    }
    if free {
        return None;
    }
    let default = rules.defaults.payment.as_ref();
    if default.is_none() {
        body.fault("payment", "required", "is required: the shop has no default");
    }
    default.map(|payment| PaymentMethod { method: payment.method.clone(), default: true })
}

/// The longest text of an identifier is part of the contract.
const _: () = assert!(*SHORT.end() == 255);
