//! What a return is worth: of each line its price, its own charges and its share of the order's discounts, piece by piece. Shipping and fees
//! of the whole order are not given back.
//!
//! However an order's pieces are spread over returns, all of them together are given back the same to the cent, and never more than
//! was taken: shares are differences of what is due up to a piece, rounded down.
use super::{Return, Returns};
use crate::{Amount, LineId, order::OrderPlaced};
use serde::{Deserialize, Serialize};

/// What is given back for a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RefundedLine {
    /// The line of the order.
    pub line_id: LineId,
    /// What is given back for it.
    pub amount: Amount,
}

/// What is given back for what was accepted in this return, the last to be inspected; only lines for which there is something.
pub(crate) fn refundable(placed: &OrderPlaced, captured: Amount, returns: &Returns, number: u16) -> Vec<RefundedLine> {
    let Some(this) = returns.one(number) else { return vec![] };
    let others = || returns.iter().filter(|other| other.number != number);
    let mut left = captured - others().map(Return::due).sum();
    let mut refunded = vec![];
    for (line, value) in placed.lines.iter().zip(values(placed)) {
        let before: i64 = others().map(|other| other.accepted(&line.line_id)).sum();
        let now = this.accepted(&line.line_id);
        let due = |pieces: i64| share(value.0, pieces, line.quantity);
        let amount = Amount(due(before + now) - due(before)).min(left);
        if amount > Amount::ZERO {
            left = left - amount;
            refunded.push(RefundedLine { line_id: line.line_id.clone(), amount });
        }
    }
    refunded
}

/// What each line is worth in all, after its own charges and its share of what lowers the whole order.
fn values(placed: &OrderPlaced) -> Vec<Amount> {
    let signed = |charge: &crate::order::Charge| charge.signed(placed.prices_include_tax);
    let own = |line_id: &LineId| -> Amount {
        placed.charges.iter().filter(|charge| charge.line_id.as_ref() == Some(line_id)).map(signed).sum()
    };
    let before: Vec<Amount> = placed.lines.iter().map(|line| line.line_total + own(&line.line_id)).collect();
    let of_order = placed.charges.iter().filter(|charge| charge.line_id.is_none()).map(signed);
    let lowered: Amount = of_order.filter(|amount| *amount < Amount::ZERO).sum();
    let whole: i64 = before.iter().map(|value| value.0.max(0)).sum();
    let mut upto = 0;
    before
        .into_iter()
        .map(|value| {
            let from = upto;
            upto += value.0.max(0);
            value + Amount(share(lowered.0, upto, whole) - share(lowered.0, from, whole))
        })
        .map(|value| value.max(Amount::ZERO))
        .collect()
}

/// So much of `value` as `part` is of `whole`, rounded towards zero.
fn share(value: i64, part: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return 0;
    }
    let share = i128::from(value) * i128::from(part) / i128::from(whole);
    i64::try_from(share).unwrap_or(value)
}
