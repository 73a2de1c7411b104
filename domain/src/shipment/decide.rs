//! The rules of a fulfillment.
use super::{
    Command, FulfillmentPacked, FulfillmentPicked, FulfillmentRecalled, FulfillmentShipped, LabelPurchased, Line,
    LineQuantity, Parcel, Released, Shipment, ShipmentEvent,
};
use crate::{Decider, LineId};
use std::collections::HashSet;
use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("it is not released to the warehouse")]
    NotReleased,
    #[error("it was recalled, or is about to be")]
    Recalled,
    #[error("an operator has put the order on hold")]
    OnHold,
    #[error("its location picks, packs and ships by itself")]
    ShipsByItself,
    #[error("goods have left already")]
    AlreadyShipped,
    #[error("there is no line {0}")]
    UnknownLine(LineId),
    #[error("line {0} is named twice")]
    LineNamedTwice(LineId),
    #[error("line {0} needs a quantity of 1 or more")]
    NoQuantity(LineId),
    #[error("line {line_id} has {left} left, not {wanted}")]
    TooMany { line_id: LineId, wanted: i64, left: i64 },
    #[error("{0} does not fit the fulfillment's state")]
    OutOfPlace(&'static str),
}

impl Decider for Shipment {
    type State = Shipment;
    type Command = Command;
    type Event = ShipmentEvent;
    type Rejection = Rejection;

    fn initial() -> Shipment {
        Shipment::default()
    }

    fn decide(shipment: &Shipment, command: Command) -> Result<Vec<ShipmentEvent>, Rejection> {
        match command {
            Command::Release(event) => match &shipment.released {
                None => one(event),
                Some(_) => Ok(vec![]),
            },
            Command::Pick { lines } => {
                let lines = take(open(shipment)?, lines, |line| line.picked)?;
                Ok(if lines.is_empty() { vec![] } else { vec![FulfillmentPicked { lines }.into()] })
            }
            Command::Pack { lines, parcels } => {
                let lines = take(open(shipment)?, lines, |line| line.packed)?;
                Ok(if lines.is_empty() { vec![] } else { vec![FulfillmentPacked { lines, parcels }.into()] })
            }
            Command::Ship { lines, parcels } => {
                let lines = take(open(shipment)?, lines, |line| line.shipped)?;
                Ok(if lines.is_empty() { vec![] } else { vec![FulfillmentShipped { lines, parcels }.into()] })
            }
            Command::RecordLabel(label) => {
                open(shipment)?;
                match &shipment.label {
                    None => one(LabelPurchased { label }),
                    Some(known) if known.label_id == label.label_id => Ok(vec![]),
                    Some(_) => Err(Rejection::OutOfPlace("RecordLabel")),
                }
            }
            Command::RecordLabelVoid(event) => {
                // Before the release, too: one that nobody has heard of is blocked.
                match () {
                    () if shipment.recalled => Err(Rejection::Recalled),
                    () if shipment.has_left() => Err(Rejection::AlreadyShipped),
                    () if shipment.label_voided => Ok(vec![]),
                    () => one(event),
                }
            }
            Command::Recall { .. } if shipment.recalled => Ok(vec![]),
            Command::Recall { leaving_label } => {
                open(shipment)?;
                match () {
                    () if shipment.has_left() => Err(Rejection::AlreadyShipped),
                    () if shipment.label.is_some() && !leaving_label => Err(Rejection::OutOfPlace("Recall")),
                    () => one(FulfillmentRecalled {}),
                }
            }
        }
    }

    fn evolve(shipment: &mut Shipment, event: &ShipmentEvent) {
        match event {
            ShipmentEvent::FulfillmentReleased(event) => shipment.released = Some(event.into()),
            ShipmentEvent::FulfillmentPicked(event) => add(shipment, &event.lines, |line, n| line.picked += n),
            ShipmentEvent::FulfillmentPacked(event) => add(shipment, &event.lines, |line, n| {
                line.packed += n;
                line.picked = line.picked.max(line.packed);
            }),
            ShipmentEvent::LabelPurchased(event) => shipment.label = Some(event.label.clone()),
            ShipmentEvent::LabelVoided(_) => {
                shipment.label = None;
                shipment.label_voided = true;
            }
            ShipmentEvent::FulfillmentShipped(event) => {
                add(shipment, &event.lines, |line, n| {
                    line.shipped += n;
                    line.packed = line.packed.max(line.shipped);
                    line.picked = line.picked.max(line.packed);
                });
                // A shipment of which neither is told leaves what is known.
                let told = |parcel: &&Parcel| parcel.carrier.is_some() || parcel.tracking_number.is_some();
                if let (Some(released), Some(parcel)) = (&mut shipment.released, event.parcels.iter().rev().find(told))
                {
                    released.carrier.clone_from(&parcel.carrier);
                    released.tracking_number.clone_from(&parcel.tracking_number);
                }
            }
            ShipmentEvent::FulfillmentRecalled(_) => shipment.recalled = true,
        }
    }
}

fn one(event: impl Into<ShipmentEvent>) -> Result<Vec<ShipmentEvent>, Rejection> {
    Ok(vec![event.into()])
}

/// The fulfillment, if the warehouse may still work on it.
fn open(shipment: &Shipment) -> Result<&Released, Rejection> {
    match &shipment.released {
        None => Err(Rejection::NotReleased),
        Some(_) if shipment.recalled => Err(Rejection::Recalled),
        Some(released) => Ok(released),
    }
}

/// The quantities asked for, checked against what is left; everything that is left when nothing was said.
fn take(
    released: &Released,
    wanted: Option<Vec<LineQuantity>>,
    done: fn(&Line) -> i64,
) -> Result<Vec<LineQuantity>, Rejection> {
    let left = |line: &Line| line.quantity - done(line);
    let Some(wanted) = wanted else {
        let all = released.lines.iter().filter(|line| left(line) > 0);
        return Ok(all.map(|line| LineQuantity { line_id: line.line_id.clone(), quantity: left(line) }).collect());
    };
    let mut seen = HashSet::new();
    for LineQuantity { line_id, quantity } in &wanted {
        if !seen.insert(line_id) {
            return Err(Rejection::LineNamedTwice(line_id.clone()));
        }
        let line = released.lines.iter().find(|line| line.line_id == *line_id);
        let line = line.ok_or_else(|| Rejection::UnknownLine(line_id.clone()))?;
        if *quantity < 1 {
            return Err(Rejection::NoQuantity(line_id.clone()));
        }
        if *quantity > left(line) {
            return Err(Rejection::TooMany { line_id: line_id.clone(), wanted: *quantity, left: left(line) });
        }
    }
    Ok(wanted)
}

fn add(shipment: &mut Shipment, lines: &[LineQuantity], apply: impl Fn(&mut Line, i64)) {
    for done in lines {
        let released = shipment.released.iter_mut().flat_map(|released| &mut released.lines);
        for line in released.filter(|line| line.line_id == done.line_id) {
            apply(line, done.quantity);
        }
    }
}
