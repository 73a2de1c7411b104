//! One life of a producer: from `init_transactions` to the first error.
use super::producer::{Outgoing, TransactionalProducer};
use crate::{
    KafkaConfig, MirrorError, Place, Routing, Topic,
    chain::{self, Halt, Resume, Tail},
    lanes::{self, Fetch},
    topics::{self, Quiet, blocking},
};
use eventstore::{EventStore, Lives, Position, RecordedEvent};
use rdkafka::consumer::BaseConsumer;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

pub(super) struct Session {
    config: KafkaConfig,
    watcher: Arc<BaseConsumer<Quiet>>,
    routing: Arc<Routing>,
    producer: Option<Arc<TransactionalProducer>>,
    resume: Resume,
    lives: Arc<Lives>,
    /// Where each lane ended when the session began.
    began_at: Vec<i64>,
}

/// Why no session came about.
#[derive(Debug)]
pub(super) enum NoSession {
    Halt(Halt),
    Error(MirrorError),
}

impl<E: Into<MirrorError>> From<E> for NoSession {
    fn from(error: E) -> Self {
        NoSession::Error(error.into())
    }
}

/// A consumer that looks at the ends of partitions.
pub(super) type Watcher = Arc<BaseConsumer<Quiet>>;

pub(super) fn watcher(config: &KafkaConfig, client_id: &str) -> Result<Watcher, MirrorError> {
    lanes::consumer(config, client_id, "read_committed", Fetch::Little, Duration::from_millis(10))
}

impl Session {
    /// Looks first, then fences: a relay that must not write doesn't disturb one that may.
    pub(super) async fn start(
        config: &KafkaConfig,
        store: &dyn EventStore,
        transactional_id: &str,
        slow: impl Fn(&str) + Clone + Send + Sync + 'static,
    ) -> Result<Session, NoSession> {
        let (watcher, log) = (watcher(config, transactional_id)?, store.log());
        let produce = {
            let (config, id) = (config.clone(), transactional_id.to_owned());
            move || TransactionalProducer::start(&config, &id, slow)
        };
        let (routing, early) = match topics::look(config, log, watcher.clone()).await? {
            Some(routing) => (routing, None),
            // Where none is there nobody is disturbed, and a new Kafka needs as long for its first transactions as for its topics.
            None if topics::are_absent(config, log, watcher.clone()).await? => {
                let made = topics::make(config, log, watcher.clone());
                let (routing, producer) = tokio::try_join!(made, blocking(produce.clone()))?;
                (routing, Some(producer))
            }
            None => (topics::make(config, log, watcher.clone()).await?, None),
        };
        let mut session = Session {
            config: config.clone(),
            routing: Arc::new(routing),
            watcher,
            producer: None,
            resume: Resume {
                after: Position::ZERO,
                complete: [Position::ZERO; 2],
                refill: [None; 2],
                prev: Vec::new(),
            },
            lives: Arc::new(Lives::first()),
            began_at: Vec::new(),
        };
        session.look(store).await?;
        let producer = match early {
            Some(producer) => producer,
            None => blocking(produce).await?,
        };
        session.producer = Some(Arc::new(producer));
        session.look(store).await?;
        Ok(session)
    }

    async fn look(&mut self, store: &dyn EventStore) -> Result<(), NoSession> {
        let tails = self.tails().await?;
        self.grow_empty(&tails).await?;
        let lives = store.lives().await?;
        let head = store.head().await?.position;
        if let Some(last) = chain::latest(&tails, &lives)
            && last.event.position <= head
            && last.event.incarnation <= lives.current()
        {
            same_as_stored(&last.event, store).await?;
        }
        self.resume = chain::plan(&tails, &self.routing, head, &lives, self.config.start).map_err(NoSession::Halt)?;
        self.lives = Arc::new(lives);
        self.began_at = tails.iter().map(|tail| tail.high).collect();
        Ok(())
    }

    async fn tails(&self) -> Result<Vec<Tail>, MirrorError> {
        let (watcher, routing) = (self.watcher.clone(), self.routing.clone());
        blocking(move || chain::tails(&watcher, &routing)).await
    }

