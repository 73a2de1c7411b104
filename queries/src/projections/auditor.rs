//! The audit of the read model: compares the rows of the orders of one page of the log after another with their histories, for ever, at low
//! priority. It writes nothing.
//!
//! A pass goes from the beginning to where the rows have come, and follows them; some time later the next one begins. A difference is told
//! once a second look has found it as well, and is known until a later look at its page is clean. Stock it leaves to the full run.
use super::{
    ProjectionError, RangeComparison,
    audit::{OrderAudit, PAGE_EVENTS},
};
use eventstore::{EventStore, Position};
use metrics::{counter, gauge};
use sqlx::postgres::PgConnectOptions;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// A difference is looked at again after this: rows and their orders may just have been on the move.
const SECOND_LOOK_AFTER: Duration = Duration::from_secs(1);
/// Where nothing is new, it looks this often.
const IDLE: Duration = Duration::from_secs(10);
/// From the end of a pass to the beginning of the next.
const BETWEEN_PASSES: Duration = Duration::from_secs(3_600);
/// How much of its time it works.
const SHARE: f64 = 0.05;
/// It rests no longer than this after a look, however long that took.
const MAX_REST: Duration = Duration::from_secs(60);
/// While the database is away.
const PAUSE: Duration = Duration::from_secs(10);
/// Differences that are told one by one.
const TOLD: usize = 20;

/// How hard it works.
#[derive(Clone, Copy, Debug)]
pub struct AuditPace {
    pub share: f64,
    pub idle: Duration,
    pub between_passes: Duration,
}

impl Default for AuditPace {
    fn default() -> Self {
        AuditPace { share: SHARE, idle: IDLE, between_passes: BETWEEN_PASSES }
    }
}

/// The verdict so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Up to here this pass has come.
    pub position: Position,
    /// Passes that came to the end of the rows.
    pub passes: u64,
    /// How many rows are known to differ.
    pub differences: usize,
}

/// Audits until it is told to stop. `applied`: how far the rows have come.
pub async fn audit_rows(
    store: Arc<dyn EventStore>,
    database: PgConnectOptions,
    applied: watch::Receiver<Position>,
    pace: AuditPace,
    told: watch::Sender<AuditVerdict>,
    stop: CancellationToken,
) {
    let mut auditor =
        Auditor { applied, pace, told, known: BTreeMap::new(), position: Position::ZERO, passes: 0, done_at: None };
    let work = async {
        loop {
            let Err(error) = auditor.work(&store, &database).await;
            warn!(%error, "the audit of the read model waits");
            tokio::time::sleep(PAUSE).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

struct Auditor {
    applied: watch::Receiver<Position>,
    pace: AuditPace,
    told: watch::Sender<AuditVerdict>,
    /// Pages with differences, by the position before them.
    known: BTreeMap<Position, usize>,
    position: Position,
    passes: u64,
    done_at: Option<Instant>,
}

impl Auditor {
    /// On one connection, until that fails.
    async fn work(
        &mut self,
        store: &Arc<dyn EventStore>,
        database: &PgConnectOptions,
    ) -> Result<std::convert::Infallible, ProjectionError> {
        let mut audit = OrderAudit::open(store.clone(), database).await?;
        loop {
            let began = Instant::now();
            // The rows may have been made anew.
            let end = *self.applied.borrow_and_update();
            self.position = self.position.min(end);
            if self.position == end {
                let rest = self.at_the_end();
                tokio::time::sleep(rest).await;
                continue;
            }
            // Pages begin at the same positions in every pass.
            let page = PAGE_EVENTS as i64;
            let start = Position(self.position.0 / page * page);
            let upto = Position(start.0 + page).min(end);
            let mut compared = audit.compare(start, upto).await?;
            if !compared.differences.is_empty() {
                tokio::time::sleep(SECOND_LOOK_AFTER).await;
                compared = audit.compare(start, upto).await?;
            }
            self.learn(start, &compared);
            let rest = began.elapsed().mul_f64(1.0 / self.pace.share.clamp(0.001, 1.0) - 1.0);
            tokio::time::sleep(rest.min(MAX_REST)).await;
        }
    }

    fn learn(&mut self, start: Position, compared: &RangeComparison) {
        self.position = compared.upto;
        let before = match compared.differences.len() {
            0 => self.known.remove(&start).unwrap_or(0),
            count => self.known.insert(start, count).unwrap_or(0),
        };
        if compared.differences.len() > before {
            for difference in compared.differences.iter().take(TOLD) {
                let (table, missing, row) = (difference.table, difference.missing, &difference.row);
                error!(table, missing, row, "a row of the read model is not what its history comes to");
            }
        }
        self.tell();
    }

    /// Ends the pass; begins the next one when it is time. Answers how long to rest.
    fn at_the_end(&mut self) -> Duration {
        match self.done_at {
            None => {
                self.passes += 1;
                self.done_at = Some(Instant::now());
                counter!("waybill_read_audit_passes_total").increment(1);
            }
            Some(done_at) if done_at.elapsed() >= self.pace.between_passes && self.position > Position::ZERO => {
                self.position = Position::ZERO;
                self.done_at = None;
                return Duration::ZERO;
            }
            Some(_) => {}
        }
        self.tell();
        self.pace.idle.min(self.pace.between_passes)
    }

    fn tell(&self) {
        let differences = self.known.values().sum();
        gauge!("waybill_read_audit_position").set(self.position.0 as f64);
        gauge!("waybill_read_audit_differences").set(differences as f64);
        if differences == 0 {
            gauge!("waybill_read_audit_clean_timestamp_seconds").set(chrono::Utc::now().timestamp() as f64);
        }
        let (position, passes) = (self.position, self.passes);
        self.told.send_replace(AuditVerdict { position, passes, differences });
    }
}
