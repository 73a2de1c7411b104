//! Where in a partition the records after a place begin. Committed offsets aren't asked: places rise with offsets, so a
//! binary search finds it, all partitions of a topic at a time. Blocks.
//!
//! A record bears witness of where it lies only if the one after it names it: one that was doubled, moved or given up, or isn't ours,
//! leads nobody astray. The last one is named by none, so it must name the one before it.
use crate::{
    MirrorError, Place, Routing, Topic, chain, foreign,
    topics::Quiet,
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
const SLICE: Duration = Duration::from_millis(100);

/// Where a lane is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) offset: i64,
    /// The record before it; `None`: none is there.
    pub(crate) before: Option<Place>,
}

/// What is known of a partition: before `low` all is within, at `high` and beyond nothing is, but perhaps the last record.
struct Search {
    low: i64,
    high: i64,
    before: Option<Place>,
    /// The last record, if it was read.
    last: Option<(i64, Decoded)>,
    /// Whether any other was.
    has_others: bool,
}

impl Search {
    fn between((low, high): (i64, i64)) -> Search {
        Search { low, high, before: None, last: None, has_others: false }
    }

    fn begin(self, within: &mut impl FnMut(&Decoded) -> Result<bool, MirrorError>) -> Result<Begin, MirrorError> {
        if let Some((offset, last)) = &self.last {
            let follows = self.before.map_or(!self.has_others, |before| last.prev == before);
            if follows && within(last)? {
                return Ok(Begin { offset: offset + 1, before: Some(last.place()) });
            }
        }
        Ok(Begin { offset: self.low, before: self.before })
    }
}

/// One look into the middle of a partition.
struct Look {
    middle: i64,
    /// Read, and a witness if the next one names it.
    witness: Option<(i64, Decoded)>,
}

/// For each lane, in order: where its records after this place begin.
pub(crate) fn offsets_after(
    consumer: &BaseConsumer<Quiet>,
    routing: &Routing,
    after: Place,
) -> Result<Vec<Begin>, MirrorError> {
    if after == Place::START {
        let marks = chain::watermarks(consumer, routing)?;
        return Ok(marks.into_iter().map(|(low, _)| Begin { offset: low, before: None }).collect());
    }
    offsets_beyond(consumer, routing, |found| Ok(found.place() <= after))
}

/// For each lane, in order: from where on no record is `within`, which none must be after one that isn't.
pub(crate) fn offsets_beyond(
    consumer: &BaseConsumer<Quiet>,
    routing: &Routing,
    mut within: impl FnMut(&Decoded) -> Result<bool, MirrorError>,
) -> Result<Vec<Begin>, MirrorError> {
    let mut searches: Vec<Search> = chain::watermarks(consumer, routing)?.into_iter().map(Search::between).collect();
    for topic in Topic::ALL {
        while round(consumer, routing, topic, &mut within, &mut searches)? {}
    }
    searches.into_iter().map(|search| search.begin(&mut within)).collect()
}

/// Looks once into the middle of each of the topic's partitions that is not known yet; false: all are.
fn round(
    consumer: &BaseConsumer<Quiet>,
    routing: &Routing,
    topic: Topic,
    within: &mut impl FnMut(&Decoded) -> Result<bool, MirrorError>,
    searches: &mut [Search],
) -> Result<bool, MirrorError> {
    let mut assignment = TopicPartitionList::new();
    let mut looks: HashMap<i32, Look> = HashMap::new();
    for partition in 0..routing.partitions(topic) {
        let search = &searches[routing.lane_at(topic, partition).0];
        if search.low < search.high {
            let middle = search.low + (search.high - search.low) / 2;
            looks.insert(partition, Look { middle, witness: None });
            assignment.add_partition_offset(routing.name(topic), partition, Offset::Offset(middle))?;
        }
    }
    if looks.is_empty() {
        return Ok(false);
    }
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + ROUND_TIMEOUT;
    while !looks.is_empty() {
        if Instant::now() > deadline {
            return Err(MirrorError::Silent { doing: "a position is looked for", seconds: ROUND_TIMEOUT.as_secs() });
        }
        let (partition, next) = match consumer.poll(SLICE) {
            None => continue,
            Some(Err(KafkaError::PartitionEOF(partition))) => (partition, None),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(record)) => {
                let (partition, offset) = (record.partition(), record.offset());
                match wire::decode(&record) {
                    Ok(decoded) => (partition, Some((offset, decoded))),
                    Err(error) => {
                        foreign::pass_over(routing, routing.lane_at(topic, partition), offset, &error);
                        continue;
                    }
                }
            }
        };
        let Some(look) = looks.get_mut(&partition) else { continue };
        let search = &mut searches[routing.lane_at(topic, partition).0];
        if let Some(next) = next {
            let names = next.1.prev;
            let Some((offset, witness)) = look.witness.replace(next) else { continue };
            search.has_others = true;
            if names != witness.place() {
                continue;
            }
            if within(&witness)? {
                search.low = offset + 1;
                search.before = Some(witness.place());
            } else {
                search.high = look.middle;
            }
        } else {
            // The last one is judged when it is known what lies before it. Without one there is nothing but markers from there on.
            if look.witness.is_some() {
                search.last = look.witness.take();
            }
            search.high = look.middle;
        }
        looks.remove(&partition);
    }
    consumer.unassign()?;
    Ok(true)
}
