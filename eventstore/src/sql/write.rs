//! Writes batches: one call of `append_batch`, one round trip, one commit.
use super::batch::Columns;
use super::connection::{AppendConnection, Open};
use super::recall::recall;
use crate::group_commit::{WriteError, Writer, Written};
use crate::prepared::Prepared;
use crate::{AppendError, Appended, Expected, Incarnation, Log, Position, Refusal, TakenClaim, Version};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use metrics::counter;
use serde::Deserialize;
use sqlx::types::Json;
use sqlx::{Error, PgConnection, PgPool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A call that takes longer counts as lost.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Looking for what was written is given up for this time.
const RECALL_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct PgWriter {
    log: Log,
    connection: AppendConnection,
    /// Told when a claim that expires has no partition.
    missed: Arc<Notify>,
}

impl PgWriter {
    pub(super) fn new(pool: &PgPool, log: Log, missed: Arc<Notify>) -> PgWriter {
        PgWriter { log, connection: AppendConnection::new(pool), missed }
    }

    async fn find(&mut self, batch: &[&Prepared]) -> Result<Vec<Option<Appended>>, Error> {
        let connection = self.connection.bury().await?;
        let mut found = Vec::with_capacity(batch.len());
        for prepared in batch {
            found.push(recall(&mut *connection, self.log, prepared).await?);
        }
        Ok(found)
    }
}

#[async_trait]
impl Writer for PgWriter {
    async fn write(&mut self, batch: &[&Prepared]) -> Result<Written, WriteError> {
        let log = self.log;
        let open = self.connection.get().await.map_err(|error| WriteError::Unavailable(error.to_string()))?;
        let Open { connection, versions } = open;
        let mut columns = Columns::of(batch, versions);
        let answered = loop {
            let answered = tokio::time::timeout(WRITE_TIMEOUT, call(&mut *connection, log, &columns)).await;
            let Ok(Err(error)) = &answered else { break answered };
            let is_mended = match Amiss::of(error) {
                // Nobody is to wait, and no key to be forgotten, because a table is not there yet.
                Some(Amiss::Partition) => {
                    self.missed.notify_one();
                    counter!("waybill_claims_without_partition_total").increment(1);
                    columns.keep_claims_for_ever()
                }
                Some(Amiss::Stream) => {
                    counter!("waybill_append_streams_begun_before_total").increment(1);
                    columns.look_up_versions()
                }
                None => false,
            };
            if !is_mended {
                break answered;
            }
        };
        let failure = match answered {
            Ok(Ok(answered)) => {
                let base = Position(answered.base);
                let written = answered.outcomes(batch);
                versions.committed(batch, base, &written);
                return Ok(written);
            }
            Ok(Err(error)) => judge(&error),
            Err(_) => WriteError::Lost(format!("no answer for {} s", WRITE_TIMEOUT.as_secs())),
        };
        if !matches!(failure, WriteError::Fault(_)) {
            self.connection.drop_broken();
        }
        Err(failure)
    }

    async fn recall(&mut self, batch: &[&Prepared]) -> Result<Vec<Option<Appended>>, WriteError> {
        match tokio::time::timeout(RECALL_TIMEOUT, self.find(batch)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(WriteError::Lost(error.to_string())),
            Err(_) => Err(WriteError::Lost(format!("no answer for {} s", RECALL_TIMEOUT.as_secs()))),
        }
    }
}

/// What a batch supposed and the database found otherwise: it has written nothing, and is sent again without.
enum Amiss {
    /// That there is a partition for the claims of its day.
    Partition,
    /// That a stream begins. Once its version is looked up, whose fault that is is told before anything is written.
    Stream,
}

impl Amiss {
    fn of(error: &Error) -> Option<Amiss> {
        let Error::Database(reported) = error else { return None };
        match (reported.code().as_deref(), reported.table(), reported.constraint()) {
            (Some("23514"), Some("expiring_claims"), None) => Some(Amiss::Partition),
            (Some("23505"), _, Some("events_stream_version")) => Some(Amiss::Stream),
            _ => None,
        }
    }
}

/// What a failed call means. An error that the server reports has undone everything, unless the server itself was going away.
fn judge(error: &Error) -> WriteError {
    let Error::Database(reported) = error else {
        return match error {
            Error::Encode(_) => WriteError::Fault(error.to_string()),
            _ => WriteError::Lost(error.to_string()),
        };
    };
    let code = reported.code().unwrap_or_default();
    match (code.get(..2).unwrap_or_default(), code.as_ref()) {
        // Told to stop, perhaps between the commit and the answer.
        (_, "57P01" | "57P02" | "57P03" | "57P05") | ("08", _) => WriteError::Lost(error.to_string()),
        // Cancelled, locked out, overloaded, disk full, read-only, schema not there.
        ("57" | "55" | "53" | "40" | "25" | "42" | "58", _) => WriteError::Unavailable(error.to_string()),
        _ => WriteError::Fault(error.to_string()),
    }
}

struct Answered {
    base: i64,
    incarnation: Incarnation,
    recorded_at: DateTime<Utc>,
    refusals: Vec<Refused>,
}

/// A member that was not taken, as `append_batch` says it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Refused {
    Fenced {
        member: usize,
        #[serde(rename = "fenced")]
        _fenced: bool,
    },
    Moved {
        member: usize,
        /// Where the checkpoint is, if it is there at all.
        moved: (Option<i32>, Option<i64>),
    },
    Claim {
        member: usize,
        claim: Taken,
    },
    Conflict {
        member: usize,
        stream: usize,
        actual: i32,
    },
    BelowFloor {
        member: usize,
        account: String,
        balance: i64,
        delta: i64,
    },
}

