//! The relay: carries the log of one store to Kafka, each event once.
//!
//! `init_transactions` fences the relay before; the committed tails say where to resume; then one transaction after the other,
//! each an unbroken range of positions over both topics. Any error ends the session, and the next one asks the tails again, so
//! an unknown outcome never matters. Its memory is bounded by two batches, whatever the backlog.
//!
//! Two relays of one log: the later one wins, the other stands by and takes over once the mirror stops moving.
mod producer;
mod session;
mod status;
mod tempo;

pub use crate::chain::Halt;
pub use status::{RelayState, RelayStatus};

use crate::{
    KafkaConfig, MirrorError, chain,
    topics::{self, blocking, drop_blocking},
};
use eventstore::{EventStore, Position, ReadError, RecordedEvent};
use session::{NoSession, Session};
use status::Reporter;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tempo::Tempo;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The most events of one transaction.
const MAX_BATCH_EVENTS: usize = 4_000;
/// The fewest events asked for, however large they are.
const MIN_BATCH_EVENTS: usize = 16;
/// What a transaction should hold at most, judged by the size of the events before.
const TARGET_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// With nothing to do, the store and the topics are looked at this often.
const IDLE_CHECK: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How often a halted relay looks whether it may go on.
const HALTED_CHECK: Duration = Duration::from_secs(5);
/// A relay that stands by takes over when the mirror hasn't moved for this long though there is something to write.
const TAKEOVER_AFTER: Duration = Duration::from_secs(3);
const STANDBY_CHECK: Duration = Duration::from_millis(500);
/// A stop waits no longer for the transaction under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct RelayConfig {
    pub kafka: KafkaConfig,
}

/// A relay; `spawn` sets it to work.
#[derive(Debug)]
pub struct Relay {
    store: Arc<dyn EventStore>,
    config: KafkaConfig,
    transactional_id: String,
    reporter: Arc<Reporter>,
    stop: CancellationToken,
    limit: usize,
    tempo: Tempo,
}

/// A relay at work. Dropping the handle leaves it at work until its token is cancelled.
#[derive(Debug)]
pub struct RelayHandle {
    status: watch::Receiver<RelayStatus>,
    task: JoinHandle<()>,
}

