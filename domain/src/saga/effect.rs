//! What will happen, for a person to read before they ask for it. Told of the events that a saga would write if all went well, so that it
//! can't differ from what the saga does.
use crate::{
    Amount, Currency, Event,
    order::{OrderEvent, Reservation},
    payment::PaymentEvent,
    returns::{PutAway, ReturnEvent},
    shipment::ShipmentEvent,
};
use std::{collections::BTreeSet, fmt};

/// One thing that will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    ReserveStock {
        skus: usize,
    },
    Authorize {
        amount: Amount,
        currency: Currency,
    },
    ReleaseToWarehouse,
    Ship,
    Capture {
        amount: Amount,
        currency: Currency,
    },
    Complete,
    /// `certain`: it is known to have been bought.
    VoidLabel {
        certain: bool,
    },
    Recall,
    /// `certain`: the money is known to be held.
    VoidAuthorization {
        amount: Amount,
        currency: Currency,
        certain: bool,
    },
    ReleaseStock {
        skus: usize,
    },
    Cancel,
    BuyReturnLabel,
    Refund {
        amount: Amount,
        currency: Currency,
    },
    Restock {
        skus: usize,
    },
    WriteOff {
        skus: usize,
    },
    CompleteReturn,
    CloseReturn,
}

impl Effect {
    /// As programs know it.
    pub const fn code(&self) -> &'static str {
        match self {
            Effect::ReserveStock { .. } => "reserve_stock",
            Effect::Authorize { .. } => "authorize",
            Effect::ReleaseToWarehouse => "release_to_warehouse",
            Effect::Ship => "ship",
            Effect::Capture { .. } => "capture",
            Effect::Complete => "complete",
            Effect::VoidLabel { .. } => "void_label",
            Effect::Recall => "recall",
            Effect::VoidAuthorization { .. } => "void_authorization",
            Effect::ReleaseStock { .. } => "release_stock",
            Effect::Cancel => "cancel",
            Effect::BuyReturnLabel => "buy_return_label",
            Effect::Refund { .. } => "refund",
            Effect::Restock { .. } => "restock",
            Effect::WriteOff { .. } => "write_off",
            Effect::CompleteReturn => "complete_return",
            Effect::CloseReturn => "close_return",
        }
    }

    /// What an event does, if it does something in the world. `total` and `currency` are the order's.
    pub(crate) fn of(event: &Event, total: Amount, currency: &Currency) -> Option<Effect> {
        let currency = || currency.clone();
        Some(match event {
            Event::Order(OrderEvent::StockReserved(event)) => Effect::ReserveStock { skus: skus(&event.lines) },
            Event::Order(OrderEvent::StockReleased(event)) => Effect::ReleaseStock { skus: skus(&event.lines) },
            Event::Order(OrderEvent::OrderCancelled(_)) => Effect::Cancel,
            Event::Order(OrderEvent::OrderCompleted(_)) => Effect::Complete,
            Event::Payment(PaymentEvent::PaymentAuthorized(event)) => {
                Effect::Authorize { amount: event.amount, currency: currency() }
            }
            Event::Payment(PaymentEvent::PaymentCaptured(event)) => {
                Effect::Capture { amount: event.amount, currency: currency() }
            }
            Event::Payment(PaymentEvent::AuthorizationVoided(event)) => Effect::VoidAuthorization {
                amount: total,
                currency: currency(),
                certain: event.authorization_id.is_some(),
            },
            Event::Shipment(ShipmentEvent::FulfillmentReleased(_)) => Effect::ReleaseToWarehouse,
            Event::Shipment(ShipmentEvent::FulfillmentShipped(_)) => Effect::Ship,
            Event::Shipment(ShipmentEvent::FulfillmentRecalled(_)) => Effect::Recall,
            Event::Shipment(ShipmentEvent::LabelVoided(event)) => {
                Effect::VoidLabel { certain: event.label_id.is_some() }
            }
            Event::Payment(PaymentEvent::PaymentRefunded(event)) => {
                Effect::Refund { amount: event.amount, currency: currency() }
            }
            Event::Return(ReturnEvent::ReturnLabelPurchased(_)) => Effect::BuyReturnLabel,
            Event::Return(ReturnEvent::ReturnLabelVoided(event)) => {
                Effect::VoidLabel { certain: event.label_id.is_some() }
            }
            Event::Return(ReturnEvent::ReturnRestocked(event)) => Effect::Restock { skus: put_away(&event.lines) },
            Event::Return(ReturnEvent::ReturnWrittenOff(event)) => Effect::WriteOff { skus: put_away(&event.lines) },
            Event::Return(ReturnEvent::ReturnCompleted(_)) => Effect::CompleteReturn,
            Event::Return(ReturnEvent::ReturnClosed(_)) => Effect::CloseReturn,
            _ => return None,
        })
    }

    /// One sentence of all of them: `will release 2 SKUs and cancel the order`.
    pub fn sentence(effects: &[Effect]) -> String {
        let told: Vec<String> = effects.iter().map(Effect::to_string).collect();
        match told.split_last() {
            None => "nothing will happen".to_owned(),
            Some((last, [])) => format!("will {last}"),
            Some((last, rest)) => format!("will {} and {last}", rest.join(", ")),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let money =
            |amount: &Amount, currency: &Currency| format!("{} {}", amount.display(currency.digits), currency.code);
        let count = |skus: usize| if skus == 1 { "1 SKU".to_owned() } else { format!("{skus} SKUs") };
        match self {
            Effect::ReserveStock { skus } => write!(f, "reserve {}", count(*skus)),
            Effect::Authorize { amount, currency } => write!(f, "authorize {}", money(amount, currency)),
            Effect::ReleaseToWarehouse => f.write_str("release the order to the warehouse"),
            Effect::Ship => f.write_str("have it shipped"),
            Effect::Capture { amount, currency } => write!(f, "capture {}", money(amount, currency)),
            Effect::Complete => f.write_str("complete the order"),
            Effect::VoidLabel { certain: true } => f.write_str("void the shipping label"),
            Effect::VoidLabel { certain: false } => f.write_str("make sure that no shipping label is left"),
            Effect::Recall => f.write_str("take it back from the warehouse"),
            Effect::VoidAuthorization { amount, currency, certain: true } => {
                write!(f, "void the authorization of {}", money(amount, currency))
            }
            Effect::VoidAuthorization { amount, currency, certain: false } => {
                write!(f, "make sure that no authorization of {} is left", money(amount, currency))
            }
            Effect::ReleaseStock { skus } => write!(f, "release {}", count(*skus)),
            Effect::Cancel => f.write_str("cancel the order"),
            Effect::BuyReturnLabel => f.write_str("buy a label to send it back with"),
            Effect::Refund { amount, currency } => write!(f, "refund {}", money(amount, currency)),
            Effect::Restock { skus } => write!(f, "restock {}", count(*skus)),
            Effect::WriteOff { skus } => write!(f, "write off {}", count(*skus)),
            Effect::CompleteReturn => f.write_str("complete the return"),
            Effect::CloseReturn => f.write_str("close the return"),
        }
    }
}

fn skus(lines: &[Reservation]) -> usize {
    lines.iter().map(|line| &line.sku).collect::<BTreeSet<_>>().len()
}

fn put_away(lines: &[PutAway]) -> usize {
    lines.iter().map(|line| &line.sku).collect::<BTreeSet<_>>().len()
}
