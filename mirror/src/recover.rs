//! What Kafka holds and the store has lost: found out, and read once more, so that somebody can settle it. Nothing is written here.
//!
//! A store that was restored says so by a new life (`Lives`); then what Kafka holds of the earlier life beyond the new one's beginning is lost.
//! A store that was put back, or gone over to an older copy, without anybody saying so, looks the same from Kafka's side; up to where both
//! are the same is then found by comparing.
use crate::{
    Gone, KafkaConfig, MirrorError, Place, Routing,
    chain::{self, Tail},
    lanes::{self, Lanes, Next, Read},
    seek,
    topics::{self, Lane, blocking},
    wire::Decoded,
};
use eventstore::{EventStore, Incarnation, Lives, Log, Position, RecordedEvent};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// Kafka may be silent for this long.
const SILENCE: Duration = Duration::from_secs(30);
const SLICE: Duration = Duration::from_millis(50);
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
        let consumer = lanes::consumer(&config, "waybill-recover", "read_committed", LATENCY)?;
        let Some(routing) = topics::find(&config, log, &consumer)? else {
            return Ok(Survey { standing: Standing::NotMirrored, lives, head, kafka: None });
        };
        let tails = chain::tails(&consumer, &routing)?;
        let kafka = tails.iter().filter_map(|tail| tail.last.as_ref()).map(Decoded::place).max();
        if is_plainly_sound(&tails, &lives, head, |event| is_stored(event, &*store, &runtime))? {
            return Ok(Survey { standing: Standing::Sound, lives, head, kafka });
        }
        // Within: what the store has, or is known to have lost. After one that is neither, none should be.
        let offsets = seek::offsets_beyond(
            &consumer,
            &routing,
            |_| true,
            |_, found| Ok(found.place().is_abandoned(&lives) || is_stored(&found.event, &*store, &runtime)?),
        )?;
        let mut first: Option<Position> = None;
        let mut reader = Reader::open(&config, Arc::new(routing), &offsets)?;
        for lane in 0..offsets.len() {
            if let Some(read) = reader.peek(Lane(lane))? {
                let position = decoded(read)?.event.position;
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
        let consumer = lanes::consumer(&config, "waybill-recover", "read_committed", LATENCY)?;
        let Some(routing) = topics::find(&config, log, &consumer)? else { return Ok(Vec::new()) };
        let is_lost =
            |place: Place| place.is_abandoned(&lives) && !lives.has_settled(place.incarnation, place.position);
        let offsets = seek::offsets_beyond(&consumer, &routing, |_| true, |_, found| Ok(!is_lost(found.place())))?;
        let lanes = offsets.len();
        let mut reader = Reader::open(&config, Arc::new(routing), &offsets)?;
        let mut gone = Vec::new();
        loop {
            let mut next: Option<(Place, Lane)> = None;
            for lane in (0..lanes).map(Lane) {
                if let Some(read) = reader.peek(lane)? {
                    let place = decoded(read)?.place();
                    next = Some(next.map_or((place, lane), |next| next.min((place, lane))));
                }
            }
            let Some((place, lane)) = next else { return Ok(gone) };
            if let Some(read) = reader.heads[lane.0].take()
                && is_lost(place)
            {
                let event = &decoded(&read)?.event;
                each(event).map_err(|error| MirrorError::Report(error.to_string()))?;
                Gone::add(&mut gone, event);
            }
        }
    })
    .await
}

/// Reads the partitions from offsets to their ends.
struct Reader {
    lanes: Lanes,
    heads: Vec<Option<Box<Read>>>,
    ended: Vec<bool>,
}

impl Reader {
    fn open(config: &KafkaConfig, routing: Arc<Routing>, offsets: &[i64]) -> Result<Reader, MirrorError> {
        // Apart from the one that has sought: its partitions were assigned otherwise.
        let consumer = lanes::consumer(config, "waybill-recover-reader", "read_committed", LATENCY)?;
        let marks = chain::watermarks(&consumer, &routing)?;
        let is_open = |lane: &Lane| offsets[lane.0] < marks[lane.0].1;
        let ended = (0..offsets.len()).map(|lane| !is_open(&Lane(lane))).collect();
        let from: Vec<_> = (0..offsets.len()).map(Lane).filter(is_open).map(|lane| (lane, offsets[lane.0])).collect();
        let heads = offsets.iter().map(|_| None).collect();
        Ok(Reader { lanes: Lanes::open(consumer, routing, &from)?, heads, ended })
    }

    /// The lane's next record; `None`: it has ended.
    fn peek(&mut self, lane: Lane) -> Result<Option<&Read>, MirrorError> {
        let deadline = Instant::now() + SILENCE;
        while self.heads[lane.0].is_none() && !self.ended[lane.0] {
            match self.lanes.next(lane, SLICE)? {
                Next::Record(read) => self.heads[lane.0] = Some(read),
                Next::End => self.ended[lane.0] = true,
                Next::Nothing if Instant::now() > deadline => {
                    return Err(MirrorError::Silent { doing: "a partition is read", seconds: SILENCE.as_secs() });
                }
                Next::Nothing => self.lanes.serve()?,
            }
        }
        Ok(self.heads[lane.0].as_deref())
    }
}

fn decoded(read: &Read) -> Result<&Decoded, MirrorError> {
    read.decoded.as_ref().map_err(|error| MirrorError::Report(format!("a record at offset {}: {error}", read.offset)))
}
