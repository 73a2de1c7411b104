//! One transaction after another, under the relay's transactional id.
//!
//! All deliveries are awaited before the commit is asked for: librdkafka's commit would else flush by a poll that runs to its
//! 100 ms deadline. A thread of rdkafka's serves the delivery reports, so nothing is polled here. All calls block.
use crate::{
    KafkaConfig, MirrorError, Place, Routing,
    error::{is_fencing, kafka_code},
    topics::{self, Lane, Topic},
    wire::{self, Common, Link},
};
use eventstore::{Lives, Position, RecordedEvent};
use rdkafka::{
    ClientConfig, ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// After this the broker gives up a transaction whose relay is frozen; `read_committed` readers wait no longer than that.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// A delivery fails after this, sooner than its transaction.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(8);
const INIT_TIMEOUT: Duration = Duration::from_secs(15);
const ABORT_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of a stop's time the transaction under way may use.
const STOP_GRACE: Duration = Duration::from_millis(1500);
/// How often a wait looks whether it should end.
const SLICE: Duration = Duration::from_millis(100);

/// What to write of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    /// Which of the batch's events.
    pub(super) index: usize,
    pub(super) topic: Topic,
    pub(super) partition: i32,
    pub(super) lane: Lane,
    pub(super) prev: Place,
    pub(super) refill: Option<Position>,
}

pub(super) struct TransactionalProducer {
    producer: ThreadedProducer<Deliveries>,
    slow: Box<dyn Fn(&str) + Send + Sync>,
}

