//! The proof that Kafka holds what the store holds: each event once, in its partition, in order, unaltered.
//!
//! Both are read side by side in position order, so memory is bounded whatever the length of the log. Records after `upto` are
//! not looked at: the relay may be at work. What an earlier life of the log wrote and the store has lost is no fault: it is told apart.
use crate::{
    Gone, KafkaConfig, MirrorError, Place, Routing, Start, chain,
    lanes::{self, Lanes, Next, Read},
    topics::{self, Lane, Quiet, Topic, blocking},
    wire::Decoded,
};
use eventstore::{EventStore, Lives, Position, RecordedEvent};
use rdkafka::consumer::BaseConsumer;
use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Events of the store that are compared at a time.
const BATCH: usize = 2_000;
/// Faults that are told one by one; the rest are only counted.
const MAX_FAULTS: usize = 1_000;
/// Kafka may be silent for this long.
const SILENCE: Duration = Duration::from_secs(30);
const SLICE: Duration = Duration::from_millis(50);

/// What was compared, and what was found wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainReport {
    /// The first position that was compared; above 1 on a broker that began at the head.
    pub from: Position,
    pub upto: Position,
    /// Records that were read.
    pub records: u64,
    /// Events of the store that lie before the first record which a partition still holds. Not a fault: trimmed by retention.
    pub trimmed: u64,
    /// How many faults there are of every kind.
    pub faults: u64,
    /// The first of them.
    pub broken: Vec<ChainFault>,
    /// What the store has lost by being restored, by the life that wrote it.
    pub gone: Vec<Gone>,
}

impl ChainReport {
    pub fn is_whole(&self) -> bool {
        self.faults == 0
    }

