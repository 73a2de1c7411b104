//! What Kafka holds and the store has lost: found out, and read once more, so that somebody can settle it. Nothing is written here.
//!
//! A store that was restored says so by a new life (`Lives`); then what Kafka holds of the earlier life beyond the new one's beginning is lost.
//! A store that was put back, or gone over to an older copy, without anybody saying so, looks the same from Kafka's side; up to where both
//! are the same is then found by comparing.
use crate::{
    Gone, KafkaConfig, MirrorError, Place, Routing,
    chain::{self, Tail},
    lanes::{self, Fetch, Lanes},
    seek::{self, Begin},
    topics::{self, Lane, blocking},
    wire::Decoded,
};
use eventstore::{EventStore, Incarnation, Lives, Log, Position, RecordedEvent};
use std::{io, sync::Arc, time::Duration};

const LATENCY: Duration = Duration::from_millis(20);

/// How store and Kafka stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of this log is there yet.
    NotMirrored,
    /// Kafka holds nothing that the store doesn't have, but for what was settled.
    Sound,
    /// A new life of the log has begun, and Kafka holds lost events that nobody has looked at.
    Unsettled,
    /// Kafka holds other events than the store, and no new life says why.
    Undeclared {
        /// Up to here both are the same.
        shared: Position,
        /// The highest life that Kafka knows of.
        highest: Incarnation,
    },
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Survey {
    pub standing: Standing,
    pub lives: Lives,
    pub head: Position,
    /// The latest record.
    pub kafka: Option<Place>,
}

/// Looks how Kafka and the store stand to each other. `store` is read while Kafka is.
pub async fn survey(config: &KafkaConfig, store: Arc<dyn EventStore>) -> Result<Survey, MirrorError> {
    let lives = store.lives().await?;
    let head = store.head().await?.position;
    let (config, log, runtime) = (config.clone(), store.log(), tokio::runtime::Handle::current());
    blocking(move || {
        let consumer = lanes::consumer(&config, "waybill-recover", "read_committed", Fetch::Little, LATENCY)?;
        let Some(routing) = topics::find(&config, log, &consumer)? else {
            return Ok(Survey { standing: Standing::NotMirrored, lives, head, kafka: None });
        };
        let tails = chain::tails(&consumer, &routing)?;
        let kafka = tails.iter().filter_map(|tail| tail.last.as_ref()).map(Decoded::place).max();
        if is_plainly_sound(&tails, &lives, head, |event| is_stored(event, &*store, &runtime))? {
            return Ok(Survey { standing: Standing::Sound, lives, head, kafka });
        }
        // Within: what the store has, or is known to have lost. After one that is neither, none should be.
        let begins = seek::offsets_beyond(&consumer, &routing, |found| {
            Ok(found.place().is_abandoned(&lives) || is_stored(&found.event, &*store, &runtime)?)
        })?;
        let mut first: Option<Position> = None;
        let mut reader = Reader::open(&config, routing, &begins)?;
        for lane in 0..begins.len() {
            if let Some(found) = reader.peek(Lane(lane))? {
                let position = found.event.position;
                first = Some(first.map_or(position, |first| first.min(position)));
            }
        }
        let standing = match (first, kafka) {
            (Some(first), Some(kafka)) => {
                let shared = Position(first.0 - 1).min(head);
                Standing::Undeclared { shared, highest: kafka.incarnation.max(lives.current()) }
            }
            _ => Standing::Unsettled,
        };
        Ok(Survey { standing, lives, head, kafka })
    })
    .await
}

