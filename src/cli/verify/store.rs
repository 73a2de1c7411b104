//! The store against itself: nothing is missing, doubled, out of order or altered, and what is kept beside the events is what they say.
//! Of a replica, which holds a copy of the events alone, what is kept beside them is left out.
//!
//! All is as of the head when it begins; appends go on meanwhile. Events are read in slices, so that no long transaction is in anybody's
//! way. What grows: some 40 bytes a stream, a small entry an order and a shelf (see `books`), 17 bytes a sealed entry.
use super::{
    books::Books,
    check::{Check, Faults},
};
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use commands::history::SAGA_TIMER;
use domain::{Event, OrderId, StreamKind, fulfillment::SagaEvent, order::OrderEvent, stock::StockEvent};
use eventstore::{
    Incarnation, Log, Position, SLOTS,
    sql::{
        inspect::{self, Seal, Still, StoredEvent},
        replica,
    },
};
use futures_util::TryStreamExt;
use indicatif::ProgressBar;
use queries::projections::ParkedKeys;
use sqlx::PgPool;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// How many positions one statement reads.
const SLICE: i64 = 10_000;
/// A lease is renewed within seconds; one that is to last longer than this was never given.
const LONGEST_LEASE_SECONDS: f64 = 24.0 * 3600.0;
/// How many dangling claims are looked for.
const MAX_DANGLING: i64 = 1_000;
/// The checks of what a store keeps beside its events. A replica has none of it; an import may have left some there, of which nobody takes care.
pub(super) const NOT_ON_A_REPLICA: [&str; 5] = ["balances", "timers", "sealed data", "claims", "leases"];

pub(super) struct Examined {
    pub(super) head: Position,
    pub(super) books: Books,
    pub(super) checks: Vec<Check>,
}

/// Runs all checks that the store alone can answer.
pub(super) async fn examine(pool: &PgPool, log: Log, progress: impl Fn(Position) -> ProgressBar) -> Result<Examined> {
    let still = inspect::still(pool, log).await.context("the store can't be read")?;
    let still = still.context("there is no log in this database: nothing was ever started on it")?;
    let is_replica = replica::is_replica(pool, log).await.context("the store can't be read")?;
    let head = still.head;
    match is_replica {
        true => say!("verifying a replica's copy of the log up to position {head}"),
        false => say!("verifying up to position {head}"),
    }
    let bar = progress(head);
    let skipped = ParkedKeys::new(&pool.connect_options()).skipped().await.context("what was skipped can't be read")?;
    let mut scan = Scan::new(log, &still, skipped);
    let mut after = 0;
    while after < head.0 {
        let upto = (after + SLICE).min(head.0);
        let mut events = inspect::events(pool, log, Position(after), Position(upto));
        while let Some(event) = events.try_next().await.context("the log can't be read")? {
            scan.take(event);
        }
        after = upto;
        bar.set_position(after.unsigned_abs());
    }
    bar.finish_and_clear();
    scan.end(head);
    let dangling = inspect::dangling_claims(pool, log, MAX_DANGLING).await.context("claims can't be read")?;
    let (mut checks, books) = scan.checks(&still);
    let claims = dangling
        .found
        .iter()
        .map(|(name, position)| format!("the claim {name} was made at position {position}, which is not in the log"));
    checks.push(Check::done("claims", dangling.claims.unsigned_abs(), "each was made with an event", claims.collect()));
    checks.push(checkpoints(&still));
    checks.push(leases(&still));
    if is_replica {
        checks.iter_mut().filter(|check| NOT_ON_A_REPLICA.contains(&check.name)).for_each(|check| {
            *check = Check::left_out(check.name, "not looked at, since a replica keeps the events alone");
        });
    }
    Ok(Examined { head, books, checks })
}

