//! How the embedded Kafka is set up: one node, broker and controller in one, small, on loopback, keeping all it is given.

use std::path::Path;

use super::Ports;

/// `server.properties`. What is fixed for the life of the data (numbers of partitions) must not change between versions.
pub(super) fn server_properties(data: &Path, ports: Ports) -> String {
    let Ports { broker, controller } = ports;
    let data = escaped(&data.to_string_lossy());
    format!(
        "# Written by waybill at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
# One node holds one copy.
default.replication.factor=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
# History stays; topics are made on purpose.
log.retention.ms=-1
log.retention.bytes=-1
auto.create.topics.enable=false
# A group settles at once, and notices soon that a member is gone.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# Small.
num.network.threads=2
num.io.threads=4
background.threads=2
num.recovery.threads.per.data.dir=2
group.coordinator.threads=1
log.cleaner.dedupe.buffer.size=16777216
"
    )
}

/// As a Java properties file has it: Latin-1, so that all but ASCII stands as UTF-16 escapes.
fn escaped(value: &str) -> String {
    let mut units = [0; 2];
    let escape = |unit: &u16| format!("\\u{unit:04x}");
    value
        .chars()
        .map(|c| match c {
            '\\' => "\\\\".to_owned(),
            ' '..='~' => c.to_string(),
            _ => c.encode_utf16(&mut units).iter().map(escape).collect(),
        })
        .collect()
}

/// The line on which readiness waits comes from the one logger that speaks at INFO.
pub(super) const LOGGING: &str = "# Written by waybill at every start.
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_the_properties_format() {
        assert_eq!(escaped("/a b/d\u{e4}ta\\x"), "/a b/d\\u00e4ta\\\\x");
        assert_eq!(escaped("\u{1f4e6}"), "\\ud83d\\udce6");
    }

    #[test]
    fn all_listeners_are_on_loopback() {
        let ports = Ports { broker: 1, controller: 2 };
        let text = server_properties(Path::new("/a b/data"), ports);
        assert!(text.contains("\nlog.dirs=/a b/data\n"));
        for line in text.lines().filter(|line| line.contains("://")) {
            for listener in line.split(',') {
                assert!(listener.contains("://127.0.0.1:"), "{line}");
            }
        }
    }
}
