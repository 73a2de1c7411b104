//! The shipping participant: rates, labels, voiding a label, tracking, what became of a key, and what is held under a reference.

mod books;
mod http;
mod in_process;
mod port;
mod simulator;

pub use http::HttpShipping;
pub use in_process::InProcessShipping;
pub use port::{
    HeldLabel, Label, LabelRequest, LabelVoided, Rate, RateRequest, ShippingOutcome, ShippingPort, Tracking,
    TrackingStatus, VoidLabelRequest,
};
pub use simulator::ShippingSimulator;
