//! The Kafka feed: the log as Kafka tells it, for sagas and projections that aren't beside the store.
//!
//! A *whole* feed reads all partitions and merges them by position, so it answers the log itself, without a gap. An *owned*
//! feed reads the partitions that its consumer group gives it: in position order partition by partition. Both begin where
//! their caller's checkpoint says: committed offsets are neither written nor read. Both read uncommitted records, since
//! whatever is in Kafka is committed in the store; what a later attempt writes again is dropped by its position. Each record
//! must name the one before it: a broken chain is an error, not an event less.
//!
//! Where a new life of the log has begun, the records tell after which position: what an earlier life wrote beyond that is passed over.
//! Whoever was told of it already hears of an error until it begins again from a place that counts.
use crate::{
    KafkaConfig, MirrorError, Place, Routing, chain,
    lanes::{self, Lanes, Next, Read},
    seek,
    topics::{self, Lane, Quiet, Rebalance, blocking},
};
use async_trait::async_trait;
use eventstore::{EventFeed, FeedError, Lives, Log, Position, RecordedEvent};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// The broker holds an empty fetch this long. New records end it at once.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// How often the consumer's own events are served while nothing comes.
const SERVE_EVERY: Duration = Duration::from_millis(100);
/// A pause before Kafka is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Later positions have come, this one hasn't: after this long, say so.
const OVERDUE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct KafkaFeed {
    config: KafkaConfig,
    log: Log,
    /// `None`: all partitions.
    group: Option<String>,
    /// Where a lane begins that wasn't read before.
    start: Place,
    /// The last place answered; for a whole feed all before it was, too.
    after: Place,
    /// The last place of each lane that was answered. Kept over breaks.
    reached: Vec<Place>,
    /// As far as the records tell.
    lives: Lives,
    open: Option<Open>,
    owned: watch::Sender<Vec<i32>>,
}

struct Open {
    // Dropped before the consumer: then a revocation at its close is answered at once.
    rebalances: mpsc::Receiver<Rebalance>,
    lanes: Option<Lanes>,
    /// To be read, but not opened yet: whoever drops `next` in between loses nothing.
    wanted: Option<Vec<i32>>,
    consumer: Arc<BaseConsumer<Quiet>>,
    routing: Arc<Routing>,
    states: Vec<LaneState>,
    /// The heads by position.
    ready: BTreeSet<(Position, Lane)>,
    waiting_since: Instant,
}

#[derive(Debug)]
struct LaneState {
    read: bool,
    head: Option<RecordedEvent>,
    /// The last place that was read, for the chain.
    last: Place,
    /// Whether `last` is that of a record, and not just where the lane began.
    linked: bool,
}

impl KafkaFeed {
    /// The whole log after `after`.
    pub fn whole(config: KafkaConfig, log: Log, after: Place) -> KafkaFeed {
        KafkaFeed::new(config, log, None, after)
    }

    /// What the group gives us of the log, after `after`. Who reads a partition next begins there too: events may come twice.
    pub fn owned(config: KafkaConfig, log: Log, group: impl Into<String>, after: Place) -> KafkaFeed {
        KafkaFeed::new(config, log, Some(group.into()), after)
    }

    fn new(config: KafkaConfig, log: Log, group: Option<String>, after: Place) -> KafkaFeed {
        KafkaFeed {
            config,
            log,
            group,
            start: after,
            after,
            reached: Vec::new(),
            lives: Lives::first(),
            open: None,
            owned: watch::Sender::new(Vec::new()),
        }
    }

    /// The last place that it answered.
    pub fn place(&self) -> Place {
        self.after
    }

    /// The partitions that the group has given us, by number (the same of both topics).
    pub fn partitions(&self) -> watch::Receiver<Vec<i32>> {
        self.owned.subscribe()
    }

