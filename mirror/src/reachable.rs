//! Whether Kafka can be reached, for processes that have no relay to tell. It asks for the cluster's metadata now and then, and no more.
use crate::{
    KafkaConfig, MirrorError, Routing, Topic,
    lanes::{self, Fetch},
    topics::{METADATA_TIMEOUT, blocking},
};
use eventstore::Log;
use rdkafka::consumer::Consumer;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const ASK_EVERY: Duration = Duration::from_secs(5);
const LATENCY: Duration = Duration::from_millis(500);

/// What the last question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachable {
    NotAsked,
    Yes,
    No { error: String },
}

/// Asks until it is told to stop.
pub fn watch(config: &KafkaConfig, stop: CancellationToken) -> watch::Receiver<Reachable> {
    let (told, answer) = watch::channel(Reachable::NotAsked);
    let config = config.clone();
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        // One client for all questions: it keeps its connections, and finds them again by itself.
        let mut client = None;
        loop {
            let now = match ask(&config, &mut client).await {
                Ok(()) => Reachable::Yes,
                Err(error) => Reachable::No { error: error.to_string() },
            };
            told.send_if_modified(|before| {
                let is_news = std::mem::discriminant(before) != std::mem::discriminant(&now);
                *before = now;
                is_news
            });
            tokio::time::sleep(ASK_EVERY).await;
        }
    }));
    answer
}

type Client = Arc<rdkafka::consumer::BaseConsumer<crate::topics::Quiet>>;

async fn ask(config: &KafkaConfig, client: &mut Option<Client>) -> Result<(), MirrorError> {
    let asked = match client {
        Some(client) => client.clone(),
        None => lanes::consumer(config, "waybill-reachable", "read_committed", Fetch::Little, LATENCY)?,
    };
    *client = Some(asked.clone());
    let routing = Routing::new(&config.topic_prefix, Log::MAIN, [config.partitions; 2]);
    blocking(move || {
        // Of one topic: of all it would grow with what else is there.
        asked.fetch_metadata(Some(routing.name(Topic::Order)), METADATA_TIMEOUT)?;
        Ok(())
    })
    .await
}
