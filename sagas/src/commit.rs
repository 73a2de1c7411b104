//! The driver's dealings with the store: reading its saga's history, and appending what an answer causes.
use crate::driver::Driver;
use crate::job::Leave;
use crate::metrics;
use crate::retry::StoreBackoff;
use chrono::{DateTime, Utc};
use commands::Change;
use commands::history::CommitError;
use domain::location::LocationMode;
use domain::order::Shortage;
use domain::saga::{Action, Context, Notice, Reply};
use domain::{Event, LocationCode, Sku, stock};
use eventstore::{Actor, ActorKind, AppendError, Metadata, ReadError, RecordedEvent, Refusal, Source};
use std::collections::BTreeMap;
use std::future::Future;
use uuid::Uuid;

/// Answers in a row that change nothing: more than any race explains.
const MAX_BARREN: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// Written, or nothing had to be, or it no longer holds: ask the machine again.
    Done,
    /// There is not enough stock.
    Short,
}

impl Driver<'_> {
    /// Reads what is new of the history; all of it at the beginning.
    pub(crate) async fn reload(&mut self) -> Result<(), Leave> {
        let newest = self.signal.newest();
        let events = self.read(|| self.shared.history_of(self.order.0)).await?;
        let Some(last) = events.last() else {
            tracing::error!(order_id = %self.order, "there is a timer but no order");
            return Err(Leave::Ended);
        };
        if self.history.shop.is_empty() {
            self.history.shop.clone_from(&last.shop);
        }
        self.cause.command = Some(last.metadata.command_id);
        if last.metadata.trace_id.is_some() {
            self.cause.trace_id.clone_from(&last.metadata.trace_id);
        }
        for event in &events {
            self.apply(event)?;
        }
        self.signal.settle(newest, self.history.position);
        Ok(())
    }

    fn apply(&mut self, event: &RecordedEvent) -> Result<(), Leave> {
        match self.history.apply(event) {
            Ok(true) => {
                self.mark(event.recorded_at);
                Ok(())
            }
            Ok(false) => Err(self.stuck("an event of the history is missing")),
            Err(error) => Err(self.stuck(&error.to_string())),
        }
    }

    /// Once or twice that is a race.
    pub(crate) fn nothing_changed(&mut self) -> Result<(), Leave> {
        self.barren += 1;
        if self.barren > MAX_BARREN { Err(self.stuck("nothing changes")) } else { Ok(()) }
    }

    /// Appends what a reply causes.
    pub(crate) async fn commit(&mut self, action: Option<&Action>, reply: Reply) -> Result<Committed, Leave> {
        let mut reply = reply;
        loop {
            let context = self.context().await?;
            let events = match self.saga().react(action, reply.clone(), &context) {
                Ok(events) => events,
                Err(misfit) if action.is_none() || matches!(reply, Reply::Stuck { .. }) => {
                    return Err(self.stuck(&misfit.to_string()));
                }
                Err(misfit) => {
                    let (order_id, saga_id) = (self.order, self.id());
                    tracing::error!(%order_id, %saga_id, ?reply, %misfit, "an answer does not fit the history");
                    reply = Reply::Stuck { cause: "unexpected_answer".to_owned() };
                    continue;
                }
            };
            if events.is_empty() {
                return self.nothing_changed().map(|()| Committed::Done);
            }
            match self.append(&events, context.now).await {
                Ok(()) => {
                    self.barren = 0;
                    return Ok(Committed::Done);
                }
                Err(Failed::Leave(leave)) => return Err(leave),
                Err(Failed::Short) => return Ok(Committed::Short),
                Err(Failed::Raced) => {
                    metrics::conflict();
                    self.reload().await?;
                    if !is_fact(&reply) {
                        return Ok(Committed::Done);
                    }
                }
            }
        }
    }

    /// Appends until the store says what became of it.
    async fn append(&mut self, events: &[Event], now: DateTime<Utc>) -> Result<(), Failed> {
        let metadata = self.metadata(now);
        let mut backoff = StoreBackoff::new();
        loop {
            let change = Change { fence: Some(self.held.fence), ..Change::default() };
            let error = match self.history.commit(&*self.shared.store, events, metadata.clone(), change).await {
                Ok(appended) => {
                    self.mark(appended.recorded_at);
                    self.cause.command = Some(metadata.command_id);
                    self.appended = appended.last;
                    self.tell(events);
                    return Ok(());
                }
                Err(CommitError::History(error)) => return Err(Failed::Leave(self.stuck(&error.to_string()))),
                Err(CommitError::Append(error)) => error,
            };
            match error {
                AppendError::Conflict { .. } => return Err(Failed::Raced),
                AppendError::Refused(Refusal::BelowFloor { .. }) => return Err(Failed::Short),
                // An order's append makes no claims here and moves no checkpoint.
                AppendError::Refused(Refusal::ClaimTaken(_))
                | AppendError::CheckpointMoved { .. }
                | AppendError::Invalid(_) => {
                    return Err(Failed::Leave(self.stuck(&error.to_string())));
                }
                AppendError::Fenced { .. } => {
                    self.shared.slots.fenced(self.held.fence);
                    return Err(Failed::Leave(Leave::Lost));
                }
                // The same command again: if it was written, the store knows it.
                AppendError::Unavailable(why) | AppendError::Unknown(why) => {
                    tracing::warn!(order_id = %self.order, why, "the append is tried again");
                    self.check()?;
                    backoff.pause(&self.shared.jitter).await;
                    self.check()?;
                }
            }
        }
    }

    fn metadata(&self, now: DateTime<Utc>) -> Metadata {
        Metadata {
            command_id: Uuid::now_v7(),
            causation_id: self.cause.command,
            correlation_id: self.order.0,
            actor: Actor {
                kind: ActorKind::Saga,
                id: self.saga().definition().saga.to_owned(),
                key: None,
                on_behalf_of: None,
            },
            source: Source::Saga,
            reason_code: None,
            occurred_at: now,
            trace_id: self.cause.trace_id.clone(),
            app_version: self.shared.config.app_version.clone(),
        }
    }

    fn tell(&self, events: &[Event]) {
        let (order_id, saga_id, position) = (self.order, self.id(), self.history.position.0);
        tracing::debug!(%order_id, %saga_id, position, events = events.len(), "appended");
        for notice in events.iter().filter_map(Event::notice) {
            match notice {
                Notice::Paused { step, cause } => {
                    metrics::paused(step);
                    tracing::warn!(%order_id, %saga_id, position, step, cause, "the saga is paused: it needs a person");
                }
                Notice::Retrying { step, cause } => {
                    tracing::info!(%order_id, %saga_id, step, cause, "no definite answer yet; it is being tried again");
                }
                Notice::Ended => {
                    let saga = self.saga();
                    let (saga, state) = (saga.definition().saga, saga.state());
                    let received = self.history.fulfillment.order.placed.as_ref().map(|placed| placed.received_at);
                    let took = received.and_then(|at| (self.shared.now() - at).to_std().ok());
                    metrics::ended(saga, state, took);
                    tracing::debug!(%order_id, %saga_id, saga, state = state.name(), "the saga has ended");
                }
            }
        }
    }

    async fn context(&self) -> Result<Context, Leave> {
        let location = LocationCode::from(self.shared.config.location);
        // Only a release looks at it.
        let location_mode = match self.history.fulfillment.shipment.released {
            Some(_) => LocationMode::Manual,
            None => self.read(|| self.shared.locations.mode(&self.history.shop, &location)).await?,
        };
        Ok(Context { now: self.shared.now(), location, location_mode })
    }

    /// What is not there of what a reservation wanted.
    pub(crate) async fn shortages(&self, action: &Action) -> Result<Vec<Shortage>, Leave> {
        let Action::Reserve { lines } = action else { return Ok(vec![]) };
        let mut wanted: BTreeMap<(&LocationCode, &Sku), i64> = BTreeMap::new();
        for line in lines {
            *wanted.entry((&line.location, &line.sku)).or_default() += line.quantity;
        }
        let account = |(location, sku): (&LocationCode, &Sku)| stock::account(&self.history.shop, location, sku);
        let accounts: Vec<String> = wanted.keys().map(|key| account(*key)).collect();
        let balances = self.read(|| self.shared.store.balances(&accounts)).await?;
        let balances: BTreeMap<String, i64> = balances.into_iter().collect();
        let shortage = |((location, sku), wanted): ((&LocationCode, &Sku), i64)| {
            let available = balances.get(&account((location, sku))).copied().unwrap_or(0);
            let (sku, location) = (sku.clone(), location.clone());
            (available < wanted).then_some(Shortage { sku, location, wanted, available })
        };
        Ok(wanted.into_iter().filter_map(shortage).collect())
    }

    /// Reads until it can be read.
    async fn read<T, E, F>(&self, mut read: impl FnMut() -> F) -> Result<T, Leave>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<Unread>,
    {
        let mut backoff = StoreBackoff::new();
        loop {
            match read().await.map_err(Into::into) {
                Ok(read) => return Ok(read),
                Err(Unread::Never(why)) => return Err(self.stuck(&why)),
                Err(Unread::Now(why)) => {
                    tracing::warn!(order_id = %self.order, why, "a read is tried again");
                    self.check()?;
                    backoff.pause(&self.shared.jitter).await;
                    self.check()?;
                }
            }
        }
    }
}

/// Why an append was not written.
enum Failed {
    Leave(Leave),
    Raced,
    Short,
}

impl From<Leave> for Failed {
    fn from(leave: Leave) -> Self {
        Failed::Leave(leave)
    }
}

enum Unread {
    Now(String),
    Never(String),
}

impl From<ReadError> for Unread {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(why) => Unread::Now(why),
            ReadError::Corrupt(why) => Unread::Never(why),
        }
    }
}

impl From<crate::ports::LocationError> for Unread {
    fn from(error: crate::ports::LocationError) -> Self {
        Unread::Now(error.to_string())
    }
}

/// What a participant said stays true whatever happened meanwhile. All else is judged anew.
fn is_fact(reply: &Reply) -> bool {
    match reply {
        Reply::Authorized { .. }
        | Reply::AuthorizationVoided
        | Reply::LabelBought(_)
        | Reply::LabelVoided
        | Reply::Captured { .. }
        | Reply::Refunded { .. }
        | Reply::Refused { .. } => true,
        Reply::Nothing
        | Reply::Reserved
        | Reply::OutOfStock { .. }
        | Reply::Unanswered { .. }
        | Reply::Exhausted
        | Reply::Stuck { .. } => false,
    }
}
