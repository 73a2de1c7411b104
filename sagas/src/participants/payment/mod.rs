//! The payment participant: authorize, capture, void, refund, and what became of a key.

mod books;
mod http;
mod in_process;
mod port;
mod simulator;
mod token;

pub use http::HttpPayment;
pub use in_process::InProcessPayment;
pub use port::{
    Authorization, AuthorizeRequest, Capture, CaptureRequest, PaymentOutcome, PaymentPort, Refund, RefundRequest,
    VoidRequest, Voided,
};
pub use simulator::PaymentSimulator;
