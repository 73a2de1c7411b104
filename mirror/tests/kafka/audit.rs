//! The audit finds what was done to the topics, range by range, and keeps it until it is mended.
use crate::{
    support::{Shop, caught_up, config, server, topics},
    verify::{HARMS, admin, mirrored, planted, verify},
};
use eventstore::{EventStore as _, Incarnation, Position};
use mirror::{
    Audit, AuditHandle, AuditState, AuditStatus, ChainFault, FaultKind, KafkaConfig, Pace, Relay, RelayConfig,
};
use rdkafka::{Offset, TopicPartitionList, admin::AdminOptions};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// In a hurry; each range is some fifth of what `mirrored` makes.
const HURRY: Pace =
    Pace { range: 97, share: 1.0, idle: Duration::from_millis(50), between_passes: Duration::from_secs(3_600) };

fn audit(shop: &Shop, kafka: &KafkaConfig, pace: Pace, stop: &CancellationToken) -> AuditHandle {
    Audit::spawn(shop.store(), kafka.clone(), pace, Position::ZERO, stop.clone())
}

async fn until(audit: &AuditHandle, what: impl Fn(&AuditStatus) -> bool) -> AuditStatus {
    let mut watch = audit.watch();
    let reached = tokio::time::timeout(Duration::from_secs(90), watch.wait_for(|status| what(status))).await;
    reached.unwrap_or_else(|_| panic!("the audit is at {:?}", audit.status())).unwrap().clone()
}

/// What one pass finds.
async fn pass(shop: &Shop, kafka: &KafkaConfig) -> AuditStatus {
    let stop = CancellationToken::new();
    let audit = audit(shop, kafka, HURRY, &stop);
    let status = until(&audit, |status| status.passes == 1).await;
    stop.cancel();
    audit.join().await;
    assert_eq!(status.position.0, shop.head().await);
    status
}

fn count(faults: &[ChainFault], kind: FaultKind) -> usize {
    faults.iter().filter(|fault| fault.kind == kind).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_finds_each_harm_that_a_full_run_finds() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let shop = mirrored(&kafka).await;
    let clean = pass(&shop, &kafka).await;
    assert!(clean.faults == 0 && clean.clean_at.is_some(), "{clean:?}");
    for (what, harm, told) in HARMS {
        let found = pass(&shop, &planted(&kafka, harm).await).await;
        let (kind, _) = told[0];
        assert_eq!(count(&found.first, kind), 1, "{kind:?} of what is {what}: {found:?}");
        assert_eq!(found.faults, found.first.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_tells_how_much_was_trimmed_and_calls_it_no_fault() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let shop = mirrored(&kafka).await;
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(&topics(&kafka)[0], 1, Offset::Offset(10)).unwrap();
    admin(&kafka).delete_records(&upto, &AdminOptions::new()).await.unwrap();
    let found = pass(&shop, &kafka).await;
    let full = verify(&kafka, &shop).await;
    assert!(full.trimmed >= 9, "{full:?}");
    assert_eq!((found.trimmed, found.faults), (full.trimmed, 0), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_is_known_until_a_later_pass_finds_its_range_clean() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let shop = mirrored(&kafka).await;
    let (what, deleted, _) = HARMS[0];
    assert_eq!(what, "deleted");
    let harmed = planted(&kafka, deleted).await;
    let stop = CancellationToken::new();
    let audit = audit(&shop, &harmed, Pace { between_passes: Duration::from_millis(300), ..HURRY }, &stop);
    let first = until(&audit, |status| status.passes >= 1).await;
    assert_eq!(first.faults, 2, "{first:?}");
    let second = until(&audit, |status| status.passes > first.passes).await;
    assert_eq!(second.first, first.first, "it is still there");
    // Mended in the one way there is: what is trimmed can't miss anything.
    let mut upto = TopicPartitionList::new();
    for topic in topics(&harmed) {
        upto.add_partition_offset(&topic, 1, Offset::Offset(7)).unwrap();
    }
    admin(&harmed).delete_records(&upto, &AdminOptions::new()).await.unwrap();
    let clean = until(&audit, |status| status.faults == 0).await;
    assert!(clean.clean_at.is_some());
    stop.cancel();
    audit.join().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_follows_the_relay_and_never_runs_ahead_of_it() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = Shop::new(20);
    let stop = CancellationToken::new();
    // Before there is anything in Kafka at all.
    let audit = audit(&shop, &kafka, HURRY, &stop);
    until(&audit, |status| status.passes == 1).await;
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    for _ in 0..4 {
        shop.trade(60).await;
        caught_up(&relay, shop.head().await).await;
        let head = shop.head().await;
        let status = until(&audit, |status| status.position.0 == head).await;
        assert_eq!(status.faults, 0, "{status:?}");
    }
    relay.abort();
    let carried = shop.head().await;
    shop.trade(60).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = audit.status();
    assert_eq!((status.position.0, status.faults), (carried, 0), "{status:?}");
    stop.cancel();
    audit.join().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_waits_while_kafka_is_away_and_a_new_life_of_the_log_is_no_fault() {
    let Some(mut server) = server::Server::start() else { return };
    let kafka = config(&server.brokers());
    let mut shop = Shop::new(20);
    shop.trade(100).await;
    let stop = CancellationToken::new();
    let audit = audit(&shop, &kafka, HURRY, &stop);
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    let head = shop.head().await;
    until(&audit, |status| status.position.0 == head).await;
    server.stop();
    until(&audit, |status| matches!(status.state, AuditState::Waiting { .. })).await;
    // Restored to its present state, as far as the log goes.
    shop.store.begin_incarnation(Position(head), Incarnation(2), "restored");
    shop.trade(60).await;
    server.run();
    let head = shop.head().await;
    let status = until(&audit, |status| status.state == AuditState::Looking && status.position.0 == head).await;
    assert_eq!(status.faults, 0, "{status:?}");
    assert_eq!(shop.store.lives().await.unwrap().current(), Incarnation(2));
    stop.cancel();
    audit.join().await;
    relay.join().await;
}