/// Whether the ends of the partitions are what the store has, or were settled.
fn is_plainly_sound(
    tails: &[Tail],
    lives: &Lives,
    head: Position,
    is_stored: impl Fn(&RecordedEvent) -> Result<bool, MirrorError>,
) -> Result<bool, MirrorError> {
    for last in tails.iter().filter_map(|tail| tail.last.as_ref()) {
        let Place { incarnation, position } = last.place();
        let sound = match last.place().is_abandoned(lives) {
            true => lives.has_settled(incarnation, position),
            false => incarnation <= lives.current() && position <= head && is_stored(&last.event)?,
        };
        if !sound {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_stored(
    event: &RecordedEvent,
    store: &dyn EventStore,
    runtime: &tokio::runtime::Handle,
) -> Result<bool, MirrorError> {
    let stored = runtime.block_on(store.read_log(Position(event.position.0 - 1), 1))?;
    Ok(stored.first().is_some_and(|stored| chain::is_same(event, stored)))
}

/// Reads every event that is lost by these lives and was not settled yet, in the order of the world. Each is shown to `each`; answers what
/// they come to, life by life.
pub async fn read_lost(
    config: &KafkaConfig,
    log: Log,
    lives: &Lives,
    mut each: impl FnMut(&RecordedEvent) -> io::Result<()> + Send + 'static,
) -> Result<Vec<Gone>, MirrorError> {
    let (config, lives) = (config.clone(), lives.clone());
    blocking(move || {
        let consumer = lanes::consumer(&config, "waybill-recover", "read_committed", Fetch::Little, LATENCY)?;
        let Some(routing) = topics::find(&config, log, &consumer)? else { return Ok(Vec::new()) };
        let is_lost =
            |place: Place| place.is_abandoned(&lives) && !lives.has_settled(place.incarnation, place.position);
        let begins = seek::offsets_beyond(&consumer, &routing, |found| Ok(!is_lost(found.place())))?;
        let lanes = begins.len();
        let mut reader = Reader::open(&config, routing, &begins)?;
        let mut gone = Vec::new();
        loop {
            let mut next: Option<(Place, Lane)> = None;
            for lane in (0..lanes).map(Lane) {
                if let Some(found) = reader.peek(lane)? {
                    let place = found.place();
                    next = Some(next.map_or((place, lane), |next| next.min((place, lane))));
                }
            }
            let Some((place, lane)) = next else { return Ok(gone) };
            if let Some(found) = reader.heads[lane.0].take()
                && is_lost(place)
            {
                let event = &found.event;
                each(event).map_err(|error| MirrorError::Report(error.to_string()))?;
                Gone::add(&mut gone, event);
            }
        }
    })
    .await
}

/// Reads the partitions from offsets to their ends. What isn't ours is passed over.
struct Reader {
    lanes: Lanes,
    routing: Routing,
    heads: Vec<Option<Decoded>>,
    ended: Vec<bool>,
}

impl Reader {
    fn open(config: &KafkaConfig, routing: Routing, begins: &[Begin]) -> Result<Reader, MirrorError> {
        // Apart from the one that has sought: that one fetches little.
        let consumer = lanes::consumer(config, "waybill-recover-reader", "read_committed", Fetch::Ahead, LATENCY)?;
        let ends = chain::end_offsets(&consumer, &routing)?;
        let is_open = |lane: &Lane| begins[lane.0].offset < ends[lane.0];
        let ended = (0..begins.len()).map(|lane| !is_open(&Lane(lane))).collect();
        let from: Vec<_> = (0..begins.len()).map(Lane).filter(is_open).map(|l| (l, begins[l.0].offset)).collect();
        let heads = begins.iter().map(|_| None).collect();
        Ok(Reader { lanes: Lanes::open(consumer, &routing, &from)?, routing, heads, ended })
    }

    /// The lane's next record; `None`: it has ended.
    fn peek(&mut self, lane: Lane) -> Result<Option<&Decoded>, MirrorError> {
        if self.heads[lane.0].is_none() && !self.ended[lane.0] {
            let next = self.lanes.read_own(&self.routing, lane, "a partition is read")?;
            self.heads[lane.0] = next.map(|(_, found)| found);
            self.ended[lane.0] = self.heads[lane.0].is_none();
        }
        Ok(self.heads[lane.0].as_ref())
    }
}
