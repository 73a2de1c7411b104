//! What can happen to what comes back. An order's returns share one stream; each event says which return it is of.
use super::ReturnStep;
use crate::{
    LineId, LocationCode, Sku,
    event::events,
    saga::{Direction, Paused, Retrying},
    shipment::Label,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// The order's return stream.
    ReturnEvent in Return {
        ReturnRequested = 1,
        ReturnApproved = 1,
        ReturnRejected = 1,
        ReturnCancelRequested = 1,
        ReturnLabelPurchased = 1,
        ReturnReceived = 1,
        ReturnInspected = 1,
        ReturnRestocked = 1,
        ReturnWrittenOff = 1,
        ReturnCompleted = 1,
        ReturnCompensationStarted = 1,
        ReturnLabelVoided = 1,
        ReturnClosed = 1,
        ReturnStepRetrying = 1,
        ReturnPaused = 1,
        ReturnRetryRequested = 1,
        ReturnStepSkipped = 1,
        ReturnStepMarkedDone = 1,
        ReturnPauseRequested = 1,
        ReturnResumeRequested = 1,
    }
}

/// The events of a return that say nothing but that a person asked for it.
macro_rules! asked_for {
    ($($(#[$doc:meta])* $name:ident)+) => {
        $($(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub struct $name {
            /// Which return of the order, from 1.
            pub number: u16,
            /// The vault's entry of the reason as it was typed, if one was given.
            pub note_id: Option<Uuid>,
        })+
    };
}

/// Goods that have left are to come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnRequested {
    /// Which return of the order, from 1.
    pub number: u16,
    /// The saga keeps the definition it began with.
    pub definition_version: u32,
    /// What is to come back.
    pub lines: Vec<ReturnLine>,
    /// The vault's entry of the reason as it was typed, if one was given.
    pub note_id: Option<Uuid>,
}

/// So many pieces of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnLine {
    /// The line of the order.
    pub line_id: LineId,
    /// Pieces.
    pub quantity: i64,
}

asked_for! {
    /// It may come back.
    ReturnApproved
    /// It may not come back.
    ReturnRejected
    /// It will not come back after all: whoever asked for it, or an operator, says so.
    ReturnCancelRequested
    /// An operator lets it try again.
    ReturnRetryRequested
    /// An operator stops the return where it stands: nothing more is begun until it is resumed.
    ReturnPauseRequested
    /// An operator lets it go on.
    ReturnResumeRequested
}

/// The customer has a label to send it back with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnLabelPurchased {
    /// Which return of the order, from 1.
    pub number: u16,
    /// The label that was bought.
    pub label: Label,
}

/// The label is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnLabelVoided {
    /// Which return of the order, from 1.
    pub number: u16,
    /// The idempotency key of the void.
    pub key: String,
    /// Absent when the label was never known to be: the carrier now refuses it, should the call still arrive.
    pub label_id: Option<String>,
}

/// Goods have come back: the pivot. What did not come is not refunded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnReceived {
    /// Which return of the order, from 1.
    pub number: u16,
    /// What came.
    pub lines: Vec<ReturnLine>,
}

/// Someone has looked at what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnInspected {
    /// Which return of the order, from 1.
    pub number: u16,
    /// What was found of each line.
    pub lines: Vec<InspectedLine>,
}

/// What was found of a line: the three sum to what came back of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InspectedLine {
    /// The line of the order.
    pub line_id: LineId,
    /// Pieces as good as new: refunded, and for sale again.
    pub restock: i64,
    /// Pieces that can't be sold again, and are refunded all the same.
    pub write_off: i64,
    /// Pieces that are not taken back: not refunded.
    pub refuse: i64,
}

/// These are for sale again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnRestocked {
    /// Which return of the order, from 1.
    pub number: u16,
    /// What went where.
    pub lines: Vec<PutAway>,
}

/// These are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnWrittenOff {
    /// Which return of the order, from 1.
    pub number: u16,
    /// What is lost of what.
    pub lines: Vec<PutAway>,
}

/// What becomes of pieces that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PutAway {
    /// The line of the order.
    pub line_id: LineId,
    /// What it is.
    pub sku: Sku,
    /// Where it lies.
    pub location: LocationCode,
    /// Pieces.
    pub quantity: i64,
}

