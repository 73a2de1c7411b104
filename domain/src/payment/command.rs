//! What the provider answered, to be recorded.
use super::{
    AuthorizationVoided, CaptureDeclined, PaymentAuthorized, PaymentCaptured, PaymentDeclined, PaymentRefunded,
};

#[derive(Clone, Debug)]
pub enum Command {
    RecordAuthorization(PaymentAuthorized),
    RecordDecline(PaymentDeclined),
    RecordVoid(AuthorizationVoided),
    RecordCapture(PaymentCaptured),
    RecordCaptureDecline(CaptureDeclined),
    RecordRefund(PaymentRefunded),
}
