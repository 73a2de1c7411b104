//! What Kafka holds already, and where a relay goes on.
//!
//! A transaction covers one unbroken range of positions over both topics; so the highest committed position is how far the
//! mirror has come, and nothing else needs to be remembered anywhere. One exception: while a lost topic is filled again beside
//! one that is whole, its records say so (`waybill-refill`), and an interrupted refill goes on where it stopped.
//!
//! A log that was restored goes on as another life of its own, after the position that it shares with the one before. What Kafka holds of the
//! earlier life beyond that stays there; once somebody has settled it (`recover`), the new life's records follow it.
use crate::{
    MirrorError, Place, Routing, Start, Topic, foreign,
    lanes::Lanes,
    topics::{Lane, METADATA_TIMEOUT, Quiet},
    wire::Decoded,
};
use eventstore::{Incarnation, Lives, Position, RecordedEvent};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use thiserror::Error;

/// Until a partition whose leader is moving is asked about again.
const MOVING_PAUSE: Duration = Duration::from_millis(100);
/// The first look at a partition's end; the next ones are larger, when all of it was given up or markers.
const FIRST_WINDOW: i64 = 32;
const WINDOW_GROWTH: i64 = 32;

/// The end of a partition, as a `read_committed` reader sees it. `last` is the last record of ours: others are passed over.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// The first offset that is still there; above 0 once something was trimmed.
    pub low: i64,
    /// The last stable offset.
    pub high: i64,
    pub last: Option<Decoded>,
}

/// First and last stable offset of every lane. Blocks.
pub(crate) fn watermarks(consumer: &BaseConsumer<Quiet>, routing: &Routing) -> Result<Vec<(i64, i64)>, MirrorError> {
    let (first, end) = (first_offsets(consumer, routing)?, end_offsets(consumer, routing)?);
    Ok(first.into_iter().zip(end).collect())
}

/// The first offset of every lane that is still there. Blocks.
pub(crate) fn first_offsets(consumer: &BaseConsumer<Quiet>, routing: &Routing) -> Result<Vec<i64>, MirrorError> {
    offsets(consumer, routing, Offset::Beginning)
}

/// The last stable offset of every lane, where the next record will be. Blocks.
pub(crate) fn end_offsets(consumer: &BaseConsumer<Quiet>, routing: &Routing) -> Result<Vec<i64>, MirrorError> {
    offsets(consumer, routing, Offset::End)
}

/// Asks each leader once for all of its partitions: as a time, the beginning and the end stand for themselves. A leader that has just moved is asked for
/// again, for a while.
fn offsets(consumer: &BaseConsumer<Quiet>, routing: &Routing, of: Offset) -> Result<Vec<i64>, MirrorError> {
    let deadline = Instant::now() + METADATA_TIMEOUT;
    loop {
        match offsets_once(consumer, routing, of) {
            Err(KafkaError::MetadataFetch(code) | KafkaError::OffsetFetch(code))
                if is_moving(code) && Instant::now() < deadline =>
            {
                std::thread::sleep(MOVING_PAUSE);
            }
            told => return Ok(told?),
        }
    }
}

fn offsets_once(consumer: &BaseConsumer<Quiet>, routing: &Routing, of: Offset) -> Result<Vec<i64>, KafkaError> {
    let mut asked = TopicPartitionList::with_capacity(routing.lane_count());
    for (_, topic, partition) in routing.lanes() {
        asked.add_partition_offset(routing.name(topic), partition, of)?;
    }
    let told = consumer.offsets_for_times(asked, METADATA_TIMEOUT)?;
    let of_lane = |(_, topic, partition)| {
        let unknown = KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition);
        let told = told.find_partition(routing.name(topic), partition).ok_or(unknown.clone())?;
        told.error()?;
        match told.offset() {
            Offset::Offset(offset) => Ok(offset),
            _ => Err(unknown),
        }
    };
    routing.lanes().map(of_lane).collect()
}

/// Another broker leads the partition, or none does yet.
fn is_moving(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition, ReplicaNotAvailable, UnknownLeaderEpoch};
    matches!(code, LeaderNotAvailable | NotLeaderForPartition | ReplicaNotAvailable | UnknownLeaderEpoch)
}

/// The tail of every lane. The consumer reads committed and reports the ends of partitions. Blocks.
pub(crate) fn tails(consumer: &Arc<BaseConsumer<Quiet>>, routing: &Routing) -> Result<Vec<Tail>, MirrorError> {
    let mut tails: Vec<Tail> =
        watermarks(consumer, routing)?.into_iter().map(|(low, high)| Tail { low, high, last: None }).collect();
    let read = read_tails(consumer, routing, &mut tails);
    consumer.unassign()?;
    read.map(|()| tails)
}

