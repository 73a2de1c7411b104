//! The payment participant: authorize, capture, void, refund, what became of a key, and what is held under a reference.

mod books;
mod http;
mod in_process;
mod port;
mod simulator;
mod token;

pub use http::HttpPayment;
pub use in_process::InProcessPayment;
pub use port::{
    Authorization, AuthorizeRequest, Capture, CaptureRequest, HeldAuthorization, HeldCapture, PaymentOutcome,
    PaymentPort, Refund, RefundRequest, VoidRequest, Voided,
};
pub use simulator::PaymentSimulator;
