//! The shipping participant: rates, labels, voiding a label, tracking, and what became of a key.

mod port;

pub use port::{
    Label, LabelRequest, LabelVoided, Rate, RateRequest, ShippingOutcome, ShippingPort, Tracking, TrackingStatus, VoidLabelRequest,
};