fn read_tails(consumer: &Arc<BaseConsumer<Quiet>>, routing: &Routing, tails: &mut [Tail]) -> Result<(), MirrorError> {
    let mut unknown: Vec<Lane> =
        (0..tails.len()).map(Lane).filter(|lane| tails[lane.0].high > tails[lane.0].low).collect();
    let mut window = FIRST_WINDOW;
    while !unknown.is_empty() {
        let from = |lane: &Lane| tails[lane.0].low.max(tails[lane.0].high - window);
        let looks: Vec<(Lane, i64)> = unknown.iter().map(|lane| (*lane, from(lane))).collect();
        let lanes = Lanes::open(consumer.clone(), routing, &looks)?;
        for lane in &unknown {
            read_tail(&lanes, routing, *lane, &mut tails[lane.0])?;
        }
        unknown.retain(|lane| tails[lane.0].last.is_none() && tails[lane.0].high - window > tails[lane.0].low);
        window = window.saturating_mul(WINDOW_GROWTH);
    }
    Ok(())
}

fn read_tail(lanes: &Lanes, routing: &Routing, lane: Lane, tail: &mut Tail) -> Result<(), MirrorError> {
    while let Some(read) = lanes.read(lane, "the tails are read")? {
        match read.decoded {
            // Places rise: what comes again after a later one is somebody else's copy.
            Ok(decoded) if tail.last.as_ref().is_none_or(|last| last.place() < decoded.place()) => {
                tail.last = Some(decoded);
            }
            Ok(_) => {}
            Err(error) => foreign::pass_over(routing, lane, read.offset, &error),
        }
        if read.offset + 1 >= tail.high {
            break;
        }
    }
    Ok(())
}

/// Why a relay must not write: someone has to look. Nothing is overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Halt {
    #[error("Kafka is ahead of the store: it holds position {kafka}, the store's head is {store}; {RECOVER}")]
    Ahead { kafka: Position, store: Position },
    #[error("Kafka holds incarnation {}, the store is at {}: an older state than Kafka has seen; {RECOVER}", .kafka.0, .store.0)]
    OtherIncarnation { kafka: Incarnation, store: Incarnation },
    #[error("Kafka holds another event at position {position} than the store; {RECOVER}")]
    Diverged { position: Position },
    /// The store was restored, and what it lost by that was not looked at yet.
    #[error("Kafka holds positions {shared} to {kafka} of incarnation {}, which the restored store has lost; {RECOVER}", .incarnation.0, shared = .shared.0 + 1)]
    Unsettled { incarnation: Incarnation, shared: Position, kafka: Position },
    #[error("partitions of {topic} were added after it was written to; keys would change places")]
    PartitionsChanged { topic: String },
    #[error("all of {topic} was trimmed away, so how far it had come can't be known")]
    Trimmed { topic: String },
}

const RECOVER: &str = "`waybill recover` says what is lost and settles it";

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The store is read after this.
    pub after: Position,
    /// A topic's events up to here are in Kafka.
    pub complete: [Position; 2],
    /// A topic being filled again is not whole before it has passed this position.
    pub refill: [Option<Position>; 2],
    /// The last record of each lane, whichever life wrote it.
    pub prev: Vec<Place>,
}

/// Decides from the tails where the relay goes on, or why it must not.
pub fn plan(tails: &[Tail], routing: &Routing, head: Position, lives: &Lives, start: Start) -> Result<Resume, Halt> {
    for (lane, topic, _) in routing.lanes() {
        if let Some(last) = &tails[lane.0].last {
            check_tail(last, lane, routing, topic, head, lives)?;
        }
    }
    let latest = |topic: Topic| {
        routing
            .lanes()
            .filter(|(_, of, _)| *of == topic)
            .filter_map(|(lane, ..)| tails[lane.0].last.as_ref().map(|last| (kept_upto(last, lives), last)))
            .max_by_key(|(kept, _)| *kept)
    };
    let reached = Topic::ALL.into_iter().filter_map(|topic| latest(topic).map(|(kept, _)| kept)).max();
    let whole = match (reached, start) {
        (Some(reached), _) => reached,
        (None, Start::AtHead) => head,
        (None, Start::Beginning) => Position::ZERO,
    };
    let mut resume = Resume {
        after: Position::ZERO,
        complete: [whole; 2],
        refill: [None; 2],
        prev: tails.iter().map(|tail| tail.last.as_ref().map_or(Place::START, Decoded::place)).collect(),
    };
    for topic in Topic::ALL {
        let interrupted =
            latest(topic).filter(|(_, last)| last.refill.is_some_and(|until| until > last.event.position));
        let trimmed = routing.lanes().any(|(lane, of, _)| of == topic && tails[lane.0].low > 0);
        let complete = match (latest(topic), interrupted) {
            (_, Some((kept, _))) => kept,
            (Some(_), None) => whole,
            (None, None) if trimmed && reached.is_none() => {
                return Err(Halt::Trimmed { topic: routing.name(topic).to_owned() });
            }
            (None, None) if trimmed || start == Start::AtHead => whole,
            (None, None) => Position::ZERO,
        };
        resume.complete[topic.index()] = complete;
        resume.refill[topic.index()] = (complete < whole).then_some(whole);
    }
    resume.after = resume.complete[0].min(resume.complete[1]);
    Ok(resume)
}

