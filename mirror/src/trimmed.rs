//! Whether Kafka still holds what follows a place: a topic that retention has trimmed beyond it can't be read on from there.
use crate::{
    KafkaConfig, MirrorError, Place, Routing, chain, foreign,
    lanes::{self, Fetch},
    topics::{self, Lane, Quiet, blocking},
    wire,
};
use eventstore::Log;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use std::time::{Duration, Instant};

/// How long reading the first records may take.
const FIRST_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);
const FETCH_WAIT: Duration = Duration::from_millis(10);

/// The topic of which a record after `after` was trimmed away; `None`: none was, as far as the records that are left tell.
pub async fn trimmed_beyond(config: &KafkaConfig, log: Log, after: Place) -> Result<Option<String>, MirrorError> {
    let config = config.clone();
    blocking(move || {
        let consumer = lanes::consumer(&config, "waybill-trimmed", "read_committed", Fetch::Little, FETCH_WAIT)?;
        let Some(routing) = topics::find(&config, log, &consumer)? else { return Ok(None) };
        let marks = chain::watermarks(&consumer, &routing)?;
        let cut: Vec<(Lane, i64)> = routing.lanes().map(|(lane, ..)| (lane, marks[lane.0].0)).collect();
        look(&consumer, &routing, &cut.into_iter().filter(|(_, low)| *low > 0).collect::<Vec<_>>(), after)
    })
    .await
}

/// Reads the first record that is left of each of these lanes: the one before it must not be needed.
fn look(
    consumer: &BaseConsumer<Quiet>,
    routing: &Routing,
    cut: &[(Lane, i64)],
    after: Place,
) -> Result<Option<String>, MirrorError> {
    let deadline = Instant::now() + FIRST_TIMEOUT;
    let lanes: Vec<_> = routing.lanes().collect();
    // One lane at a time: the end of a partition is told without its topic's name.
    for (lane, low) in cut {
        let (_, topic, partition) = lanes[lane.0];
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(routing.name(topic), partition, Offset::Offset(*low))?;
        consumer.assign(&assignment)?;
        let first = loop {
            if Instant::now() > deadline {
                let doing = "the first records are read";
                return Err(MirrorError::Silent { doing, seconds: FIRST_TIMEOUT.as_secs() });
            }
            match consumer.poll(POLL) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(_))) => break None,
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(record)) => match wire::decode(&record) {
                    Ok(decoded) => break Some(decoded),
                    Err(error) => foreign::pass_over(routing, *lane, record.offset(), &error),
                },
            }
        };
        if first.is_some_and(|first| first.prev > after) {
            return Ok(Some(routing.name(topic).to_owned()));
        }
    }
    Ok(None)
}
