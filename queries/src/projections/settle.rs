//! Takes a parked key up again: its held-back events, from the parked one up to the checkpoint, go through the same fold and the same
//! writes as any batch, in one transaction with what becomes of the parked row.
//!
//! It comes as far as it can: to the checkpoint, and the key is released; or to the next event that can't be taken in, and the key is
//! parked there. Stock is sums, so what the held-back events change is added then. The checkpoint does not move.
use super::{
    ChangedOrder, ProjectionError,
    batch::{Decoded, Rows, fold},
    builder::Builder,
    history::History,
    parked::{Held, Parked, Skip},
    requests::{Outcome, Request, Verb},
    write::write_rows,
};
use crate::sql;
use eventstore::{EventStore, Position};
use sqlx::PgConnection;
use std::collections::HashMap;
use tracing::info;
use uuid::Uuid;

/// What a try came to.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) outcome: Outcome,
    pub(super) changed: Vec<ChangedOrder>,
}

/// A key's events from the parked one on, folded and not yet written.
struct Refolded {
    rows: Rows,
    changed: Vec<ChangedOrder>,
    history: Option<History>,
    /// How many events it took in.
    taken: usize,
    /// Where the key is parked afterwards.
    next: Option<Parked>,
}

/// Which of a key's events to take in.
struct Span<'a> {
    parked: &'a Parked,
    upto: Position,
    /// At most so many; the next one has this cause.
    limit: Option<&'a (usize, String)>,
}

