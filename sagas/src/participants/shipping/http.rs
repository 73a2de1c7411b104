//! The shipping port over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;

use super::{
    HeldLabel, Label, LabelRequest, LabelVoided, Rate, RateRequest, ShippingOutcome, ShippingPort, Tracking,
    VoidLabelRequest,
};
use crate::participants::http::{Transport, TransportError};
use crate::participants::{ForgetRequest, Forgotten, StepError};

/// A carrier at a URL.
#[derive(Debug, Clone)]
pub struct HttpShipping {
    transport: Transport,
    key_lifetime: Option<Duration>,
    rates: Url,
    labels: Url,
    voids: Url,
    erasures: Url,
}

impl HttpShipping {
    /// A client of the carrier at `base`, as `http://127.0.0.1:9002`. A call that takes longer than `limit` is given
    /// up: its outcome is unknown. Clones share one pool of connections.
    ///
    /// # Errors
    /// When `base` is no HTTP URL, or TLS can't be set up.
    pub fn new(base: &str, limit: Duration) -> Result<Self, TransportError> {
        let transport = Transport::new(base, limit)?;
        Ok(Self {
            rates: transport.endpoint(&["v1", "rates"])?,
            labels: transport.endpoint(&["v1", "labels"])?,
            voids: transport.endpoint(&["v1", "voids"])?,
            erasures: transport.endpoint(&["v1", "erasures"])?,
            transport,
            key_lifetime: None,
        })
    }

    /// The same of a carrier that forgets a key after so long.
    #[must_use]
    pub fn forgetting_keys_after(self, key_lifetime: Option<Duration>) -> Self {
        Self { key_lifetime, ..self }
    }
}

#[async_trait]
impl ShippingPort for HttpShipping {
    fn key_lifetime(&self) -> Option<Duration> {
        self.key_lifetime
    }

    async fn rate(&self, request: &RateRequest) -> Result<Vec<Rate>, StepError> {
        self.transport.ask(&self.rates, request).await
    }

    async fn label(&self, request: &LabelRequest) -> Result<Label, StepError> {
        self.transport.act(&self.labels, &request.key, request).await
    }

    async fn void_label(&self, request: &VoidLabelRequest) -> Result<LabelVoided, StepError> {
        self.transport.act(&self.voids, &request.key, request).await
    }

    async fn track(&self, label_id: &str) -> Result<Option<Tracking>, StepError> {
        self.transport.find(&["v1", "labels", label_id]).await
    }

    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError> {
        self.transport.act(&self.erasures, &request.key, request).await
    }

    async fn find(&self, reference: &str) -> Result<Vec<HeldLabel>, StepError> {
        self.transport.list(&self.labels, &[("reference", reference)]).await
    }

    async fn query(&self, key: &str) -> Result<Option<ShippingOutcome>, StepError> {
        self.transport.find(&["v1", "operations", key]).await
    }
}