/// The return's end: refunded, and put away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnCompleted {
    /// Which return of the order, from 1.
    pub number: u16,
}

/// From here on what was done for the return is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnCompensationStarted {
    /// Which return of the order, from 1.
    pub number: u16,
    /// Why.
    pub reason: CloseReason,
}

/// The return's end: nothing comes back, and nothing is left to undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnClosed {
    /// Which return of the order, from 1.
    pub number: u16,
    /// Why.
    pub reason: CloseReason,
}

/// Why a return ends without anything coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    Rejected,
    Requested,
    /// No carrier fetches it.
    Undeliverable,
}

impl CloseReason {
    pub const fn code(self) -> &'static str {
        match self {
            CloseReason::Rejected => "rejected",
            CloseReason::Requested => "requested",
            CloseReason::Undeliverable => "undeliverable",
        }
    }
}

/// A participant could not be reached or did not answer; the step goes on being tried under the same key. Recorded once an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnStepRetrying {
    /// Which return of the order, from 1.
    pub number: u16,
    /// Which step.
    pub step: ReturnStep,
    /// Whether it is done or undone.
    pub direction: Direction,
    /// From 1; it rises only after a definite answer.
    pub attempt: u32,
    /// `unavailable` or `unknown_outcome`.
    pub cause: String,
    /// The step's total budget of retries runs from here.
    pub since: DateTime<Utc>,
}

/// It needs a person: an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnPaused {
    /// Which return of the order, from 1.
    pub number: u16,
    /// Which step it waits in.
    pub step: ReturnStep,
    /// Whether it is done or undone.
    pub direction: Direction,
    /// From 1; it rises only after a definite answer.
    pub attempt: u32,
    /// For example `exceeds_captured` or `retries_exhausted`.
    pub cause: String,
    /// The participant gave a definite answer: the next try is a new attempt under a new key.
    pub definite: bool,
}

/// An operator lets a step be passed over: it needn't be done, or needn't be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnStepSkipped {
    /// Which return of the order, from 1.
    pub number: u16,
    /// Which step.
    pub step: ReturnStep,
    /// Whether it was to be done or undone.
    pub direction: Direction,
    /// From 1.
    pub attempt: u32,
    /// The vault's entry of the reason as it was typed.
    pub note_id: Option<Uuid>,
    /// The vault's entry of what shows that it needn't be done.
    pub evidence_id: Option<Uuid>,
}

/// An operator says that a step was done elsewhere, or undone; what it came to stands in the events beside this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReturnStepMarkedDone {
    /// Which return of the order, from 1.
    pub number: u16,
    /// Which step.
    pub step: ReturnStep,
    /// Whether it was done or undone.
    pub direction: Direction,
    /// From 1.
    pub attempt: u32,
    /// The participant's own reference of what it did.
    pub reference: String,
    /// The vault's entry of the reason as it was typed.
    pub note_id: Option<Uuid>,
}

impl ReturnStepRetrying {
    pub(super) fn of(number: u16, retrying: Retrying<ReturnStep>) -> ReturnStepRetrying {
        let Retrying { step, direction, attempt, cause, since } = retrying;
        ReturnStepRetrying { number, step, direction, attempt, cause, since }
    }
}

impl ReturnPaused {
    pub(super) fn of(number: u16, paused: Paused<ReturnStep>) -> ReturnPaused {
        let Paused { step, direction, attempt, cause, definite } = paused;
        ReturnPaused { number, step, direction, attempt, cause, definite }
    }
}

impl ReturnEvent {
    /// Which return it is of.
    pub fn number(&self) -> u16 {
        macro_rules! number {
            ($($variant:ident)+) => { match self { $(ReturnEvent::$variant(event) => event.number),+ } };
        }
        number!(
            ReturnRequested ReturnApproved ReturnRejected ReturnCancelRequested ReturnLabelPurchased ReturnReceived
            ReturnInspected ReturnRestocked ReturnWrittenOff ReturnCompleted ReturnCompensationStarted ReturnLabelVoided
            ReturnClosed ReturnStepRetrying ReturnPaused ReturnRetryRequested ReturnStepSkipped ReturnStepMarkedDone
            ReturnPauseRequested ReturnResumeRequested
        )
    }
}
