//! What the simulated carrier remembers, what it charges, and the rules that guard it. Pure: the ledger calls them
//! under its lock.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{HeldLabel, Label, LabelRequest, LabelVoided, Rate, RateRequest, ShippingOutcome, VoidLabelRequest};
use crate::participants::ledger::{Books, Deed, Fact, Kind, Refusal, View};
use crate::participants::{Amount, Forgotten};

const CARRIER: &str = "Simulated Parcel Service";

/// Parcels of one label.
const MAX_PARCELS: u32 = 1_000;

/// A kilogram of each parcel is in the price.
const GRAMS_IN_THE_PRICE: u32 = 1_000;

/// Cents for each further kilogram begun.
const CENTS_A_KILOGRAM: i64 = 80;

/// Labels of one answer; more than anyone asks about.
const MAX_HELD: usize = 100;

/// The country that nobody delivers to, for tests: user-assigned in ISO 3166-1, so no real address has it.
const UNSERVICEABLE: &str = "ZZ";

struct Service {
    method: &'static str,
    /// For a parcel, in US cents.
    cents: i64,
    days: u8,
}

/// The first one is also taken for every name that is not here.
const SERVICES: [Service; 3] = [
    Service { method: "standard", cents: 490, days: 4 },
    Service { method: "express", cents: 1_290, days: 2 },
    Service { method: "overnight", cents: 2_490, days: 1 },
];

/// What a call brought about; a line of the carrier's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ShippingFact {
    Labelled {
        label: Label,
    },
    Voided {
        label_id: String,
        cost: Amount,
    },
    Blocked {
        forward_key: String,
    },
    /// What these references' person was is no longer known here.
    Forgotten {
        orders: Vec<String>,
    },
}

impl Fact for ShippingFact {
    fn acted(&self) -> Option<(Kind, &Amount)> {
        match self {
            Self::Labelled { label } => Some((Kind::Label, &label.cost)),
            Self::Voided { cost, .. } => Some((Kind::VoidLabel, cost)),
            Self::Blocked { .. } | Self::Forgotten { .. } => None,
        }
    }

    fn blocks(&self) -> Option<&str> {
        match self {
            Self::Blocked { forward_key } => Some(forward_key),
            _ => None,
        }
    }
}

impl From<ShippingFact> for ShippingOutcome {
    fn from(fact: ShippingFact) -> Self {
        match fact {
            ShippingFact::Labelled { label } => Self::Labelled(label),
            ShippingFact::Voided { label_id, .. } => Self::Voided(LabelVoided { label_id: Some(label_id) }),
            ShippingFact::Blocked { .. } => Self::Voided(LabelVoided { label_id: None }),
            ShippingFact::Forgotten { orders } => Self::Forgotten(Forgotten { orders: orders.len() as u64 }),
        }
    }
}

#[derive(Debug)]
pub(super) struct Sold {
    key: String,
    pub(super) label: Label,
    pub(super) voided: bool,
}

/// All labels.
#[derive(Debug, Default)]
pub(super) struct ShippingBooks {
    sold: HashMap<String, Sold>,
}

impl ShippingBooks {
    pub(super) fn label(&self, label_id: &str) -> Option<&Sold> {
        self.sold.get(label_id)
    }
}

impl Books for ShippingBooks {
    type Fact = ShippingFact;

    fn apply(&mut self, key: &str, fact: &ShippingFact) {
        match fact {
            ShippingFact::Labelled { label } => {
                let sold = Sold { key: key.to_owned(), label: label.clone(), voided: false };
                self.sold.insert(label.label_id.clone(), sold);
            }
            ShippingFact::Voided { label_id, .. } => {
                if let Some(sold) = self.sold.get_mut(label_id) {
                    sold.voided = true;
                }
            }
            // The books hold amounts and ids; they never held more.
            ShippingFact::Blocked { .. } | ShippingFact::Forgotten { .. } => {}
        }
    }
}