    async fn step(&mut self, max: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        if self.open.is_none() {
            match self.connect().await {
                // A log that was never mirrored is an empty log.
                Err(MirrorError::NotMirrored) => {
                    tokio::time::sleep(RETRY_AFTER).await;
                    return Ok(Vec::new());
                }
                connected => connected.map_err(unavailable)?,
            }
        }
        let whole = self.group.is_none();
        let Some(open) = self.open.as_mut() else { return Ok(Vec::new()) };
        open.serve().map_err(unavailable)?;
        while let Ok(rebalance) = open.rebalances.try_recv() {
            open.rebalance(rebalance, &self.owned).map_err(unavailable)?;
        }
        if let Some(wanted) = open.wanted.clone() {
            self.read(&wanted).await.map_err(unavailable)?;
            return Ok(Vec::new());
        }
        let mut events = Vec::new();
        open.fill(&mut self.lives)?;
        self.check_lives()?;
        let Some(open) = self.open.as_mut() else { return Ok(Vec::new()) };
        while events.len() < max
            && let Some((position, lane)) = open.ready.first().copied()
            && (!whole || position.0 == self.after.position.0 + 1)
        {
            open.ready.pop_first();
            if let Some(event) = open.states[lane.0].head.take() {
                let place = Place::of(&event);
                self.after = self.after.max(place);
                self.reached[lane.0] = place;
                events.push(event);
            }
            let known = self.lives.current();
            open.fill_lane(lane, &mut self.lives)?;
            if self.lives.current() != known {
                // What was gathered is looked at again in the light of it.
                break;
            }
        }
        if !events.is_empty() {
            open.waiting_since = Instant::now();
            return Ok(events);
        }
        if let Some((later, _)) = open.ready.first()
            && open.waiting_since.elapsed() > OVERDUE
        {
            let missing = self.after.position.0 + 1;
            return Err(FeedError::Unavailable(format!("Kafka holds position {later}, but not {missing} before it")));
        }
        if open.ready.is_empty() {
            open.waiting_since = Instant::now();
        }
        let woken = open.lanes.as_ref().map(Lanes::woken);
        tokio::select! {
            () = async { match woken { Some(woken) => woken.notified().await, None => std::future::pending().await } } => {}
            () = tokio::time::sleep(SERVE_EVERY) => {}
        }
        Ok(Vec::new())
    }

    /// Fails when what was answered is gone since.
    fn check_lives(&self) -> Result<(), FeedError> {
        let answered = match self.group {
            None => std::slice::from_ref(&self.after),
            Some(_) => &self.reached,
        };
        let Some(gone) = answered.iter().find(|place| place.is_abandoned(&self.lives)) else { return Ok(()) };
        let shared = self.lives.end_of(gone.incarnation).unwrap_or_default();
        Err(FeedError::Corrupt(format!(
            "the log has begun incarnation {} after position {shared}: what was read after that, up to {gone}, has been lost with incarnation {}; \
             whatever was built from it has to be built again",
            self.lives.current().0,
            gone.incarnation.0
        )))
    }

    /// Finds the topics, waiting for the relay to make them, and begins to read or joins the group.
    async fn connect(&mut self) -> Result<(), MirrorError> {
        let (config, log, group) = (self.config.clone(), self.log, self.group.clone());
        let (told, rebalances) = mpsc::channel();
        let (consumer, routing, lives) = blocking(move || {
            let consumer = lanes::feed_consumer(&config, group.as_deref(), FETCH_WAIT, told)?;
            let routing = topics::find(&config, log, &consumer)?.ok_or(MirrorError::NotMirrored)?;
            // What is gone by now is not answered first and taken back then.
            let finder = lanes::consumer(&config, "waybill-feed-lives", "read_committed", Duration::from_millis(10))?;
            Ok((consumer, Arc::new(routing.clone()), chain::known_lives(&chain::tails(&finder, &routing)?)))
        })
        .await?;
        self.lives = lives.filter(|lives| lives.current() > self.lives.current()).unwrap_or_else(|| self.lives.clone());
        let count = routing.lane_count();
        if self.reached.len() != count {
            // No partition keeps its keys when the count changes, so neither does what was reached.
            self.reached = vec![self.start; count];
        }
        if self.group.is_some() {
            let names: Vec<&str> = topics::Topic::ALL.map(|topic| routing.name(topic)).to_vec();
            consumer.subscribe(&names)?;
        }
        let most = topics::Topic::ALL.map(|topic| routing.partitions(topic)).into_iter().max().unwrap_or(0);
        let all = || (0..most).collect();
        let states = (0..count).map(|_| LaneState::NEW).collect();
        self.open = Some(Open {
            rebalances,
            lanes: None,
            wanted: self.group.is_none().then(all),
            consumer,
            routing,
            states,
            ready: BTreeSet::new(),
            waiting_since: Instant::now(),
        });
        Ok(())
    }

