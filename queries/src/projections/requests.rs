//! What an operator may ask of parked keys. The runner at work does it and says what came of it; nothing here changes a row of the read model.
use super::{ProjectionError, connection::pool, parked::Parked, runner::SCHEMA};
use crate::sql;
use chrono::{DateTime, Utc};
use eventstore::{Incarnation, Position};
use sqlx::{PgPool, postgres::PgConnectOptions};
use std::collections::HashSet;
use uuid::Uuid;

/// How many parked keys are listed at most: all there can be.
const MAX_LISTED: i64 = super::parked::MAX_PARKED as i64;
/// How many orders of one ref are told apart.
const MAX_CANDIDATES: i64 = 20;

/// A key that is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedKey {
    pub event: Parked,
    pub since: DateTime<Utc>,
    /// How often a release came no further than this event.
    pub tries: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Try the event again, and go on with the key.
    Release,
    /// Leave the event out for ever, and go on with the key's next one.
    Skip,
}

impl Verb {
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Release => "release",
            Verb::Skip => "skip",
        }
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key goes on.
    Released,
    /// It is parked still, or at a later event.
    Parked,
    /// It was not parked at that event any more.
    Gone,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Released => "released",
            Outcome::Parked => "parked",
            Outcome::Gone => "gone",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Outcome> {
        [Outcome::Released, Outcome::Parked, Outcome::Gone].into_iter().find(|outcome| outcome.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: i64,
    pub(crate) key: Uuid,
    pub(crate) position: Position,
    pub(crate) verb: Verb,
    pub(crate) reason: String,
    pub(crate) by: String,
}

/// The operators' way to the parked keys of one database.
#[derive(Debug)]
pub struct ParkedKeys {
    pool: PgPool,
}

impl ParkedKeys {
    /// Connects at the first call.
    pub fn new(database: &PgConnectOptions) -> ParkedKeys {
        ParkedKeys { pool: pool(database, SCHEMA) }
    }

    /// By the position of the event.
    pub async fn list(&self) -> Result<Vec<ParkedKey>, ProjectionError> {
        Ok(sql::requests::parked(&mut *self.pool.acquire().await?, None, MAX_LISTED).await?)
    }

    /// Every event that somebody has decided to leave out.
    pub async fn skipped(&self) -> Result<HashSet<(Incarnation, Position)>, ProjectionError> {
        Ok(sql::parked::load(&mut *self.pool.acquire().await?).await?.into_skipped())
    }

    pub async fn get(&self, key: Uuid) -> Result<Option<ParkedKey>, ProjectionError> {
        Ok(sql::requests::parked(&mut *self.pool.acquire().await?, Some(key), 1).await?.pop())
    }

    /// The orders of a ref, each with its shop. An order that is parked at its very placement is in no row, and found by its id alone.
    pub async fn orders_of_ref(&self, order_ref: &str) -> Result<Vec<(Uuid, String)>, ProjectionError> {
        let mut conn = self.pool.acquire().await?;
        Ok(sql::read::orders_by_ref(&mut conn, order_ref, None, MAX_CANDIDATES).await?)
    }

    /// Asks, of the event at which the key is parked; answers what to ask the outcome by. `None`: something is asked of this key already,
    /// and not done yet.
    pub async fn ask(
        &self,
        parked: &Parked,
        verb: Verb,
        reason: &str,
        by: &str,
    ) -> Result<Option<i64>, ProjectionError> {
        Ok(sql::requests::ask(&mut *self.pool.acquire().await?, parked, verb, reason, by).await?)
    }

    /// `None`: no runner has done it yet.
    pub async fn outcome(&self, request: i64) -> Result<Option<Outcome>, ProjectionError> {
        Ok(sql::requests::outcome(&mut *self.pool.acquire().await?, request).await?)
    }
}
