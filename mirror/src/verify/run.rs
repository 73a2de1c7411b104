//! One run over a range: the store's events against the records of their lanes.
use super::{ChainFault, ChainReport, FETCH_WAIT, FaultKind, Range, SHORT};
use crate::{
    Gone, KafkaConfig, MirrorError, Place, Routing, Start, chain,
    lanes::{self, Fetch, Lanes, Next, Read},
    seek::{self, Begin},
    topics::{self, Lane},
    wire::Decoded,
};
use eventstore::{Lives, Log, Position, RecordedEvent};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// Faults that are told one by one; the rest are only counted.
const MAX_FAULTS: usize = 1_000;
/// Kafka answers a commit before its markers lie in every partition: so long a partition whose end comes too early is believed to be waiting
/// for one.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);
/// How long the end of such a partition is waited for at a time.
const SLICE: Duration = Duration::from_millis(20);

pub(super) struct Run {
    routing: Arc<Routing>,
    lanes: Lanes,
    states: Vec<LaneState>,
    lives: Lives,
    /// Where the range begins.
    after: Place,
    upto: Position,
    report: ChainReport,
    /// Events that were missed where they belong; they may come later. As many as are told one by one.
    missing: BTreeSet<Position>,
    /// From the first end that came too early.
    settled_at: Option<Instant>,
}

struct LaneState {
    /// Read, but not yet compared.
    head: Option<Box<Read>>,
    ended: bool,
    /// Whether its beginning was cut off.
    trimmed: bool,
    /// Whether any record beyond the range's beginning was read.
    entered: bool,
    /// Whether any record of it was compared, or lies before the range.
    begun: bool,
    /// The record before.
    last: Place,
    /// The highest place so far.
    highest: Place,
}

impl Run {
    pub(super) fn open(
        config: &KafkaConfig,
        log: Log,
        lives: Lives,
        range: Range,
        wait: Duration,
    ) -> Result<Run, MirrorError> {
        let finder = lanes::consumer(config, "waybill-verify", "read_committed", Fetch::Little, FETCH_WAIT)?;
        let routing = Arc::new(topics::find(config, log, &finder)?.ok_or(MirrorError::NotMirrored)?);
        let run = |after: Place| {
            let begins = seek::offsets_after(&finder, &routing, after)?;
            Run::start(config, routing.clone(), &begins, lives.clone(), after, range.upto, wait)
        };
        let after = match range.after {
            Position::ZERO => Place::START,
            position => Place { incarnation: lives.of(position), position },
        };
        if config.start == Start::Beginning {
            return run(after);
        }
        // On a broker that began at the head, what came before its first record was never there.
        let mut whole = run(Place::START)?;
        let first = whole.first()?.unwrap_or(Position(range.upto.0 + 1));
        if first > range.after {
            whole.report.from = first;
            return Ok(whole);
        }
        drop(whole);
        run(after)
    }

    fn start(
        config: &KafkaConfig,
        routing: Arc<Routing>,
        begins: &[Begin],
        lives: Lives,
        after: Place,
        upto: Position,
        wait: Duration,
    ) -> Result<Run, MirrorError> {
        let fetch = if upto.0 - after.position.0 > SHORT { Fetch::Ahead } else { Fetch::Little };
        // Apart from the one that has sought: that one fetches little.
        let consumer = lanes::consumer(config, "waybill-verify", "read_committed", fetch, wait)?;
        let first = chain::first_offsets(&consumer, &routing)?;
        let state = |(begin, first): (&Begin, &i64)| LaneState {
            head: None,
            ended: false,
            trimmed: *first > 0,
            entered: false,
            begun: begin.before.is_some(),
            last: begin.before.unwrap_or(Place::START),
            highest: after,
        };
        let states: Vec<LaneState> = begins.iter().zip(&first).map(state).collect();
        let from: Vec<(Lane, i64)> =
            routing.lanes().map(|(lane, ..)| (lane, begins[lane.0].offset.max(first[lane.0]))).collect();
        let lanes = Lanes::open(consumer, &routing, &from)?;
        let from = Position(after.position.0 + 1);
        let report = ChainReport { from, upto, ..ChainReport::default() };
        Ok(Run { routing, lanes, states, lives, after, upto, report, missing: BTreeSet::new(), settled_at: None })
    }

    /// After this the store is to be read.
    pub(super) fn after(&self) -> Position {
        Position(self.report.from.0 - 1)
    }

    /// The first position that any lane holds.
    fn first(&mut self) -> Result<Option<Position>, MirrorError> {
        let mut first: Option<Position> = None;
        for lane in 0..self.states.len() {
            if let Some(position) = self.peek(lane)?.and_then(place_of).map(|place| place.position) {
                first = Some(first.map_or(position, |first| first.min(position)));
            }
        }
        Ok(first)
    }

    /// Compares events that follow one another with the records of their lanes.
    pub(super) fn compare(mut self, batch: Vec<RecordedEvent>) -> Result<Self, MirrorError> {
        self.lanes.serve()?;
        for event in &batch {
            let lane = self.routing.lane(event).0;
            loop {
                let found = self.await_next(lane)?.map(place_of);
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
    pub(super) fn drain(mut self) -> Result<ChainReport, MirrorError> {
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
        Ok(self.report)
    }

    /// The lane's next record; `None`: it has ended.
    fn peek(&mut self, lane: usize) -> Result<Option<&Read>, MirrorError> {
        if self.states[lane].head.is_none() && !self.states[lane].ended {
            self.states[lane].head = self.lanes.read(Lane(lane), "a partition is read")?;
            self.states[lane].ended = self.states[lane].head.is_none();
        }
        Ok(self.states[lane].head.as_deref())
    }

    /// As `peek`, where one is expected: an end is believed when it is still the end after a while. It may be an old one, with records behind it.
    fn await_next(&mut self, lane: usize) -> Result<Option<&Read>, MirrorError> {
        while self.peek(lane)?.is_none() {
            let settled_at = *self.settled_at.get_or_insert_with(|| Instant::now() + SETTLES_WITHIN);
            let left = settled_at.saturating_duration_since(Instant::now());
            self.lanes.serve()?;
            match self.lanes.next(Lane(lane), left.min(SLICE))? {
                Next::Record(read) => {
                    self.states[lane].head = Some(read);
                    self.states[lane].ended = false;
                }
                Next::Nothing if left.is_zero() => break,
                Next::Nothing | Next::End => {}
            }
        }
        Ok(self.states[lane].head.as_deref())
    }

    /// Takes the lane's next record: the one of `event`, or one that has no place here.
    fn take(&mut self, lane: usize, event: Option<&RecordedEvent>) {
        let Some(read) = self.states[lane].head.take() else { return };
        let state = &mut self.states[lane];
        let (last, highest, trimmed, begun) = (state.last, state.highest, state.trimmed, state.begun);
        state.begun = true;
        if let Some(place) = place_of(&read) {
            if !state.entered && place <= self.after {
                // No witness of where the range begins, so it was read: it lies before.
                state.last = place;
                return;
            }
            state.entered = true;
        }
        self.report.records += 1;
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
                } else if place <= self.after {
                    // What it follows lies in the range: it comes too late, or again.
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
        let (topic, partition) = self.routing.place_of(Lane(lane));
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
