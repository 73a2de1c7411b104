use rdkafka::{
    ClientConfig, Message,
    consumer::{CommitMode, Consumer, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use std::{collections::HashMap, error::Error, str::FromStr};

/// (incarnation, position): rises in every partition, also after the store was restored.
type Place = (i32, i64);

/// What you keep, in one transaction with whatever you do about a record.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// (0, 0), or the head of the export that you began with.
    begun: Place,
    /// The last record of each partition that you have acted on.
    last: HashMap<(String, i32), Place>,
}

fn consumer(brokers: &str, group: &str, topics: &[&str]) -> Result<StreamConsumer, KafkaError> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(topics)?;
    Ok(consumer)
}

/// True: act on it. False: you have acted on it already. An error: a record is missing before it.
fn take(kept: &mut Kept, record: &impl Message) -> Result<bool, Box<dyn Error>> {
    let place = (number(record, "waybill-incarnation")?, number(record, "waybill-position")?);
    let partition = (record.topic().to_owned(), record.partition());
    let known = kept.last.get(&partition).copied();
    let last = known.unwrap_or(kept.begun);
    if place <= last {
        return Ok(false);
    }
    let prev = match (number(record, "waybill-prev")?, header(record, "waybill-prev-incarnation")) {
        (0, _) => (0, 0),
        (position, None) => (place.0, position),
        (position, Some(_)) => (number(record, "waybill-prev-incarnation")?, position),
    };
    // The first one that you see may follow any that lies before your beginning.
    if prev > last || (known.is_some() && prev != last) {
        return Err(format!("{place:?} follows {prev:?}, but {last:?} was read before it").into());
    }
    kept.last.insert(partition, place);
    Ok(true)
}

/// Whether a later life of the log has lost it; `lives` is the latest `waybill-lives` that you have seen.
fn is_gone(place: Place, lives: &str) -> bool {
    let mut later = lives.split(' ').filter_map(|life| life.split_once('@'));
    later.any(|(life, after)| {
        life.parse().is_ok_and(|life: i32| life > place.0) && after.parse().is_ok_and(|after: i64| after < place.1)
    })
}

/// The schema of its value: `waybill.order.OrderPlaced.v1` has `events/order/OrderPlaced.v1.schema.json`.
fn schema(record: &impl Message) -> Option<String> {
    let (kind, event) = header(record, "ce_type")?.strip_prefix("waybill.")?.split_once('.')?;
    Some(format!("events/{kind}/{event}.schema.json"))
}

async fn follow(
    consumer: &StreamConsumer,
    kept: &mut Kept,
    mut act: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), Box<dyn Error>> {
    loop {
        let record = consumer.recv().await?;
        // One transaction of yours: what you do, and `kept`.
        if take(kept, &record)? {
            act(&record);
        }
        // This only saves reading again. If it is lost, `kept` knows.
        consumer.commit_message(&record, CommitMode::Async)?;
    }
}

fn header<'a>(record: &'a impl Message, name: &str) -> Option<&'a str> {
    let found = record.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}

fn number<N: FromStr>(record: &impl Message, name: &str) -> Result<N, String> {
    header(record, name).and_then(|text| text.parse().ok()).ok_or_else(|| format!("no header {name}"))
}
