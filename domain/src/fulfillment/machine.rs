//! The fulfillment as whoever drives sagas sees it.
use super::{DEFINITION, Fulfillment, SagaEvent, Step};
use crate::{
    Event, OrderId,
    returns::{Return, ReturnSaga},
    saga::{
        Action, AnySaga, Context, Definition, Direction, Misfit, Next, Notice, Reply, Saga, SagaState, WaitingOn,
        Which,
        operator::{Command, Notes, Refused, Verb},
    },
};
use chrono::{DateTime, Utc};

impl Fulfillment {
    /// Every saga of the order that there is.
    pub fn sagas(&self) -> impl Iterator<Item = Which> + use<> {
        let returns = u16::try_from(self.returns.iter().count()).unwrap_or(u16::MAX);
        std::iter::once(Which::Fulfillment).chain((1..=returns).map(Which::Return))
    }

    /// One of them, that there is.
    pub fn one(&self, order: OrderId, which: Which) -> Option<AnySaga<'_>> {
        Some(match which {
            Which::Fulfillment => AnySaga::Fulfillment(FulfillmentSaga { order, state: self }),
            Which::Return(number) => AnySaga::Return(self.return_saga(order, number)?),
        })
    }

    pub fn return_saga(&self, order: OrderId, number: u16) -> Option<ReturnSaga<'_>> {
        let this = self.returns.one(number)?;
        Some(ReturnSaga { order, state: self, this })
    }

    /// Each of its sagas has.
    pub fn all_ended(&self) -> bool {
        self.has_ended() && self.returns.iter().all(Return::has_ended)
    }
}

impl SagaEvent {
    pub(crate) fn notice(&self) -> Option<Notice<'_>> {
        Some(match self {
            SagaEvent::StepRetrying(event) => Notice::Retrying { step: event.step.name(), cause: &event.cause },
            SagaEvent::SagaPaused(event) => Notice::Paused { step: event.step.name(), cause: &event.cause },
            SagaEvent::SagaCompleted(_) | SagaEvent::SagaCompensated(_) => Notice::Ended,
            _ => return None,
        })
    }
}

/// The fulfillment of one order.
#[derive(Clone, Copy, Debug)]
pub struct FulfillmentSaga<'a> {
    pub order: OrderId,
    pub state: &'a Fulfillment,
}

impl Saga for FulfillmentSaga<'_> {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn next(&self) -> Next {
        self.state.next(self.order)
    }

    fn plan(&self) -> Next<WaitingOn> {
        self.state.plan()
    }

    fn react(&self, answered: Option<&Action>, reply: Reply, context: &Context) -> Result<Vec<Event>, Misfit> {
        self.state.react(self.order, answered, reply, context)
    }

    fn at(&self) -> (&'static str, Direction, u32) {
        let step = self.state.step();
        let (direction, attempt) = self.state.saga.current(step);
        (step.name(), direction, attempt)
    }

    fn state(&self) -> SagaState {
        self.state.saga_state()
    }

    fn undone_by(&self, action: &Action) -> Vec<(WaitingOn, String)> {
        let steps: &[Step] = match action {
            Action::Authorize { .. } => &[Step::AuthorizePayment],
            Action::BuyLabel { .. } => &[Step::AuthorizePayment, Step::Ship],
            _ => &[],
        };
        let key = |step: &Step| self.state.key(self.order, *step, Direction::Compensate);
        let whom = |step: &Step| if *step == Step::Ship { WaitingOn::Shipping } else { WaitingOn::Payment };
        steps.iter().map(|step| (whom(step), key(step))).collect()
    }

    fn retrying(&self) -> Option<(&str, DateTime<Utc>)> {
        self.state.saga.retrying.as_ref().map(|retrying| (retrying.cause.as_str(), retrying.since))
    }

    fn cause(&self) -> Option<&str> {
        self.state.saga.cause()
    }

    fn remaining_steps(&self) -> Vec<&'static str> {
        self.state.remaining_steps().into_iter().map(Step::name).collect()
    }

    fn operate(&self, command: Command, notes: Notes, now: DateTime<Utc>) -> Result<Vec<Event>, Refused> {
        self.state.operate(self.order, command, notes, now)
    }

    fn supported(&self) -> Vec<Verb> {
        self.state.supported()
    }
}
