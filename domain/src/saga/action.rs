//! What the saga asks of the world, and what the world answers.
use crate::{
    Amount, Currency, LocationCode,
    location::LocationMode,
    order::{Reservation, Shortage},
    shipment::Label,
};
use chrono::{DateTime, Utc};

/// What is to be done now; in short with [`WaitingOn`] in the action's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<A = Action> {
    Act(A),
    /// Moves that need nobody: `react` to [`Reply::Nothing`] makes them.
    Advance,
    Wait(WaitingOn),
    /// Completed, or cancelled and clean.
    Ended,
}

impl<A> Next<A> {
    pub(crate) fn map<B>(self, action: impl FnOnce(A) -> B) -> Next<B> {
        match self {
            Next::Act(it) => Next::Act(action(it)),
            Next::Advance => Next::Advance,
            Next::Wait(on) => Next::Wait(on),
            Next::Ended => Next::Ended,
        }
    }
}

/// A saga's next move: one that needs nobody, or what it asks for, where nothing of the call is made yet.
pub(crate) enum Move<I, C> {
    Internal(I),
    External(Next<C>),
}

impl<I, C> Move<I, C> {
    pub(crate) fn next(self) -> Next<C> {
        match self {
            Move::Internal(_) => Next::Advance,
            Move::External(next) => next,
        }
    }
}

impl Next<WaitingOn> {
    /// Who is waited for; `None` when nobody outside is, and once it has ended.
    pub fn waiting_on(self) -> Option<WaitingOn> {
        match self {
            Next::Act(on) | Next::Wait(on) => Some(on),
            Next::Advance | Next::Ended => None,
        }
    }
}

/// One call of a participant. Each is answered by a [`Reply`]; the same action again carries the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take these from what is free, all or nothing.
    Reserve {
        lines: Vec<Reservation>,
    },
    Authorize {
        key: String,
        amount: Amount,
        currency: Currency,
    },
    /// Without an id: block the forward call under its key, whether or not it arrived.
    VoidAuthorization {
        key: String,
        forward_key: String,
        authorization_id: Option<String>,
    },
    BuyLabel {
        key: String,
    },
    VoidLabel {
        key: String,
        forward_key: String,
        label_id: Option<String>,
    },
    Capture {
        key: String,
        authorization_id: String,
        amount: Amount,
        currency: Currency,
    },
    /// For the customer to send goods back with.
    BuyReturnLabel {
        key: String,
        lines: u32,
        pieces: i64,
    },
    Refund {
        key: String,
        capture_id: String,
        amount: Amount,
        currency: Currency,
    },
}

impl Action {
    /// The idempotency key; stock is taken by the append itself and needs none.
    pub fn key(&self) -> Option<&str> {
        match self {
            Action::Reserve { .. } => None,
            Action::Authorize { key, .. }
            | Action::VoidAuthorization { key, .. }
            | Action::BuyLabel { key }
            | Action::VoidLabel { key, .. }
            | Action::Capture { key, .. }
            | Action::BuyReturnLabel { key, .. }
            | Action::Refund { key, .. } => Some(key),
        }
    }
}

/// A definite answer, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nobody answered anything: look again at what has happened meanwhile.
    Nothing,
    Reserved,
    OutOfStock {
        shortages: Vec<Shortage>,
    },
    Authorized {
        authorization_id: String,
        amount: Amount,
        expires_at: DateTime<Utc>,
    },
    /// The authorization is undone, or can no longer come to be.
    AuthorizationVoided,
    LabelBought(Label),
    LabelVoided,
    Captured {
        capture_id: String,
        amount: Amount,
    },
    Refunded {
        refund_id: String,
        amount: Amount,
    },
    /// A definite no to the current action.
    Refused {
        code: String,
    },
    /// No definite answer so far; it is being tried again under the same key. `cause`: `unavailable` or `unknown_outcome`.
    Unanswered {
        cause: String,
    },
    /// The step's whole budget of retries is used up.
    Exhausted,
    /// Nothing more can be tried without a person. `cause` is a code, for example `no_payment_token`.
    Stuck {
        cause: String,
    },
}

impl Reply {
    /// What comes of an action when all goes well. `now`: for what has a date. For forecasts, never recorded.
    pub(crate) fn hoped_for(action: &Action, now: DateTime<Utc>) -> Reply {
        let id = String::new;
        match action {
            Action::Reserve { .. } => Reply::Reserved,
            Action::Authorize { amount, .. } => {
                Reply::Authorized { authorization_id: id(), amount: *amount, expires_at: now }
            }
            Action::VoidAuthorization { .. } => Reply::AuthorizationVoided,
            Action::BuyLabel { key } | Action::BuyReturnLabel { key, .. } => {
                let label = Label { key: key.clone(), label_id: id(), carrier: id(), tracking_number: id() };
                Reply::LabelBought(label)
            }
            Action::VoidLabel { .. } => Reply::LabelVoided,
            Action::Capture { amount, .. } => Reply::Captured { capture_id: id(), amount: *amount },
            Action::Refund { amount, .. } => Reply::Refunded { refund_id: id(), amount: *amount },
        }
    }
}

/// What `react` may know besides the history.
#[derive(Clone, Debug)]
pub struct Context {
    pub now: DateTime<Utc>,
    /// Where this shop's goods lie, and how that location works today.
    pub location: LocationCode,
    pub location_mode: LocationMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitingOn {
    Inventory,
    Payment,
    Shipping,
    /// Staff of a MANUAL location, or who take in what comes back.
    Warehouse,
    /// Whoever approves returns.
    Support,
    /// A person: the saga is paused.
    Operator,
    /// A build that knows the definition the saga began with.
    Definition,
}

impl WaitingOn {
    pub const fn name(self) -> &'static str {
        match self {
            WaitingOn::Inventory => "inventory",
            WaitingOn::Payment => "payment",
            WaitingOn::Shipping => "shipping",
            WaitingOn::Warehouse => "warehouse",
            WaitingOn::Support => "support",
            WaitingOn::Operator => "operator",
            WaitingOn::Definition => "definition",
        }
    }
}
