//! What will come of a saga, by letting it run on with every answer as hoped for: for a person who is about to ask for it.
use super::Fulfillment;
use crate::{
    Event, OrderId,
    saga::{Context, Effect, Misfit, Next, Reply, WaitingOn, Which},
};

/// More turns than any saga takes.
const MAX_TURNS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    pub effects: Vec<Effect>,
    /// Whom it waits for after that; `None`: it has ended.
    pub then: Option<WaitingOn>,
}

impl Forecast {
    /// For example `will void the authorization of 49.00 USD, release 2 SKUs and cancel the order`.
    pub fn sentence(&self) -> String {
        let told = Effect::sentence(&self.effects);
        match self.then {
            Some(WaitingOn::Operator) => format!("{told}; then it stays paused"),
            Some(on) => format!("{told}; then it waits for {}", on.name()),
            None => told,
        }
    }
}

impl Fulfillment {
    /// What these events, not written yet, will lead one of the order's sagas to.
    pub fn forecast(
        &self,
        order: OrderId,
        which: Which,
        events: &[Event],
        context: &Context,
    ) -> Result<Forecast, Misfit> {
        let placed = self.order.placed.clone().ok_or(Misfit::NotPlaced)?;
        let mut state = self.clone();
        let mut effects = vec![];
        let mut take = |state: &mut Fulfillment, events: &[Event]| {
            for event in events {
                state.evolve(event);
                effects.extend(Effect::of(event, placed.total, &placed.currency));
            }
        };
        take(&mut state, events);
        for _ in 0..MAX_TURNS {
            let saga = state.one(order, which).ok_or(Misfit::NotPlaced)?;
            let events = match saga.next() {
                Next::Act(action) => saga.react(Some(&action), Reply::hoped_for(&action, context.now), context)?,
                Next::Advance => saga.react(None, Reply::Nothing, context)?,
                Next::Wait(on) => return Ok(Forecast { effects, then: Some(on) }),
                Next::Ended => break,
            };
            take(&mut state, &events);
        }
        Ok(Forecast { effects, then: None })
    }
}
