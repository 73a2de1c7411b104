//! How far a saga has come, as far as all sagas have it in common: attempts, retries, pauses, what operators did, the end.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Whether a step is done or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Forward,
    Compensate,
}

impl Direction {
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Forward => "forward",
            Direction::Compensate => "compensate",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SagaState {
    /// Acting, or about to.
    Running,
    /// For someone who takes their time, or for a participant that does not answer.
    Waiting,
    /// For a person: an incident, or an operator has paused it.
    Paused,
    Compensating,
    Completed,
    Compensated,
}

impl SagaState {
    /// Nothing more will happen to it.
    pub const fn is_end(self) -> bool {
        matches!(self, SagaState::Completed | SagaState::Compensated)
    }

    pub const fn name(self) -> &'static str {
        match self {
            SagaState::Running => "RUNNING",
            SagaState::Waiting => "WAITING",
            SagaState::Paused => "PAUSED",
            SagaState::Compensating => "COMPENSATING",
            SagaState::Completed => "COMPLETED",
            SagaState::Compensated => "COMPENSATED",
        }
    }
}

/// A saga's steps, by name.
pub trait StepName: Copy + Ord {
    fn name(self) -> &'static str;
}

/// What a saga's own events amount to. `S`: its steps; `C`: why it may be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<S, C> {
    pub definition_version: Option<u32>,
    /// It is being undone, and why.
    pub compensating: Option<C>,
    /// An operator wants it undone.
    pub compensation_forced: bool,
    /// An incident: it needs a person.
    pub paused: Option<Paused<S>>,
    pub retrying: Option<Retrying<S>>,
    /// An operator has paused it: nothing is begun until it is resumed.
    pub held: bool,
    /// How often each step was given a new attempt, beyond the first.
    attempts: BTreeMap<(S, Direction), u32>,
    skipped: BTreeSet<(S, Direction)>,
    pub ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retrying<S> {
    pub step: S,
    pub direction: Direction,
    pub attempt: u32,
    pub cause: String,
    pub since: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused<S> {
    pub step: S,
    pub direction: Direction,
    pub attempt: u32,
    /// For example `capture_declined` or `retries_exhausted`.
    pub cause: String,
    /// The participant gave a definite answer: the next try is a new attempt under a new key.
    pub definite: bool,
}

impl<S, C> Default for Progress<S, C> {
    fn default() -> Self {
        Progress {
            definition_version: None,
            compensating: None,
            compensation_forced: false,
            paused: None,
            retrying: None,
            held: false,
            attempts: BTreeMap::new(),
            skipped: BTreeSet::new(),
            ended: false,
        }
    }
}

impl<S: StepName, C> Progress<S, C> {
    pub(crate) fn begun(definition_version: u32) -> Progress<S, C> {
        Progress { definition_version: Some(definition_version), ..Progress::default() }
    }

    /// The attempt a step is at, from 1. It rises only when a person lets it try again after a definite no.
    pub fn attempt(&self, step: S, direction: Direction) -> u32 {
        1 + self.attempts.get(&(step, direction)).copied().unwrap_or(0)
    }

    pub fn direction(&self) -> Direction {
        if self.compensating.is_some() { Direction::Compensate } else { Direction::Forward }
    }

    /// An operator let it be passed over.
    pub fn is_skipped(&self, step: S, direction: Direction) -> bool {
        self.skipped.contains(&(step, direction))
    }

    /// Neither going on nor undone, but stopped: for an operator, or by one.
    pub fn is_stopped(&self) -> bool {
        self.held || self.paused.is_some()
    }

    /// It does not get on by itself, or not yet.
    pub(crate) fn is_stuck(&self) -> bool {
        self.paused.is_some() || self.retrying.is_some()
    }

    /// What there is to write down of a step that got no definite answer; `None`: that is known.
    pub(crate) fn unanswered(&self, step: S, cause: String, now: DateTime<Utc>) -> Option<Retrying<S>> {
        let (direction, attempt) = self.current(step);
        let known = self.retrying.as_ref().map(|known| (known.step, known.direction, known.attempt));
        let is_known = self.paused.is_some() || known == Some((step, direction, attempt));
        (!is_known).then_some(Retrying { step, direction, attempt, cause, since: now })
    }

    /// Of one whose budget of retries is used up.
    pub(crate) fn exhausted(&self, step: S) -> Option<Paused<S>> {
        self.stuck(step, "retries_exhausted".to_owned())
    }

    /// Of one for which nothing more can be tried.
    pub(crate) fn stuck(&self, step: S, cause: String) -> Option<Paused<S>> {
        let (direction, attempt) = self.current(step);
        self.paused.is_none().then_some(Paused { step, direction, attempt, cause, definite: false })
    }

    /// Of one that was refused and that only a person can help.
    pub(crate) fn refused(&self, step: S, cause: String) -> Paused<S> {
        let (direction, attempt) = self.current(step);
        Paused { step, direction, attempt, cause, definite: true }
    }

    /// A definite no was heard before; a person is asked already.
    pub(crate) fn is_refused(&self) -> bool {
        self.paused.as_ref().is_some_and(|paused| paused.definite)
    }

    /// The direction and attempt that this step is at.
    pub(crate) fn current(&self, step: S) -> (Direction, u32) {
        let direction = self.direction();
        (direction, self.attempt(step, direction))
    }

    pub(crate) fn pause(&mut self, paused: Paused<S>) {
        self.retrying = None;
        self.paused = Some(paused);
    }

    /// An operator lets it try again: after a definite no that is a new attempt.
    pub(crate) fn retry(&mut self) {
        if let Some(paused) = self.paused.take()
            && paused.definite
        {
            *self.attempts.entry((paused.step, paused.direction)).or_default() += 1;
        }
    }

    pub(crate) fn skip(&mut self, step: S, direction: Direction) {
        self.skipped.insert((step, direction));
        self.clear();
    }

    pub(crate) fn compensate(&mut self, reason: C) {
        self.compensating = Some(reason);
        self.clear();
    }

    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.held = false;
        self.clear();
    }

    /// It is at this step: what was known of another one is over.
    pub(crate) fn is_at(&mut self, step: S) {
        self.retrying.take_if(|retrying| retrying.step != step);
        self.paused.take_if(|paused| paused.step != step);
    }

    /// Why it is stopped or tries again.
    pub fn cause(&self) -> Option<&str> {
        match (&self.paused, self.held, &self.retrying) {
            (Some(paused), ..) => Some(&paused.cause),
            (None, true, _) => Some(PAUSED_BY_OPERATOR),
            (None, false, retrying) => retrying.as_ref().map(|retrying| retrying.cause.as_str()),
        }
    }

    fn clear(&mut self) {
        self.retrying = None;
        self.paused = None;
    }
}

/// The cause of a pause that is no incident.
pub(crate) const PAUSED_BY_OPERATOR: &str = "paused_by_operator";