impl RelayHandle {
    pub fn status(&self) -> RelayStatus {
        self.status.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<RelayStatus> {
        self.status.clone()
    }

    /// Ends it where it stands, as a crash would.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Waits for its end, after its token was cancelled: 2 s at most.
    pub async fn join(mut self) {
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Relay {
    /// Never gives up: it ends by `stop` alone.
    pub fn spawn(store: Arc<dyn EventStore>, config: RelayConfig, stop: CancellationToken) -> RelayHandle {
        let reporter = Arc::new(Reporter::new(store.log()));
        let status = reporter.subscribe();
        let transactional_id = format!("{}-relay-{}", config.kafka.topic_prefix, store.log().name());
        let (limit, tempo) = (MIN_BATCH_EVENTS * 8, Tempo::new());
        let relay = Relay { store, config: config.kafka, transactional_id, reporter, stop, limit, tempo };
        RelayHandle { status, task: tokio::spawn(relay.run()) }
    }

    async fn run(mut self) {
        let stop = self.stop.clone();
        let mut backoff = FIRST_BACKOFF;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let ended = self.live().await;
            if began.elapsed() > MAX_BACKOFF * 4 {
                backoff = FIRST_BACKOFF;
            }
            let pause = match ended {
                NoSession::Error(MirrorError::Stopped) => break,
                NoSession::Halt(halt) => {
                    tracing::error!(log = %self.store.log().name(), %halt, "the relay has halted");
                    self.reporter.state(RelayState::Halted(halt));
                    HALTED_CHECK
                }
                NoSession::Error(error) if error.is_fenced() => {
                    self.stand_by().await;
                    Duration::ZERO
                }
                NoSession::Error(error @ (MirrorError::TopicChanged { .. } | MirrorError::NewLife { .. })) => {
                    tracing::warn!(%error, "the topics are looked at again");
                    FIRST_BACKOFF
                }
                NoSession::Error(error) => {
                    match &error {
                        MirrorError::Store(error) => self.reporter.store_down(&error.to_string()),
                        error => self.reporter.kafka_down(&error.to_string()),
                    }
                    let pause = backoff;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    pause
                }
            };
            self.pause(pause).await;
        }
        self.reporter.state(RelayState::Stopped);
    }

    /// Waits with jitter, telling how far the store gets meanwhile.
    async fn pause(&self, pause: Duration) {
        if pause.is_zero() {
            return;
        }
        self.reporter.head(*self.store.watch_head().borrow());
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(jittered(pause)) => {}
        }
    }

    /// One session, to its end.
    async fn live(&mut self) -> NoSession {
        let reporter = self.reporter.clone();
        let start = Session::start(&self.config, self.store.as_ref(), &self.transactional_id, move |what| {
            reporter.kafka_down(what);
        });
        let started = tokio::select! {
            started = start => started,
            () = self.stop.cancelled() => return NoSession::Error(MirrorError::Stopped),
        };
        match started {
            Ok(session) => match self.carry(session).await {
                Ok(()) => NoSession::Error(MirrorError::Stopped),
                Err(error) => NoSession::Error(error),
            },
            Err(no_session) => no_session,
        }
    }

    async fn carry(&mut self, mut session: Session) -> Result<(), MirrorError> {
        let mut head = self.store.watch_head();
        self.reporter.running(session.after(), self.known_head(&mut head, session.after()));
        let mut batch = Vec::new();
        while !self.stop.is_cancelled() {
            if batch.is_empty() {
                batch = self.read(session.after()).await?;
            }
            if batch.is_empty() {
                self.idle(&session, &mut head).await?;
                continue;
            }
            batch = self.write(&mut session, batch, &mut head).await?;
        }
        Ok(())
    }

    /// Writes a batch, and reads the next one meanwhile if there is a backlog.
    async fn write(
        &mut self,
        session: &mut Session,
        batch: Vec<RecordedEvent>,
        head: &mut watch::Receiver<Position>,
    ) -> Result<Vec<RecordedEvent>, MirrorError> {
        let last = batch.last().map_or(session.after(), |event| event.position);
        let full = batch.len() >= self.limit;
        self.limit = next_limit(&batch);
        let began = Instant::now();
        let stop = self.stop.clone();
        let (written, next) = tokio::join!(session.write(Arc::new(batch), &stop), async {
            if full { self.read(last).await } else { Ok(Vec::new()) }
        });
        let (records, took) = (written?, began.elapsed());
        self.reporter.transaction(records, took.as_secs_f64());
        self.reporter.running(last, self.known_head(head, last));
        let rest = self.tempo.rest(records, took, Instant::now());
        if !full && !rest.is_zero() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        next
    }

    fn known_head(&self, head: &mut watch::Receiver<Position>, at_least: Position) -> Position {
        (*head.borrow_and_update()).max(at_least)
    }

    /// Reads on from `after`; while the store is away, keeps the session and tries again.
    async fn read(&self, after: Position) -> Result<Vec<RecordedEvent>, MirrorError> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            match self.store.read_next(after, self.limit).await {
                Ok(batch) => {
                    if let Some(first) = batch.first()
                        && first.position.0 != after.0 + 1
                    {
                        let gap = format!("after position {after} it gave {}", first.position);
                        return Err(ReadError::Corrupt(gap).into());
                    }
                    return Ok(batch);
                }
                Err(error) => self.reporter.store_down(&error.to_string()),
            }
            self.pause(backoff).await;
            if self.stop.is_cancelled() {
                return Err(MirrorError::Stopped);
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Waits for something to do; now and then looks whether the topics are still there.
    async fn idle(&self, session: &Session, head: &mut watch::Receiver<Position>) -> Result<(), MirrorError> {
        let after = session.after();
        tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            moved = async { head.wait_for(|head| *head > after).await.is_ok() } => {
                if moved {
                    return Ok(());
                }
                // The store is closing.
                tokio::time::sleep(MAX_BACKOFF).await;
            }
            () = tokio::time::sleep(IDLE_CHECK) => {}
        }
        session.check().await?;
        self.reporter.running(after, after);
        Ok(())
    }

    /// Watches another relay at work; ends when it is time to take over.
    async fn stand_by(&self) {
        let mut watcher = None;
        self.watch_the_other(&mut watcher).await;
        drop_blocking(watcher);
    }

    async fn watch_the_other(&self, watcher: &mut Option<session::Watcher>) {
        tracing::info!(log = %self.store.log().name(), "another relay of this log has taken over; standing by");
        self.reporter.state(RelayState::Standby);
        let patience = jittered(TAKEOVER_AFTER);
        let head = self.store.watch_head();
        let (mut seen, mut carried) = (None, None);
        let mut still_since = Instant::now();
        while !self.stop.is_cancelled() {
            self.pause(STANDBY_CHECK).await;
            // All of it was there when it was looked for last: then nobody has anything to do.
            if carried.is_some_and(|carried| *head.borrow() <= carried) {
                still_since = Instant::now();
                continue;
            }
            match self.look_on(watcher).await {
                Ok(looked) if looked.is_behind() && seen.as_ref() == Some(&looked.marks) => {
                    if still_since.elapsed() > patience {
                        return;
                    }
                }
                // It moves, or has nothing to do, or Kafka is away for both of us.
                other => {
                    let looked = other.inspect_err(|_| drop_blocking(watcher.take())).ok();
                    carried = looked.as_ref().filter(|looked| !looked.is_behind()).map(|looked| looked.reached);
                    seen = looked.map(|looked| looked.marks);
                    still_since = Instant::now();
                }
            }
        }
    }

    /// Looks at the ends of all partitions, and at how far the store is. The watcher is kept from one look to the next.
    async fn look_on(&self, watcher: &mut Option<session::Watcher>) -> Result<Looked, MirrorError> {
        let (log, lives) = (self.store.log(), self.store.lives().await?);
        let client = match watcher {
            Some(client) => client.clone(),
            None => session::watcher(&self.config, &format!("{}-standby", self.transactional_id))?,
        };
        *watcher = Some(client.clone());
        let config = self.config.clone();
        let (marks, reached) = blocking(move || {
            let Some(routing) = topics::find(&config, log, &client)? else { return Ok((Vec::new(), Position::ZERO)) };
            let tails = chain::tails(&client, &routing)?;
            let reached = chain::reached(&tails, &lives);
            Ok((tails.iter().map(|tail| (tail.low, tail.high)).collect(), reached))
        })
        .await?;
        let head = self.store.head().await?.position;
        self.reporter.head(head);
        Ok(Looked { marks, reached, head })
    }
}

/// What a relay that stands by has seen of the other one's work.
struct Looked {
    /// First and last stable offset of every partition.
    marks: Vec<(i64, i64)>,
    reached: Position,
    head: Position,
}

impl Looked {
    fn is_behind(&self) -> bool {
        self.head > self.reached
    }
}

/// As many events as make a batch of the wished size, if they are like these.
fn next_limit(batch: &[RecordedEvent]) -> usize {
    /// Headers and such, beside the payload.
    const OVERHEAD: usize = 1_000;
    let bytes: usize = batch.iter().map(|event| event.payload.get().len() + OVERHEAD).sum();
    let average = bytes / batch.len().max(1);
    (TARGET_BATCH_BYTES / average.max(1)).clamp(MIN_BATCH_EVENTS, MAX_BATCH_EVENTS)
}

/// Between this and half as much again, so that relays don't move in step.
fn jittered(pause: Duration) -> Duration {
    pause + pause.mul_f64(rand::random::<f64>() / 2.0)
}
