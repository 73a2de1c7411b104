//! What the benchmarks read with: a plain consumer, set up as any outside team would. It takes no header of ours for granted but the
//! position, by which its receipt is told apart.
use crate::{
    KafkaConfig, MirrorError, Topic,
    topics::{self, Quiet, blocking},
    wire,
};
use eventstore::{Log, Position};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use std::time::Duration;

/// Reads committed records of both topics, with librdkafka's defaults.
pub struct PlainReader {
    consumer: BaseConsumer<Quiet>,
}

impl std::fmt::Debug for PlainReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainReader").finish_non_exhaustive()
    }
}

impl PlainReader {
    /// From the end of every partition. Blocks.
    pub fn at_end(config: &KafkaConfig, log: Log) -> Result<PlainReader, MirrorError> {
        let mut settings = config.client("waybill-bench-outsider");
        settings
            .set("group.id", "waybill-bench-outsider")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer<Quiet> = config.finish(settings).create_with_context(Quiet)?;
        let routing = topics::find(config, log, &consumer)?.ok_or(MirrorError::NotMirrored)?;
        let mut assignment = TopicPartitionList::new();
        for (_, topic, partition) in routing.lanes() {
            assignment.add_partition_offset(routing.name(topic), partition, Offset::End)?;
        }
        consumer.assign(&assignment)?;
        Ok(PlainReader { consumer })
    }

    /// The position of the next record; `None`: none has come in this time. Blocks.
    pub fn next(&self, wait: Duration) -> Result<Option<Position>, MirrorError> {
        let Some(read) = self.consumer.poll(wait) else { return Ok(None) };
        let record = read?;
        let found = record.headers().into_iter().flat_map(Headers::iter).find(|header| header.key == wire::POSITION);
        let text = found.and_then(|header| header.value).and_then(|value| std::str::from_utf8(value).ok());
        Ok(text.and_then(|text| text.parse().ok()).map(Position))
    }
}

/// Removes the topics of a benchmark.
pub async fn remove_topics(config: &KafkaConfig, log: Log) -> Result<(), MirrorError> {
    let admin: AdminClient<DefaultClientContext> = config.finish(config.client("waybill-bench-admin")).create()?;
    let routing = crate::Routing::new(&config.topic_prefix, log, [config.partitions; 2]);
    let names = Topic::ALL.map(|topic| routing.name(topic));
    let answers = admin.delete_topics(&names, &AdminOptions::new()).await;
    blocking(move || {
        drop(admin);
        Ok(())
    })
    .await?;
    // One that isn't there needn't be removed.
    answers.map(|_| ()).map_err(MirrorError::from)
}
