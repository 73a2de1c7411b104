//! What Kafka holds already, and where a relay goes on.
//!
//! A transaction covers one unbroken range of positions over both topics; so the highest committed position is how far the
//! mirror has come, and nothing else needs to be remembered anywhere. One exception: while a lost topic is filled again beside
//! one that is whole, its records say so (`waybill-refill`), and an interrupted refill goes on where it stopped.
use crate::{
    MirrorError, Routing, Start, Topic,
    topics::{Lane, METADATA_TIMEOUT, Quiet},
    wire::{self, Decoded},
};
use eventstore::{Incarnation, LogHead, Position};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long reading the tails of one topic may take.
const TAILS_TIMEOUT: Duration = Duration::from_secs(20);
/// The first look at a partition's end; the next ones are larger, when all of it was given up or markers.
const FIRST_WINDOW: i64 = 32;
const WINDOW_GROWTH: i64 = 32;

/// The end of a partition, as a `read_committed` reader sees it.
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
    routing
        .lanes()
        .map(|(_, topic, partition)| Ok(consumer.fetch_watermarks(routing.name(topic), partition, METADATA_TIMEOUT)?))
        .collect()
}

/// The tail of every lane. The consumer reads committed and reports the ends of partitions. Blocks.
pub(crate) fn tails(consumer: &BaseConsumer<Quiet>, routing: &Routing) -> Result<Vec<Tail>, MirrorError> {
    let mut tails: Vec<Tail> =
        watermarks(consumer, routing)?.into_iter().map(|(low, high)| Tail { low, high, last: None }).collect();
    for topic in Topic::ALL {
        let result = topic_tails(consumer, routing, topic, &mut tails);
        consumer.unassign()?;
        result?;
    }
    Ok(tails)
}

fn topic_tails(
    consumer: &BaseConsumer<Quiet>,
    routing: &Routing,
    topic: Topic,
    tails: &mut [Tail],
) -> Result<(), MirrorError> {
    let deadline = Instant::now() + TAILS_TIMEOUT;
    let lane = |partition: i32| routing.lane_at(topic, partition).0;
    let mut unknown: Vec<i32> =
        (0..routing.partitions(topic)).filter(|p| tails[lane(*p)].high > tails[lane(*p)].low).collect();
    let mut window = FIRST_WINDOW;
    while !unknown.is_empty() {
        let mut assignment = TopicPartitionList::new();
        for partition in &unknown {
            let tail = &tails[lane(*partition)];
            let from = tail.low.max(tail.high - window);
            assignment.add_partition_offset(routing.name(topic), *partition, Offset::Offset(from))?;
        }
        consumer.assign(&assignment)?;
        let mut open = unknown.clone();
        while !open.is_empty() {
            if Instant::now() > deadline {
                return Err(MirrorError::Silent { doing: "the tails are read", seconds: TAILS_TIMEOUT.as_secs() });
            }
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(ended))) => open.retain(|partition| *partition != ended),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(record)) => {
                    let decoded = wire::decode(&record).map_err(|error| {
                        let (topic, partition, offset) = wire::place(&record);
                        MirrorError::Record { topic, partition, offset, error }
                    })?;
                    let tail = &mut tails[lane(record.partition())];
                    if record.offset() + 1 >= tail.high {
                        open.retain(|partition| *partition != record.partition());
                    }
                    tail.last = Some(decoded);
                }
            }
        }
        unknown.retain(|partition| {
            let tail = &tails[lane(*partition)];
            tail.last.is_none() && tail.high - window > tail.low
        });
        window = window.saturating_mul(WINDOW_GROWTH);
    }
    Ok(())
}

/// Why a relay must not write: someone has to look. Nothing is overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Halt {
    #[error("Kafka is ahead of the store: it holds position {kafka}, the store's head is {store}")]
    Ahead { kafka: Position, store: Position },
    #[error("Kafka holds incarnation {}, the store is at {}", .kafka.0, .store.0)]
    OtherIncarnation { kafka: Incarnation, store: Incarnation },
    #[error("Kafka holds another event at position {position} than the store")]
    Diverged { position: Position },
    #[error("partitions of {topic} were added after it was written to; keys would change places")]
    PartitionsChanged { topic: String },
    #[error("all of {topic} was trimmed away, so how far it had come can't be known")]
    Trimmed { topic: String },
}

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The store is read after this.
    pub after: Position,
    /// A topic's events up to here are in Kafka.
    pub complete: [Position; 2],
    /// A topic being filled again is not whole before it has passed this position.
    pub refill: [Option<Position>; 2],
    /// The last position of each lane.
    pub prev: Vec<Position>,
}

/// Decides from the tails where the relay goes on, or why it must not.
pub fn plan(tails: &[Tail], routing: &Routing, head: LogHead, start: Start) -> Result<Resume, Halt> {
    for (lane, topic, _) in routing.lanes() {
        if let Some(last) = &tails[lane.0].last {
            check_tail(last, lane, routing, topic, head)?;
        }
    }
    let latest = |topic: Topic| {
        routing
            .lanes()
            .filter(|(_, of, _)| *of == topic)
            .filter_map(|(lane, ..)| tails[lane.0].last.as_ref())
            .max_by_key(|last| last.event.position)
    };
    let reached = Topic::ALL.into_iter().filter_map(|topic| latest(topic).map(|last| last.event.position)).max();
    let whole = match (reached, start) {
        (Some(reached), _) => reached,
        (None, Start::AtHead) => head.position,
        (None, Start::Beginning) => Position::ZERO,
    };
    let mut resume = Resume {
        after: Position::ZERO,
        complete: [whole; 2],
        refill: [None; 2],
        prev: tails.iter().map(|tail| tail.last.as_ref().map_or(Position::ZERO, |last| last.event.position)).collect(),
    };
    for topic in Topic::ALL {
        let interrupted = latest(topic).filter(|last| last.refill.is_some_and(|until| until > last.event.position));
        let trimmed = routing.lanes().any(|(lane, of, _)| of == topic && tails[lane.0].low > 0);
        let complete = match (latest(topic), interrupted) {
            (_, Some(last)) => last.event.position,
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

fn check_tail(last: &Decoded, lane: Lane, routing: &Routing, topic: Topic, head: LogHead) -> Result<(), Halt> {
    let event = &last.event;
    if event.incarnation != head.incarnation {
        return Err(Halt::OtherIncarnation { kafka: event.incarnation, store: head.incarnation });
    }
    if event.position > head.position {
        return Err(Halt::Ahead { kafka: event.position, store: head.position });
    }
    if routing.lane(event) != lane {
        return Err(Halt::PartitionsChanged { topic: routing.name(topic).to_owned() });
    }
    Ok(())
}

/// The record that says how far the mirror has come.
pub(crate) fn latest(tails: &[Tail]) -> Option<&Decoded> {
    tails.iter().filter_map(|tail| tail.last.as_ref()).max_by_key(|last| last.event.position)
}

#[cfg(test)]
mod tests;
