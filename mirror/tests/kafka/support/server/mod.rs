//! A Kafka for the tests: the one named by `WAYBILL_TEST_KAFKA` (host:port), else one that is started here. Its jars are those
//! that Waybill itself pins, from the user's cache or fetched. It ends with this process, however that ends.
mod cluster;
mod jars;
mod node;

pub(crate) use cluster::Cluster;

use node::{Node, free_ports};
use std::sync::OnceLock;

/// The Kafka that all tests of this process share; `None` where there is no Java, which it says. In CI that is a failure.
pub(crate) fn shared() -> Option<&'static str> {
    static SHARED: OnceLock<Option<(String, Option<Server>)>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match std::env::var("WAYBILL_TEST_KAFKA") {
        Ok(brokers) => Some((brokers, None)),
        Err(_) => Server::start().map(|server| (server.brokers(), Some(server))),
    });
    shared.as_ref().map(|(brokers, _)| brokers.as_str())
}

/// The class path; `None` where there is no Java, which it says. In CI that is a failure.
fn class_path() -> Option<String> {
    let found = jars::java().and_then(|()| jars::jars());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI needs a Java for the tests on real Kafka");
        println!("NOT TESTED on real Kafka: there is no Java, or its jars can't be had");
    }
    found
}

/// One broker of a test's own.
pub(crate) struct Server(Node);

impl Server {
    pub(crate) fn start() -> Option<Server> {
        let class_path = class_path()?;
        let [broker, controller] = free_ports();
        let voters = format!("1@127.0.0.1:{controller}");
        let mut node = Node::new(&class_path, "-Xmx320m", broker, &properties(1, broker, controller, &voters, 1));
        node.run();
        Some(Server(node))
    }

    pub(crate) fn brokers(&self) -> String {
        self.0.address()
    }

    /// Starts it (again), and returns once it takes connections.
    pub(crate) fn run(&mut self) {
        self.0.run();
    }

    pub(crate) fn stop(&mut self) {
        self.0.stop();
    }

    /// Stopped; what runs next is another cluster, which is empty, at the same address.
    pub(crate) fn make_anew(&mut self) {
        self.0.make_anew();
    }
}

/// Of one node that is broker and controller, but for where its data lies. So many copies are kept of what Kafka keeps for itself.
fn properties(id: usize, broker: u16, controller: u16, voters: &str, copies: usize) -> String {
    let in_sync = copies.div_ceil(2);
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
file.delete.delay.ms=1000
# A broker that is gone is known to be so soon, and gets its partitions back soon.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
leader.imbalance.check.interval.seconds=3
"
    )
}
