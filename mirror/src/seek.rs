//! Where in a partition the records after a place begin. Committed offsets aren't asked: places rise with offsets, so a
//! binary search finds it, all partitions of a topic at a time. Blocks.
use crate::{
    MirrorError, Place, Routing, Topic, chain,
    topics::{Lane, Quiet},
    wire::{self, Decoded},
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const ROUND_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of a partition: before `low` all is within, at `high` and beyond nothing is.
struct Range {
    low: i64,
    high: i64,
}

/// For each lane, in order: the offset to read from, to get every record after its place (and no more than a few before).
pub(crate) fn offsets_after(
    consumer: &BaseConsumer<Quiet>,
    routing: &Routing,
    after: &[Place],
) -> Result<Vec<i64>, MirrorError> {
    offsets_beyond(
        consumer,
        routing,
        |lane| after[lane.0] > Place::START,
        |lane, found| Ok(found.place() <= after[lane.0]),
    )
}

/// For each lane, in order: the offset from which on no record is `within`, which none must be after one that isn't. Lanes that aren't
/// `searched` are answered with their beginning.
pub(crate) fn offsets_beyond(
    consumer: &BaseConsumer<Quiet>,
    routing: &Routing,
    searched: impl Fn(Lane) -> bool,
    mut within: impl FnMut(Lane, &Decoded) -> Result<bool, MirrorError>,
) -> Result<Vec<i64>, MirrorError> {
    let marks = chain::watermarks(consumer, routing)?;
    let mut offsets: Vec<i64> = marks.iter().map(|(low, _)| *low).collect();
    for topic in Topic::ALL {
        let mut ranges: HashMap<i32, Range> = (0..routing.partitions(topic))
            .map(|partition| (partition, routing.lane_at(topic, partition)))
            .filter(|(_, lane)| searched(*lane))
            .map(|(partition, Lane(lane))| (partition, Range { low: marks[lane].0, high: marks[lane].1 }))
            .collect();
        while ranges.values().any(|range| range.low < range.high) {
            round(consumer, routing, topic, &mut within, &mut ranges)?;
        }
        for (partition, range) in ranges {
            offsets[routing.lane_at(topic, partition).0] = range.low;
        }
    }
    Ok(offsets)
}

/// Reads one record in the middle of each range.
fn round(
    consumer: &BaseConsumer<Quiet>,
    routing: &Routing,
    topic: Topic,
    within: &mut impl FnMut(Lane, &Decoded) -> Result<bool, MirrorError>,
    ranges: &mut HashMap<i32, Range>,
) -> Result<(), MirrorError> {
    let mut assignment = TopicPartitionList::new();
    let mut asked: HashMap<i32, i64> = HashMap::new();
    for (partition, range) in ranges.iter().filter(|(_, range)| range.low < range.high) {
        let middle = range.low + (range.high - range.low) / 2;
        asked.insert(*partition, middle);
        assignment.add_partition_offset(routing.name(topic), *partition, Offset::Offset(middle))?;
    }
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + ROUND_TIMEOUT;
    while !asked.is_empty() {
        if Instant::now() > deadline {
            return Err(MirrorError::Silent { doing: "a position is looked for", seconds: ROUND_TIMEOUT.as_secs() });
        }
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                // Nothing but markers from there on.
                if let (Some(middle), Some(range)) = (asked.remove(&partition), ranges.get_mut(&partition)) {
                    range.high = middle;
                }
            }
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(record)) => {
                let partition = record.partition();
                let (Some(middle), Some(range)) = (asked.remove(&partition), ranges.get_mut(&partition)) else {
                    continue;
                };
                let decoded = wire::decode(&record).map_err(|error| {
                    let (topic, partition, offset) = wire::place(&record);
                    MirrorError::Record { topic, partition, offset, error }
                })?;
                if within(routing.lane_at(topic, partition), &decoded)? {
                    range.low = record.offset() + 1;
                } else {
                    range.high = middle;
                }
            }
        }
    }
    consumer.unassign()?;
    Ok(())
}