    pub fn count(&self, kind: FaultKind) -> usize {
        self.broken.iter().filter(|fault| fault.kind == kind).count()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault {
    pub kind: FaultKind,
    pub topic: String,
    pub partition: i32,
    /// `None` for what isn't there.
    pub offset: Option<i64>,
    pub position: Position,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The store has it, Kafka doesn't.
    Missing,
    /// Kafka has it a second time.
    Doubled,
    /// Kafka has it after a later one.
    Reordered,
    /// It isn't what the store has.
    Altered,
    /// It lies in a partition where it doesn't belong.
    Misplaced,
    /// It names another record as the one before it than the one that is.
    ChainBroken,
    /// It isn't a record of ours, or its headers can't be read.
    Unreadable,
    /// The store doesn't have it.
    Unknown,
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Missing => "is missing",
            FaultKind::Doubled => "is there twice",
            FaultKind::Reordered => "comes too late",
            FaultKind::Altered => "is altered",
            FaultKind::Misplaced => "is in the wrong partition",
            FaultKind::ChainBroken => "doesn't follow the record before it",
            FaultKind::Unreadable => "can't be read",
            FaultKind::Unknown => "is not in the store",
        };
        write!(f, "{}/{}", self.topic, self.partition)?;
        if let Some(offset) = self.offset {
            write!(f, "@{offset}")?;
        }
        write!(f, ": position {} {what}", self.position)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

/// The position up to which the relay has come: the latest that Kafka holds and the store still has.
pub async fn reached(config: &KafkaConfig, store: &dyn EventStore) -> Result<Position, MirrorError> {
    let consumer = lanes::consumer(config, "waybill-verify", "read_committed", Duration::from_millis(20))?;
    let (config, log, lives) = (config.clone(), store.log(), store.lives().await?);
    blocking(move || {
        let Some(routing) = topics::find(&config, log, &consumer)? else { return Ok(Position::ZERO) };
        let tails = chain::tails(&consumer, &routing)?;
        Ok(chain::latest(&tails, &lives).map_or_else(|| chain::reached(&tails, &lives), |last| last.event.position))
    })
    .await
}

/// Compares Kafka with the store for every event up to `upto`. `progress` is told the position reached, now and then.
pub async fn verify_chain(
    config: &KafkaConfig,
    store: &dyn EventStore,
    upto: Position,
    progress: &(dyn Fn(Position) + Send + Sync),
) -> Result<ChainReport, MirrorError> {
    let mut run = Run::open(config, store, upto).await?;
    let mut after = Position(run.report.from.0 - 1);
    while after < upto {
        let limit = usize::try_from(upto.0 - after.0).unwrap_or(BATCH).min(BATCH);
        let batch = store.read_log(after, limit).await?;
        let Some(last) = batch.last() else { break };
        after = last.position;
        run = blocking(move || run.compare(batch)).await?;
        progress(after);
    }
    run = blocking(move || run.drain()).await?;
    Ok(run.report)
}

struct Run {
    routing: Arc<Routing>,
    lanes: Lanes,
    states: Vec<LaneState>,
    lives: Lives,
    upto: Position,
    report: ChainReport,
    /// Events that were missed where they belong; they may come later. As many as are told one by one.
    missing: BTreeSet<Position>,
}

struct LaneState {
    /// Read, but not yet compared.
    head: Option<Box<Read>>,
    ended: bool,
    /// Whether its beginning was cut off.
    trimmed: bool,
    /// Whether any record of it was compared.
    begun: bool,
    /// The record before.
    last: Place,
    /// The highest place so far.
    highest: Place,
}

impl Run {
    async fn open(config: &KafkaConfig, store: &dyn EventStore, upto: Position) -> Result<Run, MirrorError> {
        let consumer = lanes::consumer(config, "waybill-verify", "read_committed", Duration::from_millis(20))?;
        let (config, log, lives) = (config.clone(), store.log(), store.lives().await?);
        blocking(move || {
            let routing = topics::find(&config, log, &consumer)?.ok_or(MirrorError::NotMirrored)?;
            let mut run = Run::start(Arc::new(routing), consumer, lives, upto)?;
            if config.start == Start::AtHead {
                run.begin_at_first()?;
            }
            Ok(run)
        })
        .await
    }

    fn start(
        routing: Arc<Routing>,
        consumer: Arc<BaseConsumer<Quiet>>,
        lives: Lives,
        upto: Position,
    ) -> Result<Run, MirrorError> {
        let marks = chain::watermarks(&consumer, &routing)?;
        let states = marks
            .iter()
            .map(|(low, high)| LaneState {
                head: None,
                ended: high <= low,
                trimmed: *low > 0,
                begun: false,
                last: Place::START,
                highest: Place::START,
            })
            .collect();
        let from: Vec<(Lane, i64)> = routing
            .lanes()
            .filter(|(lane, ..)| marks[lane.0].1 > marks[lane.0].0)
            .map(|(lane, ..)| (lane, marks[lane.0].0))
            .collect();
        let lanes = Lanes::open(consumer, routing.clone(), &from)?;
        let report = ChainReport { from: Position(1), upto, ..ChainReport::default() };
        Ok(Run { routing, lanes, states, lives, upto, report, missing: BTreeSet::new() })
    }

    /// On a broker that began at the head, what came before its first record was never there.
    fn begin_at_first(&mut self) -> Result<(), MirrorError> {
        let mut first = None;
        for lane in 0..self.states.len() {
            if let Some(position) = self.peek(lane)?.and_then(place_of).map(|place| place.position) {
                first = Some(first.map_or(position, |first: Position| first.min(position)));
            }
        }
        self.report.from = first.unwrap_or(Position(self.upto.0 + 1));
        Ok(())
    }

    /// Compares events that follow one another with the records of their lanes.
    fn compare(mut self, batch: Vec<RecordedEvent>) -> Result<Self, MirrorError> {
        self.lanes.serve()?;
        for event in &batch {
            let lane = self.routing.lane(event).0;
            loop {
                let found = self.peek(lane)?.map(place_of);
                match found {
                    Some(Some(place)) if place.is_abandoned(&self.lives) => self.take(lane, None),
                    Some(Some(place)) if place.position == event.position => {
                        self.take(lane, Some(event));
                        break;
                    }
                    // It comes before: it was there already, or it doesn't belong here.
                    Some(Some(place)) if place.position < event.position => self.take(lane, None),
                    Some(None) => self.take(lane, None),
                    Some(Some(_)) | None => {
                        self.miss(lane, event.position);
                        break;
                    }
                }
            }
        }
        Ok(self)
    }

    /// What is left up to `upto` should not be there.
    fn drain(mut self) -> Result<Self, MirrorError> {
        for lane in 0..self.states.len() {
            while let Some(read) = self.peek(lane)? {
                // Once records are beyond, no earlier one should follow; those that do are found when they are reached.
                let place = place_of(read);
                if place.is_some_and(|place| place.position > self.upto && !place.is_abandoned(&self.lives)) {
                    break;
                }
                self.take(lane, None);
            }
        }
        Ok(self)
    }

    /// The lane's next record; `None`: it has ended.
    fn peek(&mut self, lane: usize) -> Result<Option<&Read>, MirrorError> {
        let deadline = Instant::now() + SILENCE;
        while self.states[lane].head.is_none() && !self.states[lane].ended {
            match self.lanes.next(Lane(lane), SLICE)? {
                Next::Record(read) => self.states[lane].head = Some(read),
                Next::End => self.states[lane].ended = true,
                Next::Nothing if Instant::now() > deadline => {
                    return Err(MirrorError::Silent { doing: "a partition is read", seconds: SILENCE.as_secs() });
                }
                Next::Nothing => self.lanes.serve()?,
            }
        }
        Ok(self.states[lane].head.as_deref())
    }

    /// Takes the lane's next record: the one of `event`, or one that has no place here.
    fn take(&mut self, lane: usize, event: Option<&RecordedEvent>) {
        let Some(read) = self.states[lane].head.take() else { return };
        self.report.records += 1;
        let state = &mut self.states[lane];
        let (last, highest, trimmed, begun) = (state.last, state.highest, state.trimmed, state.begun);
        state.begun = true;
        let decoded = match &read.decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                let detail = error.to_string();
                return self.fault(FaultKind::Unreadable, lane, Some(read.offset), last.position, detail);
            }
        };
        let place = decoded.place();
        state.last = place;
        state.highest = highest.max(place);
        // What a trimmed partition's first record follows can't be known.
        if decoded.prev != last && (begun || !trimmed) {
            let detail = format!("it follows {last} and names {}", decoded.prev);
            self.fault(FaultKind::ChainBroken, lane, Some(read.offset), place.position, detail);
        }
        match event {
            Some(event) => {
                if let Some(detail) = difference(event, &read, decoded) {
                    self.fault(FaultKind::Altered, lane, Some(read.offset), place.position, detail);
                }
            }
            None if place.is_abandoned(&self.lives)
                && self.routing.lane(&decoded.event).0 == lane
                && place > highest =>
            {
                Gone::add(&mut self.report.gone, &decoded.event);
            }
            None => {
                let position = place.position;
                let kind = if self.routing.lane(&decoded.event).0 != lane {
                    FaultKind::Misplaced
                } else if self.missing.remove(&position) {
                    self.report.broken.retain(|fault| fault.kind != FaultKind::Missing || fault.position != position);
                    self.report.faults -= 1;
                    FaultKind::Reordered
                } else if place <= highest {
                    FaultKind::Doubled
                } else {
                    FaultKind::Unknown
                };
                self.fault(kind, lane, Some(read.offset), position, String::new());
            }
        }
    }

