//! The payment port over the simulator in the same process, for measurements and fast tests.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Authorization, AuthorizeRequest, Capture, CaptureRequest, HeldAuthorization, PaymentOutcome, PaymentPort,
    PaymentSimulator, Refund, RefundRequest, VoidRequest, Voided,
};
use crate::participants::{ForgetRequest, Forgotten, StepError, within};

/// Calls a [`PaymentSimulator`] directly.
#[derive(Debug, Clone)]
pub struct InProcessPayment {
    simulator: PaymentSimulator,
    limit: Duration,
}

impl InProcessPayment {
    /// A call that takes longer than `limit` is given up: its outcome is unknown.
    pub fn new(simulator: PaymentSimulator, limit: Duration) -> Self {
        Self { simulator, limit }
    }
}

#[async_trait]
impl PaymentPort for InProcessPayment {
    fn key_lifetime(&self) -> Option<Duration> {
        self.simulator.key_lifetime()
    }

    async fn authorize(&self, request: &AuthorizeRequest) -> Result<Authorization, StepError> {
        within(self.limit, self.simulator.authorize(request)).await
    }

    async fn capture(&self, request: &CaptureRequest) -> Result<Capture, StepError> {
        within(self.limit, self.simulator.capture(request)).await
    }

    async fn void(&self, request: &VoidRequest) -> Result<Voided, StepError> {
        within(self.limit, self.simulator.void(request)).await
    }

    async fn refund(&self, request: &RefundRequest) -> Result<Refund, StepError> {
        within(self.limit, self.simulator.refund(request)).await
    }

    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError> {
        within(self.limit, self.simulator.forget(request)).await
    }

    async fn find(&self, reference: &str) -> Result<Vec<HeldAuthorization>, StepError> {
        within(self.limit, self.simulator.find(reference)).await
    }

    async fn query(&self, key: &str) -> Result<Option<PaymentOutcome>, StepError> {
        within(self.limit, self.simulator.query(key)).await
    }
}
