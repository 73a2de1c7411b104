//! The reference carrier: its books behind its ledger, and its way of failing on demand.
//!
//! Used in process by [`super::InProcessShipping`] and over HTTP by the server in the root package. It knows nothing
//! of either.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::books::{self, ShippingBooks, ShippingFact};
use super::{
    HeldLabel, Label, LabelRequest, LabelVoided, Rate, RateRequest, ShippingOutcome, Tracking, TrackingStatus,
    VoidLabelRequest,
};
use crate::participants::fault::Fault;
use crate::participants::forget::{ForgetRequest, Forgotten};
use crate::participants::ledger::{Answer, Call, Entry, Known, Lasts, Ledger, OpenError, Refusal, View, fingerprint};
use crate::participants::switch::{Mode, Switch};

/// A carrier. Clones share one.
#[derive(Clone)]
pub struct ShippingSimulator {
    ledger: Arc<Ledger<ShippingBooks>>,
    switch: Arc<Switch>,
}

impl std::fmt::Debug for ShippingSimulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShippingSimulator").field("mode", &self.switch.mode()).finish_non_exhaustive()
    }
}

impl ShippingSimulator {
    /// A carrier whose ledger is in `path`. Keys older than `keys` are forgotten: used again, they act again. Blocks
    /// while it reads the file.
    ///
    /// # Errors
    /// When the file is in use, damaged or out of reach.
    pub fn open(path: &Path, keys: Option<Duration>, lasts: Lasts) -> Result<Self, OpenError> {
        Ok(Self::over(Ledger::open(path, keys, lasts)?))
    }

    /// A carrier that forgets everything with the process.
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

    fn over(ledger: Ledger<ShippingBooks>) -> Self {
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
    pub async fn rate(&self, request: &RateRequest) -> Result<Vec<Rate>, Fault> {
        let _admitted = self.switch.admit().await?;
        books::rate(request).map_err(|refusal| Fault::refused(refusal.code, &refusal.message))
    }

    /// See the port.
    pub async fn label(&self, request: &LabelRequest) -> Result<Label, Fault> {
        let numbers = format!("{} {:?} {} {}", request.parcels, request.weight_grams, request.lines, request.pieces);
        let postal_code = request.postal_code.as_deref().unwrap_or_default();
        let parts = ["label", &request.reference, &request.method, &request.country, postal_code, &numbers];
        match self.act(&request.key, &request.reference, &parts, |_| books::label(request)).await? {
            ShippingFact::Labelled { label } => Ok(label),
            other => Err(strange(&other)),
        }
    }

    /// See the port.
    pub async fn void_label(&self, request: &VoidLabelRequest) -> Result<LabelVoided, Fault> {
        let id = request.label_id.as_deref().unwrap_or_default();
        let parts = ["void_label", &request.reference, &request.forward_key, id];
        match self.act(&request.key, &request.reference, &parts, |view| books::void(view, request)).await? {
            ShippingFact::Voided { label_id, .. } => Ok(LabelVoided { label_id: Some(label_id) }),
            ShippingFact::Blocked { .. } => Ok(LabelVoided { label_id: None }),
            other => Err(strange(&other)),
        }
    }

    /// See the port.
    pub async fn track(&self, label_id: &str) -> Result<Option<Tracking>, Fault> {
        let _admitted = self.switch.admit().await?;
        self.ledger
            .look(|books| {
                books.label(label_id).map(|sold| Tracking {
                    label_id: sold.label.label_id.clone(),
                    carrier: sold.label.carrier.clone(),
                    tracking_number: sold.label.tracking_number.clone(),
                    status: if sold.voided { TrackingStatus::Voided } else { TrackingStatus::LabelCreated },
                })
            })
            .await
    }

    /// See the port.
    pub async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, Fault> {
        let forgotten = request.check()?;
        let decide = |_: &View<'_, _>| Ok(ShippingFact::Forgotten { orders: request.orders.clone() });
        match self.act(&request.key, &request.reference, &request.parts(), decide).await? {
            ShippingFact::Forgotten { .. } => Ok(forgotten),
            other => Err(strange(&other)),
        }
    }

    /// See the port.
    pub async fn find(&self, reference: &str) -> Result<Vec<HeldLabel>, Fault> {
        let _admitted = self.switch.admit().await?;
        self.ledger.under(reference, books::held_under).await
    }

    /// See the port.
    pub async fn query(&self, key: &str) -> Result<Option<ShippingOutcome>, Fault> {
        let _admitted = self.switch.admit().await?;
        Ok(match self.ledger.known(key).await? {
            Known::Nothing => None,
            Known::InProgress => Some(ShippingOutcome::InProgress),
            Known::Answered(Answer::Done(fact)) => Some(fact.into()),
            Known::Answered(Answer::Refused { code, message }) => Some(ShippingOutcome::Refused { code, message }),
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
        decide: impl FnOnce(&View<'_, ShippingBooks>) -> Result<ShippingFact, Refusal>,
    ) -> Result<ShippingFact, Fault> {
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
fn strange(fact: &ShippingFact) -> Fault {
    Fault::Failed(format!("the key led to {fact:?}"))
}
