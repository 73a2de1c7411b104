//! A store that was restored from an older state than Kafka has seen: nothing is written until that is settled; then all goes on, and what
//! is gone can be told exactly.
use crate::{
    support::{Seen, Shop, assert_chained, caught_up, config, dice, read_all, server, until},
    verify::{mirrored, planted, verify},
};
use eventstore::{Abandoned, EventFeed, EventStore, Incarnation, Life, Position, RecordedEvent};
use mirror::{
    FaultKind, Gone, Halt, KafkaConfig, KafkaFeed, Place, Relay, RelayConfig, RelayHandle, RelayState,
    recover::{Standing, read_lost, survey},
};
use rand::RngExt as _;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

fn relay(shop: &Shop, kafka: &KafkaConfig, stop: &CancellationToken) -> RelayHandle {
    Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone())
}

async fn carried(shop: &Shop, kafka: &KafkaConfig) {
    let stop = CancellationToken::new();
    let relay = relay(shop, kafka, &stop);
    caught_up(&relay, shop.head().await).await;
    stop.cancel();
    relay.join().await;
}

/// What `waybill recover` does, on a store in memory. Answers what is lost, and each event of it.
async fn recover(shop: &Shop, kafka: &KafkaConfig) -> (Vec<Gone>, Vec<RecordedEvent>) {
    let found = survey(kafka, shop.store()).await.unwrap();
    if let Standing::Undeclared { shared, highest } = found.standing {
        shop.store.begin_incarnation(shared, Incarnation(highest.0 + 1), "found by recover");
    }
    let (kept, lives) = (Arc::new(Mutex::new(Vec::new())), shop.store.lives().await.unwrap());
    let told = kept.clone();
    let each = move |event: &RecordedEvent| {
        told.lock().unwrap().push(event.clone());
        Ok(())
    };
    let gone = read_lost(kafka, shop.store.log(), &lives, each).await.unwrap();
    for gone in &gone {
        shop.store.abandon(Abandoned {
            incarnation: gone.incarnation,
            from: gone.from,
            to: gone.to,
            events: gone.events as i64,
            streams: gone.streams.len() as i64,
            recorded_at: chrono::DateTime::UNIX_EPOCH,
            file: String::new(),
        });
    }
    assert_eq!(survey(kafka, shop.store()).await.unwrap().standing, Standing::Sound);
    let events = kept.lock().unwrap().clone();
    (gone, events)
}

fn restored(backup: &Shop) -> (Shop, Life) {
    let restored = backup.backup();
    let life = restored.store.begin_incarnation(Position(i64::MAX), Incarnation(1), "restored");
    (restored, life)
}

async fn events(shop: &Shop) -> Vec<RecordedEvent> {
    shop.store.read_log(Position::ZERO, usize::MAX).await.unwrap()
}

fn places(events: &[RecordedEvent]) -> Vec<Place> {
    events.iter().map(Place::of).collect()
}

/// What a reader of Kafka alone makes of it: a record counts unless a later life began before it.
fn counted_by_an_outsider(seen: &[Seen]) -> Vec<(i64, String, String)> {
    let number = |record: &Seen, header: &str| record.headers[header].parse::<i64>().unwrap();
    let latest = seen.iter().max_by_key(|record| number(record, "waybill-incarnation")).unwrap();
    let begun: Vec<(i64, i64)> = latest.headers.get("waybill-lives").map_or(vec![], |lives| {
        let life = |life: &str| {
            let (incarnation, after) = life.split_once('@').unwrap();
            (incarnation.parse().unwrap(), after.parse().unwrap())
        };
        lives.split(' ').map(life).collect()
    });
    let counts = |record: &&Seen| {
        let place = (number(record, "waybill-incarnation"), number(record, "waybill-position"));
        begun.iter().all(|(life, after)| *life <= place.0 || *after >= place.1)
    };
    let mut counted: Vec<_> = seen
        .iter()
        .filter(counts)
        .map(|record| (number(record, "waybill-position"), record.headers["ce_id"].clone(), record.value.clone()))
        .collect();
    counted.sort();
    counted
}

