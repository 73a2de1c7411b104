//! librdkafka's mock broker inside this process: for machines without Java.
//!
//! It speaks Kafka's protocol on a loopback port, so outside readers work too; but it keeps about 5 MiB a partition, forgets
//! all when dropped, and shows given-up records to everyone. Not for data that matters.
use crate::{KafkaConfig, MirrorError, Start, topics::Routing};
use eventstore::Log;
use rdkafka::mocking::MockCluster;
use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

/// Runs until dropped.
#[derive(Debug)]
pub struct InProcessKafka {
    config: KafkaConfig,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl InProcessKafka {
    /// Starts the broker with the topics of `log`; answers once it listens. `template` gives prefix and partitions.
    pub fn start(template: &KafkaConfig, log: Log) -> Result<Self, MirrorError> {
        let routing = Routing::new(&template.topic_prefix, log, [template.partitions; 2]);
        let (ready, started) = channel();
        let (stop, stopped) = channel();
        // The cluster's handle must stay on the thread that made it.
        let thread = std::thread::Builder::new()
            .name("in-process-kafka".into())
            .spawn(move || serve(&routing, &ready, &stopped))
            .map_err(|error| MirrorError::Task(error.to_string()))?;
        let brokers = started.recv().map_err(|error| MirrorError::Task(error.to_string()))??;
        let config = KafkaConfig { brokers, start: Start::AtHead, ..template.clone() };
        Ok(InProcessKafka { config, stop: Some(stop), thread: Some(thread) })
    }

    /// How to reach it. The relay starts at the head there.
    pub fn config(&self) -> &KafkaConfig {
        &self.config
    }
}

fn serve(routing: &Routing, ready: &Sender<Result<String, MirrorError>>, stopped: &Receiver<()>) {
    let started = MockCluster::new(1).and_then(|cluster| {
        for topic in crate::Topic::ALL {
            cluster.create_topic(routing.name(topic), routing.partitions(topic), 1)?;
        }
        Ok(cluster)
    });
    match started {
        Ok(cluster) => {
            // Whoever started it is gone or says so: both end the wait.
            if ready.send(Ok(cluster.bootstrap_servers())).is_ok() {
                let _ = stopped.recv();
            }
        }
        Err(error) => drop(ready.send(Err(error.into()))),
    }
}

impl Drop for InProcessKafka {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It ends by itself; a panic there has been printed.
            let _ = thread.join();
        }
    }
}