    fn miss(&mut self, lane: usize, position: Position) {
        if self.states[lane].trimmed && !self.states[lane].begun {
            self.report.trimmed += 1;
            return;
        }
        if self.missing.len() < MAX_FAULTS {
            self.missing.insert(position);
        }
        self.fault(FaultKind::Missing, lane, None, position, String::new());
    }

    fn fault(&mut self, kind: FaultKind, lane: usize, offset: Option<i64>, position: Position, detail: String) {
        self.report.faults += 1;
        if self.report.broken.len() >= MAX_FAULTS {
            return;
        }
        let (topic, partition) =
            self.routing.lanes().nth(lane).map_or((Topic::Order, 0), |(_, topic, partition)| (topic, partition));
        let topic = self.routing.name(topic).to_owned();
        self.report.broken.push(ChainFault { kind, topic, partition, offset, position, detail });
    }
}

fn place_of(read: &Read) -> Option<Place> {
    read.decoded.as_ref().ok().map(Decoded::place)
}

/// What of a record isn't as the store has it.
fn difference(stored: &RecordedEvent, read: &Read, decoded: &Decoded) -> Option<String> {
    let found = &decoded.event;
    let same = [
        ("value", found.payload.get() == stored.payload.get()),
        ("key", read.key == topics::key(stored).as_bytes()),
        ("log", found.log == stored.log),
        ("incarnation", found.incarnation == stored.incarnation),
        ("stream", found.stream == stored.stream),
        ("version", found.version == stored.version),
        ("shop", found.shop == stored.shop),
        ("type", found.event_type == stored.event_type),
        ("schema version", found.schema_version == stored.schema_version),
        ("metadata", found.metadata == stored.metadata),
        ("time", found.recorded_at == stored.recorded_at),
    ];
    let differing: Vec<&str> = same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect();
    (!differing.is_empty()).then(|| differing.join(", "))
}
