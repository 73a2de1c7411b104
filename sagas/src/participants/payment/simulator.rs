//! The reference payment provider: its books behind its ledger, and its way of failing on demand.
//!
//! Used in process by [`super::InProcessPayment`] and over HTTP by the server in the root package. It knows nothing
//! of either.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::books::{self, PaymentBooks, PaymentFact};
use super::token::Token;
use super::{
    Authorization, AuthorizeRequest, Capture, CaptureRequest, HeldAuthorization, PaymentOutcome, Refund, RefundRequest,
    VoidRequest, Voided,
};
use crate::participants::fault::Fault;
use crate::participants::forget::{ForgetRequest, Forgotten};
use crate::participants::ledger::{
    Answer, Call, Entry, Known, Lasts, Ledger, OpenError, Refusal, Settled, View, fingerprint,
};
use crate::participants::switch::{Mode, Switch};

/// A payment provider. Clones share one.
#[derive(Clone)]
pub struct PaymentSimulator {
    ledger: Arc<Ledger<PaymentBooks>>,
    switch: Arc<Switch>,
}

impl std::fmt::Debug for PaymentSimulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentSimulator").field("mode", &self.switch.mode()).finish_non_exhaustive()
    }
}

impl PaymentSimulator {
    /// A provider whose ledger is in `path`. Keys older than `keys` are forgotten: used again, they act again. Blocks
    /// while it reads the file.
    ///
    /// # Errors
    /// When the file is in use, damaged or out of reach.
    pub fn open(path: &Path, keys: Option<Duration>, lasts: Lasts) -> Result<Self, OpenError> {
        Ok(Self::over(Ledger::open(path, keys, lasts)?))
    }

    /// A provider that forgets everything with the process.
    pub fn volatile(keys: Option<Duration>) -> Self {
        Self::over(Ledger::volatile(keys))
    }

    /// The same by a clock that others go by too.
    #[cfg(test)]
    pub(crate) fn volatile_since(
        began: (chrono::DateTime<chrono::Utc>, tokio::time::Instant),
        keys: Option<Duration>,
    ) -> Self {
        Self::over(Ledger::volatile_since(began, keys))
    }

    /// How long it knows a key; `None`: as long as its ledger exists.
    pub fn key_lifetime(&self) -> Option<Duration> {
        self.ledger.key_lifetime()
    }

    fn over(ledger: Ledger<PaymentBooks>) -> Self {
        Self { ledger: Arc::new(ledger), switch: Arc::new(Switch::new()) }
    }

    /// Changes how it behaves to calls from now on.
    pub fn control(&self, mode: Mode) {
        self.switch.set(mode);
    }

    /// How it behaves now.
    pub fn mode(&self) -> Mode {
        self.switch.mode()
    }

    /// Ends whatever waits or hangs; later calls are turned away. The file is closed with the last clone.
    pub fn stop(&self) {
        self.switch.stop();
    }

    /// See the port.
    pub async fn authorize(&self, request: &AuthorizeRequest) -> Result<Authorization, Fault> {
        let amount = request.amount.to_string();
        let parts = ["authorize", &request.reference, &amount, &request.token];
        let call = Call::new(&request.key, &request.reference, fingerprint(&parts))?;
        let token = Token::parse(&request.token);
        let admitted = self.switch.admit().await?;
        let settled = match token {
            Some(Token::Slow(wait)) if !self.ledger.is_decided(&request.key) => {
                self.authorize_later(request.clone(), call, wait).await?
            }
            Some(Token::Flaky(times))
                if !self.ledger.is_decided(&request.key) && self.ledger.stumbles(&request.key, times) =>
            {
                return Err(Fault::unavailable("a passing fault, as the token asks for"));
            }
            _ => self.ledger.settle(&call, |view| books::authorize(view, request, token)).await?,
        };
        if settled.first && (admitted.hang_after_acting || token == Some(Token::HangAfterActing)) {
            return Err(self.switch.hang().await);
        }
        match settled.fact {
            PaymentFact::Authorized { authorization, .. } => Ok(authorization),
            other => Err(strange(&other)),
        }
    }

