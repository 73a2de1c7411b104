//! The payment port over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;

use super::{
    Authorization, AuthorizeRequest, Capture, CaptureRequest, HeldAuthorization, PaymentOutcome, PaymentPort, Refund,
    RefundRequest, VoidRequest, Voided,
};
use crate::participants::http::{Transport, TransportError};
use crate::participants::{ForgetRequest, Forgotten, StepError};

/// A payment provider at a URL.
#[derive(Debug, Clone)]
pub struct HttpPayment {
    transport: Transport,
    key_lifetime: Option<Duration>,
    authorizations: Url,
    captures: Url,
    voids: Url,
    erasures: Url,
    refunds: Url,
}

impl HttpPayment {
    /// A client of the provider at `base`, as `http://127.0.0.1:9001`. A call that takes longer than `limit` is given
    /// up: its outcome is unknown. Clones share one pool of connections.
    ///
    /// # Errors
    /// When `base` is no HTTP URL, or TLS can't be set up.
    pub fn new(base: &str, limit: Duration) -> Result<Self, TransportError> {
        let transport = Transport::new(base, limit)?;
        Ok(Self {
            authorizations: transport.endpoint(&["v1", "authorizations"])?,
            captures: transport.endpoint(&["v1", "captures"])?,
            voids: transport.endpoint(&["v1", "voids"])?,
            erasures: transport.endpoint(&["v1", "erasures"])?,
            refunds: transport.endpoint(&["v1", "refunds"])?,
            transport,
            key_lifetime: None,
        })
    }

    /// The same of a provider that forgets a key after so long.
    #[must_use]
    pub fn forgetting_keys_after(self, key_lifetime: Option<Duration>) -> Self {
        Self { key_lifetime, ..self }
    }
}

#[async_trait]
impl PaymentPort for HttpPayment {
    fn key_lifetime(&self) -> Option<Duration> {
        self.key_lifetime
    }

    async fn authorize(&self, request: &AuthorizeRequest) -> Result<Authorization, StepError> {
        self.transport.act(&self.authorizations, &request.key, request).await
    }

    async fn capture(&self, request: &CaptureRequest) -> Result<Capture, StepError> {
        self.transport.act(&self.captures, &request.key, request).await
    }

    async fn void(&self, request: &VoidRequest) -> Result<Voided, StepError> {
        self.transport.act(&self.voids, &request.key, request).await
    }

    async fn refund(&self, request: &RefundRequest) -> Result<Refund, StepError> {
        self.transport.act(&self.refunds, &request.key, request).await
    }

    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError> {
        self.transport.act(&self.erasures, &request.key, request).await
    }

    async fn find(&self, reference: &str) -> Result<Vec<HeldAuthorization>, StepError> {
        self.transport.list(&self.authorizations, &[("reference", reference)]).await
    }

    async fn query(&self, key: &str) -> Result<Option<PaymentOutcome>, StepError> {
        self.transport.find(&["v1", "operations", key]).await
    }
}
