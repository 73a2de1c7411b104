//! What can be asked of an order. Time and ids come with the command.
use super::{CancelReason, OrderPlaced, Reservation, Shortage};
use uuid::Uuid;

#[derive(Clone, Debug)]
pub enum Command {
    Place(Box<OrderPlaced>),
    /// Records that every line is set aside; the balances are taken in the same append.
    RecordReservation {
        lines: Vec<Reservation>,
    },
    RecordShortage {
        shortages: Vec<Shortage>,
    },
    ReleaseStock,
    /// A shop or support wants it undone. `shipped`: goods have left, by the fulfillment's state in the same read.
    RequestCancel {
        note_id: Option<Uuid>,
        shipped: bool,
    },
    Cancel {
        reason: CancelReason,
    },
    Complete,
    /// The person behind the order is erased; it has ended before that.
    RecordErasure {
        person_id: Uuid,
    },
}
