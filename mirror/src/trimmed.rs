//! Whether Kafka still holds what follows a place: a topic that retention has trimmed beyond it can't be read on from there.
use crate::{
    KafkaConfig, MirrorError, Place, chain,
    lanes::{self, Fetch, Lanes},
    topics::{self, Lane, blocking},
};
use eventstore::Log;
use std::time::Duration;

const FETCH_WAIT: Duration = Duration::from_millis(10);

/// The topic of which a record after `after` was trimmed away; `None`: none was, as far as the records that are left tell.
pub async fn trimmed_beyond(config: &KafkaConfig, log: Log, after: Place) -> Result<Option<String>, MirrorError> {
    let config = config.clone();
    blocking(move || {
        let consumer = lanes::consumer(&config, "waybill-trimmed", "read_committed", Fetch::Little, FETCH_WAIT)?;
        let Some(routing) = topics::find(&config, log, &consumer)? else { return Ok(None) };
        let first = chain::first_offsets(&consumer, &routing)?;
        // The record before the first one that is left must not be needed.
        let cut = routing.lanes().map(|(lane, ..)| (lane, first[lane.0]));
        let cut: Vec<(Lane, i64)> = cut.filter(|(_, low)| *low > 0).collect();
        let lanes = Lanes::open(consumer, &routing, &cut)?;
        for (lane, _) in cut {
            let first = lanes.read_own(&routing, lane, "the first records are read")?;
            if first.is_some_and(|(_, first)| first.prev > after) {
                let (topic, _) = routing.place_of(lane);
                return Ok(Some(routing.name(topic).to_owned()));
            }
        }
        Ok(None)
    })
    .await
}
