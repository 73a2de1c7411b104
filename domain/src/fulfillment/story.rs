//! An order told step by step, for the tests of the saga's rules.
use super::Fulfillment;
use crate::{
    Amount, Event,
    location::LocationMode::{self, Auto},
    order::{CancelReason, OrderPlaced, Outcome},
    saga::{
        Action, Next, Reply,
        operator::{Command, Notes, Refused},
    },
    shipment,
    testing::{ORDER, context, label, now, two_lines},
};

/// An order under way: each call goes on with it, and checks that what is carried is what is recorded.
pub(super) struct Story {
    pub(super) mode: LocationMode,
    pub(super) events: Vec<Event>,
}

impl Story {
    pub(super) fn of(placed: OrderPlaced, mode: LocationMode) -> Story {
        Story { mode, events: vec![placed.into()] }
    }

    pub(super) fn state(&self) -> Fulfillment {
        Fulfillment::fold(&self.events)
    }

    pub(super) fn action(&self) -> Action {
        match self.state().next(ORDER) {
            Next::Act(action) => action,
            other => panic!("nothing to do but {other:?}"),
        }
    }

    /// The current action is answered. Says which events that caused.
    pub(super) fn answer(&mut self, reply: Reply) -> Vec<&'static str> {
        let action = self.action();
        self.answer_to(&action, reply)
    }

    pub(super) fn answer_to(&mut self, action: &Action, reply: Reply) -> Vec<&'static str> {
        let events = self.state().react(ORDER, Some(action), reply, &context(self.mode)).unwrap();
        self.append(events)
    }

    pub(super) fn look_again(&mut self) -> Vec<&'static str> {
        let events = self.state().react(ORDER, None, Reply::Nothing, &context(self.mode)).unwrap();
        self.append(events)
    }

    pub(super) fn cancel(&mut self) -> Vec<&'static str> {
        let events = self.state().request_cancel(None).unwrap();
        self.append(events)
    }

    pub(super) fn retry(&mut self) -> Vec<&'static str> {
        self.operate(Command::Retry).unwrap_or_default()
    }

    pub(super) fn operate(&mut self, command: Command) -> Result<Vec<&'static str>, Refused> {
        let events = self.state().operate(ORDER, command, Notes::default(), now())?;
        Ok(self.append(events))
    }

    pub(super) fn report(&mut self, command: shipment::Command) -> Result<Vec<&'static str>, shipment::Rejection> {
        let events = self.state().report(command)?;
        Ok(self.append(events))
    }

    pub(super) fn append(&mut self, events: Vec<Event>) -> Vec<&'static str> {
        let types = events.iter().map(Event::event_type).collect();
        self.events.extend(events);
        types
    }

    pub(super) fn reserved(mode: LocationMode) -> Story {
        let mut story = Story::of(two_lines(), mode);
        story.answer(Reply::Reserved);
        story
    }

    pub(super) fn released(mode: LocationMode) -> Story {
        let mut story = Story::reserved(mode);
        story.answer(authorized(540));
        story
    }

    pub(super) fn shipped() -> Story {
        let mut story = Story::released(Auto);
        story.answer(Reply::LabelBought(label("k")));
        story
    }
}

pub(super) fn authorized(amount: i64) -> Reply {
    Reply::Authorized { authorization_id: "pay_1".to_owned(), amount: Amount(amount), expires_at: now() }
}

pub(super) fn captured() -> Reply {
    Reply::Captured { capture_id: "cap_1".to_owned(), amount: Amount(540) }
}

pub(super) fn refused(code: &str) -> Reply {
    Reply::Refused { code: code.to_owned() }
}

pub(super) fn unanswered() -> Reply {
    Reply::Unanswered { cause: "unknown_outcome".to_owned() }
}

pub(super) fn ship_all() -> shipment::Command {
    shipment::Command::Ship { lines: None, parcels: vec![] }
}

pub(super) fn ended(story: &Story) -> Option<CancelReason> {
    match story.state().order.outcome {
        Some(Outcome::Cancelled(reason)) => Some(reason),
        _ => None,
    }
}