fn check_tail(
    last: &Decoded,
    lane: Lane,
    routing: &Routing,
    topic: Topic,
    head: Position,
    lives: &Lives,
) -> Result<(), Halt> {
    let Place { incarnation, position } = last.place();
    if incarnation > lives.current() {
        return Err(Halt::OtherIncarnation { kafka: incarnation, store: lives.current() });
    }
    if last.place().is_abandoned(lives) {
        if !lives.has_settled(incarnation, position) {
            let shared = kept_upto(last, lives);
            return Err(Halt::Unsettled { incarnation, shared, kafka: position });
        }
    } else if lives.get(incarnation).is_some_and(|life| life.after != last.begun_after()) {
        // Another life under the same number: of two copies that were restored from one backup.
        return Err(Halt::Diverged { position });
    } else if position > head {
        return Err(Halt::Ahead { kafka: position, store: head });
    }
    if routing.lane(&last.event) != lane {
        return Err(Halt::PartitionsChanged { topic: routing.name(topic).to_owned() });
    }
    Ok(())
}

/// Whether a record is the store's event of that position, and not another copy's.
pub(crate) fn is_same(mirrored: &RecordedEvent, stored: &RecordedEvent) -> bool {
    stored.position == mirrored.position
        && stored.stream == mirrored.stream
        && stored.version == mirrored.version
        && stored.payload.get() == mirrored.payload.get()
        && stored.metadata.command_id == mirrored.metadata.command_id
}

/// Up to where Kafka holds what the store has, as this record shows: what its life shared with the current one lies before it.
fn kept_upto(last: &Decoded, lives: &Lives) -> Position {
    let Place { incarnation, position } = last.place();
    // Of a life that this store never lived, only what came before it can be shared.
    let own = if lives.get(incarnation).is_some() { position } else { last.begun_after() };
    lives.end_of(incarnation).map_or(own, |end| own.min(end))
}

/// The record that says how far the mirror has come with what the store still has.
pub(crate) fn latest<'a>(tails: &'a [Tail], lives: &Lives) -> Option<&'a Decoded> {
    let lasts = tails.iter().filter_map(|tail| tail.last.as_ref());
    lasts.filter(|last| !last.place().is_abandoned(lives)).max_by_key(|last| last.event.position)
}

/// The lives that the latest record tells of.
pub(crate) fn known_lives(tails: &[Tail]) -> Option<Lives> {
    let latest = tails.iter().filter_map(|tail| tail.last.as_ref()).max_by_key(|last| last.place())?;
    Some(latest.known_lives())
}

/// Up to where every topic is whole: while one is filled again, no further than that has come.
pub(crate) fn whole_upto(tails: &[Tail], routing: &Routing, lives: &Lives) -> Position {
    let latest = latest(tails, lives).map_or_else(|| reached(tails, lives), |last| last.event.position);
    let filling = Topic::ALL.into_iter().filter_map(|topic| {
        let lanes = routing.lanes().filter(|(_, of, _)| *of == topic);
        let last = lanes.filter_map(|(lane, ..)| tails[lane.0].last.as_ref()).max_by_key(|last| last.place())?;
        last.refill.is_some_and(|until| until > last.event.position).then_some(last.event.position)
    });
    filling.min().map_or(latest, |filled| filled.min(latest))
}

/// Up to where Kafka holds what the store still has.
pub(crate) fn reached(tails: &[Tail], lives: &Lives) -> Position {
    tails.iter().filter_map(|tail| tail.last.as_ref()).map(|last| kept_upto(last, lives)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