/// What is known of the log up to the event read last.
struct Scan<'a> {
    log: Log,
    still: &'a Still,
    seen: u64,
    position: i64,
    recorded_at: DateTime<Utc>,
    incarnation: i32,
    /// The kinds of streams by number, so that a stream's key is small.
    kinds: Vec<String>,
    versions: HashMap<(Uuid, u16), i32>,
    /// Notes that events speak of.
    notes: HashSet<Uuid>,
    /// What is sealed for persons whose keys are not here, and not known to be lost.
    closed: HashSet<Uuid>,
    /// Events of a release that made no checksums.
    unsealed: u64,
    /// What people have decided to leave out.
    skipped: HashSet<(Incarnation, Position)>,
    /// How many of these can't be read.
    left_out: u64,
    books: Books,
    positions: Faults,
    times: Faults,
    incarnations: Faults,
    numbers: Faults,
    checksums: Faults,
    payloads: Faults,
    keys: Faults,
}

impl<'a> Scan<'a> {
    fn new(log: Log, still: &'a Still, skipped: HashSet<(Incarnation, Position)>) -> Scan<'a> {
        Scan {
            log,
            still,
            seen: 0,
            position: 0,
            recorded_at: DateTime::<Utc>::MIN_UTC,
            incarnation: 0,
            kinds: Vec::new(),
            versions: HashMap::new(),
            notes: HashSet::new(),
            closed: still.sealed.iter().filter(|(_, has_key)| !has_key).map(|(subject, _)| *subject).collect(),
            unsealed: 0,
            skipped,
            left_out: 0,
            books: Books::default(),
            positions: Faults::default(),
            times: Faults::default(),
            incarnations: Faults::default(),
            numbers: Faults::default(),
            checksums: Faults::default(),
            payloads: Faults::default(),
            keys: Faults::default(),
        }
    }

    fn take(&mut self, event: StoredEvent) {
        self.seen += 1;
        self.place(&event);
        self.number(&event);
        if event.version == 1 && event.stream_kind == StreamKind::Order.name() {
            self.key(event.stream_id, event.incarnation, event.recorded_at, event.position);
        }
        match event.seal() {
            Seal::Whole => {}
            Seal::Absent => self.unsealed += 1,
            Seal::Broken => {
                self.checksums.add(format!("the event at position {} is not what was appended", event.position))
            }
        }
        let position = event.position;
        let recorded = match event.recorded(self.log) {
            Ok(recorded) => recorded,
            Err(why) => return self.payloads.add(format!("the event at position {position} can't be read: {why}")),
        };
        match commands::history::decode(&recorded) {
            Ok(events) => {
                for note in events.iter().flat_map(notes) {
                    self.key(note, recorded.incarnation.0, recorded.recorded_at, position);
                    self.notes.insert(note);
                }
                self.books.take(&recorded, &events);
            }
            Err(_) if self.skipped.contains(&(recorded.incarnation, recorded.position)) => self.left_out += 1,
            Err(error) => self.payloads.add(error.to_string()),
        }
    }

    /// Position, time and incarnation against those of the event before.
    fn place(&mut self, event: &StoredEvent) {
        let StoredEvent { position, recorded_at, incarnation, .. } = *event;
        self.gap(position);
        self.position = position;
        if recorded_at < self.recorded_at {
            self.times.add(format!(
                "position {position} was recorded at {recorded_at}, the one before it at {}",
                self.recorded_at
            ));
        }
        self.recorded_at = self.recorded_at.max(recorded_at);
        let life = self.still.lives.iter().find(|life| life.incarnation == incarnation);
        if incarnation < self.incarnation || life.is_none_or(|life| life.after_position >= position) {
            self.incarnations.add(format!("position {position} can't be of incarnation {incarnation}"));
        }
        self.incarnation = self.incarnation.max(incarnation);
    }

    /// `next` is where the log goes on.
    fn gap(&mut self, next: i64) {
        match next - self.position {
            ..=1 => {}
            2 => self.positions.add(format!("position {} is missing", next - 1)),
            _ => self.positions.add(format!("positions {} to {} are missing", self.position + 1, next - 1)),
        }
    }

    fn number(&mut self, event: &StoredEvent) {
        let kind = match self.kinds.iter().position(|kind| *kind == event.stream_kind) {
            Some(kind) => kind,
            None => {
                self.kinds.push(event.stream_kind.clone());
                self.kinds.len() - 1
            }
        };
        let last = self.versions.entry((event.stream_id, kind as u16)).or_default();
        let expected = *last + 1;
        *last = event.version;
        if event.version != expected {
            let (position, version, stream) = (event.position, event.version, event.stream());
            self.numbers.add(format!("position {position} is version {version} of stream {stream}, not {expected}"));
        }
    }

    /// A restore may leave keys out, and begins a life; an import brings none. What was sealed in the last life, and since there are keys, has its.
    fn key(&mut self, subject: Uuid, incarnation: i32, recorded_at: DateTime<Utc>, position: i64) {
        let is_of_the_last_life = self.still.lives.last().is_some_and(|life| life.incarnation <= incarnation);
        let had_a_key = is_of_the_last_life && self.still.keys_since.is_some_and(|since| recorded_at >= since);
        if had_a_key && self.closed.remove(&subject) {
            self.keys.add(format!("the key to what was sealed for {subject} at position {position} is lost"));
        }
    }

    fn end(&mut self, head: Position) {
        self.gap(head.0 + 1);
    }

    fn knows(&self, id: Uuid) -> bool {
        (0..self.kinds.len()).any(|kind| self.versions.contains_key(&(id, kind as u16)))
    }

    fn checks(self, still: &Still) -> (Vec<Check>, Books) {
        let seen = self.seen;
        let (timers, sealed) = (self.timers(still), self.sealed(still));
        let balances: BTreeMap<String, i64> = still.balances.iter().cloned().collect();
        let shelves = self.books.balance_faults(&balances);
        let (orders, turnover) = self.books.order_faults();
        let checked = match self.unsealed {
            0 => "each event is what was appended".to_owned(),
            all if all == seen => "no event has one: an older release appended them".to_owned(),
            unsealed => {
                format!("each event is what was appended; {unsealed} have none: an older release appended them")
            }
        };
        let read = match self.left_out {
            0 => "this release reads all of them".to_owned(),
            skipped => format!("this release reads all but {skipped} that people have skipped: see `waybill parked`"),
        };
        let checks = vec![
            Check::done("positions", seen, "from 1 to the head, none missing or doubled", self.positions),
            Check::done("times", seen, "none is before the one before it", self.times),
            Check::done("incarnations", seen, "each event is of a life that had begun", self.incarnations),
            Check::done("versions", self.versions.len() as u64, "each stream's are dense", self.numbers),
            Check::done("checksums", seen - self.unsealed, checked, self.checksums),
            Check::done("payloads", seen, read, self.payloads),
            Check::done("balances", balances.len() as u64, "each is what the events come to", shelves),
            Check::done("orders", self.books.orders.len() as u64, turnover, orders),
            timers,
            sealed,
        ];
        (checks, self.books)
    }

    /// A timer's stream is under way, and whatever is under way has its timer.
    fn timers(&self, still: &Still) -> Check {
        let mut faults = Faults::default();
        let mut carried = HashSet::new();
        for timer in &still.timers {
            let stream = format!("{}-{}", timer.stream_kind, timer.stream_id.simple());
            if !self.knows(timer.stream_id) {
                faults.add(format!("the timer {} is of stream {stream}, of which there is no event", timer.name));
            }
            if timer.slot != i16::from(eventstore::slot_of(timer.stream_id).0) {
                faults.add(format!("the timer {} of stream {stream} is in slot {}", timer.name, timer.slot));
            }
            if timer.stream_kind == StreamKind::Order.name() && timer.name == SAGA_TIMER {
                carried.insert(timer.stream_id);
                if self.books.orders.get(&timer.stream_id).is_some_and(|order| !order.is_under_way()) {
                    faults.add(format!("order {} has ended and still has a timer", OrderId(timer.stream_id)));
                }
            }
        }
        for (id, order) in &self.books.orders {
            if order.is_placed() && order.is_under_way() && !carried.contains(id) {
                faults.add(format!("order {} is under way and has no timer: no saga carries it on", OrderId(*id)));
            }
        }
        Check::done("timers", still.timers.len() as u64, "one for each order under way, none for others", faults)
    }

    /// Whatever is sealed belongs to an order or a note that there is.
    fn sealed(&self, still: &Still) -> Check {
        let mut faults = self.keys.clone();
        for (subject, _) in &still.sealed {
            if !self.knows(*subject) && !self.notes.contains(subject) {
                faults.add(format!("something is sealed for {subject}, of which no event speaks"));
            }
        }
        let mut what = "each belongs to an order or a note".to_owned();
        if !self.closed.is_empty() {
            let closed = self.closed.len();
            what += &format!(
                "; {closed} can't be opened, since their persons' keys were left out of a restore or an import"
            );
        }
        Check::done("sealed data", still.sealed.len() as u64, what, faults)
    }
}

/// The notes that an event speaks of.
fn notes(event: &Event) -> impl Iterator<Item = Uuid> {
    use domain::returns::ReturnEvent as Return;
    let (note, evidence) = match event {
        Event::Order(OrderEvent::CancelRequested(event)) => (event.note_id, None),
        Event::Saga(SagaEvent::RetryRequested(event)) => (event.note_id, None),
        Event::Saga(SagaEvent::StepSkipped(event)) => (event.note_id, event.evidence_id),
        Event::Saga(SagaEvent::StepMarkedDone(event)) => (event.note_id, None),
        Event::Saga(SagaEvent::CompensationForced(event)) => (event.note_id, None),
        Event::Saga(SagaEvent::PauseRequested(event)) => (event.note_id, None),
        Event::Saga(SagaEvent::ResumeRequested(event)) => (event.note_id, None),
        Event::Return(Return::ReturnRequested(event)) => (event.note_id, None),
        Event::Return(Return::ReturnApproved(event)) => (event.note_id, None),
        Event::Return(Return::ReturnRejected(event)) => (event.note_id, None),
        Event::Return(Return::ReturnCancelRequested(event)) => (event.note_id, None),
        Event::Return(Return::ReturnRetryRequested(event)) => (event.note_id, None),
        Event::Return(Return::ReturnStepSkipped(event)) => (event.note_id, event.evidence_id),
        Event::Return(Return::ReturnStepMarkedDone(event)) => (event.note_id, None),
        Event::Return(Return::ReturnPauseRequested(event)) => (event.note_id, None),
        Event::Return(Return::ReturnResumeRequested(event)) => (event.note_id, None),
        Event::Stock(StockEvent::StockAdjusted(event)) => (event.note_id, None),
        Event::Person(domain::person::PersonEvent::ErasureRequested(event)) => (event.note_id, None),
        _ => (None, None),
    };
    note.into_iter().chain(evidence)
}

fn checkpoints(still: &Still) -> Check {
    let mut faults = Faults::default();
    for each in &still.checkpoints {
        let place = Position(each.position.max(each.last_position));
        if place > still.head {
            faults.add(format!("the reader {} has come to position {place}, beyond the log's head", each.name));
        }
        if !still.lives.iter().any(|life| life.incarnation == each.incarnation) {
            faults.add(format!("the reader {} is in incarnation {}, which never was", each.name, each.incarnation));
        }
    }
    Check::done("checkpoints", still.checkpoints.len() as u64, "none is ahead of the log", faults)
}

fn leases(still: &Still) -> Check {
    let mut faults = Faults::default();
    let mut slots = HashSet::new();
    for lease in &still.leases {
        slots.insert(lease.slot);
        if lease.epoch < 0 || usize::try_from(lease.slot).is_ok_and(|slot| slot >= SLOTS) {
            faults.add(format!("slot {} has epoch {}", lease.slot, lease.epoch));
        }
        if let Some(seconds) = lease.held_for.filter(|seconds| *seconds > LONGEST_LEASE_SECONDS) {
            faults.add(format!("slot {} is held for another {seconds:.0} s", lease.slot));
        }
    }
    // They are made at the first start; none at all: nobody has started on this log yet.
    if !slots.is_empty() && slots.len() != SLOTS {
        faults.add(format!("{} slots of {SLOTS} can be held", slots.len()));
    }
    Check::done("leases", still.leases.len() as u64, "every slot can be held, none for long", faults)
}