type Decision = Result<ShippingFact, Refusal>;

pub(super) fn rate(request: &RateRequest) -> Result<Vec<Rate>, Refusal> {
    check(&request.country, request.parcels)?;
    let rate = |service: &Service| Rate {
        method: service.method.to_owned(),
        carrier: CARRIER.to_owned(),
        cost: cost(service, request.parcels, request.weight_grams),
        days: service.days,
    };
    Ok(SERVICES.iter().map(rate).collect())
}

pub(super) fn label(request: &LabelRequest) -> Decision {
    check(&request.country, request.parcels)?;
    let service = SERVICES.iter().find(|service| service.method == request.method).unwrap_or(&SERVICES[0]);
    let id = Uuid::now_v7();
    let label = Label {
        label_id: format!("lbl_{}", id.simple()),
        carrier: CARRIER.to_owned(),
        tracking_number: format!("SPS{:020}", id.as_u128() % 100_000_000_000_000_000_000),
        cost: cost(service, request.parcels, request.weight_grams),
    };
    Ok(ShippingFact::Labelled { label })
}

pub(super) fn void(view: &View<'_, ShippingBooks>, request: &VoidLabelRequest) -> Decision {
    let label_id = match &request.label_id {
        Some(id) => id,
        None => match view.fact_of(&request.forward_key) {
            Some(ShippingFact::Labelled { label }) => &label.label_id,
            Some(_) => return Err(Refusal::new("unknown_label", "the forward key did something else")),
            None => return Ok(ShippingFact::Blocked { forward_key: request.forward_key.clone() }),
        },
    };
    let sold = view.books.label(label_id).ok_or_else(|| Refusal::new("unknown_label", "there is no such label"))?;
    let stands_for =
        |key| matches!(view.fact_of(key), Some(ShippingFact::Labelled { label }) if label.label_id == *label_id);
    // Whose key is forgotten is told by its id alone.
    if sold.key != request.forward_key && stands_for(&sold.key) {
        return Err(Refusal::new("unknown_label", "the label is of another forward key"));
    }
    if sold.voided {
        return Err(Refusal::new("already_voided", "the label was voided by another key"));
    }
    Ok(ShippingFact::Voided { label_id: label_id.clone(), cost: sold.label.cost.clone() })
}

/// What is held of what was done under one reference.
pub(super) fn held_under(deeds: &[Deed<'_, ShippingFact>]) -> Vec<HeldLabel> {
    let mut held: Vec<HeldLabel> = Vec::new();
    for deed in deeds {
        match deed.fact {
            ShippingFact::Labelled { label } => {
                held.push(HeldLabel { key: deed.key.map(str::to_owned), label: label.clone(), voided: false });
            }
            ShippingFact::Voided { label_id, .. } => {
                if let Some(known) = held.iter_mut().find(|known| known.label.label_id == *label_id) {
                    known.voided = true;
                }
            }
            ShippingFact::Blocked { .. } | ShippingFact::Forgotten { .. } => {}
        }
    }
    held.truncate(MAX_HELD);
    held
}

fn check(country: &str, parcels: u32) -> Result<(), Refusal> {
    let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
    if !is_country || country == UNSERVICEABLE {
        return Err(Refusal::new("unserviceable", format!("nothing is delivered to {country:?}")));
    }
    if !(1..=MAX_PARCELS).contains(&parcels) {
        return Err(Refusal::new("invalid_parcels", format!("a label is for 1 to {MAX_PARCELS} parcels")));
    }
    Ok(())
}

fn cost(service: &Service, parcels: u32, weight_grams: Option<u32>) -> Amount {
    let included = parcels.saturating_mul(GRAMS_IN_THE_PRICE);
    let further = weight_grams.unwrap_or(0).saturating_sub(included).div_ceil(1_000);
    Amount::new(service.cents * i64::from(parcels) + CENTS_A_KILOGRAM * i64::from(further), 2, "USD")
}