impl Builder {
    /// Releases a key, or skips the event that parked it; by itself (`request` is `None`) it releases.
    pub(super) async fn settle(&mut self, key: Uuid, request: Option<&Request>) -> Result<Settled, ProjectionError> {
        let mut changed = Vec::new();
        let mut skip = request.filter(|request| request.verb == Verb::Skip);
        let asked_of = request.map(|request| request.position);
        let parked = self.held.parked.get(&key).filter(|parked| asked_of.is_none_or(|asked| asked == parked.position));
        let Some(mut parked) = parked.cloned() else {
            if let Some(request) = request {
                self.write_gone(request).await?;
            }
            return Ok(Settled { outcome: Outcome::Gone, changed });
        };
        // A skip first moves the key on to its next event, then takes that up.
        let mut limit = skip.map(|_| (0, "the event before it was skipped".to_owned()));
        loop {
            let mut held = self.held.clone_skips();
            if skip.is_some() {
                held.skip(&parked);
            }
            let most = limit.take();
            let span = Span { parked: &parked, upto: self.position(), limit: most.as_ref() };
            let written = match refold(self.store.as_ref(), &held, &span).await {
                Ok(refolded) => {
                    let moved = most.is_some() && (skip.is_some() || refolded.taken > 0);
                    let is_last = refolded.next.is_none() || !moved;
                    let done = request.filter(|_| is_last);
                    self.write_settled(key, &refolded, skip, done).await.map(|()| (refolded, is_last))
                }
                Err(error) => Err(error),
            };
            match written {
                Ok((refolded, is_last)) => {
                    changed.extend(refolded.changed.iter().cloned());
                    let next = refolded.next.clone();
                    let skipped = skip.take().map(|_| parked.clone());
                    let outcome = self.keep_settled(key, refolded, skipped.as_ref());
                    match next {
                        Some(next) if !is_last => parked = next,
                        _ => return Ok(Settled { outcome, changed }),
                    }
                }
                // Not all of it: then its first event, and so on to the one that it fails at.
                Err(error) if error.may_be_of_one_event() && most.is_none() => limit = Some((1, error.to_string())),
                Err(error) if error.may_be_of_one_event() => {
                    let nowhere = Refolded::nowhere(&parked, error.to_string());
                    self.write_settled(key, &nowhere, None, request).await?;
                    return Ok(Settled { outcome: self.keep_settled(key, nowhere, None), changed });
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn write_settled(
        &self,
        key: Uuid,
        refolded: &Refolded,
        skip: Option<&Request>,
        done: Option<&Request>,
    ) -> Result<(), ProjectionError> {
        let mut transaction = self.pool.begin().await?;
        // Nobody else drives, and whoever reads the rows elsewhere is told: the checkpoint moves to where it is.
        self.advance_with(&mut transaction, (self.position(), self.incarnation()), &refolded.rows).await?;
        if let (Some(Request { reason, by, .. }), Some(event)) = (skip, self.held.parked.get(&key)) {
            sql::parked::skip(&mut transaction, &Skip { event, reason, by }).await?;
        }
        match &refolded.next {
            Some(next) => sql::parked::park(&mut transaction, std::slice::from_ref(next)).await?,
            None => sql::parked::unpark(&mut transaction, key).await?,
        }
        if skip.or(done).is_some() {
            // A rebuild brings the rows back, but not what a person has decided.
            sql::requests::on_disk(&mut transaction).await?;
        }
        if let Some(request) = done {
            sql::requests::done(&mut transaction, request.id, refolded.outcome()).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Only whoever drives knows what is parked.
    async fn write_gone(&self, request: &Request) -> Result<(), ProjectionError> {
        let mut transaction = self.pool.begin().await?;
        self.advance_with(&mut transaction, (self.position(), self.incarnation()), &Rows::default()).await?;
        sql::requests::done(&mut transaction, request.id, Outcome::Gone).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// After the commit.
    fn keep_settled(&mut self, key: Uuid, refolded: Refolded, skipped: Option<&Parked>) -> Outcome {
        let outcome = refolded.outcome();
        if let Some(skipped) = skipped {
            self.held.skip(skipped);
        }
        match refolded.next {
            Some(next) if self.held.parked.get(&key).is_some_and(|before| before.position == next.position) => {
                self.held.parked.insert(key, next);
            }
            Some(next) => self.keep_parked(next),
            None => {
                info!(%key, events = refolded.taken, "a parked key is released");
                self.held.parked.remove(&key);
                if let Some(history) = refolded.history {
                    self.keep_history(key, history);
                }
            }
        }
        outcome
    }

    /// A replay that held back what the live tables have released or skipped meanwhile makes up for it. What it can't read itself stays
    /// parked with it alone.
    pub(super) async fn catch_up(&mut self, conn: &mut PgConnection, now: Held) -> Result<(), ProjectionError> {
        let before = std::mem::replace(&mut self.held, now);
        for (key, was) in before.parked {
            if was.position > self.position() {
                continue;
            }
            let until = self.held.parked.get(&key).map(|parked| parked.position);
            if until == Some(was.position) {
                continue;
            }
            let upto = until.map_or(self.position(), |until| self.position().min(Position(until.0 - 1)));
            let held = self.held.clone_skips();
            let refolded = refold(self.store.as_ref(), &held, &Span { parked: &was, upto, limit: None }).await?;
            write_rows(conn, None, &refolded.rows).await?;
            match refolded.next {
                Some(next) => self.keep_parked(next),
                None if until.is_none() => {
                    if let Some(history) = refolded.history {
                        self.keep_history(key, history);
                    }
                }
                None => {}
            }
        }
        Ok(())
    }
}

impl Refolded {
    /// Not even the first event could be taken in.
    fn nowhere(parked: &Parked, cause: String) -> Refolded {
        let next = Some(Parked { cause, ..parked.clone() });
        Refolded { rows: Rows::default(), changed: Vec::new(), history: None, taken: 0, next }
    }

    fn outcome(&self) -> Outcome {
        if self.next.is_some() { Outcome::Parked } else { Outcome::Released }
    }
}

async fn refold(store: &dyn EventStore, held: &Held, span: &Span<'_>) -> Result<Refolded, ProjectionError> {
    let Span { parked, upto, limit } = span;
    let key = parked.stream.id;
    let mut before = History::new(key);
    let (mut decoded, mut next) = (Vec::new(), None);
    for recorded in store.read_streams(key).await? {
        if recorded.position > *upto {
            break;
        }
        if held.leaves_out(&recorded) {
            continue;
        }
        if recorded.position < parked.position {
            match Decoded::decode(recorded) {
                Ok(Decoded { recorded, events }) => before.evolve(&recorded, &events),
                Err(error) => return Ok(Refolded::nowhere(parked, error.to_string())),
            }
            continue;
        }
        if let Some((most, cause)) = limit
            && decoded.len() == *most
        {
            next = Some(Parked::at(&recorded, cause.clone()));
            break;
        }
        match Decoded::read(recorded) {
            Ok(event) => decoded.push(event),
            Err((recorded, cause)) => {
                next = Some(Parked::at(&recorded, cause.to_string()));
                break;
            }
        }
    }
    let mut histories = HashMap::from([(key, before)]);
    let (rows, changed) = fold(&decoded, &mut histories)?;
    let history = decoded.iter().any(|event| event.order().is_some()).then(|| histories.remove(&key)).flatten();
    Ok(Refolded { rows, changed, history, taken: decoded.len(), next })
}
