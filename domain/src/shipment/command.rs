//! What can be asked of a fulfillment, or reported of it. `lines: None` means everything that is left to do.
use super::{FulfillmentReleased, Label, LabelVoided, LineQuantity, PackedParcel, Parcel};

#[derive(Clone, Debug)]
pub enum Command {
    Release(FulfillmentReleased),
    Pick {
        lines: Option<Vec<LineQuantity>>,
    },
    Pack {
        lines: Option<Vec<LineQuantity>>,
        parcels: Vec<PackedParcel>,
    },
    Ship {
        lines: Option<Vec<LineQuantity>>,
        parcels: Vec<Parcel>,
    },
    RecordLabel(Label),
    RecordLabelVoid(LabelVoided),
    /// `leaving_label`: an operator lets a label that can't be voided be.
    Recall {
        leaving_label: bool,
    },
}