#[derive(Debug, Deserialize)]
struct Taken {
    scope: String,
    key: String,
    holder: String,
    /// In hex.
    fingerprint: Option<String>,
    position: i64,
}

async fn call(connection: &mut PgConnection, log: Log, c: &Columns<'_>) -> Result<Answered, Error> {
    // `fetch_all` and not `fetch_one`: it reads on to ReadyForQuery, which is sent after the commit. The row comes before it.
    let mut rows = sqlx::query!(
        r#"SELECT base AS "base!", incarnation AS "incarnation!", recorded_at AS "recorded_at!",
                  refusals AS "refusals: Json<Vec<Refused>>"
             FROM append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                               $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41,
                               $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53)"#,
        log.0,
        &c.m_command,
        &c.m_shop as _,
        &c.m_metadata as _,
        &c.m_events,
        &c.m_before,
        &c.s_member,
        &c.s_id,
        &c.s_kind as _,
        &c.s_expected as _,
        &c.e_member,
        &c.e_stream,
        &c.e_nth,
        &c.e_type as _,
        &c.e_schema,
        &c.e_payload as _,
        &c.e_checksum,
        &c.k_scope as _,
        &c.k_key as _,
        &c.k_day as _,
        &c.c_member,
        &c.c_key,
        &c.c_holder as _,
        &c.c_fingerprint as _,
        &c.a_name as _,
        &c.a_delta,
        &c.a_worst,
        &c.a_floor as _,
        &c.b_member,
        &c.b_account,
        &c.b_delta,
        &c.b_floor as _,
        &c.f_member,
        &c.f_slot,
        &c.f_epoch,
        &c.r_member,
        &c.r_name as _,
        &c.r_from_incarnation as _,
        &c.r_from as _,
        &c.r_to_incarnation,
        &c.r_to,
        &c.t_member,
        &c.t_id,
        &c.t_slot,
        &c.t_kind as _,
        &c.t_name as _,
        &c.t_due as _,
        &c.t_set as _,
        &c.v_member,
        &c.v_subject,
        &c.v_person,
        &c.v_sealed as _,
        &c.s_as_of as _,
    )
    .fetch_all(connection)
    .await?;
    let row = rows.pop().ok_or(Error::RowNotFound)?;
    Ok(Answered {
        base: row.base,
        incarnation: Incarnation(row.incarnation),
        recorded_at: row.recorded_at,
        refusals: row.refusals.map(|Json(refusals)| refusals).unwrap_or_default(),
    })
}

impl Answered {
    /// An answer for each member: those that aren't refused have taken their positions one after the other.
    fn outcomes(self, batch: &[&Prepared]) -> Written {
        let mut refused: Vec<Option<AppendError>> = vec![None; batch.len()];
        let streams: Vec<_> = batch.iter().flat_map(|prepared| &prepared.append.streams).collect();
        for refusal in self.refusals {
            let (member, error) = refusal.into_error(batch, &streams);
            if let Some(place) = refused.get_mut(member.wrapping_sub(1)) {
                *place = Some(error);
            }
        }
        tracing::trace!(incarnation = self.incarnation.0, base = self.base, members = batch.len(), "appended");
        let mut last = self.base;
        let outcomes = refused.into_iter().zip(batch).map(|(refused, prepared)| match refused {
            Some(error) => Err(error),
            None => {
                let first = if prepared.events.is_empty() { last } else { last + 1 };
                last += prepared.events.len() as i64;
                Ok(Appended { first: Position(first), last: Position(last), recorded_at: self.recorded_at })
            }
        });
        Written { incarnation: self.incarnation, outcomes: outcomes.collect() }
    }
}

impl Refused {
    fn into_error(self, batch: &[&Prepared], streams: &[&crate::StreamAppend]) -> (usize, AppendError) {
        match self {
            Refused::Fenced { member, .. } => {
                let fence = batch.get(member.wrapping_sub(1)).and_then(|prepared| prepared.append.fence);
                (member, AppendError::Fenced { slot: fence.map_or(0, |fence| fence.slot.0) })
            }
            Refused::Moved { member, moved: (incarnation, position) } => {
                let wanted = batch.get(member.wrapping_sub(1)).and_then(|prepared| prepared.append.checkpoint.clone());
                let (name, expected) = wanted.map(|wanted| (wanted.name, wanted.from)).unwrap_or_default();
                let actual = incarnation.map(Incarnation).zip(position.map(Position));
                (member, AppendError::CheckpointMoved { name, expected, actual })
            }
            Refused::Claim { member, claim } => {
                let taken = TakenClaim {
                    scope: claim.scope,
                    key: claim.key,
                    holder: claim.holder,
                    fingerprint: claim.fingerprint.as_deref().and_then(from_hex),
                    position: Position(claim.position),
                };
                (member, Refusal::ClaimTaken(taken).into())
            }
            Refused::Conflict { member, stream, actual } => {
                let error = match streams.get(stream.wrapping_sub(1)) {
                    Some(part) => AppendError::Conflict {
                        stream: part.stream.clone(),
                        expected: match part.expected {
                            Expected::Exact(version) => version,
                            Expected::Any => Version::NONE,
                        },
                        actual: Version(actual),
                    },
                    None => AppendError::Unavailable(format!("append_batch names stream {stream}, which isn't there")),
                };
                (member, error)
            }
            Refused::BelowFloor { member, account, balance, delta } => {
                (member, Refusal::BelowFloor { account, balance, delta }.into())
            }
        }
    }
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}
