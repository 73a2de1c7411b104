//! Payment and shipping as the saga may count on them: they act once for a key, answer it the same for ever, and a key that
//! was blocked never acts. What would cost somebody money is checked here, by panicking.
use crate::{
    Amount,
    saga::{Action, Reply},
    shipment::Label,
};
use chrono::{DateTime, TimeDelta};
use std::collections::{HashMap, HashSet};

/// What the provider says to a call that is not a repeat.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) authorization_refused: Option<&'static str>,
    pub(super) label_refused: bool,
    /// This many captures are declined, each under a key of its own.
    pub(super) captures_declined: u32,
    /// This many voids are refused, of money or labels.
    pub(super) voids_refused: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hold {
    #[default]
    Nothing,
    Held,
    GivenBack,
}

#[derive(Debug, Default)]
pub(super) struct Provider {
    pub(super) plan: Plan,
    pub(super) money: Hold,
    pub(super) captured: Amount,
    pub(super) label: Hold,
    answers: HashMap<String, (Action, Reply)>,
    blocked: HashSet<String>,
}

impl Provider {
    pub(super) fn new(plan: Plan) -> Provider {
        Provider { plan, ..Provider::default() }
    }

    /// A call arrives, for the first time or again.
    pub(super) fn act(&mut self, action: &Action) -> Reply {
        let key = action.key().expect("only calls with a key leave the house");
        if let Some((first, reply)) = self.answers.get(key) {
            assert_eq!(first, action, "a key stands for one request");
            return reply.clone();
        }
        let reply = if self.blocked.contains(key) { refused("voided") } else { self.act_first(action) };
        self.answers.insert(key.to_owned(), (action.clone(), reply.clone()));
        reply
    }

    fn act_first(&mut self, action: &Action) -> Reply {
        match action {
            Action::Reserve { .. } | Action::BuyReturnLabel { .. } | Action::Refund { .. } => {
                unreachable!("stock is taken by the append, and nothing is a return here")
            }
            Action::Authorize { amount, .. } => match self.plan.authorization_refused {
                Some(code) => refused(code),
                None => {
                    assert_eq!(self.money, Hold::Nothing, "money is set aside once");
                    self.money = Hold::Held;
                    let expires_at = DateTime::UNIX_EPOCH + TimeDelta::days(30_000);
                    Reply::Authorized { authorization_id: "pay_1".to_owned(), amount: *amount, expires_at }
                }
            },
            Action::BuyLabel { .. } if self.plan.label_refused => refused("unserviceable"),
            Action::BuyLabel { key } => {
                assert_eq!(self.label, Hold::Nothing, "one label is bought");
                self.label = Hold::Held;
                Reply::LabelBought(Label {
                    key: key.clone(),
                    label_id: "lbl_1".to_owned(),
                    carrier: "swift".to_owned(),
                    tracking_number: "SW1".to_owned(),
                })
            }
            Action::VoidAuthorization { .. } | Action::VoidLabel { .. } if self.plan.voids_refused > 0 => {
                self.plan.voids_refused -= 1;
                refused("not_now")
            }
            Action::VoidAuthorization { forward_key, authorization_id, .. } => {
                assert_eq!(self.captured, Amount::ZERO, "captured money is not voided");
                Provider::give_back(&mut self.money, &mut self.blocked, forward_key, authorization_id.as_deref());
                Reply::AuthorizationVoided
            }
            Action::VoidLabel { forward_key, label_id, .. } => {
                Provider::give_back(&mut self.label, &mut self.blocked, forward_key, label_id.as_deref());
                Reply::LabelVoided
            }
            Action::Capture { .. } if self.plan.captures_declined > 0 => {
                self.plan.captures_declined -= 1;
                refused("capture_declined")
            }
            Action::Capture { amount, authorization_id, .. } => {
                assert_eq!((self.money, authorization_id.as_str()), (Hold::Held, "pay_1"), "held money is captured");
                assert_eq!(self.captured, Amount::ZERO, "money is captured once");
                self.captured = *amount;
                Reply::Captured { capture_id: "cap_1".to_owned(), amount: *amount }
            }
        }
    }

    fn give_back(held: &mut Hold, blocked: &mut HashSet<String>, forward_key: &str, id: Option<&str>) {
        assert!(id.is_none() || *held == Hold::Held, "what is given back by its id is there");
        assert_ne!(*held, Hold::GivenBack, "nothing is given back twice");
        if *held == Hold::Held {
            *held = Hold::GivenBack;
        }
        blocked.insert(forward_key.to_owned());
    }
}

fn refused(code: &str) -> Reply {
    Reply::Refused { code: code.to_owned() }
}