impl TransactionalProducer {
    /// Fences whoever had this transactional id before, and settles the transaction that it left behind. `slow` is told when
    /// an answer is overdue.
    pub(super) fn start(
        config: &KafkaConfig,
        transactional_id: &str,
        slow: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, MirrorError> {
        let producer: ThreadedProducer<Deliveries> =
            settings(config, transactional_id).create_with_context(Deliveries::new())?;
        let producer = TransactionalProducer { producer, slow: Box::new(slow) };
        producer.producer.init_transactions(INIT_TIMEOUT)?;
        Ok(producer)
    }

    /// Writes all of it or nothing. After an error the producer is of no more use.
    pub(super) fn transact(
        &self,
        events: &[RecordedEvent],
        outgoing: &[Outgoing],
        lives: &Lives,
        routing: &Routing,
        stop: &CancellationToken,
    ) -> Result<(), MirrorError> {
        let patience = Patience::new(stop.clone());
        self.deliveries().expect(outgoing.len());
        let result = self
            .producer
            .begin_transaction()
            .map_err(MirrorError::from)
            .and_then(|()| self.send_all(events, outgoing, lives, routing, &patience))
            .and_then(|()| self.await_deliveries(&patience))
            .and_then(|()| self.commit(&patience));
        result.map_err(|error| self.give_up(error))
    }

    fn deliveries(&self) -> &Deliveries {
        self.producer.client().context()
    }

    fn send_all(
        &self,
        events: &[RecordedEvent],
        outgoing: &[Outgoing],
        lives: &Lives,
        routing: &Routing,
        patience: &Patience,
    ) -> Result<(), MirrorError> {
        let mut common = Common::default();
        for record in outgoing {
            let event = &events[record.index];
            let key = topics::key(event);
            let mut message = BaseRecord::with_opaque_to(routing.name(record.topic), record.lane.0)
                .partition(record.partition)
                .key(&key)
                .payload(event.payload.get())
                .timestamp(event.recorded_at.timestamp_millis())
                .headers(wire::headers(event, &Link { prev: record.prev, refill: record.refill, lives }, &mut common));
            loop {
                match self.producer.send(message) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                        patience.check("its queue is full")?;
                        std::thread::sleep(Duration::from_millis(1));
                        message = same;
                    }
                    Err((error, _)) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn await_deliveries(&self, patience: &Patience) -> Result<(), MirrorError> {
        let mut told = false;
        let mut reports = self.deliveries().lock();
        while reports.outstanding > 0 && reports.fault.is_none() {
            let (guard, wait) =
                self.deliveries().changed.wait_timeout(reports, SLICE).unwrap_or_else(PoisonError::into_inner);
            reports = guard;
            if wait.timed_out() {
                patience.check("records are delivered")?;
                if !told && patience.elapsed() > Duration::from_secs(1) {
                    told = true;
                    (self.slow)("no answer to what was sent for a second");
                }
            }
        }
        if let Some(fault) = reports.fault.take() {
            return Err(fault);
        }
        drop(reports);
        // The last report is handled a moment before librdkafka forgets its message: a commit in between would wait 100 ms.
        while self.producer.in_flight_count() > 0 {
            patience.check("delivery reports are settled")?;
            std::thread::sleep(Duration::from_micros(20));
        }
        Ok(())
    }

    fn commit(&self, patience: &Patience) -> Result<(), MirrorError> {
        loop {
            match self.producer.commit_transaction(Duration::from_secs(1)) {
                Ok(()) => return Ok(()),
                // Timed out: asking again goes on with the same commit.
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                    patience.check("a transaction is committed")?;
                    (self.slow)("no answer to a commit for a second");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Aborts, so that readers needn't wait for the broker to do it; finds out whether we were fenced.
    fn give_up(&self, error: MirrorError) -> MirrorError {
        let abort = self.producer.abort_transaction(ABORT_TIMEOUT);
        let codes = [
            error.code(),
            abort.as_ref().err().and_then(kafka_code),
            self.producer.client().fatal_error().map(|(code, _)| code),
        ];
        match codes.into_iter().flatten().find(|code| is_fencing(*code)) {
            Some(code) => MirrorError::Fenced(code.to_string()),
            None => error,
        }
    }

    /// The offset after the last delivered record of each lane; `None`: nothing was written yet.
    pub(super) fn next_offsets(&self) -> Vec<Option<i64>> {
        self.deliveries().lock().next.clone()
    }
}

fn settings(config: &KafkaConfig, transactional_id: &str) -> ClientConfig {
    let mut settings = config.client(transactional_id);
    settings
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
        .set("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string())
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "20000")
        .set("queue.buffering.max.kbytes", "65536")
        .set("retry.backoff.ms", "20")
        .set("retry.backoff.max.ms", "500")
        .set("topic.metadata.propagation.max.ms", "2000");
    config.finish(settings)
}

/// How long a transaction may take, less once a stop was asked for.
struct Patience {
    stop: CancellationToken,
    began: Instant,
    stopped: Mutex<Option<Instant>>,
}

impl Patience {
    fn new(stop: CancellationToken) -> Self {
        Patience { stop, began: Instant::now(), stopped: Mutex::new(None) }
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn check(&self, doing: &'static str) -> Result<(), MirrorError> {
        if self.elapsed() > TRANSACTION_TIMEOUT {
            return Err(MirrorError::Silent { doing, seconds: TRANSACTION_TIMEOUT.as_secs() });
        }
        if self.stop.is_cancelled() {
            let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            if stopped.get_or_insert_with(Instant::now).elapsed() > STOP_GRACE {
                return Err(MirrorError::Stopped);
            }
        }
        Ok(())
    }
}

/// Counts delivery reports down, and watches that offsets only rise.
struct Deliveries {
    reports: Mutex<Reports>,
    changed: Condvar,
}

struct Reports {
    outstanding: usize,
    fault: Option<MirrorError>,
    /// Of each lane, as far as any was written to.
    next: Vec<Option<i64>>,
}

impl Deliveries {
    fn new() -> Self {
        let reports = Reports { outstanding: 0, fault: None, next: Vec::new() };
        Deliveries { reports: Mutex::new(reports), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, count: usize) {
        let mut reports = self.lock();
        reports.outstanding = count;
        reports.fault = None;
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "rdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "rdkafka", %error, reason, "producer error");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, lane: usize) {
        let mut reports = self.lock();
        reports.outstanding = reports.outstanding.saturating_sub(1);
        match result {
            Err((error, _)) => {
                reports.fault.get_or_insert(MirrorError::Kafka(error.clone()));
            }
            Ok(record) => {
                let offset = record.offset();
                let known = reports.next.get(lane).copied().flatten();
                if known.is_some_and(|next| offset >= 0 && offset < next) {
                    let what = format!("partition {} went back to offset {offset}", record.partition());
                    reports.fault.get_or_insert(MirrorError::TopicChanged { topic: record.topic().to_owned(), what });
                }
                if reports.next.len() <= lane {
                    reports.next.resize(lane + 1, None);
                }
                reports.next[lane] = Some(offset + 1);
            }
        }
        if reports.outstanding == 0 || reports.fault.is_some() {
            self.changed.notify_all();
        }
    }
}
