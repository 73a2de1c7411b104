//! Who was read up to before retention came may read on; who wasn't is told, and of which topic.
use crate::{
    support::{config, read_all, server, topics},
    verify::mirrored,
};
use eventstore::{Incarnation, Log, Position};
use mirror::{Place, trimmed_beyond};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_was_trimmed_off_is_told_and_one_beyond_it_is_not() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    assert_eq!(trimmed_beyond(&kafka, Log::MAIN, Place::START).await.unwrap(), None, "it isn't in Kafka yet");
    mirrored(&kafka).await;
    assert_eq!(trimmed_beyond(&kafka, Log::MAIN, Place::START).await.unwrap(), None);
    let (topic, partition, offset) = (topics(&kafka)[0].clone(), 1, 30);
    let number = |record: &crate::support::Seen, header: &str| record.headers[header].parse::<i64>().unwrap();
    // The last record that goes: the first one that is left names it.
    let left = read_all(&kafka)
        .into_iter()
        .filter(|record| (record.topic.as_str(), record.partition) == (topic.as_str(), partition))
        .find(|record| record.offset >= offset)
        .unwrap();
    let last = number(&left, "waybill-prev");
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(&topic, partition, Offset::Offset(offset)).unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    admin.delete_records(&upto, &AdminOptions::new()).await.unwrap();
    let at = |position| Place { incarnation: Incarnation(1), position: Position(position) };
    let told = async |place| trimmed_beyond(&kafka, Log::MAIN, place).await.unwrap();
    assert_eq!(told(Place::START).await, Some(topic.clone()));
    assert_eq!(told(at(last - 1)).await, Some(topic));
    assert_eq!(told(at(last)).await, None);
    assert_eq!(told(at(last + 1)).await, None);
}