    /// Acts after `wait` in a task of its own: the provider goes on though the caller has hung up.
    async fn authorize_later(
        &self,
        request: AuthorizeRequest,
        call: Call<'_>,
        wait: Duration,
    ) -> Result<Settled<PaymentFact>, Fault> {
        let running = self.ledger.run(&request.key).ok_or(Fault::InProgress)?;
        let (this, fingerprint) = (self.clone(), call.fingerprint());
        let task = tokio::spawn(async move {
            let _running = running;
            this.switch.unless_stopped(tokio::time::sleep(wait)).await?;
            let call = Call::new(&request.key, &request.reference, fingerprint)?.owning_key();
            this.ledger.settle(&call, |view| books::authorize(view, &request, Some(Token::Ok))).await
        });
        task.await.map_err(|error| Fault::Failed(error.to_string()))?
    }

    /// See the port.
    pub async fn capture(&self, request: &CaptureRequest) -> Result<Capture, Fault> {
        let amount = request.amount.to_string();
        let parts = ["capture", &request.reference, &request.authorization_id, &amount];
        match self.act(&request.key, &request.reference, &parts, |view| books::capture(view, request)).await? {
            PaymentFact::Captured { capture, .. } => Ok(capture),
            other => Err(strange(&other)),
        }
    }

    /// See the port.
    pub async fn void(&self, request: &VoidRequest) -> Result<Voided, Fault> {
        let id = request.authorization_id.as_deref().unwrap_or_default();
        let parts = ["void", &request.reference, &request.forward_key, id];
        match self.act(&request.key, &request.reference, &parts, |view| books::void(view, request)).await? {
            PaymentFact::Voided { authorization_id, .. } => Ok(Voided { authorization_id: Some(authorization_id) }),
            PaymentFact::Blocked { .. } => Ok(Voided { authorization_id: None }),
            other => Err(strange(&other)),
        }
    }

    /// See the port.
    pub async fn refund(&self, request: &RefundRequest) -> Result<Refund, Fault> {
        let amount = request.amount.to_string();
        let parts = ["refund", &request.reference, &request.capture_id, &amount];
        match self.act(&request.key, &request.reference, &parts, |view| books::refund(view, request)).await? {
            PaymentFact::Refunded { refund, .. } => Ok(refund),
            other => Err(strange(&other)),
        }
    }

    /// See the port.
    pub async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, Fault> {
        let forgotten = request.check()?;
        let decide = |_: &View<'_, _>| Ok(PaymentFact::Forgotten { orders: request.orders.clone() });
        match self.act(&request.key, &request.reference, &request.parts(), decide).await? {
            PaymentFact::Forgotten { .. } => Ok(forgotten),
            other => Err(strange(&other)),
        }
    }

    /// See the port.
    pub async fn find(&self, reference: &str) -> Result<Vec<HeldAuthorization>, Fault> {
        let _admitted = self.switch.admit().await?;
        self.ledger.under(reference, books::held_under).await
    }

    /// See the port.
    pub async fn query(&self, key: &str) -> Result<Option<PaymentOutcome>, Fault> {
        let _admitted = self.switch.admit().await?;
        Ok(match self.ledger.known(key).await? {
            Known::Nothing => None,
            Known::InProgress => Some(PaymentOutcome::InProgress),
            Known::Answered(Answer::Done(fact)) => Some(fact.into()),
            Known::Answered(Answer::Refused { code, message }) => Some(PaymentOutcome::Refused { code, message }),
        })
    }

    /// The number of the ledger's last entry.
    pub fn last_seq(&self) -> u64 {
        self.ledger.last_seq()
    }

    /// Up to `limit` ledger entries with numbers above `after`. Not subject to the mode.
    pub async fn entries(&self, after: u64, limit: usize) -> Result<Vec<Entry>, Fault> {
        self.ledger.entries(after, limit).await
    }

    async fn act(
        &self,
        key: &str,
        reference: &str,
        parts: &[&str],
        decide: impl FnOnce(&View<'_, PaymentBooks>) -> Result<PaymentFact, Refusal>,
    ) -> Result<PaymentFact, Fault> {
        let call = Call::new(key, reference, fingerprint(parts))?;
        let admitted = self.switch.admit().await?;
        let settled = self.ledger.settle(&call, decide).await?;
        if settled.first && admitted.hang_after_acting {
            return Err(self.switch.hang().await);
        }
        Ok(settled.fact)
    }
}

/// The fingerprint names the operation, so a key can't lead to another one's fact.
fn strange(fact: &PaymentFact) -> Fault {
    Fault::Failed(format!("the key led to {fact:?}"))
}
