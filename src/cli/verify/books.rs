//! The books: what the events of the log come to, in goods and in money, and what must hold of them.
//!
//! Fed every event in order of position. Keeps a small entry for each order and each SKU at a location, nothing else.
use super::check::Faults;
use domain::{
    Amount, Event, LocationCode, OrderId, Sku,
    fulfillment::{SagaEvent, Step},
    location::LocationMode,
    order::OrderEvent,
    payment::PaymentEvent,
    returns::{ReturnEvent, ReturnStep, ReturnStepMarkedDone, ReturnStepSkipped},
    saga::Direction,
    shipment::ShipmentEvent,
    stock::{self, StockEvent},
};
use eventstore::RecordedEvent;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// What the log says of one order.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    pub(super) total: Amount,
    pub(super) currency: String,
    pub(super) digits: u8,
    pub(super) end: Option<End>,
    pub(super) authorized: bool,
    pub(super) voided: bool,
    pub(super) captured: Amount,
    pub(super) captures: u32,
    /// Units set aside and neither released nor shipped.
    pub(super) reserved_units: i64,
    pub(super) shipments: u32,
    pub(super) auto: bool,
    /// Given back for returns.
    pub(super) refunded: Amount,
    pub(super) refunds: u32,
    /// For goods to come back with: bought and not given back.
    pub(super) return_labels: i64,
    pub(super) open_returns: u32,
    /// Operators passed over these, or said that they were done elsewhere: then no ledger need show them.
    pub(super) answered_for: AnsweredFor,
}

/// What operators answer for in place of a participant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AnsweredFor {
    pub(super) authorization: bool,
    pub(super) void: bool,
    /// The money was not taken by us; `skipped`: perhaps not at all.
    pub(super) capture: bool,
    pub(super) capture_skipped: bool,
    pub(super) label: bool,
    pub(super) return_label: bool,
    pub(super) refund: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    Cancelled,
}

/// What the log says of one SKU at one location.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shelf {
    /// Received and found, less what was lost and shipped.
    pub(super) on_hand: i64,
    /// Set aside for orders and not shipped.
    pub(super) reserved: i64,
}

impl Shelf {
    pub(super) fn available(self) -> i64 {
        self.on_hand - self.reserved
    }
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) orders: HashMap<Uuid, Order>,
    /// By the name of the balance that guards it.
    pub(super) shelves: BTreeMap<String, Shelf>,
    /// Each order's lines while goods are set aside, to know what a shipment takes from which shelf.
    aside: HashMap<Uuid, Vec<(String, Sku, LocationCode)>>,
    faults: Faults,
}

impl Books {
    /// Takes in a recorded event and what it is today.
    pub(super) fn take(&mut self, recorded: &RecordedEvent, events: &[Event]) {
        events.iter().for_each(|event| self.enter(recorded, event));
    }

    fn enter(&mut self, recorded: &RecordedEvent, event: &Event) {
        let (id, shop) = (recorded.stream.id, recorded.shop.as_str());
        match event {
            Event::Order(event) => self.order(id, shop, event),
            Event::Payment(event) => self.payment(id, event),
            Event::Shipment(event) => self.shipment(id, shop, event),
            Event::Stock(StockEvent::StockReceived(e)) => {
                self.shelf(shop, &e.location, &e.sku).on_hand += e.quantity;
            }
            Event::Stock(StockEvent::StockAdjusted(e)) => self.shelf(shop, &e.location, &e.sku).on_hand += e.delta,
            Event::Saga(event) => self.saga(id, event),
            Event::Return(event) => self.returned(id, shop, event),
            Event::Location(_) | Event::Person(_) => {}
        }
    }

    fn saga(&mut self, id: Uuid, event: &SagaEvent) {
        use Direction::{Compensate, Forward};
        let told = &mut self.orders.entry(id).or_default().answered_for;
        let (step, direction) = match event {
            SagaEvent::StepSkipped(event) => (event.step, event.direction),
            SagaEvent::StepMarkedDone(event) => (event.step, event.direction),
            _ => return,
        };
        match (step, direction) {
            (Step::AuthorizePayment, Forward) => told.authorization = true,
            (Step::AuthorizePayment, Compensate) => told.void = true,
            (Step::CapturePayment, _) => {
                told.capture = true;
                told.capture_skipped |= matches!(event, SagaEvent::StepSkipped(_));
            }
            (Step::Ship, _) => told.label = true,
            _ => {}
        }
    }

