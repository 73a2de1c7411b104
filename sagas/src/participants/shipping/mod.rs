//! The shipping participant: rates, labels, voiding a label, tracking, and what became of a key.

mod books;
mod http;
mod in_process;
mod port;
mod simulator;

pub use http::HttpShipping;
pub use in_process::InProcessShipping;
pub use port::{
    Label, LabelRequest, LabelVoided, Rate, RateRequest, ShippingOutcome, ShippingPort, Tracking, TrackingStatus,
    VoidLabelRequest,
};
pub use simulator::ShippingSimulator;
