//! The shipping port over the simulator in the same process, for measurements and fast tests.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    HeldLabel, Label, LabelRequest, LabelVoided, Rate, RateRequest, ShippingOutcome, ShippingPort, ShippingSimulator,
    Tracking, VoidLabelRequest,
};
use crate::participants::{ForgetRequest, Forgotten, StepError, within};

/// Calls a [`ShippingSimulator`] directly.
#[derive(Debug, Clone)]
pub struct InProcessShipping {
    simulator: ShippingSimulator,
    limit: Duration,
}

impl InProcessShipping {
    /// A call that takes longer than `limit` is given up: its outcome is unknown.
    pub fn new(simulator: ShippingSimulator, limit: Duration) -> Self {
        Self { simulator, limit }
    }
}

#[async_trait]
impl ShippingPort for InProcessShipping {
    fn key_lifetime(&self) -> Option<Duration> {
        self.simulator.key_lifetime()
    }

    async fn rate(&self, request: &RateRequest) -> Result<Vec<Rate>, StepError> {
        within(self.limit, self.simulator.rate(request)).await
    }

    async fn label(&self, request: &LabelRequest) -> Result<Label, StepError> {
        within(self.limit, self.simulator.label(request)).await
    }

    async fn void_label(&self, request: &VoidLabelRequest) -> Result<LabelVoided, StepError> {
        within(self.limit, self.simulator.void_label(request)).await
    }

    async fn track(&self, label_id: &str) -> Result<Option<Tracking>, StepError> {
        within(self.limit, self.simulator.track(label_id)).await
    }

    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError> {
        within(self.limit, self.simulator.forget(request)).await
    }

    async fn find(&self, reference: &str) -> Result<Vec<HeldLabel>, StepError> {
        within(self.limit, self.simulator.find(reference)).await
    }

    async fn query(&self, key: &str) -> Result<Option<ShippingOutcome>, StepError> {
        within(self.limit, self.simulator.query(key)).await
    }
}
