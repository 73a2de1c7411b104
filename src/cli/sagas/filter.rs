//! Which sagas a verb is about.
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Only in this state; without it, only what has not ended
    #[arg(long, ignore_case = true)]
    pub(super) state: Option<State>,
    /// Only at this step, for example authorize_payment
    #[arg(long)]
    pub(super) step: Option<String>,
    /// Only what is being done (forward), or undone (compensate)
    #[arg(long, ignore_case = true)]
    pub(super) direction: Option<Direction>,
    /// Only fulfillments, or only returns
    #[arg(long, value_name = "SAGA", value_parser = ["fulfillment", "return"])]
    pub(super) saga: Option<String>,
    /// Only for this cause, for example retries_exhausted
    #[arg(long)]
    pub(super) cause: Option<String>,
    /// Only what waits for inventory, payment, shipping, warehouse, support, operator or definition
    #[arg(long, value_name = "WHOM")]
    pub(super) waiting_on: Option<String>,
    /// Only what waits longer than expected
    #[arg(long)]
    pub(super) overdue: bool,
    /// Only of this shop
    #[arg(long)]
    pub(super) shop: Option<String>,
    /// Only what has waited for the same one for longer than this
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) waiting_longer: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    Running,
    Waiting,
    Paused,
    Compensating,
    Completed,
    Compensated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Direction {
    Forward,
    Compensate,
}

impl Filter {
    /// `SagaWhere`, as GraphQL takes it.
    pub(super) fn input(&self) -> Value {
        json!({
            "state": self.state.map(name),
            "ended": self.state.is_none().then_some(false),
            "step": self.step,
            "direction": self.direction.map(name),
            "cause": self.cause,
            "saga": self.saga,
            "waitingOn": self.waiting_on,
            "overdue": self.overdue.then_some(true),
            "shop": self.shop,
            "waitingLongerThanSeconds": self.waiting_longer,
        })
    }
}

/// As the enum of GraphQL is written.
fn name(value: impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().to_uppercase())
}