    /// Reads these partitions of both topics, each from where it was.
    async fn read(&mut self, partitions: &[i32]) -> Result<(), MirrorError> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        let from = match self.group {
            None => vec![self.after; self.reached.len()],
            Some(_) => self.reached.clone(),
        };
        let (config, routing, after) = (self.config.clone(), open.routing.clone(), from.clone());
        let offsets = blocking(move || {
            // Apart from the feed's own consumer, which may be in a group.
            let finder = lanes::consumer(&config, "waybill-feed-seek", "read_uncommitted", Duration::from_millis(10))?;
            seek::offsets_after(&finder, &routing, &after)
        })
        .await?;
        let wanted: Vec<(Lane, i64)> = open
            .routing
            .lanes()
            .filter(|(.., partition)| partitions.contains(partition))
            .map(|(lane, ..)| (lane, offsets[lane.0]))
            .collect();
        for (lane, _) in &wanted {
            open.states[lane.0] = LaneState { read: true, last: from[lane.0], ..LaneState::NEW };
        }
        open.lanes = Some(Lanes::open(open.consumer.clone(), open.routing.clone(), &wanted)?);
        open.wanted = None;
        Ok(())
    }
}

#[async_trait]
impl EventFeed for KafkaFeed {
    async fn next(&mut self, max: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        loop {
            match self.step(max.max(1)).await {
                Ok(events) if events.is_empty() => {}
                Ok(events) => return Ok(events),
                Err(error) => {
                    // Begins again from the last event answered.
                    self.open = None;
                    tokio::time::sleep(RETRY_AFTER).await;
                    return Err(error);
                }
            }
        }
    }
}

fn unavailable(error: MirrorError) -> FeedError {
    match error {
        MirrorError::Record { .. } => FeedError::Corrupt(error.to_string()),
        other => FeedError::Unavailable(other.to_string()),
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("lanes", &self.lanes).field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl Open {
    fn serve(&mut self) -> Result<(), MirrorError> {
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Does what the group wants.
    fn rebalance(&mut self, rebalance: Rebalance, owned: &watch::Sender<Vec<i32>>) -> Result<(), MirrorError> {
        self.forget();
        match rebalance {
            Rebalance::Assigned(partitions) => {
                owned.send_replace(partitions.clone());
                self.wanted = Some(partitions);
            }
            Rebalance::Revoked => {
                owned.send_replace(Vec::new());
                self.wanted = None;
                self.consumer.unassign()?;
            }
        }
        Ok(())
    }

    /// Stops reading, and forgets what wasn't answered yet.
    fn forget(&mut self) {
        self.lanes = None;
        self.ready.clear();
        self.states.iter_mut().for_each(|state| *state = LaneState::NEW);
    }

    fn fill(&mut self, lives: &mut Lives) -> Result<(), FeedError> {
        loop {
            let known = lives.current();
            for lane in 0..self.states.len() {
                self.fill_lane(Lane(lane), lives)?;
            }
            if lives.current() == known {
                return Ok(());
            }
            // A later life has begun: what is gone by that is passed over.
            for (lane, state) in self.states.iter_mut().enumerate() {
                if let Some(gone) = state.head.take_if(|event| Place::of(event).is_abandoned(lives)) {
                    self.ready.remove(&(gone.position, Lane(lane)));
                }
            }
        }
    }

    /// Gets the lane's next event, if it has come.
    fn fill_lane(&mut self, lane: Lane, lives: &mut Lives) -> Result<(), FeedError> {
        let (Some(lanes), state) = (&self.lanes, &mut self.states[lane.0]) else { return Ok(()) };
        while state.read && state.head.is_none() {
            match lanes.next(lane, Duration::ZERO).map_err(unavailable)? {
                Next::End => {}
                Next::Nothing => break,
                Next::Record(read) => {
                    if let Some(event) = state.link(*read, lives)? {
                        self.ready.insert((event.position, lane));
                        state.head = Some(event);
                    }
                }
            }
        }
        Ok(())
    }
}

impl LaneState {
    const NEW: LaneState = LaneState { read: false, head: None, last: Place::START, linked: false };

    /// Drops what was seen and what is gone; fails where the chain is broken.
    fn link(&mut self, read: Read, lives: &mut Lives) -> Result<Option<RecordedEvent>, FeedError> {
        let decoded = read.decoded.map_err(|error| FeedError::Corrupt(format!("offset {}: {error}", read.offset)))?;
        let place = decoded.place();
        if place.incarnation > lives.current() {
            *lives = decoded.known_lives();
        }
        let (event, prev) = (decoded.event, decoded.prev);
        if place <= self.last {
            return Ok(None);
        }
        // The first one may follow any that lies before our start.
        let whole = if self.linked { prev == self.last } else { prev <= self.last };
        if !whole {
            let why = format!("{place} follows {prev}, but {} was read last in its partition", self.last);
            return Err(FeedError::Corrupt(why));
        }
        self.last = place;
        self.linked = true;
        Ok((!place.is_abandoned(lives)).then_some(event))
    }
}
