//! A return's row: what is to come back, what came, what was found of it, and how far that is. Its saga has a row of its own.
//!
//! Why it comes back is not in it: people's words lie in the vault.
use super::{history::History, sagas::return_number};
use domain::{
    LineId,
    returns::{InspectedLine, Return},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct ReturnRow {
    pub(crate) order_id: Uuid,
    pub(crate) number: i16,
    pub(crate) shop: String,
    pub(crate) location: String,
    pub(crate) stage: &'static str,
    pub(crate) carrier: Option<String>,
    pub(crate) tracking_number: Option<String>,
    /// Minor units.
    pub(crate) refund: Option<i64>,
    pub(crate) digits: i16,
    /// JSON of [`Line`]s.
    pub(crate) lines: String,
}

/// A line as it lies in `returns.lines`; what is not known yet is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) line_id: String,
    pub(crate) sku: String,
    pub(crate) quantity: i64,
    pub(crate) received: i64,
    pub(crate) restocked: i64,
    pub(crate) written_off: i64,
    pub(crate) refused: i64,
}

impl ReturnRow {
    /// `None`: there is no such return.
    pub(crate) fn of(history: &History, number: u16) -> Result<Option<ReturnRow>, serde_json::Error> {
        let state = &history.fulfillment;
        let Some(this) = state.returns.one(number) else { return Ok(None) };
        let released = state.shipment.released.as_ref();
        let sku = |id: &LineId| {
            let line = released.and_then(|released| released.lines.iter().find(|line| line.line_id == *id));
            line.map_or_else(String::new, |line| line.sku.0.clone())
        };
        let lines: Vec<Line> =
            this.wanted.iter().map(|line| of_line(this, &line.line_id, line.quantity, sku)).collect();
        Ok(Some(ReturnRow {
            order_id: history.order_id.0,
            number: return_number(number),
            shop: history.shop.clone(),
            location: released.map_or_else(String::new, |released| released.location.0.clone()),
            stage: this.stage().name(),
            carrier: this.label.as_ref().map(|label| label.carrier.clone()),
            tracking_number: this.label.as_ref().map(|label| label.tracking_number.clone()),
            refund: this.refund().map(|amount| amount.0),
            digits: state.order.placed.as_ref().map_or(0, |placed| i16::from(placed.currency.digits)),
            lines: serde_json::to_string(&lines)?,
        }))
    }
}

fn of_line(this: &Return, id: &LineId, quantity: i64, sku: impl Fn(&LineId) -> String) -> Line {
    let received = this.received.iter().flatten().filter(|line| line.line_id == *id).map(|line| line.quantity).sum();
    let found = |pieces: fn(&InspectedLine) -> i64| {
        this.inspected.iter().flatten().filter(|line| line.line_id == *id).map(pieces).sum()
    };
    Line {
        line_id: id.0.clone(),
        sku: sku(id),
        quantity,
        received,
        restocked: found(|line| line.restock),
        written_off: found(|line| line.write_off),
        refused: found(|line| line.refuse),
    }
}
