//! A saga's table as data: what is done in which order, what undoes it, who is waited for, and for how long it is tried.
use super::WaitingOn;
use std::time::Duration;

/// A saga's definition. An instance keeps the version that it began with.
#[derive(Debug)]
pub struct Definition {
    pub saga: &'static str,
    pub version: u32,
    /// In order.
    pub steps: &'static [StepRow],
}

#[derive(Debug)]
pub struct StepRow {
    /// As in events, keys and the read model.
    pub step: &'static str,
    /// What is asked of whom; empty: nobody, it is a fact that we write down.
    pub action: &'static str,
    /// What undoes it; empty: nothing has to be, or can be.
    pub undo: &'static str,
    /// From here on the saga goes only forward.
    pub is_pivot: bool,
    /// Whom it may wait for.
    pub waits: &'static [Wait],
    pub retry: Retry,
}

/// Whom a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub on: WaitingOn,
    /// How long that takes when all is well.
    pub expected: Duration,
}

/// How a call that got no definite answer is tried again, always under the same key: waits grow exponentially from `base` to `cap`, with
/// full jitter; after `budget` in all the saga pauses for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// Counted from when the history first says that it is being retried.
    pub budget: Duration,
}

impl Retry {
    /// For a call to someone else: a day, no more than half a minute apart.
    pub const CALL: Retry = Retry {
        base: Duration::from_millis(200),
        cap: Duration::from_secs(30),
        budget: Duration::from_secs(24 * 3600),
    };
    /// For what is done by the append itself: the store's own retries, without end.
    pub const APPEND: Retry = Retry { budget: Duration::MAX, ..Retry::CALL };
}

impl Wait {
    pub const fn of(on: WaitingOn, expected: Duration) -> Wait {
        Wait { on, expected }
    }
}

impl Definition {
    /// The row of a step that there is.
    pub fn row(&self, step: &str) -> Option<&'static StepRow> {
        self.steps.iter().find(|row| row.step == step)
    }

    /// How long this step waits for that one when all is well; `None`: its row does not say that it would.
    pub fn expected(&self, step: &str, on: WaitingOn) -> Option<Duration> {
        let waits = self.row(step)?.waits;
        waits.iter().find(|wait| wait.on == on).map(|wait| wait.expected)
    }
}