    fn returned(&mut self, id: Uuid, shop: &str, event: &ReturnEvent) {
        let order = self.orders.entry(id).or_default();
        match event {
            ReturnEvent::ReturnRequested(_) => order.open_returns += 1,
            ReturnEvent::ReturnCompleted(_) | ReturnEvent::ReturnClosed(_) => {
                order.open_returns = order.open_returns.saturating_sub(1);
            }
            ReturnEvent::ReturnLabelPurchased(_) => order.return_labels += 1,
            ReturnEvent::ReturnLabelVoided(event) => order.return_labels -= i64::from(event.label_id.is_some()),
            ReturnEvent::ReturnRestocked(event) => {
                for line in &event.lines {
                    self.shelf(shop, &line.location, &line.sku).on_hand += line.quantity;
                }
            }
            ReturnEvent::ReturnStepMarkedDone(ReturnStepMarkedDone { step, .. })
            | ReturnEvent::ReturnStepSkipped(ReturnStepSkipped { step, .. }) => match step {
                ReturnStep::Refund => order.answered_for.refund = true,
                _ => order.answered_for.return_label = true,
            },
            _ => {}
        }
    }

    fn shelf(&mut self, shop: &str, location: &LocationCode, sku: &Sku) -> &mut Shelf {
        self.shelves.entry(stock::account(shop, location, sku)).or_default()
    }

    fn order(&mut self, id: Uuid, shop: &str, event: &OrderEvent) {
        match event {
            OrderEvent::OrderPlaced(placed) => {
                let order = self.orders.entry(id).or_default();
                order.total = placed.total;
                order.currency.clone_from(&placed.currency.code);
                order.digits = placed.currency.digits;
            }
            OrderEvent::StockReserved(reserved) => {
                for line in &reserved.lines {
                    self.shelf(shop, &line.location, &line.sku).reserved += line.quantity;
                }
                let units: i64 = reserved.lines.iter().map(|line| line.quantity).sum();
                self.orders.entry(id).or_default().reserved_units += units;
                let aside = |line: &domain::order::Reservation| {
                    (line.line_id.0.clone(), line.sku.clone(), line.location.clone())
                };
                self.aside.insert(id, reserved.lines.iter().map(aside).collect());
            }
            OrderEvent::StockReleased(released) => {
                for line in &released.lines {
                    self.shelf(shop, &line.location, &line.sku).reserved -= line.quantity;
                }
                let units: i64 = released.lines.iter().map(|line| line.quantity).sum();
                self.orders.entry(id).or_default().reserved_units -= units;
                self.aside.remove(&id);
            }
            OrderEvent::OrderCancelled(_) => self.end(id, End::Cancelled),
            OrderEvent::OrderCompleted(_) => self.end(id, End::Completed),
            OrderEvent::ReservationRefused(_) | OrderEvent::CancelRequested(_) | OrderEvent::CustomerErased(_) => {}
        }
    }

    fn end(&mut self, id: Uuid, end: End) {
        self.aside.remove(&id);
        let order = self.orders.entry(id).or_default();
        if order.end.is_some() {
            self.faults.add(format!("order {} ends twice", OrderId(id)));
        }
        order.end = Some(end);
    }

    fn payment(&mut self, id: Uuid, event: &PaymentEvent) {
        let order = self.orders.entry(id).or_default();
        match event {
            PaymentEvent::PaymentAuthorized(_) => order.authorized = true,
            PaymentEvent::AuthorizationVoided(_) => order.voided = true,
            PaymentEvent::PaymentCaptured(captured) => {
                order.captured = order.captured + captured.amount;
                order.captures += 1;
            }
            PaymentEvent::PaymentRefunded(refunded) => {
                order.refunded = order.refunded + refunded.amount;
                order.refunds += 1;
            }
            PaymentEvent::PaymentDeclined(_) | PaymentEvent::CaptureDeclined(_) => {}
        }
    }

    fn shipment(&mut self, id: Uuid, shop: &str, event: &ShipmentEvent) {
        match event {
            ShipmentEvent::FulfillmentReleased(released) => {
                self.orders.entry(id).or_default().auto = released.mode == LocationMode::Auto;
            }
            ShipmentEvent::FulfillmentShipped(shipped) => {
                let order = self.orders.entry(id).or_default();
                order.shipments += 1;
                order.reserved_units -= shipped.lines.iter().map(|line| line.quantity).sum::<i64>();
                let aside = self.aside.get(&id).cloned().unwrap_or_default();
                for line in &shipped.lines {
                    match aside.iter().find(|(line_id, ..)| *line_id == line.line_id.0) {
                        Some((_, sku, location)) => {
                            let shelf = self.shelf(shop, location, sku);
                            shelf.on_hand -= line.quantity;
                            shelf.reserved -= line.quantity;
                        }
                        None => self.faults.add(format!(
                            "order {} ships line {} without having it set aside",
                            OrderId(id),
                            line.line_id
                        )),
                    }
                }
            }
            _ => {}
        }
    }

