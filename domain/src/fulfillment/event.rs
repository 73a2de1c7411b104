//! What belongs to the saga alone. What it does to the order, its money and its goods stands in their streams.
use super::Step;
use crate::{
    Event,
    event::events,
    order::CancelReason,
    saga::{Direction, Paused, Retrying},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// The saga's own stream.
    SagaEvent in Saga {
        SagaStarted = 1,
        StepRetrying = 1,
        SagaPaused = 1,
        RetryRequested = 1,
        StepSkipped = 1,
        StepMarkedDone = 1,
        CompensationForced = 1,
        PauseRequested = 1,
        ResumeRequested = 1,
        CompensationStarted = 1,
        SagaCompleted = 1,
        SagaCompensated = 1,
    }
}

/// The order has its saga: the process that sees it through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SagaStarted {
    /// Always `fulfillment` here.
    pub saga: String,
    /// The saga keeps the definition it began with.
    pub definition_version: u32,
}

/// A participant could not be reached or did not answer; the step goes on being tried under the same key. Recorded once an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepRetrying {
    /// Which step.
    pub step: Step,
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
pub struct SagaPaused {
    /// Which step it waits in.
    pub step: Step,
    /// Whether it is done or undone.
    pub direction: Direction,
    /// From 1; it rises only after a definite answer.
    pub attempt: u32,
    /// For example `capture_declined` or `retries_exhausted`.
    pub cause: String,
    /// The participant gave a definite answer: the next try is a new attempt under a new key.
    pub definite: bool,
}

/// An operator lets it try again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RetryRequested {
    /// The vault's entry of the reason as it was typed, if one was given.
    pub note_id: Option<Uuid>,
}

/// An operator lets a step be passed over: it needn't be done, or needn't be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepSkipped {
    /// Which step.
    pub step: Step,
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
pub struct StepMarkedDone {
    /// Which step.
    pub step: Step,
    /// Whether it was done or undone.
    pub direction: Direction,
    /// From 1.
    pub attempt: u32,
    /// The participant's own reference of what it did.
    pub reference: String,
    /// The vault's entry of the reason as it was typed.
    pub note_id: Option<Uuid>,
}

/// An operator wants all that was done undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CompensationForced {
    /// The vault's entry of the reason as it was typed.
    pub note_id: Option<Uuid>,
}

/// An operator stops the saga where it stands: nothing more is begun until it is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PauseRequested {
    /// The vault's entry of the reason as it was typed.
    pub note_id: Option<Uuid>,
}

/// An operator lets it go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResumeRequested {
    /// The vault's entry of the reason as it was typed.
    pub note_id: Option<Uuid>,
}

/// From here on what was done is undone, in reverse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CompensationStarted {
    /// Why.
    pub reason: CancelReason,
}

/// The saga's end: all was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SagaCompleted {}

/// The saga's end: all that was done is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SagaCompensated {}

impl From<Retrying<Step>> for Event {
    fn from(Retrying { step, direction, attempt, cause, since }: Retrying<Step>) -> Event {
        StepRetrying { step, direction, attempt, cause, since }.into()
    }
}

impl From<Paused<Step>> for Event {
    fn from(Paused { step, direction, attempt, cause, definite }: Paused<Step>) -> Event {
        SagaPaused { step, direction, attempt, cause, definite }.into()
    }
}