async fn assert_an_outsider_agrees(kafka: &KafkaConfig, shop: &Shop) {
    let seen = read_all(kafka);
    assert_chained(&seen);
    let stored: Vec<_> = events(shop)
        .await
        .iter()
        .map(|event| {
            let id = format!("main/{}/{}", event.incarnation.0, event.position);
            (event.position.0, id, event.payload.get().to_owned())
        })
        .collect();
    assert!(counted_by_an_outsider(&seen) == stored, "what counts in Kafka is what the store has");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_store_halts_the_relay_until_what_it_lost_is_settled_and_then_all_goes_on() {
    let Some(brokers) = server::shared() else { return };
    let mut random = dice();
    let kafka = config(brokers);
    let mut lost = mirrored(&kafka).await;
    let backup = lost.backup();
    lost.trade(100).await;
    carried(&lost, &kafka).await;

    let (mut shop, life) = restored(&backup);
    let stop = CancellationToken::new();
    let halted = relay(&shop, &kafka, &stop);
    let unsettled = |state: &RelayState| matches!(state, RelayState::Halted(Halt::Unsettled { .. }));
    let status = until(&halted, |status| unsettled(&status.state)).await;
    let RelayState::Halted(halt) = status.state else { unreachable!() };
    assert!(halt.to_string().contains("waybill recover"), "{halt}");
    // Orders are taken meanwhile, and nothing is written.
    let before = read_all(&kafka).len();
    shop.trade(30).await;
    assert_eq!(read_all(&kafka).len(), before);

    let (gone, written_down) = recover(&shop, &kafka).await;
    let expected: Vec<_> = events(&lost).await.into_iter().filter(|event| event.position > life.after).collect();
    assert_eq!(places(&written_down), places(&expected));
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].from.0, gone[0].to.0), (life.after.0 + 1, lost.head().await));
    assert_eq!(gone[0].events, expected.len() as u64);

    // It goes on, however often it is killed.
    let mut last = halted;
    for _ in 0..6 {
        shop.trade(random.random_range(1..40)).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        last.abort();
        last = relay(&shop, &kafka, &stop);
    }
    caught_up(&last, shop.head().await).await;
    stop.cancel();
    last.join().await;
    assert_an_outsider_agrees(&kafka, &shop).await;
    let report = verify(&kafka, &shop).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.gone, gone, "verify tells exactly what is gone");
    assert_eq!(report.records as usize, expected.len() + shop.head().await as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_put_back_without_a_word_is_found_out_and_given_a_life_of_its_own() {
    let Some(brokers) = server::shared() else { return };
    // Behind Kafka still, or gone beyond with other events.
    for (after, halts_by) in [(10, "ahead"), (300, "another event")] {
        let kafka = config(brokers);
        let mut lost = mirrored(&kafka).await;
        let mut shop = lost.backup();
        let shared = shop.head().await;
        lost.trade(100).await;
        carried(&lost, &kafka).await;
        shop.trade(after).await;
        let stop = CancellationToken::new();
        let relay = relay(&shop, &kafka, &stop);
        let status = until(&relay, |status| matches!(status.state, RelayState::Halted(_))).await;
        let RelayState::Halted(halt) = status.state else { unreachable!() };
        assert!(halt.to_string().contains(halts_by), "{halt}");
        let found = survey(&kafka, shop.store()).await.unwrap();
        let undeclared = Standing::Undeclared { shared: Position(shared), highest: Incarnation(1) };
        assert_eq!(found.standing, undeclared);
        let (gone, _) = recover(&shop, &kafka).await;
        assert_eq!((gone[0].from.0, gone[0].to.0), (shared + 1, lost.head().await));
        shop.trade(20).await;
        caught_up(&relay, shop.head().await).await;
        stop.cancel();
        relay.join().await;
        let incarnations: Vec<i32> = events(&shop).await.iter().map(|event| event.incarnation.0).collect();
        assert!(incarnations.iter().zip(1..).all(|(life, position)| *life == 1 + i32::from(position > shared)));
        assert_an_outsider_agrees(&kafka, &shop).await;
        let report = verify(&kafka, &shop).await;
        assert!(report.is_whole() && report.gone == gone, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_restored_from_one_backup_do_not_take_each_other_s_records_for_their_own() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut original = mirrored(&kafka).await;
    let backup = original.backup();
    original.trade(60).await;
    carried(&original, &kafka).await;
    let (mut second, life) = restored(&backup);
    recover(&second, &kafka).await;
    second.trade(40).await;
    carried(&second, &kafka).await;

    // The second server is lost, too; the same backup is restored, and begins what it takes for the second life.
    let (mut third, again) = restored(&backup);
    assert_eq!((life.incarnation, life.after), (again.incarnation, again.after));
    third.trade(90).await;
    let (gone, written_down) = recover(&third, &kafka).await;
    let of = |shop: Vec<RecordedEvent>| shop.into_iter().filter(|event| event.position > life.after);
    let mut expected: Vec<_> = of(events(&original).await).chain(of(events(&second).await)).collect();
    expected.sort_by_key(Place::of);
    assert_eq!(places(&written_down), places(&expected));
    assert_eq!(gone.iter().map(|gone| gone.incarnation.0).collect::<Vec<_>>(), [1, 2]);
    carried(&third, &kafka).await;
    assert_eq!(third.store.lives().await.unwrap().current(), Incarnation(3));
    assert_an_outsider_agrees(&kafka, &third).await;
    let report = verify(&kafka, &third).await;
    assert!(report.is_whole() && report.gone == gone, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_among_the_lives_is_found_and_what_is_gone_is_none() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut lost = mirrored(&kafka).await;
    let (mut shop, life) = restored(&lost);
    lost.trade(60).await;
    carried(&lost, &kafka).await;
    recover(&shop, &kafka).await;
    shop.trade(60).await;
    carried(&shop, &kafka).await;
    let number = |record: &Seen, header: &str| record.headers[header].parse::<i64>().unwrap();
    let at = |records: &[Seen], incarnation: i64| {
        let beyond = |record: &&Seen| record.partition == 1 && number(record, "waybill-position") > life.after.0;
        let found = records.iter().filter(beyond).filter(|record| number(record, "waybill-incarnation") == incarnation);
        let found = found.filter(|record| record.topic.contains("order")).nth(3).unwrap().offset;
        let same =
            |record: &Seen| (record.topic.contains("order"), record.partition, record.offset) == (true, 1, found);
        records.iter().position(same).unwrap()
    };
    let whole = verify(&kafka, &shop).await;
    assert!(whole.is_whole(), "{whole:?}");

    let deleted = planted(&kafka, |records| drop(records.remove(at(records, 2)))).await;
    let report = verify(&deleted, &shop).await;
    assert_eq!((report.count(FaultKind::Missing), report.count(FaultKind::ChainBroken)), (1, 1), "{report:?}");

    let deleted = planted(&kafka, |records| drop(records.remove(at(records, 1)))).await;
    let report = verify(&deleted, &shop).await;
    assert_eq!(
        (report.faults, report.count(FaultKind::ChainBroken)),
        (1, 1),
        "also of what is gone none is missing: {report:?}"
    );

    let altered = planted(&kafka, |records| {
        let at = at(records, 2);
        records[at].headers.insert("waybill-incarnation".into(), "1".into());
    });
    assert!(!verify(&altered.await, &shop).await.is_whole(), "an event passed off as one that is gone");

    let doubled = planted(&kafka, |records| {
        let at = at(records, 1);
        records.insert(at, records[at].clone());
    });
    let report = verify(&doubled.await, &shop).await;
    assert_eq!((report.count(FaultKind::Doubled), report.count(FaultKind::ChainBroken)), (1, 1), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_passes_over_what_is_gone_and_tells_who_has_seen_it() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut lost = mirrored(&kafka).await;
    let (mut shop, life) = restored(&lost);
    lost.trade(60).await;
    carried(&lost, &kafka).await;
    let next =
        async |feed: &mut KafkaFeed| tokio::time::timeout(Duration::from_secs(30), feed.next(200)).await.unwrap();
    let mut witness = KafkaFeed::whole(kafka.clone(), lost.store.log(), Place::START);
    while witness.place().position.0 < lost.head().await {
        next(&mut witness).await.unwrap();
    }
    recover(&shop, &kafka).await;
    shop.trade(60).await;
    carried(&shop, &kafka).await;

    let stored = events(&shop).await;
    let shared = Place { incarnation: Incarnation(1), position: life.after };
    for after in [Place::START, shared, Place { incarnation: Incarnation(2), position: Position(life.after.0 + 5) }] {
        let mut feed = KafkaFeed::whole(kafka.clone(), shop.store.log(), after);
        let mut fed = Vec::new();
        while feed.place().position.0 < shop.head().await {
            fed.extend(next(&mut feed).await.unwrap());
        }
        assert_eq!(places(&fed), places(&stored[after.position.0 as usize..]));
    }
    let told = loop {
        match next(&mut witness).await {
            Ok(events) => assert!(events.iter().all(|event| event.position > life.after), "{events:?}"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(told.contains("incarnation 2") && told.contains(&life.after.to_string()), "{told}");
    assert!(next(&mut witness).await.is_err(), "until it begins again from a place that counts");
}
