//! The payment participant: authorize, capture, void, refund, and what became of a key.

mod port;

pub use port::{
    Authorization, AuthorizeRequest, Capture, CaptureRequest, PaymentOutcome, PaymentPort, Refund, RefundRequest, VoidRequest, Voided,
};