    /// What the store guards, by account, against the shelves: as of the same position.
    pub(super) fn balance_faults(&self, balances: &BTreeMap<String, i64>) -> Faults {
        let mut faults = Faults::default();
        for (account, shelf) in &self.shelves {
            if shelf.available() < 0 || shelf.on_hand < 0 || shelf.reserved < 0 {
                faults.add(format!("{account} is oversold: {} on hand, {} reserved", shelf.on_hand, shelf.reserved));
            }
            let guarded = balances.get(account).copied().unwrap_or_default();
            if guarded != shelf.available() {
                faults.add(format!("the balance {account} is {guarded}, the events say {}", shelf.available()));
            }
        }
        for (account, balance) in balances {
            if *balance != 0 && !self.shelves.contains_key(account) {
                faults.add(format!("the balance {account} is {balance}, the events know nothing of it"));
            }
        }
        faults
    }

    /// What must hold of each order and of all of them together; and what the completed ones are worth, in words.
    pub(super) fn order_faults(&self) -> (Faults, String) {
        let mut faults = self.faults.clone();
        for (id, order) in &self.orders {
            faults.extend(order.faults().map(|fault| format!("order {}: {fault}", OrderId(*id))));
        }
        let mut worth = Vec::new();
        for ((code, digits), (completed, captured)) in self.turnover() {
            if completed != captured {
                faults.add(format!(
                    "completed orders are worth {} {code}, {} was captured",
                    Amount(completed).display(digits),
                    Amount(captured).display(digits)
                ));
            }
            worth.push(format!(
                "the completed ones are worth {} {code}, all of it captured",
                Amount(completed).display(digits)
            ));
        }
        let worth = if worth.is_empty() { "there are none".to_owned() } else { worth.join("; ") };
        (faults, worth)
    }

    /// What the completed orders of each currency are worth, and what was captured for them, in minor units.
    fn turnover(&self) -> BTreeMap<(String, u8), (i64, i64)> {
        let mut turnover: BTreeMap<_, (i64, i64)> = BTreeMap::new();
        let counts = |order: &&Order| order.is_placed() && !order.answered_for.capture_skipped;
        for order in self.orders.values().filter(counts) {
            let entry = turnover.entry((order.currency.clone(), order.digits)).or_default();
            if order.end == Some(End::Completed) {
                entry.0 += order.total.0;
            }
            if order.end.is_some() {
                entry.1 += order.captured.0;
            }
        }
        turnover
    }
}

impl Order {
    /// A saga of it goes on.
    pub(super) fn is_under_way(&self) -> bool {
        self.end.is_none() || self.open_returns > 0
    }

    /// Its placement was read.
    pub(super) fn is_placed(&self) -> bool {
        !self.currency.is_empty()
    }

    fn faults(&self) -> impl Iterator<Item = String> {
        let mut faults = Vec::new();
        let mut fault = |broken: bool, text: &str| {
            if broken {
                faults.push(text.to_owned());
            }
        };
        fault(self.captures > 1, "money was captured more than once");
        fault(self.refunded > self.captured, "more was given back than was taken");
        match self.end {
            Some(End::Completed) => {
                let is_paid = self.captured == self.total || self.answered_for.capture_skipped;
                fault(!is_paid, "it is completed, but what was captured is not its total");
                fault(self.reserved_units != 0, "it is completed, but goods are still set aside for it");
                fault(self.shipments == 0, "it is completed, but nothing was shipped");
                fault(self.voided, "it is completed, but its authorization was voided");
            }
            Some(End::Cancelled) => {
                fault(self.captured != Amount::ZERO, "it is cancelled, but money was captured");
                fault(self.reserved_units != 0, "it is cancelled, but goods are still set aside for it");
                fault(self.shipments != 0, "it is cancelled, but goods were shipped");
                let is_held = self.authorized && !self.voided && !self.answered_for.void;
                fault(is_held, "it is cancelled, but its authorization stands");
            }
            None => {}
        }
        faults.into_iter()
    }
}