    /// A topic that was never written to, perhaps made by the broker itself, gets the partitions that were asked for; then the
    /// session begins anew.
    async fn grow_empty(&self, tails: &[Tail]) -> Result<(), MirrorError> {
        for topic in Topic::ALL {
            let mut lanes = self.routing.lanes().filter(|(_, of, _)| *of == topic);
            let untouched = lanes.all(|(lane, ..)| tails[lane.0].high == 0);
            if untouched && self.routing.partitions(topic) < self.config.partitions {
                let name = self.routing.name(topic).to_owned();
                topics::grow(&self.config, &name).await?;
                let what = "it was empty and has been given more partitions".into();
                return Err(MirrorError::TopicChanged { topic: name, what });
            }
        }
        Ok(())
    }

    pub(super) fn after(&self) -> Position {
        self.resume.after
    }

    /// Writes a batch in one transaction; answers how many records that made.
    pub(super) async fn write(
        &mut self,
        batch: Arc<Vec<RecordedEvent>>,
        stop: &CancellationToken,
    ) -> Result<usize, MirrorError> {
        let Some(last) = batch.last().map(|event| event.position) else { return Ok(0) };
        if let Some(stranger) = batch.iter().find(|event| self.lives.get(event.incarnation).is_none()) {
            return Err(MirrorError::NewLife { incarnation: stranger.incarnation });
        }
        let (outgoing, prev) = self.outgoing(&batch);
        let count = outgoing.len();
        if count > 0 {
            let producer = self.producer.clone().ok_or(MirrorError::Stopped)?;
            let (routing, lives, stop) = (self.routing.clone(), self.lives.clone(), stop.clone());
            blocking(move || producer.transact(&batch, &outgoing, &lives, &routing, &stop)).await?;
        }
        self.resume.prev = prev;
        self.resume.after = last;
        Ok(count)
    }

    /// Leaves out what a topic holds already, while the other one is filled again.
    fn outgoing(&self, batch: &[RecordedEvent]) -> (Vec<Outgoing>, Vec<Place>) {
        let mut prev = self.resume.prev.clone();
        let mut outgoing = Vec::with_capacity(batch.len());
        for (index, event) in batch.iter().enumerate() {
            let topic = Topic::of(event);
            if event.position <= self.resume.complete[topic.index()] {
                continue;
            }
            let partition = self.routing.partition(event);
            let lane = self.routing.lane_at(topic, partition);
            let refill = self.resume.refill[topic.index()].filter(|until| event.position <= *until);
            outgoing.push(Outgoing { index, topic, partition, lane, prev: prev[lane.0], refill });
            prev[lane.0] = Place::of(event);
        }
        (outgoing, prev)
    }

    /// Whether the topics are still those that we wrote to. Asked when there is nothing to do.
    pub(super) async fn check(&self) -> Result<(), MirrorError> {
        let written = self.producer.as_ref().map(|producer| producer.next_offsets()).unwrap_or_default();
        let (watcher, routing, began_at) = (self.watcher.clone(), self.routing.clone(), self.began_at.clone());
        blocking(move || {
            let ends = chain::end_offsets(&watcher, &routing)?;
            for (lane, topic, partition) in routing.lanes() {
                let known = written.get(lane.0).copied().flatten().unwrap_or(began_at[lane.0]);
                let end = ends[lane.0];
                if end < known {
                    let what = format!("partition {partition} ends at offset {end}, {known} was reached");
                    return Err(MirrorError::TopicChanged { topic: routing.name(topic).to_owned(), what });
                }
            }
            Ok(())
        })
        .await
    }
}

impl Drop for Session {
    /// librdkafka's clients join their threads, which may take a while: not on an async thread.
    fn drop(&mut self) {
        let (producer, watcher) = (self.producer.take(), self.watcher.clone());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop((producer, watcher)))),
            Err(_) => drop((producer, watcher)),
        }
    }
}

/// A store restored without a new incarnation has gone on with other events: never mix the two histories.
async fn same_as_stored(mirrored: &RecordedEvent, store: &dyn EventStore) -> Result<(), NoSession> {
    let before = Position(mirrored.position.0 - 1);
    let stored = store.read_log(before, 1).await?;
    match stored.first().is_some_and(|stored| chain::is_same(mirrored, stored)) {
        true => Ok(()),
        false => Err(NoSession::Halt(Halt::Diverged { position: mirrored.position })),
    }
}
