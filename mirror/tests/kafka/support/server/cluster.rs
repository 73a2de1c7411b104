//! Three brokers that keep three copies of everything, two of which must have it.
use super::{
    class_path,
    node::{Node, free_ports},
    properties,
};
use mirror::KafkaConfig;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use std::time::Duration;

const BROKERS: usize = 3;

pub(crate) struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// `None` where there is no Java, which it says.
    pub(crate) fn start() -> Option<Cluster> {
        let class_path = class_path()?;
        let ports: [u16; 2 * BROKERS] = free_ports();
        let (brokers, controllers) = ports.split_at(BROKERS);
        let voters: Vec<String> =
            controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}")).collect();
        let nodes = (0..BROKERS).map(|n| {
            let properties = properties(n + 1, brokers[n], controllers[n], &voters.join(","), BROKERS);
            Node::new(&class_path, "-Xmx256m", brokers[n], &properties)
        });
        let mut cluster = Cluster { nodes: nodes.collect() };
        cluster.run();
        Some(cluster)
    }

    /// Starts every broker that isn't running.
    pub(crate) fn run(&mut self) {
        let mut launched = Vec::new();
        for node in self.nodes.iter_mut().filter(|node| !node.is_running()) {
            node.launch();
            launched.push(&*node);
        }
        for node in launched {
            node.wait_until_ready();
        }
    }

    /// Stops all of them.
    pub(crate) fn stop(&mut self) {
        self.nodes.iter_mut().for_each(Node::tell_to_stop);
        self.nodes.iter_mut().for_each(Node::wait_until_stopped);
    }

    /// `kill -9` for one of them, by its id from 1.
    pub(crate) fn kill(&mut self, id: i32) {
        self.nodes[id as usize - 1].kill();
    }

    /// Topics of a test's own, with three copies.
    pub(crate) fn config(&self) -> KafkaConfig {
        let addresses: Vec<String> = self.nodes.iter().map(Node::address).collect();
        let config = crate::support::config(&addresses.join(","));
        KafkaConfig { replication: BROKERS as i32, min_insync_replicas: Some(2), ..config }
    }

    /// The leader of a partition, and how many copies it has.
    pub(crate) fn leader(config: &KafkaConfig, topic: &str, partition: i32) -> (i32, usize) {
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &config.brokers).create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
        let found = metadata.topics()[0].partitions().iter().find(|found| found.id() == partition).unwrap();
        (found.leader(), found.replicas().len())
    }
}
